"""What the report of frozen backbones is made from: results, and what they were measured on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gesture_pretrain.evaluation.features.extract import FeatureTable
from gesture_pretrain.evaluation.features.measures import Predictions
from gesture_pretrain.report.contact_sheet import Tile


@dataclass(frozen=True)
class BackboneResult:
    """One evaluated backbone: what it gave for the evaluated samples and how that scored."""

    name: str
    table: FeatureTable
    predictions: Predictions
    scores: dict


@dataclass(frozen=True)
class ReportContext:
    """What the numbers were measured on and how; all plain text but the tiles and curves.

    Attributes:
        data_title: the data in a few words, used in the title of every figure; says "synthetic"
            where the data are.
        synthetic: whether the data are rendered.
        images: "synthetic images", "photographs", or "images" where the index does not say.
        circular: whether the backbone was trained with the labels it is compared to here.
        class_names: {"coarse": names, "fine": names}.
        protocol: sentences on how the numbers were made.
        left_out: what was not measured and why.
        facts: name -> text: data, taxonomy, versions, commit.
        commands: what to type to get this page again.
        tiles: contact sheet.
        curves: see `figures.curve_picture`; empty without a training run.
        trained_on: the data of the pretraining run, which may be others than those evaluated.
        tsne_points: how many samples t-SNE pictures show.
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
    tiles: Sequence[Tile] = ()
    curves: Mapping = field(default_factory=dict)
    trained_on: str = "data not recorded"
    tsne_points: int = 1000
    seed: int = 0
