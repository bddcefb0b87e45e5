"""EANet: MANO parameters and 2.5D joints of both hands from an image.

Park et al., "Extract-and-Adaptation Network for 3D Interacting Hand Mesh Recovery", ICCVW 2023.
The backbone is passed in; every size is an argument with upstream's value as default.
"""

from typing import Literal, NamedTuple

from torch import Tensor, nn

from eanet.gesture_logits import GestureFusion, GestureHeads
from eanet.position_net import PositionNet
from eanet.quirks import CORRECT, Quirks
from eanet.rotation import axis_angle_from_6d
from eanet.rotation_net import RotationNet

_FUSIONS = ("none", "logits")


class EANetOutput(NamedTuple):
    """Prefix r: right hand, l: left hand. Joints in mano21 order, finger joints in MANO order."""

    rjoint_img: Tensor  # (B, 21, 3) heat-map cells: x, y, depth relative to the same hand's wrist
    ljoint_img: Tensor
    rroot_pose_6d: Tensor  # (B, 6)
    rpose_6d: Tensor  # (B, 90)
    rshape: Tensor  # (B, 10)
    rcam: Tensor  # (B, 3) weak perspective: scale, x and y offset in cells
    lroot_pose_6d: Tensor
    lpose_6d: Tensor
    lshape: Tensor
    lcam: Tensor
    rel_trans: Tensor  # (B, 3) m, left wrist minus right wrist, camera axes
    rroot_pose_aa: Tensor  # (B, 3) rad
    rpose_aa: Tensor  # (B, 45) rad, before MANO's mean pose is added
    lroot_pose_aa: Tensor
    lpose_aa: Tensor
    feat: Tensor  # (B, backbone_channels, grid, grid)
    rhand_feat: Tensor  # (B, 2 * width, grid, grid)
    lhand_feat: Tensor
    main_logits: Tensor | None  # (B, num_main), None without gesture fusion
    sub_logits: Tensor | None  # (B, num_sub)


class EANet(nn.Module):
    """The network.

    Attributes:
        backbone: The backbone.
        quirks: The options in force.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        backbone_channels: int = 2048,
        grid: int = 8,
        width: int = 512,
        num_heads: int = 4,
        depth: int = 4,
        mlp_ratio: int = 4,
        num_joints: int = 21,
        depth_cells: int = 8,
        gesture_fusion: Literal["none", "logits"] = "none",
        num_main: int = 54,
        num_sub: int = 70,
        gesture_hidden: int = 1024,
        fusion_heads: int = 8,
        max_classes: int = 512,
        quirks: Quirks = CORRECT,
    ) -> None:
        """Make the network; the weights are torch's own draws, see ``initialise.py``.

        Args:
            backbone: (B, 3, 32 * grid, 32 * grid) -> (B, backbone_channels, grid, grid).
            backbone_channels: Channels of its map.
            grid: Height and width of its map; the position embeddings fix it.
            width: Token width C. Hand features have 2 C channels.
            num_heads: Heads of every attention but that to gesture logits; divides ``width``.
            depth: Blocks of every transformer.
            mlp_ratio: Hidden width of the blocks' MLPs over ``width``.
            num_joints: Joints of one hand.
            depth_cells: Depth of the heat-map volume.
            gesture_fusion: ``"logits"``: gesture heads on the backbone's map, their raw logits
                fused with the joint features by cross-attention. ``"none"``: neither exists.
            num_main, num_sub: Coarse and fine gesture classes.
            gesture_hidden: Hidden width of the gesture heads.
            fusion_heads: Heads of the attention to the logits; divides ``width``.
            max_classes: Rows of the table of class embeddings.
            quirks: Deviations to keep; ``quirks.UPSTREAM`` for all.

        Raises:
            ValueError: Incompatible sizes, or unknown ``gesture_fusion``.
        """
        super().__init__()
        _check_sizes(grid=grid, width=width, num_heads=num_heads, gesture_fusion=gesture_fusion)
        with_logits = gesture_fusion == "logits"
        self._map_shape = (backbone_channels, grid, grid)
        self.quirks = quirks
        self.backbone = backbone
        self.gesture_heads = None
        fusion = None
        if with_logits:
            self.gesture_heads = GestureHeads(
                channels=backbone_channels,
                hidden=gesture_hidden,
                num_main=num_main,
                num_sub=num_sub,
            )
            fusion = GestureFusion(
                width=width,
                num_heads=fusion_heads,
                num_main=num_main,
                num_sub=num_sub,
                max_classes=max_classes,
                logits_to_hands=quirks.logits_to_hands,
            )
        blocks = {"width": width, "num_heads": num_heads, "depth": depth, "mlp_ratio": mlp_ratio}
        self.position_net = PositionNet(
            backbone_channels=backbone_channels,
            num_joints=num_joints,
            depth_cells=depth_cells,
            grid=grid,
            **blocks,
        )
        self.rotation_net = RotationNet(num_joints=num_joints, gesture_fusion=fusion, **blocks)

    def forward(self, image: Tensor) -> EANetOutput:
        """Predict both hands.

        Args:
            image: (B, 3, 32 * grid, 32 * grid) RGB in [0, 1]; upstream does not apply
                ImageNet normalisation.

        Raises:
            ValueError: The backbone's map has another shape than declared.
        """
        feat = self.backbone(image)
        self._check_map(feat)
        logits = None if self.gesture_heads is None else self.gesture_heads(feat)
        hands, right_cells, left_cells = self.position_net(feat)
        mano = self.rotation_net(hands, right_cells, left_cells, logits)
        return EANetOutput(
            right_cells,
            left_cells,
            *mano,
            rroot_pose_aa=self._axis_angle(mano.rroot_pose_6d),
            rpose_aa=self._axis_angle(mano.rpose_6d),
            lroot_pose_aa=self._axis_angle(mano.lroot_pose_6d),
            lpose_aa=self._axis_angle(mano.lpose_6d),
            feat=feat,
            rhand_feat=hands.right,
            lhand_feat=hands.left,
            main_logits=None if logits is None else logits.main,
            sub_logits=None if logits is None else logits.sub,
        )

    def _axis_angle(self, rotations_6d: Tensor) -> Tensor:
        """Map (B, 6 n) to (B, 3 n), all rotations of the batch in one call."""
        batch = rotations_6d.shape[0]
        return axis_angle_from_6d(rotations_6d.reshape(-1, 6), quirks=self.quirks).view(batch, -1)

    def _check_map(self, feat: Tensor) -> None:
        if not isinstance(feat, Tensor):
            raise ValueError(
                f"the backbone gave a {type(feat).__name__}, expected one map "
                f"(B, {', '.join(map(str, self._map_shape))}); wrap it so that it returns its last"
            )
        if feat.ndim != 4 or feat.shape[1:] != self._map_shape:
            raise ValueError(
                f"the backbone gave a map {tuple(feat.shape)}, expected (B, "
                f"{', '.join(map(str, self._map_shape))}); give images of 32 * grid px, set "
                "backbone_channels and grid, or put a 1x1 convolution behind the backbone"
            )


def _check_sizes(*, grid: int, width: int, num_heads: int, gesture_fusion: str) -> None:
    if gesture_fusion not in _FUSIONS:
        raise ValueError(f"gesture_fusion is {gesture_fusion!r}; possible: {_FUSIONS}")
    if width % num_heads:
        raise ValueError(f"{num_heads} heads do not divide width {width}")
    if grid < 2:
        raise ValueError(f"grid is {grid}; bilinear sampling needs at least 2 cells")
