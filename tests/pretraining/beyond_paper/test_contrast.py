"""Hierarchical contrast against a loop over pairs, by hand, and its refusals."""

import math

import pytest
import torch
from torch.nn import functional as F

from gesture_pretrain.pretraining.beyond_paper.contrast import (
    HierarchicalContrast,
    hierarchical_contrast,
)

TEMPERATURE = 0.5
MOMENT = [0, 0, 1, 1, 2, 3, 4]
FINE = [0, 0, 0, 1, 1, -1, 2]
COARSE = [0, 0, 0, 0, 0, -1, 1]
LABELS = {"moment": MOMENT, "fine": FINE, "coarse": COARSE}


def unit_rows(count=7, channels=5, dtype=torch.float64):
    values = torch.randn(count, channels, dtype=dtype, generator=torch.Generator().manual_seed(1))
    return F.normalize(values, dim=1).requires_grad_()


def tensors(labels=LABELS):
    return {name: torch.tensor(values) for name, values in labels.items()}


def loop_loss(embedded, labels):
    """The definition, pair by pair: mean over anchors, then over the positives of each."""
    scores, losses = embedded @ embedded.T / TEMPERATURE, []
    for i, own in enumerate(labels):
        compared = [k for k, other in enumerate(labels) if k != i and other != -1]
        positives = [k for k in compared if labels[k] == own]
        if positives:
            spread = torch.log(sum(scores[i, k].exp() for k in compared))
            losses.append(sum(spread - scores[i, p] for p in positives) / len(positives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("anchors_at_once", [1, 3, 100])
def test_each_level_equals_the_loop_over_pairs(anchors_at_once):
    embedded = unit_rows()
    options = {"temperature": TEMPERATURE, "ordered": False, "anchors_at_once": anchors_at_once}
    losses = hierarchical_contrast(embedded, tensors(), **options)
    for name, labels in LABELS.items():
        expected = loop_loss(embedded, labels)
        assert losses[name].item() == pytest.approx(expected.item(), abs=1e-12)
        got, want = (
            torch.autograd.grad(x, embedded, retain_graph=True)[0] for x in (losses[name], expected)
        )
        assert torch.allclose(got, want, atol=1e-12) and want.abs().max() > 0.01


def test_three_samples_by_hand():
    """Samples 0 and 1 are at right angles and positive, sample 2 is opposite to sample 0."""
    embedded = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    loss = hierarchical_contrast(embedded, tensors({"fine": [5, 5, 6]}), temperature=1.0)["fine"]
    first = math.log(math.exp(0) + math.exp(-1)) - 0
    second = math.log(math.exp(0) + math.exp(0)) - 0
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-6)


def test_gradient_passes_gradcheck():
    embedded = unit_rows(5, 3)
    labels = tensors({name: values[:5] for name, values in LABELS.items()})

    def total(rows):
        return sum(hierarchical_contrast(F.normalize(rows, dim=1), labels).values())

    assert torch.autograd.gradcheck(total, embedded)


def test_coarser_level_is_not_below_the_finer_one():
    embedded = unit_rows()
    free = hierarchical_contrast(embedded, tensors(), ordered=False)
    bound = hierarchical_contrast(embedded, tensors(), ordered=True)
    values = [free[name].item() for name in LABELS]
    running = [max(values[: k + 1]) for k in range(3)]
    assert [bound[name].item() for name in LABELS] == running
    assert running != values  # the bound is active on these numbers


def test_level_without_pairs_is_zero_with_a_gradient():
    embedded = unit_rows()
    labels = tensors({"moment": MOMENT, "fine": list(range(7)), "coarse": [-1] * 7})
    losses = hierarchical_contrast(embedded, labels)
    assert losses["moment"] > 0
    for name in ("fine", "coarse"):
        gradient = torch.autograd.grad(losses[name], embedded, retain_graph=True)[0]
        assert losses[name].item() == 0 and not gradient.any()


def test_unlabelled_samples_change_no_labelled_level():
    embedded = unit_rows()
    with_rest = hierarchical_contrast(embedded, tensors({"coarse": COARSE}))["coarse"]
    labelled = [k for k, value in enumerate(COARSE) if value != -1]
    alone = hierarchical_contrast(
        embedded[labelled], tensors({"coarse": [COARSE[k] for k in labelled]})
    )["coarse"]
    assert with_rest.item() == pytest.approx(alone.item(), abs=1e-12)


def test_module_weights_the_levels_and_leaves_out_those_of_weight_0():
    torch.manual_seed(0)
    module = HierarchicalContrast(6, weight=0.5, moment=3.0, fine=0.0, coarse=1.0, hidden=8)
    pooled = torch.randn(7, 6)
    embedded = F.normalize(module.projection(pooled), dim=1)
    losses = hierarchical_contrast(embedded, tensors({"moment": MOMENT, "coarse": COARSE}))
    expected = 0.5 * (3 * losses["moment"] + losses["coarse"]) / 4
    assert module(pooled, tensors()).item() == pytest.approx(expected.item(), abs=1e-6)


def test_bfloat16_loss_is_computed_in_float32():
    torch.manual_seed(0)
    module = HierarchicalContrast(6, hidden=8)
    pooled = torch.randn(7, 6)
    exact = module(pooled, tensors())
    with torch.autocast("cpu", torch.bfloat16):
        loss = module(pooled, tensors())
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.02)
    assert all(p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0.0}, {"fine": -1.0}, {"moment": 0.0, "fine": 0.0, "coarse": 0.0}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="temperature"):
        HierarchicalContrast(4, **wrong)
