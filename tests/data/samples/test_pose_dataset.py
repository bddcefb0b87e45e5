"""Samples of single hands: every quantity agrees with every other one, under every motion."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.data.samples.pose_dataset import PoseDataset
from gesture_pretrain.geometry.axis_angle import mirror_pose
from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.geometry.crop import apply_affine
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.taxonomy import Taxonomy

SIZE_PX = 64
STRONG = Augmentation(scale=0.3, rotation_deg=60, translation=0.2, colour=0.1, flip=0.5)
STRONG_RIGHT = replace(STRONG, flip=0.0)
# Numbers of a sample are float32. Pixels up to 200 come from K (entries up to 600), directions x/z
# up to 0.5, joints (mm) over depths (mm): a few roundings of 2**-24 each, of sums below 300 px.
PX = 8 * 300 * 2**-24
# Axis-angle entries up to pi rounded to 2**-24, over at most five joints and 200 mm of hand; world
# coordinates up to 1500 mm, rounded likewise, twice.
MM = (5 * 200 * np.pi + 2 * 1500) * 2**-24


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> HandIndex:
    root = tmp_path_factory.mktemp("pose") / "data"
    write_synthetic(
        root,
        images_per_split={"train": 24, "val": 8},
        size_px=96,
        subjects={"train": 2, "val": 1},
        gestures=["fist", "indexpoint", "two_count"],
        workers=0,
        progress=False,
    )
    build_interhand_index(root, progress=False)
    return HandIndex.open(root)


@pytest.fixture(scope="module")
def hands():
    return {side: load_hand_model(side, "open") for side in ("right", "left")}


@pytest.fixture(scope="module")
def exact_hands():
    return {side: load_hand_model(side, "open").double() for side in ("right", "left")}


@pytest.fixture
def dataset(index, hands):
    def build(rows=None, **options):
        rows = index.select(split="train") if rows is None else rows
        options = {"hand_models": hands, "announce": None, **options}
        return PoseDataset(index, rows, Taxonomy.load("interhand26m"), SIZE_PX, **options)

    return build


ARMS = [
    {},
    {"augmentation": STRONG, "seed": 3},
    {"augmentation": STRONG_RIGHT, "seed": 4, "mirror_left": True},
    {"augmentation": STRONG_RIGHT, "seed": 4, "mirror_left": True, "frame": "view"},
]
NAMES = ["plain", "strong", "mirror_left", "view"]


def samples(dataset, epochs=2):
    for epoch in range(epochs):
        for position in range(len(dataset)):
            yield dataset[epoch, position], dataset.index.record(int(dataset.rows[position]))


def project(camera, points_mm):
    camera, points = camera.double().numpy(), np.asarray(points_mm, np.float64)
    homogeneous = points @ camera.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def back_project(camera, point_px, depth_mm):
    camera = camera.double().numpy()
    direction = np.linalg.solve(camera, np.append(np.float64(point_px), 1.0))
    return direction * (depth_mm / direction[2])


@pytest.mark.parametrize("options", ARMS, ids=NAMES)
def test_joints_camera_and_pixels_agree(dataset, options):
    seen = set()
    for sample, record in samples(dataset(**options)):
        assert sample.joint_valid.all() and sample.has_camera
        depth = float(sample.wrist_depth_mm)
        wrist = back_project(sample.crop_camera, sample.keypoints_px[0].numpy(), depth)
        joints = sample.joints_rel_mm.double().numpy() + wrist
        np.testing.assert_allclose(
            project(sample.crop_camera, joints), sample.keypoints_px, rtol=0, atol=PX
        )
        seen.add((record.hand, sample.mirrored, int(sample.hand)))
    if options.get("mirror_left"):
        assert seen == {("right", False, 0), ("left", True, 0)}
    elif options:
        assert seen == {(h, m, c ^ m) for h, c in (("right", 0), ("left", 1)) for m in (0, 1)}


@pytest.mark.parametrize("options", ARMS, ids=NAMES)
def test_fit_joints_pixels_and_parameters_agree(dataset, exact_hands, options):
    for sample, record in samples(dataset(**options), epochs=1):
        fit = record.mano[record.hand]
        parameters = (fit.pose, fit.shape, fit.trans_m)
        world = posed_joints_mm(exact_hands[record.hand], *parameters)
        in_camera = world_to_camera_mm(world, record.R_cam_world, record.camera_center_mm)
        depth = (sample.camera_from_crop.double().numpy().T @ in_camera[0])[2]
        wrist = back_project(sample.crop_camera, sample.mano_keypoints_px[0].numpy(), depth)
        joints = sample.mano_joints_rel_mm.double().numpy() + wrist
        np.testing.assert_allclose(
            project(sample.crop_camera, joints), sample.mano_keypoints_px, rtol=0, atol=PX
        )
        side = ("right", "left")[sample.hand]
        posed = posed_joints_mm(exact_hands[side], sample.mano_pose, sample.mano_shape, np.zeros(3))
        np.testing.assert_allclose(posed - posed[0], sample.mano_joints_rel_mm, rtol=0, atol=MM)


def posed_joints_mm(model, pose, shape, trans_m):
    values = (torch.as_tensor(v).double()[None] for v in (pose, shape, trans_m))
    return 1000 * model(*values).joints_m[0].numpy()


@pytest.mark.parametrize("options", ARMS, ids=NAMES)
def test_on_rendered_hands_fit_and_annotation_are_the_same(dataset, options):
    # the embedded set's annotation is that of its fit
    for sample, _ in samples(dataset(**options), epochs=1):
        assert sample.mano_valid
        difference = sample.mano_joints_rel_mm - sample.joints_rel_mm
        assert difference.abs().max() < MM
        # up to 600 px of focal length over 500 mm of distance
        assert (sample.mano_keypoints_px - sample.keypoints_px).abs().max() < PX + 1.2 * MM


class Panned:
    """An index whose cameras are rotated about their centres, so that hands are elsewhere."""

    def __init__(self, index: HandIndex, pan: np.ndarray):
        self._index, self._pan = index, pan

    def __getattr__(self, name):
        return getattr(self._index, name)

    def record(self, row):
        """The record of a camera rotated by `pan`; its image is shifted like the hand."""
        record = self._index.record(row)
        rotation = self._pan @ record.R_cam_world
        world = record.joints_world_mm[("right", "left").index(record.hand)]
        middle = [
            project_px(
                world_to_camera_mm(world, of_camera, record.camera_center_mm).mean(0),
                record.focal_px,
                record.princpt_px,
            )
            for of_camera in (record.R_cam_world, rotation)
        ]
        princpt_px = np.float32(record.princpt_px + middle[0] - middle[1])
        return replace(record, R_cam_world=rotation, princpt_px=princpt_px)


@pytest.mark.parametrize("frame", ["camera", "view"])
def test_the_pose_in_a_view_does_not_depend_on_the_place_in_the_image(dataset, index, frame):
    """A hand that looks the same had poses that differed by the angle of its viewing ray."""
    angle = np.radians(15)
    pan = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    centred = dataset(frame=frame)
    aside = PoseDataset.__new__(PoseDataset)
    aside.__dict__ |= centred.__dict__ | {"index": Panned(index, pan)}
    angles = []
    for position in range(len(centred)):
        joints = [data[position].joints_rel_mm.double().numpy() for data in (centred, aside)]
        u, _, vt = np.linalg.svd(joints[0].T @ joints[1])
        turned = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        angles.append(np.degrees(np.arccos((np.trace(turned) - 1) / 2)))
    # the middle of the crop is not quite that of the joints, and views do not roll like the pan
    expected = (0.0, 3.0) if frame == "view" else (13.0, 17.0)
    assert expected[0] <= min(angles) and max(angles) <= expected[1], angles


def test_image_from_crop_leads_back_to_the_image(dataset):
    for sample, record in samples(dataset(augmentation=STRONG, seed=5)):
        side = ("right", "left").index(record.hand)
        in_camera = world_to_camera_mm(
            record.joints_world_mm[side], record.R_cam_world, record.camera_center_mm
        )
        expected = project_px(in_camera, record.focal_px, record.princpt_px)
        back = apply_affine(sample.keypoints_px.numpy(), sample.image_from_crop.numpy())
        # the crop is at most twice as small as the image
        np.testing.assert_allclose(back, expected, rtol=0, atol=2 * PX)
        assert (torch.linalg.det(sample.image_from_crop[:, :2]) < 0) == sample.mirrored


def test_mirrored_left_hand_is_a_right_hand_in_every_field(dataset, index, exact_hands):
    lefts = index.select(split="train", hands=["left"])
    taxonomy = Taxonomy.load("interhand26m")
    plain, mirrored = dataset(lefts), dataset(lefts, mirror_left=True)
    for position in range(len(lefts)):
        a, b = plain[position], mirrored[position]
        assert (a.hand, b.hand, a.mirrored, b.mirrored) == (1, 0, False, True)
        assert (b.coarse, b.fine) == taxonomy.flip(a.coarse, a.fine)
        flip_x = torch.tensor([-1.0, 1.0, 1.0])
        torch.testing.assert_close(b.joints_rel_mm, a.joints_rel_mm * flip_x, rtol=0, atol=MM)
        across = torch.tensor([SIZE_PX, 0.0])
        torch.testing.assert_close(
            b.keypoints_px, across + a.keypoints_px * flip_x[:2], rtol=0, atol=PX
        )
        assert torch.equal(a.joint_in_view, b.joint_in_view)
        torch.testing.assert_close(
            b.mano_pose,
            torch.from_numpy(mirror_pose(a.mano_pose.numpy())).float(),
            rtol=0,
            atol=1e-6,
        )
        assert torch.equal(a.mano_shape, b.mano_shape)
        posed = posed_joints_mm(exact_hands["right"], b.mano_pose, b.mano_shape, np.zeros(3))
        np.testing.assert_allclose(
            posed - posed[0], a.mano_joints_rel_mm.numpy() * [-1, 1, 1], rtol=0, atol=MM
        )
        # pixel i of one is pixel S - i of the other; the warp rounds positions to 1/32 px
        there, back = b.image[:, :, 1:].float(), a.image[:, :, 1:].flip(2).float()
        assert (there - back).abs().mean() < 1.0


def test_labels_without_a_mirror_image_are_masked(index, hands):
    labels = Taxonomy.from_index_labels(index.labels)
    lefts = index.select(hands=["left"])[:1]
    options = {"hand_models": hands, "announce": None}
    sample = PoseDataset(index, lefts, labels, SIZE_PX, mirror_left=True, **options)[0]
    assert (sample.coarse, sample.fine, sample.hand, sample.mirrored) == (-1, -1, 0, True)
    assert PoseDataset(index, lefts, labels, SIZE_PX, **options)[0].coarse >= 0


def without(index, monkeypatch, **changes):
    """Lets the index report its records with some fields changed."""
    read = type(index).record
    monkeypatch.setattr(index, "record", lambda i: replace(read(index, i), **changes))


def test_missing_fit_is_flagged(dataset, index, monkeypatch):
    without(index, monkeypatch, mano={"right": None, "left": None})
    sample = dataset()[0]
    assert not sample.mano_valid and sample.joint_valid.all() and sample.has_camera
    for name in ("mano_pose", "mano_shape", "mano_joints_rel_mm", "mano_keypoints_px"):
        assert not getattr(sample, name).any()


def test_missing_camera_is_flagged(dataset, index, monkeypatch):
    names = ("R_cam_world", "camera_center_mm", "focal_px", "princpt_px")
    without(index, monkeypatch, **dict.fromkeys(names))
    sample = dataset()[0]
    assert not (sample.has_camera or sample.mano_valid or sample.joint_valid.any())
    assert not sample.joint_in_view.any() and torch.isnan(sample.wrist_depth_mm)
    assert not sample.crop_camera.any() and sample.image.any()


def edited_joints(record, joint):
    side = ("right", "left").index(record.hand)
    known, joints = record.joint_triangulated.copy(), record.joints_world_mm.copy()
    known[side, joint], joints[side, joint] = False, np.nan
    return {"joint_triangulated": known, "joints_world_mm": joints}


def test_invalid_joint_and_missing_wrist_are_flagged(dataset, index, monkeypatch):
    record = index.record(0)
    without(index, monkeypatch, **edited_joints(record, 7))
    sample = dataset([0])[0]
    assert sample.joint_valid.tolist() == [joint != 7 for joint in range(21)]
    assert not sample.joints_rel_mm[7].any() and not sample.keypoints_px[7].any()
    assert not sample.joint_in_view[7] and torch.isfinite(sample.joints_rel_mm).all()
    without(index, monkeypatch, **edited_joints(record, 0))
    sample = dataset([0])[0]
    assert not sample.joint_valid.any() and torch.isnan(sample.wrist_depth_mm)
    assert sample.mano_valid  # the fit does not need the annotation


def test_joint_outside_image_or_crop_is_valid_but_not_in_view(dataset, index, monkeypatch):
    record = index.record(0)
    side = ("right", "left").index(record.hand)
    shown = np.ones_like(record.joint_in_view)
    shown[side, 5] = False
    without(index, monkeypatch, joint_in_view=shown)
    sample = dataset([0])[0]
    assert sample.joint_valid.all()
    assert sample.joint_in_view.tolist() == [joint != 5 for joint in range(21)]
    far = dataset([0], augmentation=Augmentation(0, 0, 1.0, 0, 0))  # shifted by up to a whole box
    cut = [far[epoch, 0] for epoch in range(10)]
    assert any(not s.joint_in_view.any() for s in cut) and all(s.joint_valid.all() for s in cut)


def test_fit_behind_the_camera_is_no_fit(dataset, index, monkeypatch):
    record = index.record(0)
    fit = record.mano[record.hand]
    behind = record.camera_center_mm / 1000 - record.R_cam_world[2]  # 1 m behind
    moved = replace(fit, trans_m=behind.astype(np.float32))
    without(index, monkeypatch, mano={**record.mano, record.hand: moved})
    assert not dataset([0])[0].mano_valid


def test_sample_depends_on_seed_epoch_and_row_only(dataset, index):
    rows = index.select(split="train")
    one = dataset(rows, augmentation=STRONG, seed=7)
    other = dataset(rows[::-1].copy(), augmentation=STRONG, seed=7)
    assert all_equal(one[3, 2], other[3, len(rows) - 3])
    assert not all_equal(one[3, 2], one[4, 2])
    assert not all_equal(one[3, 2], dataset(rows, augmentation=STRONG, seed=8)[3, 2])


def test_a_batch_gives_the_samples_that_its_keys_give_alone(dataset):
    crops = dataset(augmentation=STRONG, seed=7)
    keys = [(2, 5), 3, (0, 3), (7, 0), (2, 4), (1, 23), (9, 7)]
    for sample, key in zip(crops.__getitems__(keys), keys, strict=True):
        assert all_equal(sample, crops[key])


def all_equal(a, b):
    return all(
        torch.equal(torch.as_tensor(x), torch.as_tensor(y)) for x, y in zip(a, b, strict=True)
    )


def test_collates_to_a_batch_of_the_same_fields(dataset):
    batch = next(iter(DataLoader(dataset(), batch_size=4)))
    assert batch.image.shape == (4, 3, SIZE_PX, SIZE_PX) and batch.image.dtype == torch.uint8
    kinds = {name: getattr(batch, name).dtype for name in batch._fields}
    flags = ("joint_valid", "joint_in_view", "mano_valid", "has_camera", "mirrored")
    whole = ("coarse", "fine", "hand", "row")
    for name, kind in kinds.items():
        expected = torch.bool if name in flags else torch.int64 if name in whole else torch.float32
        assert kind == (torch.uint8 if name == "image" else expected), name


def test_interacting_hands_are_refused(tiny_release, tmp_path, hands):
    tiny_release.write(tmp_path)
    index = HandIndex.open(build_interhand_index(tmp_path, progress=False))
    both = int(index.select(hands=["interacting"])[0])
    with pytest.raises(ValueError, match=f"Row {both} shows 'interacting'.*hands="):
        PoseDataset(index, [both], Taxonomy.load("interhand26m"), SIZE_PX, hand_models=hands)


def test_wrong_arguments_are_named(dataset, hands):
    with pytest.raises(ValueError, match="flip is 0.5"):
        dataset(mirror_left=True, augmentation=STRONG)
    with pytest.raises(ValueError, match="hand_models\\['left'\\] is missing"):
        dataset(hand_models={"right": hands["right"]})
    with pytest.raises(ValueError, match="a right hand"):
        dataset(hand_models={"right": hands["right"], "left": hands["right"]})
    with pytest.raises(ValueError, match="Row 999 is not in the index"):
        dataset([999])


def test_describe_counts_what_is_annotated(dataset, index):
    lines = []
    dataset(announce=lines.append)
    assert "Of 24 hands 24 have 3D joints, 24 a MANO fit and 24 a camera." in lines[0]


@pytest.mark.parametrize("mirror_left", [False, True])
def test_detected_boxes_are_cropped_as_they_are_and_all_still_agrees(dataset, index, mirror_left):
    rows = index.select(split="val")
    options = {"box_source": "rootnet", "mirror_left": mirror_left}
    for sample, record in samples(dataset(rows, **options), epochs=1):
        corner = np.array([[0.0, 0.0], [SIZE_PX, SIZE_PX]])
        shown = np.sort(apply_affine(corner, sample.image_from_crop.numpy()), axis=0)
        x, y, side, _ = index.values("detected_bbox_xywh_px", np.array([record.row]))[0]
        np.testing.assert_allclose(shown, [[x, y], [x + side, y + side]], rtol=0, atol=PX)
        wrist = back_project(
            sample.crop_camera, sample.keypoints_px[0].numpy(), float(sample.wrist_depth_mm)
        )
        joints = sample.joints_rel_mm.double().numpy() + wrist
        np.testing.assert_allclose(
            project(sample.crop_camera, joints), sample.keypoints_px, rtol=0, atol=PX
        )


def test_detected_boxes_that_are_not_there_are_refused(dataset):
    with pytest.raises(ValueError, match="have no box from rootnet"):
        dataset(box_source="rootnet")
    with pytest.raises(ValueError, match="possible: annotation, rootnet"):
        dataset(box_source="joints")


@pytest.mark.parametrize("options", ARMS, ids=NAMES)
def test_real_annotations_without_fits_agree_and_are_flagged(sample_index, hands, options):
    real = sample_index
    rows = real.select(hands=["right", "left"])
    assert len(rows) == 2
    options = {"hand_models": hands, "announce": None, **options}
    crops = PoseDataset(real, rows, Taxonomy.load("interhand26m"), 128, **options)
    for found, record in samples(crops, epochs=4):
        assert not found.mano_valid and not found.mano_pose.any()
        side = ("right", "left").index(record.hand)
        known = record.joint_triangulated[side]
        assert found.joint_valid.tolist() == (known & known[0]).tolist()
        wrist = back_project(
            found.crop_camera, found.keypoints_px[0].numpy(), float(found.wrist_depth_mm)
        )
        pixels = project(found.crop_camera, found.joints_rel_mm.double().numpy() + wrist)
        valid = found.joint_valid.numpy()
        # focal lengths of 1290 px over boxes from 100 px: K's entries are up to 5 times as large as
        # in the rendered set
        np.testing.assert_allclose(
            pixels[valid], found.keypoints_px.numpy()[valid], rtol=0, atol=5 * PX
        )
        if not options.get("augmentation"):  # the box holds all that is in the image
            assert found.joint_in_view.tolist() == (record.joint_in_view[side] & valid).tolist()
