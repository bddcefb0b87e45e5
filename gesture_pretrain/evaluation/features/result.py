"""Results of an evaluation of frozen backbones, and what they were measured on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.evaluation.features.extract import FeatureTable
from gesture_pretrain.evaluation.features.measures import Predictions


@dataclass(frozen=True)
class BackboneResult:
    """One evaluated backbone: its predictions for the evaluated samples and their scores."""

    name: str
    table: FeatureTable
    predictions: Predictions
    scores: dict


@dataclass(frozen=True)
class EvaluationContext:
    """What the numbers were measured on, and how.

    Attributes:
        data_title: The data in a few words, for titles of figures; says "synthetic" if they are.
        synthetic: Whether the data are rendered.
        images: "synthetic images", "photographs", or "images" if the index does not say.
        circular: Whether the backbone was trained with the labels it is compared to here.
        class_names: {"coarse": names, "fine": names}.
        protocol: Sentences on how the numbers were computed.
        left_out: What was not measured and why.
        facts: Name to text: data, taxonomy, versions, commit.
        commands: Command lines that produce this evaluation again.
        trained_on: The data of the pretraining run, which may differ from the evaluated data.
        seed: Random seed of the samples and of t-SNE.
    """

    data_title: str
    synthetic: bool
    images: str
    circular: bool
    class_names: dict[str, Sequence[str]]
    protocol: Sequence[str]
    left_out: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    trained_on: str = "data not recorded"
    seed: int = 0


@dataclass(frozen=True)
class FeatureEvaluation:
    """Result of `evaluate_features`.

    Attributes:
        out: Folder with features, predictions and `metrics.json`.
        results: The evaluated backbone first, then its baselines.
        context: What the numbers were measured on.
        images: The evaluated images.
    """

    out: Path
    results: Sequence[BackboneResult]
    context: EvaluationContext
    images: GestureDataset

    @property
    def scores(self) -> dict[str, dict]:
        """Return the scores by backbone, such as `scores[name]["knn_coarse"]["top1"]`."""
        return {result.name: result.scores for result in self.results}
