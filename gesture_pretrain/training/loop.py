"""The training and the validation loop.

Batch k of a run depends only on (seed, k), which keys the sampler, the augmentation and the random
numbers of the network (dropout). A run resumed at iteration k therefore needs no random state, and
is bit-identical to an uninterrupted run.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.accumulation import accumulated_step, check_parts
from gesture_pretrain.training.optimizer import Verdict
from gesture_pretrain.training.placement import (
    evaluated_model,
    same_buffers_everywhere,
    unwrapped,
)
from gesture_pretrain.training.stopped import NonFiniteLoss, told_to_end


class BatchEvaluator(Protocol):
    """Scores predictions batch by batch, over all processes."""

    def add(self, predictions: Any, batch: Any) -> None:
        """Add a batch and its predictions."""

    def compute(self) -> dict[str, float]:
        """Return the scores by name, and reset."""


@dataclass(frozen=True)
class DoneStep:
    """A completed step whose verdict may not have been read yet."""

    iteration: int
    epoch: int
    batch: Any
    outputs: dict[str, torch.Tensor]
    verdict: Verdict


class TrainingLoop:
    """Trains by iterations; calls mmengine's hook points and an additional one, `after_step`.

    `after_step` is called after validation, when the iteration has been counted, so a checkpoint
    written there includes everything that belongs to the iteration.

    With a deferred optimiser wrapper, the loop never waits for the device: whether a step was
    broken is read one step later (a broken step is not taken), or in `settle`.

    Args:
        runner: See `TrainingRunner`.
        batches: Batches of samples with a `row`. Their batch sampler has a `start_iteration`.
        max_iters: Iterations of the whole run.
        iterations_per_epoch: Length of an epoch.
        validate_every: Iterations between validations. The last iteration is always validated.
        seed: Random seed of the network.
        accumulate: Number of parts into which each process splits its part of a batch.

    Attributes:
        waited_s: Total time spent waiting for data, s.
    """

    def __init__(
        self,
        runner,
        batches: DataLoader,
        *,
        max_iters: int,
        iterations_per_epoch: int,
        validate_every: int,
        seed: int,
        accumulate: int = 1,
    ):
        self.runner, self.dataloader = runner, batches
        self.max_iters = max_iters
        self.iterations_per_epoch = iterations_per_epoch
        self.validate_every = validate_every
        self.seed = seed
        self.accumulate = accumulate
        self.iter = 0
        self.waited_s = 0.0
        self._unread: DoneStep | None = None

    @property
    def epoch(self) -> int:
        """Epoch of the next iteration, from 0."""
        return self.iter // self.iterations_per_epoch

    @property
    def max_epochs(self) -> int:
        """Number of epochs of the run, including an incomplete last one."""
        return -(-self.max_iters // self.iterations_per_epoch)

    def run(self) -> nn.Module:
        """Train from the current iteration to the last one.

        Raises:
            TrainingStopped: The run ended early and can be resumed.
        """
        with told_to_end(self.runner):
            self._run()
        return self.runner.model

    def _run(self) -> None:
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        batches = self._batches() if self.iter < self.max_iters else iter(())
        while self.iter < self.max_iters:
            asked = time.perf_counter()
            batch = next(batches)
            self.waited_s += time.perf_counter() - asked
            self.run_iter(batch)
            if self._validation_is_due():
                self.settle()
                self.runner.val_loop.run()
            self.runner.call_hook("after_step")
        self.settle()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")

    def run_iter(self, batch) -> None:
        """Train on one batch: forward, backward, step.

        Raises:
            NonFiniteLoss: A loss or the gradient norm is not finite.
        """
        self.runner.model.train()
        unwrapped(self.runner.model).set_epoch(self.epoch)
        self.runner.call_hook("before_train_iter", batch_idx=self.iter, data_batch=batch)
        seed_all(self.seed, self.iter, rank_and_world_size()[0])
        outputs = self._step(batch)
        clipped = getattr(self.runner.optim_wrapper, "clipped", None)
        if clipped is not None:
            outputs = {**outputs, "clipped_fraction": clipped}
        self._check(DoneStep(self.iter, self.epoch, batch, outputs, self._verdict()))
        self.runner.call_hook(
            "after_train_iter", batch_idx=self.iter, data_batch=batch, outputs=outputs
        )
        self.iter += 1

    def settle(self) -> None:
        """Read the verdict on the last step if necessary, which waits for the device.

        Raises:
            NonFiniteLoss: The step was not taken.
        """
        done, self._unread = self._unread, None
        if done is not None:
            self._stop_if_broken(done)

    def _step(self, batch) -> dict[str, torch.Tensor]:
        model, wrapper = self.runner.model, self.runner.optim_wrapper
        if self.accumulate == 1:
            return model.train_step(batch, optim_wrapper=wrapper)
        check_parts(self.accumulate, len(batch.row), wrapper)
        return accumulated_step(model, batch, parts=self.accumulate, optim_wrapper=wrapper)

    def _verdict(self) -> Verdict:
        return getattr(self.runner.optim_wrapper, "verdict", Verdict(None))

    def _check(self, done: DoneStep) -> None:
        """Check the verdict now, or during the next step if it is deferred."""
        self.settle()
        if getattr(self.runner.optim_wrapper, "deferred", False):
            self._unread = done
        else:
            self._stop_if_broken(done)

    def _batches(self) -> Iterator:
        self.dataloader.batch_sampler.start_iteration = self.iter
        return iter(self.dataloader)

    def _validation_is_due(self) -> bool:
        if self.runner.val_loop is None:
            return False
        return self.iter % self.validate_every == 0 or self.iter == self.max_iters

    def _stop_if_broken(self, done: DoneStep) -> None:
        broken = done.verdict.read()
        if broken is None:
            return
        terms = [
            f"{name} = {value.item()}"
            for name, value in done.outputs.items()
            if name != "loss" and "loss" in name and not torch.isfinite(value).all()
        ]
        if broken == "gradient":
            what = "The gradient norm is not finite, although the loss is"
        elif terms:
            what = f"The loss is not finite: {', '.join(terms)}"
        else:
            what = "The loss is not finite on another process"
        raise NonFiniteLoss(
            f"{what}, at iteration {done.iteration} (epoch {done.epoch}), in the batch of index "
            f"rows {done.batch.row.tolist()}. No step was taken. Inspect these images, lower "
            "optimizer.lr or set training.precision=fp32, and resume from the last checkpoint."
        )


class ValidationLoop:
    """Evaluates the averaged weights if the run has them, else the trained ones.

    Args:
        runner: See `TrainingRunner`.
        batches: Validation samples of this process, each once.
        evaluator: Scores the predictions.
    """

    def __init__(self, runner, batches: DataLoader, evaluator: BatchEvaluator):
        self.runner, self.dataloader, self.evaluator = runner, batches, evaluator

    @torch.no_grad()
    def run(self) -> dict[str, float]:
        """Return the scores over all processes, by name."""
        self.runner.call_hook("before_val")
        self.runner.call_hook("before_val_epoch")
        model = evaluated_model(self.runner).eval()
        same_buffers_everywhere(model)
        for index, batch in enumerate(self.dataloader):
            with self.runner.optim_wrapper.optim_context(model):
                predictions = model.val_step(batch)
            self.evaluator.add(predictions, batch)
            self.runner.call_hook(
                "after_val_iter", batch_idx=index, data_batch=batch, outputs=predictions
            )
        metrics = self.evaluator.compute()
        self.runner.call_hook("after_val_epoch", metrics=metrics)
        self.runner.call_hook("after_val")
        return metrics


def seed_all(seed: int, iteration: int, rank: int) -> None:
    """Seed torch (all devices), NumPy and Python from (seed, iteration, rank)."""
    word = int(np.random.SeedSequence([seed, iteration, rank]).generate_state(1)[0])
    torch.manual_seed(word)
    np.random.seed(word)
    random.seed(word)
