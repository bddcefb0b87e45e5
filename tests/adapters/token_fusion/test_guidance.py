"""Which levels guide, and how quietly they begin."""

import pytest
import torch

from adapters.token_fusion.fusion import TokenFusion
from adapters.token_fusion.guidance import GestureGuidance, guidance_levels

LEVELS = {"none": (), "coarse": ("coarse",), "fine": ("fine",), "both": ("coarse", "fine")}


@pytest.mark.parametrize("guidance", LEVELS)
def test_the_model_has_the_heads_that_guide_and_no_other(build, guidance):
    network = build(guidance=guidance).network
    assert tuple(network.gesture_heads) == LEVELS[guidance] == guidance_levels(guidance)
    if guidance == "none":
        assert network.guidance is None
        assert not [name for name, _ in network.named_parameters() if "gesture" in name]
    else:
        assert tuple(network.guidance.tokens) == LEVELS[guidance]


def test_logits_come_out_where_they_guide(build, batch):
    output = build(guidance="fine").eval()(batch, mode="tensor")
    assert output.coarse_logits is None and output.fine_logits.shape == (8, 70)


def test_unknown_guidance_is_refused(build):
    with pytest.raises(ValueError, match="unknown guidance 'rough'; possible: none, coarse"):
        build(guidance="rough")


def fused(gate: float, logits: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)
    guidance = GestureGuidance({"coarse": 5}, 32, gate=gate)
    fusion = TokenFusion(32, layers=2, num_heads=4)
    joints = torch.randn(1, 21, 32).expand(len(logits), -1, -1)
    with torch.no_grad():
        return fusion(joints, guidance({"coarse": logits}))


def test_a_closed_gate_lets_nothing_through():
    logits = torch.tensor([[0.0, 0, 0, 0, 0], [10.0, -10, 3, 0, 1]])
    closed = fused(0.0, logits)
    assert torch.equal(closed[0], closed[1])


def test_a_token_is_its_gate_times_mlp_and_type():
    torch.manual_seed(0)
    logits = torch.randn(3, 5)
    half = GestureGuidance({"coarse": 5}, 8, gate=0.5)
    token = half.tokens["coarse"]
    expected = 0.5 * (token.embed(logits) + token.type_embedding)
    torch.testing.assert_close(half({"coarse": logits}), expected[:, None], rtol=0, atol=0)


def test_a_gate_near_zero_whispers():
    """Guards the norm after the residual: one before the attention would undo the gate."""
    logits = torch.tensor([[0.0, 0, 0, 0, 0], [10.0, -10, 3, 0, 1]])
    whisper = (fused(1e-3, logits).diff(dim=0)).abs().max()
    spoken = (fused(1.0, logits).diff(dim=0)).abs().max()
    assert 0 < whisper < 0.02 * spoken


def test_gates_and_type_embeddings_get_gradients_from_the_pose(build, batch):
    model = build().train()
    losses = model(batch, mode="loss")
    sum(value for name, value in losses.items() if "loss" in name).backward()
    for level, token in model.network.guidance.tokens.items():
        assert token.gate.grad.abs().item() > 0, level
        assert token.type_embedding.grad.abs().max() > 0, level
        assert token.gate.item() == pytest.approx(1e-3)
