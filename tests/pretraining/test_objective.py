"""The objective against values worked by hand."""

import math

import pytest
import torch

from gesture_pretrain.pretraining.objective import (
    FineWeightRamp,
    labelled_cross_entropy,
    top1_accuracy,
)


def test_ramp_by_hand():
    ramp = FineWeightRamp()  # 0.1, +0.1 every 10 epochs, up to 1
    values = {0: 0.1, 9: 0.1, 10: 0.2, 19: 0.2, 25: 0.3, 89: 0.9, 90: 1.0, 500: 1.0}
    for epoch, value in values.items():
        assert ramp.value(epoch) == pytest.approx(value, abs=1e-12)
    other = FineWeightRamp(start=0.0, step=0.25, every_epochs=2, maximum=0.6)
    assert [other.value(e) for e in range(7)] == [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.6]


@pytest.mark.parametrize(
    "wrong", [{"every_epochs": 0}, {"step": -0.1}, {"start": 2.0}, {"start": -1.0}]
)
def test_no_ramp(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FineWeightRamp(**wrong)


def test_negative_epoch():
    with pytest.raises(ValueError, match="count from 0, got -1"):
        FineWeightRamp().value(-1)


# Logits (0, ln 3): the softmax is (1/4, 3/4)
LOGITS = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64)


def test_cross_entropy_by_hand_with_gradient():
    logits = LOGITS.clone().requires_grad_()
    loss = labelled_cross_entropy(logits, torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4), abs=1e-15)
    # softmax minus one-hot
    assert torch.allclose(logits.grad, torch.tensor([[-0.75, 0.75]], dtype=torch.float64))


def test_label_smoothing_by_hand():
    """s = 0.2 over 2 classes: target (0.9, 0.1), loss -0.9 ln(1/4) - 0.1 ln(3/4)."""
    loss = labelled_cross_entropy(LOGITS, torch.tensor([0]), label_smoothing=0.2)
    assert loss.item() == pytest.approx(0.9 * math.log(4) + 0.1 * math.log(4 / 3), abs=1e-14)


def test_unlabelled_samples_change_nothing():
    """The mean is over labelled samples, and the others get a gradient of exactly 0."""
    logits = torch.randn(4, 2, dtype=torch.float64)
    logits[1] = LOGITS[0]
    logits.requires_grad_()
    loss = labelled_cross_entropy(logits, torch.tensor([-1, 0, -1, -1]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4), abs=1e-15)
    assert (logits.grad[[0, 2, 3]] == 0).all() and (logits.grad[1] != 0).all()


def test_nothing_labelled_is_exactly_zero_with_a_graph():
    logits = torch.randn(3, 5, requires_grad=True)
    loss = labelled_cross_entropy(logits, torch.full((3,), -1))
    loss.backward()
    assert loss.item() == 0.0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradient_against_finite_differences(smoothing):
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, -1, 2, 1])
    assert torch.autograd.gradcheck(
        lambda x: labelled_cross_entropy(x, labels, label_smoothing=smoothing), (logits,)
    )


def test_half_precision_logits_are_raised():
    assert labelled_cross_entropy(LOGITS.bfloat16(), torch.tensor([0])).dtype == torch.float32


def test_nan_logits_of_a_labelled_sample_give_nan():
    logits = torch.tensor([[float("nan"), 0.0], [0.0, 0.0]])
    assert labelled_cross_entropy(logits, torch.tensor([0, 1])).isnan()


@pytest.mark.parametrize("label", [2, -2])
def test_label_out_of_range_is_named(label):
    with pytest.raises(ValueError, match=rf"labels \[{label}\] are outside \[0, 2\)"):
        labelled_cross_entropy(LOGITS, torch.tensor([label]))


def test_mean_over_ranks_is_the_mean_of_the_whole_batch(monkeypatch):
    """Labels spread 3 : 1 over two ranks: averaging two local means would weigh them 1 : 1."""
    logits = torch.randn(6, 3, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, -1, 1, -1])
    whole = labelled_cross_entropy(logits, labels)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda count: count.fill_(4.0))
    ranks = [labelled_cross_entropy(logits[i : i + 3], labels[i : i + 3]) for i in (0, 3)]
    assert sum(ranks).item() / 2 == pytest.approx(whole.item(), rel=1e-14)


def test_accuracy_counts_labelled_samples_only():
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert top1_accuracy(logits, torch.tensor([0, 1, -1, -1])).item() == 0.5
    assert top1_accuracy(logits, torch.full((4,), -1)) is None
