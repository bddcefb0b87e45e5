"""Names of tensors here, in upstream's snapshots and in those of the author's fork.

Tables of prefixes, ours on the left. Both snapshot formats have the same order of tensors as our
state dict, so an optimiser's state fits too.
"""

from collections.abc import Iterable

# inside a FuseFormer
_FUSE_FORMER = {
    "pos_embed": "pos_embed",
    "cls_token": "cls_token",
    "join.": "FC.",
    "self_blocks.": "SA_T.",
    "bridge.": "FC2.",
    "cross.query_pos_embed": "CA_T.pos_embed",
    "cross.context_pos_embed": "CA_T.pos_embed2",
    "cross.blocks.": "CA_T.blocks.",
    "out.": "FC3.",
}
_POSITION_NET = {
    "extract_adapt.left_stem.": "EABlock.conv_l.",
    "extract_adapt.right_stem.": "EABlock.conv_r.",
    **{
        f"extract_adapt.{ours}.{inner}": f"EABlock.{theirs}.{inner_theirs}"
        for ours, theirs in (
            ("extract", "Extract"),
            ("adapt_right", "Adapt_r"),
            ("adapt_left", "Adapt_l"),
        )
        for inner, inner_theirs in _FUSE_FORMER.items()
    },
    "extract_adapt.left_out.": "EABlock.conv_l2.",
    "extract_adapt.right_out.": "EABlock.conv_r2.",
    "right_heatmap.": "conv_r2.0.",
    "left_heatmap.": "conv_l2.0.",
}
_ROTATION_NET = {
    "right_reduce.": "rconv.",
    "left_reduce.": "lconv.",
    "right_shape.": "rshape_out.0.",
    "right_camera.": "rcam_out.0.",
    "left_shape.": "lshape_out.0.",
    "left_camera.": "lcam_out.0.",
    "right_transformer.": "Transformer_r.",
    "left_transformer.": "Transformer_l.",
    "relative_translation.": "root_relative.",
    "right_root.": "rroot_pose_out.0.",
    "right_fingers.": "rpose_out.0.",
    "left_root.": "lroot_pose_out.0.",
    "left_fingers.": "lpose_out.0.",
}
# inside the fusion of joint features with logits
_LOGIT_CROSS_ATTENTION = {
    "gate": "gate",
    "logit_to_token.": "b_proj.",
    "attn.": "attn.",
    "ffn.": "ffn.",
    "norm_query.": "norm_q.",
    "norm_out.": "norm_o.",
    "class_embed.": "pos_b.",
}
_GESTURE = {
    "gesture_heads.main.": "backbone.main_classifier.",
    "gesture_heads.sub.": "backbone.sub_classifier.",
    **{
        f"rotation_net.gesture_fusion.{which}.{ours}": f"rotation_net.{which}_cross_scalar.{theirs}"
        for which in ("main", "sub")
        for ours, theirs in _LOGIT_CROSS_ATTENTION.items()
    },
}


def _three_networks(backbone: str, position_net: str, rotation_net: str) -> dict[str, str]:
    return {
        "backbone.": backbone,
        **{f"position_net.{k}": f"{position_net}{v}" for k, v in _POSITION_NET.items()},
        **{f"rotation_net.{k}": f"{rotation_net}{v}" for k, v in _ROTATION_NET.items()},
    }


# Upstream has no gesture logits.
LAYOUTS = {
    "upstream": _three_networks("hand_backbone.", "hand_position_net.", "hand_rotation_net."),
    "author_fork": {
        **_three_networks("backbone.feature_encoder.", "position_net.", "rotation_net."),
        **_GESTURE,
    },
}


def their_names(ours: Iterable[str], layout: str) -> dict[str, str]:
    """Map our tensor names to those in a snapshot, without the ``module.`` prefix.

    Args:
        ours: Names of a state dict of ``EANet``.
        layout: ``"upstream"`` or ``"author_fork"``.

    Raises:
        ValueError: Unknown layout, or a tensor that the layout has no place for.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"unknown snapshot layout {layout!r}; choose one of {sorted(LAYOUTS)}")
    return {name: _translate(name, layout) for name in ours}


def _translate(name: str, layout: str) -> str:
    fitting = [prefix for prefix in LAYOUTS[layout] if name.startswith(prefix)]
    if not fitting:
        raise ValueError(
            f"{name} has no place in a snapshot of layout {layout!r}"
            + ("; gesture logits exist in 'author_fork' only" if "gesture" in name else "")
        )
    prefix = max(fitting, key=len)
    return LAYOUTS[layout][prefix] + name[len(prefix) :]
