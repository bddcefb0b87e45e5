"""EANet's dataset: crops with the targets of all losses, from rows of an index.

A sample depends on (seed, epoch, row) only. The rules are those of the published data pipeline;
its mistakes are off by default, see `eanet.Quirks`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from adapters.eanet.crop import CropView, EanetAugmentation, camera_of_crop, crop_image, view_of_box
from adapters.eanet.mano import ManoHands
from adapters.eanet.rows import (
    CapturedHands,
    box_of,
    camera_of,
    captured_hands,
    usable_rows,
)
from adapters.eanet.targets import CapturedTargets, ManoTargets, captured_targets, mano_targets
from eanet import CORRECT, Quirks
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS, HandRecord
from gesture_pretrain.data.samples.augmentation import (
    Augmentation,
    Motion,
    draw_motions,
)
from gesture_pretrain.data.samples.crop_images import CropImages, cropped_image, open_images
from gesture_pretrain.data.samples.photometric import with_looks
from gesture_pretrain.data.samples.sampling import SampleKey, epochs_and_positions
from gesture_pretrain.data.samples.supervision import count_supervision
from gesture_pretrain.geometry.crop import invert_affine
from gesture_pretrain.taxonomy import Taxonomy

STRIDE = 32
IMAGE_KINDS = ("uint8", "float")


class EanetSample(NamedTuple):
    """One crop (or, collated, B of them with a leading axis B). 42 joints: right hand, left hand.

    Unknown values are 0, and so is their flag. Flags are float32, as the losses multiply
    by them. Hands are those of the crop: a mirror exchanges them.

    Attributes:
        image: (3, S, S) RGB, uint8, or float32 in 0 .. 1.
        coarse, fine: Gesture classes, -1 where the crop has none.
        hand: 0 right, 1 left, -1 two hands.
        row: Row of the index.
        mirrored: The crop is mirrored.
        joint_img, mano_joint_img: (42, 3) heat-map cells of captured joints and of the fit's.
        joint_cam, mano_joint_cam: (42, 3) m, minus the wrist of the same hand.
        mano_mesh_cam: (1556, 3) m, camera frame of the image, never mirrored or rotated (but the
            hands are exchanged by a mirror as everywhere); (0, 3) unless asked for.
        rel_trans: (3,) m, left wrist minus right wrist.
        mano_pose: (96,) axis-angle; mano_shape: (20,).
        joint_valid, joint_trunc: (42, 1) triangulated; and inside the grid.
        mano_joint_trunc: (42, 1) the fit's joint is inside the grid; mano_joint_valid: (42, 3).
        rel_trans_valid: (1,); mano_param_valid: (96,); mano_shape_valid: (20,).
        is_3D: 1, the data has depth.
        image_from_crop: (2, 3) affine crop px -> image px; it also undoes the mirroring.
        crop_camera: (2, 3) K with crop px = K @ (x/z, y/z, 1) in the camera frame of the crop.
        wrist_depth_mm: (2,) depth of the annotated wrists, NaN where unknown.
    """

    image: Tensor
    coarse: int
    fine: int
    hand: int
    row: int
    mirrored: bool
    joint_img: Tensor
    mano_joint_img: Tensor
    joint_cam: Tensor
    mano_joint_cam: Tensor
    mano_mesh_cam: Tensor
    rel_trans: Tensor
    mano_pose: Tensor
    mano_shape: Tensor
    joint_valid: Tensor
    joint_trunc: Tensor
    mano_joint_trunc: Tensor
    mano_joint_valid: Tensor
    rel_trans_valid: Tensor
    mano_param_valid: Tensor
    mano_shape_valid: Tensor
    is_3D: Tensor
    image_from_crop: Tensor
    crop_camera: Tensor
    wrist_depth_mm: Tensor


class EanetDataset(Dataset):
    """Crops and targets of an index's rows.

    `dataset[position]` is the sample of epoch 0; `dataset[epoch, position]` augments anew.

    Args:
        index: The data; needs triangulated joints and cameras.
        rows: (N,) rows of the index. Those that the published loader skips are left out.
        taxonomy: Gesture classes of the labels; None for none.
        size_px: Side of the crops (S); 256 upstream.
        mano: The MANO hands.
        augmentation: Random motion; None for none.
        seed: Key of the augmentation.
        grid: Cells of the heat map; S / 32 by default.
        hands: "single" refuses images of two hands, "all" takes them.
        box_source: "joints" or "rootnet", see `rows.box_of`.
        quirks: Mistakes of upstream to reproduce.
        image_as: "uint8", interpolated and coloured in whole grey levels; or "float", as upstream
            has it, four times the bytes.
        with_mesh: Also return the fits' vertices, which take longer than the rest of a sample.
        reduced_decode: Decode JPEG files at a half, a quarter or an eighth of their size if the
            crop shrinks the image by at least that factor. Pixels are then averaged instead of
            skipped. Upstream decodes every file in full. Targets do not depend on it.
        shards: Folder made by `write_shards`; None reads the image files. Samples are the same, see
            `data.images.shards`.
        announce: Called with a line about omitted images; None for silence.

    Attributes:
        rows: (N,) rows that are used.
        coarse, fine: (N,) int64 classes of the images, -1 for none.

    Raises:
        ValueError: Invalid option, or an image of two hands.
        DataError: The index cannot serve EANet, or the shards are damaged, unfinished, or made of
            another index.
    """

    def __init__(
        self,
        index: HandIndex,
        rows: Sequence[int],
        taxonomy: Taxonomy | None,
        size_px: int = 256,
        *,
        mano: ManoHands,
        augmentation: EanetAugmentation | Augmentation | None = None,
        seed: int = 0,
        grid: int | None = None,
        hands: str = "single",
        box_source: str = "joints",
        quirks: Quirks = CORRECT,
        image_as: str = "uint8",
        with_mesh: bool = False,
        reduced_decode: bool = True,
        shards: str | Path | None = None,
        announce: Callable[[str], object] | None = print,
    ):
        _check_choice("hands", hands, ("single", "all"))
        _check_choice("image_as", image_as, IMAGE_KINDS)
        rows = _rows_of_index(rows, len(index))
        if hands == "single":
            _require_single(index, rows)
        self.quirks = quirks
        selection = usable_rows(
            index, rows, box_source, box_bug=self.quirks.interacting_box_from_right_hand
        )
        self.index, self.rows, self.taxonomy = index, selection.rows, taxonomy
        self.size_px, self.grid = size_px, _grid(size_px, grid)
        self.mano, self.augmentation, self.seed = mano, augmentation, seed
        self.box_source, self.image_as, self.with_mesh = box_source, image_as, with_mesh
        source = open_images(index, shards=shards, reduced_decode=reduced_decode)
        self.images = CropImages(source, size_px)
        self.coarse, self.fine = _classes(index, self.rows, taxonomy)
        if announce is not None:
            supervision = count_supervision(index, self.rows)
            lines = [selection.describe(), *self.images.describe(self.rows), supervision.describe()]
            announce("\n".join(lines))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: SampleKey) -> EanetSample:
        """Return the sample at a position, or at (epoch, position).

        Raises:
            DataError: The image is missing, unreadable, or of another size than annotated.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[EanetSample]:
        """Return the samples of a batch, in the order of `keys`, as a DataLoader requests.

        A sample does not depend on the others of its batch, to the last digit.

        Raises:
            DataError: See `__getitem__`.
        """
        epochs, positions = epochs_and_positions(keys)
        motions = [Motion()] * len(keys)
        if self.augmentation is not None:
            rows = self.rows[positions].tolist()
            motions = draw_motions(self.augmentation, self.seed, epochs, rows)
        return self._samples(positions.tolist(), motions)

    def sample(self, position: int, motion: Motion) -> EanetSample:
        """Return the sample at a position under a given motion."""
        return self._samples([position], [motion])[0]

    def box(self, record: HandRecord) -> np.ndarray:
        """Return the box of an image before augmentation, (4,) xywh px."""
        return self._box(record, captured_hands(record))

    def _box(self, record: HandRecord, hands: CapturedHands) -> np.ndarray:
        bug = self.quirks.interacting_box_from_right_hand
        return box_of(self.index, record, self.box_source, hands=hands, box_bug=bug)

    def _samples(self, positions: Sequence[int], motions: Sequence[Motion]) -> list[EanetSample]:
        records = [self.index.record(int(self.rows[position])) for position in positions]
        hands = [captured_hands(record) for record in records]
        boxes = [self._box(*of_one) for of_one in zip(records, hands, strict=True)]
        views = [
            view_of_box(box, motion, size_px=self.size_px, grid=self.grid)
            for box, motion in zip(boxes, motions, strict=True)
        ]
        fits = self._fits(records, views)
        samples = [
            self._sample(*of_one)
            for of_one in zip(positions, records, motions, boxes, views, hands, fits, strict=True)
        ]
        return with_looks(samples, [motion.look for motion in motions])

    def _sample(
        self,
        position: int,
        record: HandRecord,
        motion: Motion,
        box_xywh_px: np.ndarray,
        view: CropView,
        hands: CapturedHands,
        fits: list[ManoTargets | None],
    ) -> EanetSample:
        coarse, fine = self._labels(position, view.mirrored)
        return EanetSample(
            image=self._image(record, box_xywh_px, view, motion),
            coarse=coarse,
            fine=fine,
            hand=_hand_code(record.hand, view.mirrored),
            row=record.row,
            mirrored=view.mirrored,
            **self._targets(hands, fits, view),
            image_from_crop=_float32(invert_affine(view.crop_from_image)),
            crop_camera=_float32(camera_of_crop(record.focal_px, record.princpt_px, view)),
        )

    def _image(
        self, record: HandRecord, box_xywh_px: np.ndarray, view: CropView, motion: Motion
    ) -> Tensor:
        file, size_wh = str(record.image_path), record.image_size_wh
        part, _ = self.images.read(record.row, file, size_wh, box_xywh_px, motion)
        if self.image_as == "float":
            patch = crop_image(part, view, motion.gain_rgb)
            return _float32(patch.transpose(2, 0, 1) / np.float32(255))
        return cropped_image(part, view.crop_from_image, self.size_px, motion.gain_rgb)

    def _labels(self, position: int, mirrored: bool) -> tuple[int, int]:
        labels = int(self.coarse[position]), int(self.fine[position])
        if not mirrored or self.taxonomy is None:
            return labels
        return self.taxonomy.flip(*labels) or (-1, -1)

    def _targets(
        self, hands: CapturedHands, fits: list[ManoTargets | None], view: CropView
    ) -> dict[str, Tensor]:
        joints_m = hands.joints_cam_mm / 1000
        wrists = joints_m[:, :1]
        both_wrists = bool(hands.valid[:, 0].all())
        captured = captured_targets(
            hands.joints_px,
            joints_m - wrists,
            hands.valid,
            (wrists[1] - wrists[0])[0] * both_wrists,
            view,
        )
        depth_mm = np.where(hands.valid[:, 0], hands.joints_cam_mm[:, 0, 2], np.nan)
        fits = fits[::-1] if view.mirrored else fits
        return {
            **_captured_fields(captured, both_wrists),
            **_mano_fields(fits),
            "mano_mesh_cam": _meshes(fits, self.with_mesh),
            "is_3D": torch.tensor(1.0),
            "wrist_depth_mm": _float32(depth_mm[::-1] if view.mirrored else depth_mm),
        }

    def _fits(
        self, records: Sequence[HandRecord], views: Sequence[CropView]
    ) -> list[list[ManoTargets | None]]:
        """Return each record's targets of the right and left fit, None without a fit."""
        found: list[list[ManoTargets | None]] = [[None, None] for _ in records]
        cameras = [camera_of(record) for record in records]
        for side, name in enumerate(HANDS[:2]):
            known = [i for i, record in enumerate(records) if record.mano[name] is not None]
            if not known:
                continue
            moved = mano_targets(
                [records[i].mano[name] for i in known],
                side,
                self.mano,
                [cameras[i] for i in known],
                [views[i] for i in known],
                posed_wrist_camera=self.quirks.posed_wrist_camera,
                with_mesh=self.with_mesh,
            )
            for i, targets in zip(known, moved, strict=True):
                found[i][side] = targets
        return found


