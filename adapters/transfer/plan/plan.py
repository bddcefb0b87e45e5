"""A plan: which initial weights are compared, in which pose networks, with how many labels.

`file.py` reads a plan from a file, `checks.py` checks it, and `cells.py` turns it into runs.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
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
_NOT_IN_PLANS = ("backbone", "model", "seed", "tag", "init", "distillation")
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
    """A plan with an impossible value; the message names the key."""


@dataclass(frozen=True)
class Arm:
    """One kind of initial weights of the pose network.

    Either `init` unchanged, or `init` after a pretraining by the plan (`pretrain`), or stored
    weights with their gesture heads (`weights`).

    Attributes:
        init: "random", "imagenet", "timm", a weight file, or a name of the registry. With
            `pretrain`, the start of the pretraining, by default "random".
        pretrain: Changes to the plan's pretraining sections; {} for none.
        weights: Name in the registry, or an exported folder.
        finetuning: Changes to `optimizer` of the fine-tuning, the only section that may differ
            between the arms of a target.
        extra: Additional fine-tuning iterations, or "pretraining" for as many additional images
            as a pretraining arm has seen.
        optional: Leave the arm out, with the reason, if its weights are unavailable.
        text: Description for the report.
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
                f"An arm requires init, pretrain or both, or weights alone; this one has {given}."
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
        target: Name of a `PoseTarget`.
        backbone: Key of the plan's `backbones`; optional if there is only one.
        model: Section `model` of a pose config: `size`, `allow_projection`, options.
        arms: Arms that the target is run with; None for all.
        finetuning: Changes to the plan's fine-tuning sections.
        text: Description for the report.
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
        arm, reference: Names of arms; the difference is `arm` minus `reference`.
        target, reference_target: Keys of targets; None for each target with itself.
        text: What the comparison answers.
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
        name: Name of the row.
        path: Path of the file.
        text: Description for the report.
        reference: Arm that the system is compared with, in every target, at the largest fraction
            of the labels; None for the arm of the first declared comparison.
    """

    name: str
    path: str
    text: str = ""
    reference: str | None = None


@dataclass(frozen=True)
class Planning:
    """Assumptions of the dry run.

    Attributes:
        cluster_sd_mm: Standard deviation, over clusters, of the difference of two arms.
        seed_sd_mm: Standard deviation of the difference over seeds.
        images_per_s: Training throughput per worker.
        pretraining_images_per_s: Throughput of Stage 1 per worker; None for `images_per_s`.
        prediction_images_per_s: Throughput of predicting the test images per worker; None to
            leave the predictions out of the estimate.
        source: Origin of these numbers.
    """

    cluster_sd_mm: PositiveFloat | None = None
    seed_sd_mm: PositiveFloat | None = None
    images_per_s: PositiveFloat | None = None
    pretraining_images_per_s: PositiveFloat | None = None
    prediction_images_per_s: PositiveFloat | None = None
    source: str = "not stated"


@dataclass(frozen=True)
class Diagnostics:
    """Numbers of images for the probe of frozen features.

    Attributes:
        train_images: Images with joints that the probe is fitted to.
        test_images: Images that the probe is scored on.
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
        split: Split of the index.
        images: Maximum number of images, evenly spread over the split; None for all.
        hands: Kinds of annotation to keep.
        index: Another index; None for that of `data`.
        box_source: "rootnet" for the boxes that RootNet detected; None for annotated boxes, as in
            training.
    """

    __test__ = False  # pytest would collect a class with this name

    split: Literal[SPLITS] = "test"
    images: PositiveInt | None = None
    hands: _OneOrMore[Literal[HANDS]] = ("right", "left")
    index: str | None = None
    box_source: Literal["rootnet", None] = None


@dataclass(frozen=True)
class Plan:
    """An experiment as data; see `configs/experiments`.

    Attributes:
        name: Name of the plan; letters, digits, "_" and "-".
        question: Question that the plan answers, in one sentence.
        data: Keys that pretraining and fine-tuning share, at least `index`.
        backbones: Name -> arguments of `build_backbone` other than `init` and `seed`.
        arms: Name -> `Arm`, in the order of the table.
        targets: Name -> `Target`, in the order of the table.
        finetuning: Sections of a pose config that all cells share.
        seeds: Seeds of everything random in a cell; equal seeds are paired.
        pretraining: Sections of a pretraining config that all pretraining arms share; empty if the
            plan pretrains no arm.
        fractions: Fractions of the pose labels, above 0 and at most 1.
        comparisons: Differences to test, with one Holm correction over all of them.
        protocols: Names of protocols; the first one is tested.
        test: Images that are scored.
        external: Predictions of other systems.
        allowed_leaks: See `gesture_pretrain.data.index.leakage.require_no_leaks`.
        leakage_by_content: Also compare image files.
        planning: Assumptions of the dry run.
        diagnostics: Probe of frozen features; None for no probe.
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
        """Return the key of the backbone that a target is built around."""
        chosen = self.targets[target].backbone
        if chosen is None and len(self.backbones) == 1:
            return next(iter(self.backbones))
        return chosen

    def arms_of(self, target: str) -> tuple[str, ...]:
        """Return the arms that a target is run with."""
        chosen = self.targets[target].arms
        return tuple(self.arms) if chosen is None else chosen

    def without_arms(self, names: Collection[str]) -> "Plan":
        """Return the plan without these arms and the comparisons that name them."""
        return replace(
            self,
            arms={name: arm for name, arm in self.arms.items() if name not in names},
            targets={
                name: replace(target, arms=tuple(a for a in self.arms_of(name) if a not in names))
                for name, target in self.targets.items()
            },
            comparisons=tuple(c for c in self.comparisons if not {c.arm, c.reference} & {*names}),
        )


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` updated by `changes`, with dictionaries merged at every depth."""
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
