"""A plan: which initial weights are compared, in which pose networks, with how many labels.

`file.py` reads one from a file and has it checked (`checks.py`); then it never changes; `cells.py`
turns it into runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from adapters.pose.sections import PoseSections
from gesture_pretrain.config.sections import arguments_of
from gesture_pretrain.data.index.leakage import KINDS
from gesture_pretrain.data.index.record import HANDS, SPLITS
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.pretraining.sections import PretrainingSections
from gesture_pretrain.schema import STRICT, PositiveFraction

AS_MANY_IMAGES_AS_PRETRAINING = "pretraining"
RANDOM = "random"
STAGES = ("pretraining", "finetuning")


def _require_distinct(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError(f"{list(values)} has a value twice.")
    return values


# A teacher is known by its name only, which is not enough for the key of a cell
_NOT_IN_PLANS = ("backbone", "model", "seed", "tag", "distillation")
FINETUNING_SECTIONS = tuple(f.name for f in fields(PoseSections) if f.name not in _NOT_IN_PLANS)
FinetuningSection = Literal[FINETUNING_SECTIONS]
PretrainingSection = Literal[
    tuple(f.name for f in fields(PretrainingSections) if f.name not in _NOT_IN_PLANS)
]
_LEAKS = tuple(f"{stage}:{kind}" for stage in STAGES for kind in KINDS)
_T = TypeVar("_T")
_OneOrMore = Annotated[tuple[_T, ...], Field(min_length=1), AfterValidator(_require_distinct)]
_Some = Annotated[Mapping[str, _T], Field(min_length=1)]


class PlanError(ValueError):
    """A plan that cannot be what its author meant; the message names the place."""


@dataclass(frozen=True)
class Arm:
    """One kind of initial weights of the pose network.

    They are `init` as it is, `init` after a pretraining by the plan (`pretrain`), or stored weights
    with their gesture heads (`weights`).

    Attributes:
        init: "random", "imagenet", "timm", a weight file, or a name of the registry. With
            `pretrain` it is what the pretraining starts from, "random" by default.
        pretrain: changes to the plan's pretraining sections; {} for none.
        weights: a name of the registry or an exported folder, whoever trained it.
        finetuning: changes to the fine-tuning's `optimizer`, the only section that may differ
            between the arms of a target.
        extra: iterations of fine-tuning on top of the plan's, or "pretraining": as many images
            more as a pretraining arm has seen.
        optional: leave the arm out, with the reason, where its weights cannot be had.
        text: what it is, for the report.
    """

    init: str | None = None
    pretrain: Mapping[PretrainingSection, Mapping[str, Any]] | None = None
    weights: str | None = None
    finetuning: Mapping[Literal["optimizer"], Mapping[str, Any]] = field(default_factory=dict)
    extra: NonNegativeInt | Literal["pretraining"] = 0
    optional: bool = False
    text: str = ""

    def __post_init__(self):
        given = [k for k in ("init", "pretrain", "weights") if getattr(self, k) is not None]
        if not given or ("weights" in given and len(given) > 1):
            raise PlanError(
                f"an arm has init, pretrain or both, or weights alone; this one has {given}."
            )

    @property
    def pretrained_here(self) -> bool:
        """Whether the plan pretrains it."""
        return self.pretrain is not None

    @property
    def starts_from(self) -> str:
        """Initial weights before any pretraining by the plan."""
        return self.weights or self.init or RANDOM


@dataclass(frozen=True)
class Target:
    """One pose network with its options: a block of rows of the table.

    Attributes:
        target: name of a `PoseTarget`.
        backbone: key of the plan's `backbones`; may be left out where there is one.
        model: section `model` of `build_pose_runner`: `size`, `allow_projection`, options.
        arms: which arms it is run with; None for all.
        finetuning: changes to the plan's fine-tuning sections.
        text: what it is, for the report.
    """

    target: str
    backbone: str | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    arms: tuple[str, ...] | None = None
    finetuning: Mapping[FinetuningSection, Mapping[str, Any]] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class Comparison:
    """A difference that the plan declares before it is run.

    Attributes:
        arm, reference: arms; the difference is `arm` minus `reference`.
        target, reference_target: keys of targets; None for each target with itself.
        text: what it answers.
    """

    arm: str
    reference: str
    target: str | None = None
    reference_target: str | None = None
    text: str = ""


@dataclass(frozen=True)
class External:
    """Predictions of another system, as a file made by `PosePredictions.save`.

    Attributes:
        name: of its row.
        path: of the file.
        text: what it is, for the report.
        reference: the arm that it is compared with, in every target, with the largest share of the
            labels; None for the arm of the first declared comparison.
    """

    name: str
    path: str
    text: str = ""
    reference: str | None = None


@dataclass(frozen=True)
class Planning:
    """What is assumed before anything has run.

    Attributes:
        cluster_sd_mm: standard deviation, over clusters, of the difference of two arms.
        seed_sd_mm: the same over seeds.
        images_per_s: of training, per worker.
        pretraining_images_per_s: of Stage 1, per worker; None for `images_per_s`.
        prediction_images_per_s: of predicting the test images, per worker; None to leave it out.
        source: where these come from.
    """

    cluster_sd_mm: PositiveFloat | None = None
    seed_sd_mm: PositiveFloat | None = None
    images_per_s: PositiveFloat | None = None
    pretraining_images_per_s: PositiveFloat | None = None
    prediction_images_per_s: PositiveFloat | None = None
    source: str = "not stated"


@dataclass(frozen=True)
class Diagnostics:
    """How many images frozen features are compared on, for the report.

    Attributes:
        train_images: with joints, that the probe is fitted to.
        test_images: that it is scored on.
    """

    train_images: PositiveInt = 1000
    test_images: PositiveInt = 500


@dataclass(frozen=True)
class LearningRate:
    """Rule that chooses the learning rate of each arm in each target.

    Every candidate is trained with the first seed and the first fraction of the pose labels. The
    rate with the lowest MPJPE on validation images is used for all seeds and fractions.

    Attributes:
        candidates: Learning rates of the fine-tuning.
        split: Split that the candidates are validated on; not the split that is scored.
        images: Number of validation images, evenly spread over the split; None for all.
    """

    candidates: Annotated[_OneOrMore[PositiveFloat], Field(min_length=2)]
    split: Literal[SPLITS] = "val"
    images: PositiveInt | None = None


@dataclass(frozen=True)
class TestImages:
    """The images that all cells are scored on.

    Attributes:
        split: of the index.
        images: at most so many, evenly spread over the split; None for all.
        hands: kinds of annotation that are kept.
        index: another index; None for that of `data`.
        box_source: "rootnet" for the boxes that RootNet detected; None for those of the annotation,
            as in training.
    """

    __test__ = False  # not a test class, whatever its name looks like

    split: Literal[SPLITS] = "test"
    images: PositiveInt | None = None
    hands: _OneOrMore[Literal[HANDS]] = ("right", "left")
    index: str | None = None
    box_source: Literal["rootnet", None] = None


@dataclass(frozen=True)
class Plan:
    """An experiment as data; see `configs/experiments`.

    Attributes:
        name: of the plan; letters, digits, "_" and "-".
        question: what it is to answer, in one sentence.
        data: keys that pretraining and fine-tuning share, at least `index`.
        backbones: name -> keys of `build_backbone` other than `init` and `seed`.
        arms: name -> `Arm`, in the order of the table.
        targets: name -> `Target`, in the order of the table.
        finetuning: sections of `build_pose_runner` that all cells share.
        seeds: of everything random in a cell; equal seeds are paired.
        pretraining: sections of `build_runner` that all pretraining arms share; none where no arm
            is pretrained by the plan.
        fractions: shares of the pose labels, above 0 and at most 1.
        comparisons: what is tested, with one Holm correction over all of them.
        protocols: names of protocols; the first is the one that is tested.
        test: what is scored.
        external: other systems' predictions.
        allowed_leaks: see `gesture_pretrain.data.index.leakage.require_no_leaks`.
        leakage_by_content: also compare image files.
        planning: for the dry run.
        diagnostics: of frozen features; None for none.
        pretrainings: Pretrainings of each arm. The seeds are divided evenly among them, in their
            order; None for one pretraining per seed.
        learning_rate: Rule that chooses learning rates; None to use those of the sections.
        curve: Numbers of steps, in ascending order, after which every fine-tuning is scored in
            addition to its end. Needs a constant learning rate and averaged weights.
        cluster_by: "sequence" or "subject": which test hands form a cluster in the verdict.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    data: Mapping[str, Any]
    backbones: _Some[arguments_of(build_backbone, "seed")]
    arms: _Some[Arm]
    targets: _Some[Target]
    finetuning: Mapping[FinetuningSection, Mapping[str, Any]]
    seeds: _OneOrMore[NonNegativeInt]
    pretraining: Mapping[PretrainingSection, Mapping[str, Any]] = field(default_factory=dict)
    question: str = "Do the arms differ?"
    fractions: _OneOrMore[PositiveFraction] = (1.0,)
    comparisons: tuple[Comparison, ...] = ()
    protocols: _OneOrMore[Literal[tuple(PROTOCOLS)]] = ("interhand_wrist",)
    test: TestImages = TestImages()
    external: tuple[External, ...] = ()
    allowed_leaks: tuple[Literal[_LEAKS], ...] = ()
    leakage_by_content: bool = False
    planning: Planning = Planning()
    diagnostics: Diagnostics | None = None
    pretrainings: PositiveInt | None = None
    learning_rate: LearningRate | None = None
    curve: tuple[PositiveInt, ...] = ()
    cluster_by: Literal["sequence", "subject"] = "sequence"

    def pretraining_seed(self, seed: int) -> int:
        """Return the seed of the pretraining that the runs of a seed start from."""
        per_pretraining = len(self.seeds) // (self.pretrainings or len(self.seeds))
        position = self.seeds.index(seed)
        return self.seeds[position - position % per_pretraining]

    def backbone_of(self, target: str) -> str:
        """Key of the backbone that a target is built around."""
        chosen = self.targets[target].backbone
        if chosen is None and len(self.backbones) == 1:
            return next(iter(self.backbones))
        return chosen

    def arms_of(self, target: str) -> tuple[str, ...]:
        """Arms that a target is run with."""
        chosen = self.targets[target].arms
        return tuple(self.arms) if chosen is None else chosen


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` on top, dictionaries merged at every depth."""
    result = {k: dict(v) if isinstance(v, Mapping) else v for k, v in base.items()}
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


for _kind in (
    Arm,
    Target,
    Comparison,
    External,
    Planning,
    Diagnostics,
    LearningRate,
    TestImages,
    Plan,
):
    _kind.__pydantic_config__ = STRICT
