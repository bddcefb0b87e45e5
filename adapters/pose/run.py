"""Run of a pose network: training, storing and prediction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.utils.data import Dataset

from adapters.pose.data import PoseData
from adapters.pose.hand_models import HandModelSource
from adapters.pose.validation import learning_notice
from adapters.swap.first_step import FirstStepCheck
from adapters.swap.ledger import SwapLedger
from adapters.targets import PoseTarget
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.placement import evaluated_model
from gesture_pretrain.training.runner import TrainingRunner
from gesture_pretrain.weights.record import TaxonomyRecord


@dataclass(frozen=True)
class PoseRun:
    """A run that is ready to train, with everything needed to store and use the network.

    Attributes:
        runner: `runner.train()` trains; `runner.last_metrics` are the last validation's scores.
        target: The target.
        network: The backbone of the target, possibly with heads.
        head_classes: Classes that these heads were trained on, or None.
        options: Options of `target.build_model`, with presets resolved.
        size_px: Side of the crops.
        hand_source: Which hand model.
        hand_models: "right" and "left", on the CPU.
        data: Loaders, index and taxonomy.
        first_step: Check with the `ledger` of every tensor.
        seed: Random seed of the run.
    """

    runner: TrainingRunner
    target: PoseTarget
    network: Backbone | GestureNetwork
    head_classes: TaxonomyRecord | None
    options: Mapping[str, Any]
    size_px: int
    hand_source: HandModelSource
    hand_models: Mapping[str, HandModel]
    data: PoseData
    first_step: FirstStepCheck
    seed: int

    @property
    def model(self) -> nn.Module:
        """Return the model to validate and store, with averaged weights if there are any."""
        return evaluated_model(self.runner)

    @property
    def ledger(self) -> SwapLedger:
        """Return the ledger of the swap, which the first step completes."""
        return self.first_step.ledger

    def dataset(
        self,
        rows: Sequence[int],
        *,
        index: HandIndex | None = None,
        box_source: str | None = None,
    ) -> Dataset:
        """Build the dataset of some rows, without augmentation, for prediction.

        Args:
            rows: Rows of `index`, each of one hand; the target may omit some.
            index: The data; None for that of the training.
            box_source: "rootnet" for RootNet's detected boxes; None for those of the training.

        Raises:
            ValueError: The target or the index lacks these boxes.
        """
        return self.target.dataset_for(**self.options)(
            self.data.index if index is None else index,
            rows,
            self.data.taxonomy,
            self.size_px,
            hand_models=self.hand_models,
            augmentation=None,
            seed=self.seed,
            announce=None,
            **({} if box_source is None else {"box_source": box_source}),
        )

    def train(self) -> nn.Module:
        """Train to the end and return `model`; warn if it did not learn."""
        self.runner.train()
        if rank_and_world_size()[0] == 0 and (notice := learning_notice(self.runner.last_metrics)):
            print(notice)
        return self.model
