"""Results of a transfer study as plain data, from which alone the report is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gesture_pretrain.evaluation.statistics.comparison import PairedDifference

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class TableRow:
    """One row of the transfer table: a target, an arm and a fraction of the labels, over its seeds.

    Attributes:
        target, arm: Names in the plan; an external system has its name as target and arm "".
        fraction: Fraction of the pose labels; None for an external system.
        seeds: Finished seeds.
        mpjpe_mm, mpvpe_mm: Protocol -> value of each seed, in the order of `seeds`.
        hands: Protocol -> number of scored hands.
        train_images, train_moments: Numbers of images with pose labels, and of the moments that
            they show from several views; None if unknown.
        refused: Protocol -> reason why it cannot be applied.
        text: Description.
        interval_mm: 95 % interval of the mean MPJPE under the tested protocol; None without one.
    """

    target: str
    arm: str
    fraction: float | None
    seeds: tuple[int, ...]
    mpjpe_mm: Mapping[str, tuple[float, ...]]
    mpvpe_mm: Mapping[str, tuple[float, ...]]
    hands: Mapping[str, int]
    train_images: int | None = None
    train_moments: int | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    interval_mm: tuple[float, float] | None = None

    @property
    def is_external(self) -> bool:
        """Return whether the row has the predictions of another system."""
        return self.fraction is None


@dataclass(frozen=True)
class GroupGain:
    """The difference on a part of the test hands, or of one joint.

    Attributes:
        name: Label of the gesture, name of the joint, or description of the part.
        difference_mm: Arm minus reference, by the protocol's mean; negative is better.
        hands, clusters: Numbers of hands and clusters.
        seen: Whether pretraining had the gesture; None if unknown or not applicable.
        low_mm, high_mm: 95 % interval, not corrected for the number of parts; NaN with too few
            clusters.
        p_holm: p-value after Holm's correction over the parts of the same table; NaN without an
            interval.
    """

    name: str
    difference_mm: float
    hands: int
    seen: bool | None = None
    clusters: int = 0
    low_mm: float = float("nan")
    high_mm: float = float("nan")
    p_holm: float = float("nan")

    @property
    def finding(self) -> str:
        """ "better", "worse" or "undecided"."""
        if not self.p_holm < SIGNIFICANCE:
            return "undecided"
        return "better" if self.difference_mm < 0 else "worse"


@dataclass(frozen=True)
class ComparedPair:
    """One comparison in one target at one fraction of the labels.

    Attributes:
        target, reference_target, fraction, arm, reference, text: As in the plan. An external
            system has its name as target and arm "", and the fraction is that of its reference.
        joints: Difference of MPJPE under the tested protocol; None if cells are missing.
        joints_p_holm: Its p-value after Holm's correction over all declared pairs of the plan;
            external systems have a correction of their own.
        meshes: Difference of MPVPE under the first protocol with meshes; None without one.
        meshes_protocol: Name of that protocol.
        by_subject: As `joints`, with whole subjects as clusters.
        by_gesture, by_joint, by_exposure: Parts of `joints`. The last are gestures that pretraining
            had, other gestures, and poses without a gesture; empty if unknown.
        missing: Reason why nothing, or only some seeds, could be compared; else "".
        did_not_learn: Arms whose error is not below that of the mean training pose.
    """

    target: str
    reference_target: str
    fraction: float
    arm: str
    reference: str
    text: str = ""
    joints: PairedDifference | None = None
    joints_p_holm: float = float("nan")
    meshes: PairedDifference | None = None
    meshes_protocol: str = ""
    by_subject: PairedDifference | None = None
    by_gesture: tuple[GroupGain, ...] = ()
    by_joint: tuple[GroupGain, ...] = ()
    by_exposure: tuple[GroupGain, ...] = ()
    missing: str = ""
    did_not_learn: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Short name."""
        if not self.arm:
            return (
                f"{self.target} against {self.reference_target}, {self.reference}, "
                f"{percent(self.fraction)} labels"
            )
        where = self.target
        if self.reference_target != self.target:
            where = f"{self.target} / {self.reference_target}"
        return f"{where}: {self.arm} against {self.reference}, {percent(self.fraction)} labels"

    @property
    def finding(self) -> str:
        """ "better", "worse", "undecided", "did not learn" or "not run".

        If an arm did not learn, "did not learn" replaces "undecided".
        """
        if self.joints is None:
            return "not run"
        if len(self.did_not_learn) == 2:  # whatever their difference
            return "did not learn"
        if not self.joints_p_holm < SIGNIFICANCE or np.isnan(self.joints.low_mm):
            return "did not learn" if self.did_not_learn else "undecided"
        return "better" if self.joints.difference_mm < 0 else "worse"


@dataclass(frozen=True)
class FeatureScore:
    """Pose errors of frozen features of initial weights.

    Attributes:
        arm, backbone, seed: Initial weights.
        probe_mpjpe_mm, knn_mpjpe_mm: Errors of linear probe and k-NN to joints.
        gain_mm: Target -> MPJPE of the reference arm minus that of this arm, same seed, fewest
            labels.
    """

    arm: str
    backbone: str
    seed: int
    probe_mpjpe_mm: float
    knn_mpjpe_mm: float
    gain_mm: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DrawnPose:
    """A pose in the pixels of a crop.

    Attributes:
        joints_px: (21, 2) joints; NaN if unknown.
        mesh: (S, S, 2) uint8, brightness and coverage of the mesh; None without one.
    """

    joints_px: np.ndarray
    mesh: np.ndarray | None = None