def _captured_fields(captured: CapturedTargets, both_wrists: bool) -> dict[str, Tensor]:
    known = captured.valid[..., None]
    return {
        "joint_img": _both(np.where(known, captured.joint_img, 0)),
        "joint_cam": _both(np.where(known, captured.joint_cam, 0)),
        "joint_valid": _both(known),
        "joint_trunc": _both(captured.inside[..., None]),
        "rel_trans": _float32(captured.rel_trans),
        "rel_trans_valid": _float32([both_wrists]),
    }


def _mano_fields(fits: list[ManoTargets | None]) -> dict[str, Tensor]:
    """Concatenate right and left hand of the crop; zeros without a fit."""
    known = np.array([fit is not None for fit in fits])

    def stacked(name: str, *shape: int) -> Tensor:
        zero = np.zeros(shape)
        values = np.stack([zero if fit is None else getattr(fit, name) for fit in fits])
        return _float32(values.reshape(-1, *shape[1:]))

    return {
        "mano_joint_img": stacked("joint_img", 21, 3),
        "mano_joint_cam": stacked("joint_cam", 21, 3),
        "mano_joint_trunc": stacked("inside", 21)[:, None],
        "mano_joint_valid": _float32(np.repeat(known, 21)[:, None].repeat(3, axis=1)),
        "mano_pose": stacked("pose", 48),
        "mano_shape": stacked("shape", 10),
        "mano_param_valid": _float32(np.repeat(known, 48)),
        "mano_shape_valid": _float32(np.repeat(known, 10)),
    }


