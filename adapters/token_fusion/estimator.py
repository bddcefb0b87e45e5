"""The network of Stage 2: normalised crops to 2.5D joints and MANO parameters.

Read `TokenFusionNetwork.forward` from top to bottom: it is section 3.2 of the paper.

Letters: B batch, J joints, C projected channels, H' = W' cells, D depth cells, d token width.
"""

from typing import NamedTuple

from torch import Tensor, nn

from adapters.targets import LEVELS, level_name
from adapters.token_fusion.feature_tokens import FeatureTokens
from adapters.token_fusion.fusion import TokenFusion
from adapters.token_fusion.grid import VolumeGrid
from adapters.token_fusion.guidance import GestureGuidance, guidance_levels
from adapters.token_fusion.joint_tokens import JointTokens
from adapters.token_fusion.mano_heads import ManoHeads
from adapters.token_fusion.volume import VolumetricHead, soft_argmax_3d
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import GestureHeads
from gesture_pretrain.skeleton import NUM_JOINTS


class TokenFusionOutput(NamedTuple):
    """Output of the network for `(B, 3, H, W)`.

    Attributes:
        joints_cells: `(B, 21, 3)` 2.5D joints in cells of the volume, mano21 order; see `grid`.
        pose_6d: `(B, 16, 6)` rotations of MANO's joints, mean pose included, interleaved 6D.
        shape: `(B, 10)`.
        weak_camera: `(B, 3)`, or None without that head.
        coarse_logits: `(B, num_coarse)`, or None if they do not guide.
        fine_logits: `(B, num_fine)`, or None if they do not guide.
    """

    joints_cells: Tensor
    pose_6d: Tensor
    shape: Tensor
    weak_camera: Tensor | None
    coarse_logits: Tensor | None
    fine_logits: Tensor | None


class TokenFusionNetwork(nn.Module):
    """Backbone, tokens, volume, guidance, fusion and heads.

    The preset sizes are in `target`; what the paper leaves open is named in each part's file.

    Args:
        backbone: Any backbone; two of its levels are read.
        gesture_heads: Heads whose logits guide; those of levels that do not guide are left out.
        guidance: "none", "coarse", "fine" or "both".
        levels: F_lo and F_hi: "low" and "high" as the backbone says, or names of its levels.
        channels: C.
        cells: H' = W'.
        depth_cells: D.
        half_depth_mm: The volume reaches this far before and behind the wrist.
        width: Token width d.
        encoder_layers: Layers of the encoder of the image's tokens.
        fusion_layers: Layers of the encoder of the joints' tokens.
        num_heads: Attention heads of both.
        volume_hidden: Channels inside the volumetric head; a multiple of 8. Default: C.
        head_hidden: Hidden units of the MANO heads.
        dropout: Dropout of both encoders.
        gate: First value of the guidance gates.
        guidance_detach: Keep the gesture heads unchanged, and pass no gradient through the
            logits. Otherwise pose training changes the heads, and their dropout makes the
            guidance noisy.
        coordinate_gradient: Pass the gradient of a token to its sampling position, too.
        camera_head: Whether there is a weak-perspective camera, for crops without intrinsics.

    Raises:
        ValueError: Unknown guidance or level, guidance without heads, or sizes that
            do not fit.
    """

    def __init__(
        self,
        backbone: Backbone,
        gesture_heads: GestureHeads | None = None,
        *,
        guidance: str = "both",
        levels: tuple[str, str] = ("low", "high"),
        channels: int = 256,
        cells: int = 16,
        depth_cells: int = 16,
        half_depth_mm: float = 200.0,
        width: int = 512,
        encoder_layers: int = 2,
        fusion_layers: int = 4,
        num_heads: int = 8,
        volume_hidden: int | None = None,
        head_hidden: int = 512,
        dropout: float = 0.0,
        gate: float = 1e-3,
        guidance_detach: bool = False,
        coordinate_gradient: bool = True,
        camera_head: bool = False,
    ):
        super().__init__()
        self.backbone = backbone
        self.grid = VolumeGrid(cells, depth_cells, half_depth_mm)
        self.low, self.high = (_level(backbone, name) for name in levels)
        specs = backbone.feature_specs
        self.feature_tokens = FeatureTokens(
            specs[self.low].channels,
            specs[self.high].channels,
            channels=channels,
            cells=cells,
            layers=encoder_layers,
            num_heads=num_heads,
            dropout=dropout,
        )
        self.volume = VolumetricHead(
            2 * channels, hidden=volume_hidden or channels, depth_cells=depth_cells
        )
        self.joint_tokens = JointTokens(
            2 * channels, width, grid=self.grid, coordinate_gradient=coordinate_gradient
        )
        self.gesture_heads = _guiding_heads(gesture_heads, guidance)
        self.guidance_detach = guidance_detach
        if guidance_detach:
            self.gesture_heads.requires_grad_(False)
        self.guidance = None
        if self.gesture_heads:
            classes = {level: head.num_classes for level, head in self.gesture_heads.items()}
            self.guidance = GestureGuidance(classes, width, gate=gate)
        self.fusion = TokenFusion(width, layers=fusion_layers, num_heads=num_heads, dropout=dropout)
        self.mano_heads = ManoHeads(
            width, num_joints=NUM_JOINTS, hidden=head_hidden, camera_head=camera_head
        )

    def forward(self, image_normalised: Tensor) -> TokenFusionOutput:
        """Predict joints and MANO parameters from `(B, 3, H, W)`, see `backbone.input_spec`."""
        features = self.backbone(image_normalised)
        levels = features.levels
        mixed = self.feature_tokens(levels[self.low], levels[self.high])  # (B, 2C, H', W')
        joints_cells = soft_argmax_3d(self.volume(mixed))  # (B, J, 3)
        joint_tokens = self.joint_tokens(mixed, joints_cells)  # (B, J, d)
        pooled = features.pooled.detach() if self.guidance_detach else features.pooled
        logits = {level: head(pooled) for level, head in self.gesture_heads.items()}
        guidance = None if self.guidance is None else self.guidance(logits)
        fused = self.fusion(joint_tokens, guidance)  # (B, J, d)
        mano = self.mano_heads(fused)
        return TokenFusionOutput(joints_cells, *mano, logits.get("coarse"), logits.get("fine"))

    def train(self, mode: bool = True) -> "TokenFusionNetwork":
        """Set the mode; detached gesture heads stay in eval mode, without dropout."""
        super().train(mode)
        if self.guidance_detach:
            self.gesture_heads.eval()
        return self


def _level(backbone: Backbone, name: str) -> str:
    if name in LEVELS:
        return level_name(backbone, name)
    if name not in backbone.feature_specs:
        known = ", ".join([*LEVELS, *backbone.feature_specs])
        raise ValueError(f"{backbone.arch} has no level {name!r}; possible: {known}")
    return name


def _guiding_heads(heads: GestureHeads | None, guidance: str) -> nn.ModuleDict:
    names = guidance_levels(guidance)
    if names and heads is None:
        raise ValueError(
            f"guidance {guidance!r} reads gesture logits, but there are no gesture heads. Give a "
            "GestureNetwork (load_backbone(name, with_heads=True)), or guidance='none'."
        )
    return nn.ModuleDict({name: getattr(heads, name) for name in names})
