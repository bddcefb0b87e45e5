"""Token fusion and EANet in their tiny size, for plans that run on a CPU."""

targets = {
    "token fusion": dict(
        target="token_fusion",
        model=dict(size="tiny", guidance="none"),
        text="token fusion, tiny, without guidance",
    ),
    "EANet": dict(
        target="eanet",
        model=dict(size="tiny", allow_projection=True),
        text="EANet, tiny, without gesture logits",
    ),
}
