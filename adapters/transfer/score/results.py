"""What a transfer experiment found, as plain data: the report is made of this and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gesture_pretrain.evaluation.statistics.comparison import PairedDifference

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class TableRow:
    """One row of the transfer table: a target, an arm and a share of the labels, over its seeds.

    Attributes:
        target, arm: names of the plan; an external system has its name as target and arm "".
        fraction: share of the pose labels; None for an external system.
        seeds: those that are finished.
        mpjpe_mm, mpvpe_mm: protocol -> value of each seed, in the order of `seeds`.
        hands: protocol -> number of hands that were scored.
        train_images, train_moments: images with pose labels, and the moments that they show from
            several views; None for an external system or where the cells do not say.
        refused: protocol -> why it cannot be applied.
        text: what it is.
        interval_mm: 95 % interval of the mean MPJPE under the protocol that is tested; None where
            there is none.
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
        """Whether it is another system's predictions."""
        return self.fraction is None


@dataclass(frozen=True)
class GroupGain:
    """The difference on a part of the test hands, or of one joint.

    Attributes:
        name: of the gesture (its label), the joint or the part.
        difference_mm: arm minus reference, by the protocol's mean; negative is better.
        hands, clusters: how many.
        seen: gestures that pretraining had; None where that is not known or not asked.
        low_mm, high_mm: 95 % interval, not corrected for the number of parts; NaN where the part
            has too few clusters for one.
        p_holm: p-value after Holm over the parts beside it; NaN without an interval.
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
    """One declared comparison in one target at one share of the labels, or an external system's.

    Attributes:
        target, reference_target, fraction, arm, reference, text: as in the plan; an external
            system has its name as target and arm "", and the fraction is that of its reference.
        joints: MPJPE of the tested protocol; None where cells are missing.
        joints_p_holm: its p-value after Holm over all declared pairs of the plan; those of
            external systems are corrected among themselves.
        meshes: MPVPE of the first protocol that has meshes; None where there is none.
        meshes_protocol: its name.
        by_subject: as `joints`, with whole subjects as clusters.
        by_gesture, by_joint, by_exposure: parts of `joints`; the last are the gestures that
            pretraining had and those that it had not, empty where that is not known.
        missing: why it could not be compared; "" where it was.
        did_not_learn: arms whose error is not below that of the mean training pose.
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

        Where an arm did not learn, no difference is "undecided": more steps or labels are needed.
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
    """What frozen features of initial weights know of the pose.

    Attributes:
        arm, backbone, seed: whose.
        probe_mpjpe_mm, knn_mpjpe_mm: linear probe and k-NN to joints, not seen in pretraining.
        gain_mm: target -> MPJPE of the reference arm minus this arm's, same seed, least labels.
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
        joints_px: (21, 2); NaN where not known.
        mesh: (S, S, 2) uint8, brightness and coverage of its mesh; None where there is no mesh.
    """

    joints_px: np.ndarray
    mesh: np.ndarray | None = None


@dataclass(frozen=True)
class PosePair:
    """One test image with the poses of two systems.

    Attributes:
        crop_rgb: (S, S, 3) uint8.
        truth, reference, arm: poses.
        place: in the order of differences, and the gesture.
        reference_mm, arm_mm: errors.
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
    """One run of the experiment.

    Attributes:
        folder: relative to the experiment's; `cell.json` in it is the whole configuration.
        state: "finished", "failed", …
        iterations, batch_size: of its training.
        minutes: of its last process; None where it is not finished.
        device, commit: "" where it is not finished.
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
    """What pretraining made of an arm: whether its labels were learned.

    Attributes:
        arm, backbone: whose; one line for all seeds.
        labels: "gesture" or the name of a control; withheld labels are counted in it.
        starts_from: initial weights.
        seeds: runs.
        train_top1, val_top1: (coarse, fine) accuracy, mean over seeds; NaN where not measured.
        images: training images.
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
    """Everything that a report says.

    Attributes:
        name, question: of the plan.
        data_title: the data in a few words.
        synthetic: whether they are rendered.
        test_text: what was scored: images, clusters, subjects.
        protocols: names; the first is the one that is tested.
        cards: protocol -> lines of its card.
        rows: the table.
        pairs: declared comparisons, the main one first.
        external_pairs: external systems against arms of the plan.
        arms, targets: name -> text.
        seeds: of the plan.
        audit: sentences of the leakage audit.
        features: diagnostics of frozen features; empty where they were not asked for.
        feature_points: title -> (points (N, 2), classes (N,)) of t-SNE figures.
        feature_classes: number of classes of those.
        pose_pairs: figures; `pose_pairs_text` says how they were chosen.
        ledgers: cell -> table of its weight ledger.
        confounds: what differs between arms beside their initial weights, a sentence each.
        compute: lines: what each stage had in steps and images.
        trouble: failed, missing or left-out cells, one sentence each.
        pretraining: accuracy of each pretraining arm on its own labels.
        mean_pose_mm: protocol -> MPJPE of the mean training pose; empty where it is not known.
        facts: name -> text: commit, versions, hours, devices.
        cells: every run.
        curves: Error at several numbers of steps; empty if only the last step is scored.
        equivalents: What the pretraining is worth in steps and labels.
        learning_rates: Those that the rule of the plan chose.
        plan_text: the plan as it was run.
        commands: what to type to get this again.
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
        """What a figure's title says of the data."""
        return f"{self.data_title}, SYNTHETIC" if self.synthetic else self.data_title


def percent(share: float) -> str:
    """0.05 as "5 %"."""
    return f"{100 * share:g} %"
