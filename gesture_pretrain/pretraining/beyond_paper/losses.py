"""All options together: the additional modules and losses of a run beyond the paper's recipe."""

from torch import Tensor, nn

from gesture_pretrain.data.samples.hand_crops import HandCrops
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.pretraining.beyond_paper.contrast import HierarchicalContrast
from gesture_pretrain.pretraining.beyond_paper.crop_outputs import CropOutputs
from gesture_pretrain.pretraining.beyond_paper.dense import MaskedDistillation
from gesture_pretrain.pretraining.beyond_paper.equivariance import CropEquivariance
from gesture_pretrain.pretraining.beyond_paper.projector import ProjectedHeads


class BeyondPaper(nn.Module):
    """The options that a run uses; those left out are None.

    Args:
        projector: Classifiers behind an expendable projector.
        contrast: Contrast of pooled features.
        equivariance: Equivariance of F_lo between the first two full crops.
        dense: Masked self-distillation of F_lo.

    Attributes:
        teacher: Averaged backbone that `dense` learns from, see `learn_from`. It is not part of the
            state dict, because the run stores its weight average itself.
    """

    def __init__(
        self,
        *,
        projector: ProjectedHeads | None = None,
        contrast: HierarchicalContrast | None = None,
        equivariance: CropEquivariance | None = None,
        dense: MaskedDistillation | None = None,
    ):
        super().__init__()
        self.projector, self.contrast = projector, contrast
        self.equivariance, self.dense = equivariance, dense
        self._teacher: tuple[Backbone, ...] = ()  # in a tuple it is no submodule

    @property
    def teacher(self) -> Backbone:
        """The averaged backbone.

        Raises:
            RuntimeError: `learn_from` was not called.
        """
        if not self._teacher:
            raise RuntimeError(
                "dense has no teacher yet. Call learn_from with the averaged backbone."
            )
        return self._teacher[0]

    def learn_from(self, teacher: Backbone) -> None:
        """Set the averaged backbone that `dense` learns from."""
        self._teacher = (teacher,)

    def losses(
        self,
        crops: CropOutputs,
        batch: HandCrops,
        *,
        student: Backbone,
        normalise: nn.Module,
        epoch: int,
    ) -> dict[str, Tensor]:
        """Compute the weighted losses of all options but the projector, by name.

        Args:
            crops: Outputs for all crops of the batch.
            batch: The batch.
            student: Backbone that is trained.
            normalise: Normaliser of the images.
            epoch: Current epoch, from 0.
        """
        values = {}
        if self.contrast is not None:
            labels = {"moment": crops.moment, "fine": crops.fine, "coarse": crops.coarse}
            values["loss_contrast"] = self.contrast(crops.pooled, labels)
        if self.equivariance is not None:
            low = crops.full.features.levels[student.low]
            first, second = low.split(len(batch.row))[:2]
            size_px = batch.image.shape[-1]
            values["loss_equivariance"] = self.equivariance(
                first, second, batch.full_maps[:, 0], size_px
            )
        if self.dense is not None:
            values["loss_dense"] = self.dense(
                student, self.teacher, normalise(batch.image), batch.row, epoch=epoch
            )
        return values