@dataclass(frozen=True)
class PosePair:
    """One test image with the poses of two systems.

    Attributes:
        crop_rgb: (S, S, 3) uint8 crop.
        truth, reference, arm: Poses.
        place: Place in the order of differences, and the gesture.
        reference_mm, arm_mm: Errors.
    """

    crop_rgb: np.ndarray
    truth: DrawnPose
    reference: DrawnPose
    arm: DrawnPose
    place: str
    reference_mm: float
    arm_mm: float


@dataclass(frozen=True)
class CellLine:
    """One run of the study.

    Attributes:
        folder: Path relative to the folder of the study; its `cell.json` is the configuration.
        state: "finished", "failed", …
        iterations, batch_size: Of the training.
        minutes: Duration of the last process; None if unfinished.
        device, commit: "" if unfinished.
    """

    folder: str
    state: str
    iterations: int
    batch_size: int
    minutes: float | None
    device: str
    commit: str


@dataclass(frozen=True)
class PretrainingLine:
    """Accuracy of a pretraining arm on its own labels, over all seeds.

    Attributes:
        arm, backbone: Names in the plan.
        labels: "gesture" or the name of a control, with the number of withheld labels.
        starts_from: Initial weights.
        seeds: Number of runs.
        train_top1, val_top1: (coarse, fine) accuracy, mean over seeds; NaN if not measured.
        images: Number of training images.
    """

    arm: str
    backbone: str
    labels: str
    starts_from: str
    seeds: int
    train_top1: tuple[float, float]
    val_top1: tuple[float, float]
    images: int | None


@dataclass(frozen=True)
class CurvePoint:
    """Error of one run after a number of fine-tuning steps: a row of `curves.csv`.

    Attributes:
        target, arm, fraction, seed: The run.
        steps: Optimiser steps of fine-tuning.
        error_mm: MPJPE under the first protocol.
    """

    target: str
    arm: str
    fraction: float
    seed: int
    steps: int
    error_mm: float


@dataclass(frozen=True)
class Equivalent:
    """What a pretraining is worth: a row of `equivalents.csv`.

    Attributes:
        kind: "steps" or "labels".
        target, arm, reference: Of a declared comparison.
        fraction: Of the pose labels of the arm.
        error_mm: MPJPE that both reach, mean over seeds: in steps the last one of the reference, in
            labels that of the arm at `fraction`.
        arm_amount, reference_amount: Steps, or images with pose labels, that each needs for it;
            None if it does not reach it.
    """

    kind: str
    target: str
    arm: str
    reference: str
    fraction: float
    error_mm: float
    arm_amount: float | None
    reference_amount: float | None


@dataclass(frozen=True)
class LearningRateChoice:
    """A learning rate that the rule of the plan chose.

    Attributes:
        target, arm: Whose.
        errors_mm: Validation MPJPE of each finished candidate.
        chosen: The rate with the least error; None until all candidates are finished.
    """

    target: str
    arm: str
    errors_mm: Mapping[float, float]
    chosen: float | None


@dataclass(frozen=True)
class TransferResults:
    """Everything that a report shows.

    Attributes:
        name, question: Of the plan.
        data_title: Short name of the data.
        synthetic: Whether the images are rendered.
        test_text: Description of the scored images, clusters and subjects.
        protocols: Names of protocols; the first one is tested.
        cards: Protocol -> lines of its card.
        rows: Rows of the transfer table.
        pairs: Declared comparisons, the main one first.
        external_pairs: External systems against arms of the plan.
        arms, targets: Name -> description.
        seeds: Seeds of the plan.
        audit: Sentences of the leakage audit.
        features: Diagnostics of frozen features; may be empty.
        feature_points: Title -> (points (N, 2), classes (N,)) of t-SNE figures.
        feature_classes: Number of their classes.
        pose_pairs: Images with two poses; `pose_pairs_text` describes their selection.
        ledgers: Target and arm -> table of the weight ledger.
        confounds: Sentences about differences between arms apart from their initial weights.
        compute: Lines about steps and images of each stage.
        trouble: Sentences about failed, missing or left-out cells.
        pretraining: Accuracy of each pretraining arm on its own labels.
        mean_pose_mm: Protocol -> MPJPE of the mean training pose; empty if unknown.
        facts: Name -> text: commit, versions, hours, devices.
        cells: All runs.
        curves: Errors after several numbers of steps; empty if only the last step is scored.
        equivalents: Worth of the pretraining in steps and labels.
        learning_rates: Choices by the rule of the plan.
        plan_text: The plan as it was run.
        commands: Commands that reproduce the report.
    """

    name: str
    question: str
    data_title: str
    synthetic: bool
    test_text: str
    protocols: tuple[str, ...]
    cards: Mapping[str, tuple[str, ...]]
    rows: tuple[TableRow, ...]
    pairs: tuple[ComparedPair, ...]
    arms: Mapping[str, str]
    targets: Mapping[str, str]
    seeds: tuple[int, ...]
    external_pairs: tuple[ComparedPair, ...] = ()
    audit: tuple[str, ...] = ()
    features: tuple[FeatureScore, ...] = ()
    feature_points: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    feature_classes: int = 0
    pose_pairs: tuple[PosePair, ...] = ()
    pose_pairs_text: str = ""
    ledgers: Mapping[str, str] = field(default_factory=dict)
    confounds: tuple[str, ...] = ()
    compute: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()
    pretraining: tuple[PretrainingLine, ...] = ()
    mean_pose_mm: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    cells: tuple[CellLine, ...] = ()
    curves: tuple[CurvePoint, ...] = ()
    equivalents: tuple[Equivalent, ...] = ()
    learning_rates: tuple[LearningRateChoice, ...] = ()
    plan_text: str = ""
    commands: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Return the description of the data in titles of figures."""
        return f"{self.data_title}, SYNTHETIC" if self.synthetic else self.data_title


def percent(share: float) -> str:
    """Format a fraction in percent: 0.05 as "5 %"."""
    return f"{100 * share:g} %"
