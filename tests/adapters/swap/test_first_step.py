"""A swapped backbone must train, unless it is frozen on purpose; everything else is an error."""

import copy
import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from toy_target import TOY

from adapters.swap.first_step import FirstStepCheck
from adapters.swap.swap import build_swapped
from adapters.targets import SwapError
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.training.stopped import NonFiniteLoss


class Driver:
    """The part of mmengine's runner that a hook sees, over two random images."""

    def __init__(self, model, *, lr=1e-3, parameters=None):
        self.model, self.iter = model, 0
        self.train_loop = SimpleNamespace(settle=lambda: None)
        parameters = list(model.parameters()) if parameters is None else parameters
        self.optim_wrapper = OptimWrapper(torch.optim.AdamW(parameters, lr=lr))
        self.image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def train(self, hook, steps=1):
        hook.before_train(self)
        for _ in range(steps):
            loss = self.model.train()(self.image)["toy_loss"]
            self.optim_wrapper.update_params(loss)
            hook.after_train_iter(self, self.iter)
            self.iter += 1
        hook.after_train(self)


def swapped(backbone, **options):
    return build_swapped(TOY, backbone, backbone_name="x.y", seed=0, hand_models={}, **options)


def test_a_backbone_that_trains_passes_and_is_recorded(backbone, tmp_path):
    model, ledger = swapped(backbone)
    hook = FirstStepCheck(ledger, out=tmp_path)
    Driver(model).train(hook)
    stored = json.loads((tmp_path / "ledger.json").read_text())
    count = len(list(backbone.net.parameters()))
    assert stored["first_step"]["backbone_parameters"] == count
    assert stored["first_step"]["with_gradient"] == count
    assert stored["fingerprints"]["after_first_step"] not in (None, ledger.after_swap)
    assert "after the first step" in hook.ledger.table()


def test_a_first_step_that_was_not_taken_is_told_as_such(backbone):
    """A skipped non-finite step was reported as a backbone that the step did not change."""

    def settle():
        raise NonFiniteLoss("the loss is not finite")

    model, ledger = swapped(backbone)
    driver = Driver(model, lr=0.0)
    driver.train_loop = SimpleNamespace(settle=settle)
    with pytest.raises(NonFiniteLoss):
        driver.train(FirstStepCheck(ledger))


def freeze_one(model):
    model.backbone.net.conv1.requires_grad_(False)


def detach(model):
    feature = model.feature
    model.feature = lambda image: feature(image).detach()


def read_another_level(model):
    levels = model.backbone
    model.feature = lambda image: levels(image).levels["stride32"].mean((2, 3)).repeat(1, 4)


@torch.no_grad()
def make_infinite(model):
    model.head.weight[0, 0] = float("inf")


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (freeze_one, r"1 of \d+ .* frozen .*conv1\.weight.*frozen_backbone"),
        (detach, "got no gradient"),
        (read_another_level, "33 of 159 .* got no gradient"),
        (make_infinite, "not finite"),
    ],
)
def test_a_backbone_that_would_not_train_is_refused(backbone, fault, problem):
    model, ledger = swapped(backbone)
    fault(model)
    with pytest.raises(SwapError, match=problem):
        Driver(model).train(FirstStepCheck(ledger))


def test_a_backbone_outside_the_optimiser_is_refused(backbone):
    model, ledger = swapped(backbone)
    driver = Driver(model, parameters=list(model.head.parameters()))
    with pytest.raises(SwapError, match="not in the optimiser: conv1.weight"):
        driver.train(FirstStepCheck(ledger))


def test_a_learning_rate_of_zero_is_refused(backbone):
    model, ledger = swapped(backbone)
    with pytest.raises(SwapError, match="changed no parameter"):
        Driver(model, lr=0.0).train(FirstStepCheck(ledger))


def test_a_gradient_that_stays_zero_is_refused(backbone):
    model, ledger = swapped(backbone)
    plain = model.feature
    model.feature = lambda image: 0.0 * plain(image)
    with pytest.raises(SwapError, match="exactly zero in each of the first 3 steps"):
        Driver(model).train(FirstStepCheck(ledger, patience_steps=3), steps=3)


def test_a_residual_branch_that_starts_at_zero_is_given_time():
    backbone = build_backbone("resnet18", size_px=64)  # timm: last batch norm of a block is zero
    model, ledger = swapped(backbone)
    hook = FirstStepCheck(ledger)
    Driver(model).train(hook, steps=3)
    first = hook.ledger.first_step
    assert first["with_gradient_other_than_zero"] < first["with_gradient"]


def test_a_backbone_frozen_on_purpose_does_not_change(backbone):
    model, ledger = swapped(backbone, frozen_backbone=True)
    hook = FirstStepCheck(ledger)
    Driver(model, parameters=list(model.head.parameters())).train(hook)
    assert hook.ledger.first_step["parameters_before"] == hook.ledger.first_step["parameters_after"]
    assert "declared: the backbone is frozen" in ledger.table()


@pytest.mark.parametrize("level, message", [("stride8", "declared frozen"), (False, "not in the")])
def test_layers_frozen_up_to_a_level_are_checked_apart_from_the_others(level, message):
    backbone = build_backbone("resnet18", size_px=64)
    model, ledger = swapped(backbone, frozen_backbone="stride8")
    trained = [p for p in model.parameters() if p.requires_grad]
    hook = FirstStepCheck(ledger)
    Driver(model, parameters=trained).train(hook)
    assert "frozen up to stride8" in ledger.table()
    assert hook.ledger.first_step["frozen_parameters"] > 0
    wrong = model.parameters() if level else trained[1:]
    with pytest.raises(SwapError, match=message):
        Driver(model, parameters=list(wrong)).train(FirstStepCheck(ledger))


def test_a_backbone_declared_frozen_may_not_be_in_the_optimiser(backbone):
    model, ledger = swapped(backbone, frozen_backbone=True)
    with pytest.raises(SwapError, match="declared frozen"):
        Driver(model).train(FirstStepCheck(ledger))


def test_a_resumed_run_is_not_at_its_first_step(backbone, tmp_path):
    model, ledger = swapped(backbone)
    driver = Driver(model, lr=0.0)
    driver.iter = 7
    driver.train(FirstStepCheck(ledger, out=tmp_path))
    assert not (tmp_path / "ledger.json").exists()


@pytest.mark.parametrize("fused", [False, True])
def test_overflows_of_a_loss_scaler_are_waited_for(backbone, fused):
    """A fused optimiser is called after an overflow too, and skips the step itself."""
    model, ledger = swapped(backbone)
    hook, driver = FirstStepCheck(ledger), Driver(model)
    driver.optim_wrapper.loss_scaler = SimpleNamespace()
    hook.before_train(driver)
    kept = copy.deepcopy(model.head.state_dict())
    make_infinite(model)
    model(driver.image)["toy_loss"].backward()
    if fused:
        for look in driver.optim_wrapper.optimizer._optimizer_step_pre_hooks.values():
            look(driver.optim_wrapper.optimizer, (), {})
    hook.after_train_iter(driver, 0)
    assert hook.ledger.first_step is None
    model.head.load_state_dict(kept)
    model.zero_grad()
    driver.optim_wrapper.update_params(model(driver.image)["toy_loss"])
    hook.after_train_iter(driver, 1)
    assert hook.ledger.first_step is not None
