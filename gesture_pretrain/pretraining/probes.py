"""Probes of the frozen pooled feature at every validation of a run.

The accuracy of the heads shows how well the labels are learned. These probes show during training
whether the feature becomes useful: k-NN to gestures, and ridge regression to 3D joints, which
pretraining does not use. They are the measures of `gesture_pretrain.evaluation.features`, on a
fixed sample of training images (fitted or searched) and of validation images (scored).
"""

from mmengine.hooks import Hook
from pydantic import PositiveInt

from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.evaluation.features.classification import classification_metrics
from gesture_pretrain.evaluation.features.extract import FeatureTable, extract_features
from gesture_pretrain.evaluation.features.joint_error import mpjpe_mm
from gesture_pretrain.evaluation.features.linear_probe import probe_joints
from gesture_pretrain.evaluation.features.nearest_neighbours import nearest_neighbours, vote
from gesture_pretrain.pretraining.training_accuracy import still_part
from gesture_pretrain.processes import gather_objects, rank_and_world_size
from gesture_pretrain.taxonomy import UNLABELLED
from gesture_pretrain.training.hooks import shown_score
from gesture_pretrain.training.placement import evaluated_model


class ProbeHook(Hook):
    """Adds `knn_coarse_top1` and `probe_joints_mm` to the scores of each validation.

    The scores of the initial weights are printed before training. The first process computes all
    scores and shares them.

    Args:
        train: Training dataset, used without its augmentation.
        validation: Validation dataset.
        images: Number of training images, and of validation images, evenly spread over each set.
        neighbours: Neighbours of k-NN.

    Raises:
        ValueError: There is no validation dataset, or there are as many neighbours as images.
    """

    priority = "HIGH"  # before MetricsHook, which writes the scores

    def __init__(
        self,
        train: GestureDataset,
        validation: GestureDataset | None,
        *,
        images: PositiveInt = 1000,
        neighbours: PositiveInt = 20,
    ):
        if validation is None:
            raise ValueError(
                "probes need validation images, and data.val_split is None. Set it, or leave "
                "probes out."
            )
        self.parts = [still_part(dataset, images) for dataset in (train, validation)]
        if neighbours >= len(self.parts[0]):
            raise ValueError(
                f"probes.neighbours is {neighbours}; it must be below the number of probed "
                f"training images, {len(self.parts[0])}."
            )
        self.neighbours, self.index = neighbours, train.index
        self.num_classes = train.taxonomy.num_coarse

    def before_train(self, runner):
        """Show the scores of the initial weights, so that data without enough labels stop here."""
        if runner.iter == 0 and rank_and_world_size()[0] == 0:
            shown = (shown_score(name, value) for name, value in self._scores(runner).items())
            print(f"Probes before training: {', '.join(shown)}")

    def after_val_epoch(self, runner, metrics=None):
        scores = self._scores(runner) if rank_and_world_size()[0] == 0 else {}
        metrics.update(gather_objects(scores)[0])

    def _scores(self, runner) -> dict[str, float]:
        model = evaluated_model(runner)
        backbone = model.backbone
        device = next(model.parameters()).device
        tables = [
            extract_features({"": backbone}, part, self.index, device=device, progress=False)[""]
            for part in self.parts
        ]
        return probe_scores(*tables, num_classes=self.num_classes, neighbours=self.neighbours)


def probe_scores(
    train: FeatureTable, evaluated: FeatureTable, *, num_classes: int, neighbours: int
) -> dict[str, float]:
    """Score k-NN to coarse gestures and ridge regression to joints.

    Args:
        train: Features that k-NN searches and the regression is fitted on.
        evaluated: Features that are scored.
        num_classes: Number of coarse classes.
        neighbours: Neighbours of k-NN.

    Returns:
        `knn_coarse_top1` in [0, 1] and `probe_joints_mm`, the wrist-relative MPJPE; each only if
        both tables have labels or joints.
    """
    scores = {}
    labelled = train.coarse != UNLABELLED
    if labelled.any() and (evaluated.coarse != UNLABELLED).any():
        found = nearest_neighbours(
            train.features[labelled],
            evaluated.features,
            k=neighbours,
            gallery_groups=train.groups[labelled],
            query_groups=evaluated.groups,
        )
        predicted = vote(found, train.coarse[labelled], num_classes)
        scores["knn_coarse_top1"] = classification_metrics(
            evaluated.coarse, predicted, num_classes
        ).top1
    if train.has_joints and evaluated.has_joints:
        probe = probe_joints(
            train.features,
            train.joints_rel_mm,
            train.joint_valid,
            evaluated.features,
            subjects=train.subjects,
            groups=train.groups,
        )
        truth = evaluated.joints_rel_mm, evaluated.joint_valid
        scores["probe_joints_mm"] = mpjpe_mm(probe.predictions, *truth)
    return scores
