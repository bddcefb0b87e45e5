"""F_lo moves with the crop: places, directions, and the loss on made cells."""

import math

import pytest
import torch

from gesture_pretrain.data.samples.hand_crops import CropPlan
from gesture_pretrain.pretraining.beyond_paper.equivariance import (
    CropEquivariance,
    equivariance_loss,
    moved_cells,
    turned,
)
from gesture_pretrain.pretraining.beyond_paper.section import BeyondPaperSection

SIZE_PX = 64
UNMOVED = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
QUARTER = torch.tensor([[0.0, -1, SIZE_PX], [1, 0, 0]])  # x' = 64 - y, y' = x
MIRROR = torch.tensor([[-1.0, 0, SIZE_PX], [0, 1, 0]])
SHIFT = torch.tensor([[1.0, 0, 16], [0, 1, 0]])  # one of four cells to the right


def random_cells(count=2, channels=8):
    return torch.randn(count, channels, 4, 4, generator=torch.Generator().manual_seed(2))


def loss_of(first, second, map_, temperature=0.1):
    maps = map_.expand(len(first), 2, 3)
    return equivariance_loss(first, second, maps, size_px=SIZE_PX, temperature=temperature)


def as_seen_after(first, map_):
    """The map of a network that is exactly equivariant, for a map of whole cells."""
    second = torch.zeros_like(first)
    places = moved_cells(map_[None], 4, 4, SIZE_PX)[0]
    vectors = turned(first.flatten(2).mT, map_.expand(len(first), 2, 3))
    for cell, (x, y) in enumerate((places / 16 - 0.5).round().long().tolist()):
        if 0 <= x < 4 and 0 <= y < 4:
            second[:, :, y, x] = vectors[:, cell]
    return second


def test_cells_of_the_convention_of_stage_2():
    centres = moved_cells(UNMOVED[None], 4, 4, SIZE_PX)[0]
    assert centres[0].tolist() == [8, 8] and centres[1].tolist() == [24, 8]
    assert centres[15].tolist() == [56, 56]
    assert moved_cells(QUARTER[None], 4, 4, SIZE_PX)[0, 0].tolist() == [56, 8]


def test_vectors_turn_and_mirror_without_the_scale():
    right = torch.tensor([[[1.0, 0.0]]])
    for map_, expected in ((QUARTER, [0, 1]), (MIRROR, [-1, 0]), (3 * QUARTER, [0, 1])):
        assert turned(right, map_[None])[0, 0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("map_", [UNMOVED, QUARTER, MIRROR, SHIFT])
def test_equivariant_features_have_a_lower_loss_than_any_other_placement(map_):
    first = random_cells()
    good = loss_of(first, as_seen_after(first, map_), map_)
    assert good < 0.05
    for wrong in (UNMOVED, QUARTER, MIRROR):
        if not torch.equal(wrong, map_):
            assert loss_of(first, as_seen_after(first, wrong), map_) > good + 1


def test_constant_features_give_the_loss_of_guessing():
    first = torch.ones(1, 8, 4, 4)
    assert loss_of(first, first, UNMOVED).item() == pytest.approx(math.log(16), abs=1e-5)
    assert loss_of(first, first, SHIFT).item() == pytest.approx(math.log(12), abs=1e-5)


def test_two_cells_by_hand():
    """One row of two cells; their vectors are at right angles, the second crop has them equal."""
    first = torch.tensor([1.0, 0.0, 0.0, 1.0]).reshape(1, 2, 1, 2)  # cells (1, 0) and (0, 1)
    second = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 2, 1, 2)  # both (1, 0)
    loss = equivariance_loss(first, second, UNMOVED[None], size_px=SIZE_PX, temperature=1.0)
    forth = math.log(2)  # both cells of the second crop are alike
    back = [math.log(math.e + 1) - 1, math.log(math.e + 1) - 0]
    assert loss.item() == pytest.approx(
        ((forth + back[0]) / 2 + (forth + back[1]) / 2) / 2, abs=1e-6
    )


def test_gradient_passes_gradcheck():
    first = random_cells(1, 4).double().requires_grad_()
    second = random_cells(1, 4).flip(1).double().requires_grad_()
    turn = torch.tensor([[[0.8, -0.5, 20], [0.5, 0.8, -9]]], dtype=torch.float64)

    def loss(a, b):
        return equivariance_loss(a, b, turn, size_px=SIZE_PX, temperature=0.5)

    assert torch.autograd.gradcheck(loss, (first, second))


def test_crops_without_common_cells_have_no_loss():
    away = torch.tensor([[1.0, 0, 500], [0, 1, 0]])
    first = random_cells().requires_grad_()
    loss = loss_of(first, random_cells(), away)
    loss.backward()
    assert loss.item() == 0 and torch.equal(first.grad, torch.zeros_like(first))


def test_bfloat16_loss_is_computed_in_float32():
    torch.manual_seed(0)
    module = CropEquivariance(8, hidden=16)
    arguments = (random_cells(), random_cells().flip(0), SHIFT.expand(2, 2, 3), SIZE_PX)
    exact = module(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        loss = module(*arguments)
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(exact.item(), rel=0.03)
    assert all(p.grad.isfinite().all() for p in module.parameters())


def test_temperature_of_0_is_refused():
    with pytest.raises(ValueError, match="temperature"):
        BeyondPaperSection(crops=CropPlan(), equivariance={"temperature": 0.0})
