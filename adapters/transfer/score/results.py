"""Results of a transfer study as plain data, from which alone the report is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gesture_pretrain.evaluation.statistics.comparison import PairedDifference
from gesture_pretrain.report.contact_sheet import Tile

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
        interval_mm: 95 % interval of the mean MPJPE under the tested protocol; None without one.
        did_not_learn: Whether the mean MPJPE is not below that of the mean training pose.
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
    interval_mm: tuple[float, float] | None = None
    did_not_learn: bool = False

    @property
    def is_external(self) -> bool:
        """Whether the predictions are those of another system."""
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
        joints_p_holm: Its p-value after Holm's correction over all declared pairs of the plan.
            Pairs with external systems are corrected separately.
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
        """Name for tables and figures."""
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

        "did not learn" if both arms did not learn, or if one did not and the difference is not
        significant.
        """
        if self.joints is None:
            return "not run"
        if len(self.did_not_learn) == 2:
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
class TransferResults:
    """Everything that a report shows.

    Tables are frames of numbers (`curves`, `equivalents`) or of texts (`cells`, `pretraining`).

    Attributes:
        name: Name of the plan.
        question: Question of the plan.
        data_title: Short name of the data.
        synthetic: Whether the images are rendered.
        test_text: Description of the scored images, clusters and subjects.
        protocols: Names of protocols; the first one is tested.
        cards: Protocol -> lines of its card.
        rows: Rows of the transfer table.
        pairs: Declared comparisons, the main one first.
        arms: Name -> description.
        targets: Name -> description.
        external_pairs: External systems against arms of the plan.
        audit: Sentences of the leakage audit.
        features: Pose errors of frozen features; may be empty.
        pose_tiles: Single hands, each as ground truth, pose of the reference, and pose of the arm.
        ledgers: Target and arm -> table of the weight ledger.
        confounds: Sentences about differences between arms apart from their initial weights.
        compute: Lines about steps and images of each stage.
        trouble: Sentences about failed, missing or left-out cells.
        pretraining: Accuracy of each pretraining arm on its own labels.
        mean_pose_mm: Protocol -> MPJPE of the mean training pose; empty if unknown.
        facts: Name -> text: commit, versions, hours, devices.
        cells: All runs.
        curves: Error of each run after several numbers of steps; empty without a curve.
        equivalents: Worth of the pretraining in steps and labels.
        plan_text: The plan as it was run.
        command: Command that reproduces the report.
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
    external_pairs: tuple[ComparedPair, ...] = ()
    audit: tuple[str, ...] = ()
    features: tuple[FeatureScore, ...] = ()
    pose_tiles: tuple[Tile, ...] = ()
    ledgers: Mapping[str, str] = field(default_factory=dict)
    confounds: tuple[str, ...] = ()
    compute: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()
    pretraining: pd.DataFrame = field(default_factory=pd.DataFrame)
    mean_pose_mm: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    cells: pd.DataFrame = field(default_factory=pd.DataFrame)
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    equivalents: pd.DataFrame = field(default_factory=pd.DataFrame)
    plan_text: str = ""
    command: str = ""

    @property
    def kind(self) -> str:
        """Describe the data for titles of figures."""
        return f"{self.data_title}, SYNTHETIC" if self.synthetic else self.data_title


def percent(fraction: float) -> str:
    """Format a fraction in percent: 0.05 as "5 %"."""
    return f"{100 * fraction:g} %"
