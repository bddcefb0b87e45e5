"""Masked distillation of F_lo: hidden cells, distance, and what is trained."""

import pytest
import torch

from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.pretraining.beyond_paper.dense import (
    MaskedDistillation,
    cell_distance,
    features_at,
    hidden_cells,
    mixed,
    visible,
)


@pytest.fixture
def networks():
    student, teacher = (build_backbone("hrnet_w16_tiny", size_px=64, seed=k) for k in (0, 1))
    return student.train(), teacher.eval().requires_grad_(False)


def distill(module, networks, images=3, epoch=0):
    image = torch.randn(images, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    return module(*networks, image, torch.arange(images), epoch=epoch)


def dense(**options):
    torch.manual_seed(0)
    return MaskedDistillation(64, hidden=16, **options)


def test_hash_equals_the_published_one():
    """Values of lowbias32 computed with unsigned 32-bit arithmetic."""

    def lowbias32(x):
        x = (x ^ (x >> 16)) * 0x7FEB352D % 2**32
        x = (x ^ (x >> 15)) * 0x846CA68B % 2**32
        return x ^ (x >> 16)

    numbers = [0, 1, 77, 2**31, 2**32 - 1]
    assert mixed(torch.tensor(numbers)).tolist() == [lowbias32(number) for number in numbers]


def test_hidden_cells_depend_on_row_and_epoch_only():
    whole = hidden_cells(torch.arange(10), 4, 16, 0.4)
    assert whole.shape == (10, 6)
    assert all(len(set(cells)) == 6 for cells in whole.tolist())
    assert torch.equal(whole[3:5], hidden_cells(torch.tensor([3, 4]), 4, 16, 0.4))
    assert not torch.equal(whole, hidden_cells(torch.arange(10), 5, 16, 0.4))
    frequency = torch.bincount(hidden_cells(torch.arange(2000), 0, 16, 0.4).flatten())
    assert (frequency - 750).abs().max() < 5 * (2000 * 0.375 * 0.625) ** 0.5  # five standard errors


def test_hidden_cells_are_blank_in_the_image():
    level, image = torch.zeros(1, 5, 4, 4), torch.ones(1, 3, 64, 64)
    mask = visible(torch.tensor([[1, 7]]), level, image)
    assert mask.shape == (1, 1, 64, 64) and mask.sum() == 64 * 64 - 2 * 256
    assert not mask[0, 0, :16, 16:32].any() and not mask[0, 0, 16:32, 48:].any()


def test_features_at_cells():
    level = torch.arange(2 * 3 * 4.0).reshape(2, 3, 2, 2)
    assert features_at(level, torch.tensor([[3], [0]]))[:, 0].tolist() == [[3, 7, 11], [12, 16, 20]]


def test_distance_by_hand():
    """The target (0, 2) is normalised to (-1, 1), the prediction (0, 5) is at 45 degrees."""
    loss = cell_distance(torch.tensor([[0.0, 5.0]]), torch.tensor([[0.0, 2.0]]))
    assert loss.item() == pytest.approx(1 - 0.5**0.5, abs=1e-4)


def test_distance_passes_gradcheck():
    predicted = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.randn(3, 4)
    assert torch.autograd.gradcheck(
        lambda p: cell_distance(p, target), predicted, atol=1e-3, eps=1e-3
    )


def test_trains_student_and_predictor_and_not_the_teacher(networks):
    module = dense()
    distill(module, networks).backward()
    student, teacher = networks
    assert all(p.grad.abs().sum() > 0 for p in module.parameters())
    assert sum(p.grad is not None for p in student.parameters()) > 0
    assert all(p.grad is None for p in teacher.parameters())


def test_learns_to_predict_a_fixed_teacher(networks):
    module = dense()
    optimizer = torch.optim.AdamW([*module.parameters(), *networks[0].parameters()], lr=3e-3)
    losses = []
    for _ in range(15):
        losses.append(distill(module, networks))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0]


def test_running_statistics_are_not_those_of_masked_images(networks):
    before = {name: value.clone() for name, value in networks[0].named_buffers()}
    distill(dense(), networks)
    after = dict(networks[0].named_buffers())
    assert all(torch.equal(after[n], before[n]) for n in before if "running" in n)
    assert all(m.momentum == 0.1 for m in networks[0].modules() if hasattr(m, "momentum"))


def test_bfloat16_loss_is_computed_in_float32(networks):
    module = dense()
    exact = distill(module, networks)
    with torch.autocast("cpu", torch.bfloat16):
        loss = distill(module, networks)
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(exact.item(), rel=0.03)


@pytest.mark.parametrize("masked", [0.0, 1.0])
def test_all_or_no_cells_hidden_is_refused(masked):
    with pytest.raises(ValueError, match="masked"):
        MaskedDistillation(8, masked=masked)