def _meshes(fits: list[ManoTargets | None], wanted: bool) -> Tensor:
    if not wanted:
        return torch.zeros(0, 3)
    zero = np.zeros((778, 3))
    return _float32(np.concatenate([zero if fit is None else fit.vertices_cam for fit in fits]))


def _both(values: np.ndarray) -> Tensor:
    """Flatten (2, 21, K) to (42, K)."""
    return _float32(values.reshape(42, -1))


def _float32(values) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _hand_code(hand: str, mirrored: bool) -> int:
    if hand == "interacting":
        return -1
    return HANDS.index(hand) ^ mirrored


def _grid(size_px: int, grid: int | None) -> int:
    cells = size_px // STRIDE if grid is None else grid
    if cells < 1 or (grid is None and size_px % STRIDE):
        raise ValueError(
            f"crops of {size_px} px are not a multiple of the stride {STRIDE}; choose a multiple "
            f"of {STRIDE}, or give grid=..."
        )
    return cells


def _classes(
    index: HandIndex, rows: np.ndarray, taxonomy: Taxonomy | None
) -> tuple[np.ndarray, np.ndarray]:
    if taxonomy is None:
        return np.full(len(rows), -1), np.full(len(rows), -1)
    coarse, fine, _ = taxonomy.assign_codes(
        index.values("sequence", rows), index.labels, index.values("hand", rows), HANDS, rows=rows
    )
    return coarse, fine


def _require_single(index: HandIndex, rows: np.ndarray) -> None:
    two = rows[index.values("hand", rows) == HANDS.index("interacting")]
    if len(two):
        raise ValueError(
            f"row {two[0]} shows two hands, as do {len(two) - 1} others. Select rows with "
            "hands=('right', 'left'), or give the dataset hands='all'."
        )


def _rows_of_index(rows: Sequence[int], size: int) -> np.ndarray:
    rows = np.asarray(rows, np.int64)
    outside = rows[(rows < 0) | (rows >= size)]
    if len(outside):
        raise ValueError(f"row {outside[0]} is not in the index, which has rows 0 .. {size - 1}")
    return rows


def _check_choice(name: str, value: str, possible: tuple[str, ...]) -> None:
    if value not in possible:
        raise ValueError(f"{name} is {value!r}; possible: {', '.join(possible)}")
