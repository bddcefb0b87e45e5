"""A target of a few numbers, and ways in which a target can go wrong."""

import torch
from mmengine.model import BaseModel
from torch import nn

from adapters.swap.projection import fit_backbone
from adapters.targets import BackboneNeeds, PoseTarget, backbone_of

NEEDS = BackboneNeeds(channels=512, stride=32)


class ToyPose(BaseModel):
    """The high level of a backbone, averaged, to three numbers."""

    def __init__(self, backbone, projection, *, channels=512):
        super().__init__()
        self.backbone = backbone
        self.projection = projection
        self.head = nn.Linear(channels, 3)

    def feature(self, image):
        return self.projection(self.backbone(image).levels[self.backbone.high]).mean((2, 3))

    def forward(self, image, mode="loss"):
        return {"toy_loss": (self.head(self.feature(image)) - 1).square().mean()}


def build_toy(network, *, seed, hand_models, allow_projection=False, needs=NEEDS, spoil=None):
    """A toy pose network; `spoil(model)` may damage it."""
    backbone = backbone_of(network)
    projection = fit_backbone(
        backbone, needs, target="toy", allow_projection=allow_projection, seed=seed
    )
    torch.manual_seed(seed)
    model = ToyPose(backbone, projection, channels=needs.channels)
    if spoil is not None:
        spoil(model)
    return model


class Toy(PoseTarget):
    """`build` stands in for `build_model`."""

    name, summary = "toy", "for the tests"
    build_dataset = list

    def __init__(self, build=build_toy, needs=NEEDS):
        self.build_model, self._needs = build, needs

    def needs_for(self, **options):
        return self._needs

    def build_model(self, *args, **options):
        raise NotImplementedError


TOY = Toy()
