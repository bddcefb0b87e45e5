"""Samples depend only on (seed, epoch, row), and invalid input is refused."""

import json
import pickle
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from moved_view import move_view, view_of
from torch.utils.data import DataLoader, Subset

from gesture_pretrain.data.folders import build_folder_index
from gesture_pretrain.data.images import read_image_rgb
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.augmentation import (
    Augmentation,
    Motion,
    augmentation_stream,
)
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset, prepare_worker
from gesture_pretrain.data.samples.sampling import EpochBatchSampler
from gesture_pretrain.geometry.boxes import square_box
from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.geometry.crop import crop_affine
from gesture_pretrain.taxonomy import Taxonomy

SIZE = 48
WIDTH, HEIGHT = 160, 120
CAMERA = "400002"
# sequence, hand_type; one image each
IMAGES = [
    ("0016_fist", "right"),
    ("0116_fist", "left"),
    ("0007_thumbup_normal", "right"),
    ("0027_five_count", "left"),  # a stray left hand in a right-hand folder
    ("0016_fist", "interacting"),
    ("ROM03_RT_No_Occlusion", "right"),
    ("0127_five_count", "left"),
    ("0036_palmdownwave", "right"),
]
LOST_WRIST, LOST_TIP = 6, 0


def write_interhand(root):
    """Eight images in InterHand2.6M's v1.0 layout: the train split only."""
    random = np.random.default_rng(0)
    images, annotations, joints = [], [], {}
    for k, (sequence, hand) in enumerate(IMAGES):
        frame = 100 + 3 * k
        name = f"Capture0/{sequence}/cam{CAMERA}/image{frame}.jpg"
        path = root / "images" / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = cv2.resize(random.integers(0, 255, (6, 8, 3), np.uint8), (WIDTH, HEIGHT))
        cv2.imwrite(str(path), image)
        points = random.uniform(-80, 80, (42, 3)) + [0, 0, 900]
        valid = np.zeros(42, int)
        valid[{"right": slice(0, 21), "left": slice(21, 42), "interacting": slice(42)}[hand]] = 1
        valid[20 + 21 * (hand == "left")] = k != LOST_WRIST
        valid[0] &= k != LOST_TIP
        points[valid == 0] = 1.0
        images.append({
            "id": 7 + 2 * k, "file_name": name, "width": WIDTH, "height": HEIGHT, "capture": 0,
            "subject": 1, "seq_name": sequence, "camera": CAMERA, "frame_idx": frame,
        })  # fmt: skip
        annotations.append({
            "id": 7 + 2 * k, "image_id": 7 + 2 * k, "bbox": [50.0, 30.0, 60.0, 50.0],
            "joint_valid": [[int(v)] for v in valid], "hand_type": hand, "hand_type_valid": 1,
        })  # fmt: skip
        joints[str(frame)] = {
            "world_coord": np.float32(points).astype(float).tolist(),
            "joint_valid": [[bool(v)] for v in valid],
            "hand_type": hand, "hand_type_valid": True,
        }  # fmt: skip
    camera = {
        "campos": {CAMERA: [3.0, -4.0, 5.0]}, "camrot": {CAMERA: np.eye(3).tolist()},
        "focal": {CAMERA: [300.0, 301.0]}, "princpt": {CAMERA: [81.0, 59.0]},
    }  # fmt: skip
    folder = root / "annotations" / "train"
    folder.mkdir(parents=True)
    for kind, content in {
        "data": {"images": images, "annotations": annotations},
        "camera": {"0": camera}, "joint_3d": {"0": joints}, "MANO_NeuralAnnot": {"0": {}},
    }.items():  # fmt: skip
        (folder / f"InterHand2.6M_train_{kind}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    root = tmp_path_factory.mktemp("interhand")
    write_interhand(root)
    return HandIndex.open(build_interhand_index(root, root / "index", progress=False))


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.load("interhand26m")


def dataset_of(index, taxonomy, rows=range(8), **options):
    return GestureDataset(index, rows, taxonomy, SIZE, announce=None, **options)


def rows_by_label(index):
    return {(index.record(i).label, index.record(i).hand): i for i in range(len(index))}


def assert_same(first, second):
    for name, one, other in zip(first._fields, first, second, strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other)), name


def test_a_sample_has_the_promised_shapes_and_types(index, taxonomy):
    batch = next(iter(DataLoader(dataset_of(index, taxonomy), batch_size=8)))
    assert batch.image.shape == (8, 3, SIZE, SIZE) and batch.image.dtype == torch.uint8
    for name in ("coarse", "fine", "hand", "row"):
        assert getattr(batch, name).shape == (8,) and getattr(batch, name).dtype == torch.int64
    assert batch.keypoints_px.shape == (8, 21, 2) and batch.keypoints_px.dtype == torch.float32
    assert batch.joints_rel_mm.shape == (8, 21, 3) and batch.joints_rel_mm.dtype == torch.float32
    assert batch.joint_valid.shape == (8, 21) and batch.joint_valid.dtype == torch.bool


def test_labels_sides_and_masks(index, taxonomy):
    dataset = dataset_of(index, taxonomy)
    sample = {key: dataset[row] for key, row in rows_by_label(index).items()}
    found = {key: (s.coarse, s.fine, s.hand) for key, s in sample.items()}
    assert found == {
        ("0016_fist", "right"): (10, 29, 0),
        ("0116_fist", "left"): (37, 64, 1),
        ("0007_thumbup_normal", "right"): (5, 32, 0),
        ("0027_five_count", "left"): (-1, -1, 1),
        ("0016_fist", "interacting"): (-1, -1, -1),
        ("ROM03_RT_No_Occlusion", "right"): (-1, -1, 0),
        ("0127_five_count", "left"): (27, 37, 1),
        ("0036_palmdownwave", "right"): (20, 24, 0),
    }
    report = dataset.label_report
    assert (report.labelled, report.unknown, report.side_mismatch) == (5, 1, 2)
    assert sample["0016_fist", "interacting"].joint_valid.sum() == 0
    # root-relative joints do not exist without the wrist; a lost fingertip masks only itself
    assert sample["0127_five_count", "left"].joint_valid.sum() == 0
    assert sample["0016_fist", "right"].joint_valid.sum() == 20
    assert not sample["0016_fist", "right"].joint_valid[4]  # thumb tip: first row of their order


def test_what_is_masked_is_zero_never_the_filler(index, taxonomy):
    for sample in map(dataset_of(index, taxonomy).__getitem__, range(8)):
        masked = ~sample.joint_valid
        assert torch.isfinite(sample.joints_rel_mm).all()
        assert not sample.joints_rel_mm[masked].any() and not sample.keypoints_px[masked].any()


def test_keypoints_are_the_projected_joints_in_the_crop(index, taxonomy):
    for row in range(8):
        sample, record = dataset_of(index, taxonomy, box_ratio=1.5)[row], index.record(row)
        if not sample.joint_valid.any():
            continue
        joints = world_to_camera_mm(
            record.joints_world_mm[sample.hand], record.R_cam_world, record.camera_center_mm
        )
        affine = crop_affine(square_box([50, 30, 60, 50], 1.5), SIZE)
        expected = project_px(joints, record.focal_px, record.princpt_px)
        expected = expected @ affine[:, :2].T + affine[:, 2]
        valid = sample.joint_valid.numpy()
        # float32: up to 100 px, and 160 mm
        np.testing.assert_allclose(sample.keypoints_px[valid], expected[valid], atol=1e-5)
        relative = (joints - joints[0])[valid]
        np.testing.assert_allclose(sample.joints_rel_mm[valid], relative, atol=2e-5)


def test_samples_do_not_depend_on_workers_or_order(index, taxonomy):
    # guards a hang: OpenCV's pool is started before the workers are forked
    cv2.warpAffine(np.zeros((999, 999, 3), np.uint8), np.eye(2, 3), (999, 999))
    options = {"augmentation": Augmentation(flip=0.5), "seed": 3}
    dataset = dataset_of(index, taxonomy, **options)
    loaders = [
        DataLoader(
            dataset,
            num_workers=workers,
            worker_init_fn=prepare_worker,
            batch_sampler=EpochBatchSampler(8, batch_size=4, seed=1),
        )
        for workers in (0, 2)
    ]
    for one, other in zip(*(islice(loader, 5) for loader in loaders), strict=True):
        assert_same(one, other)
    backwards = dataset_of(index, taxonomy, rows=range(7, -1, -1), **options)
    for position in range(8):
        assert_same(dataset[2, position], backwards[2, 7 - position])
    assert_same(dataset_of(index, taxonomy, rows=[5], **options)[2, 0], dataset[2, 5])


def test_a_batch_gives_the_samples_that_its_keys_give_alone(index, taxonomy):
    dataset = dataset_of(index, taxonomy, augmentation=Augmentation(flip=0.5), seed=4)
    keys = [(2, 5), 3, (0, 3), (7, 0), (2, 4), (1, 6), (9, 7)]
    for sample, key in zip(dataset.__getitems__(keys), keys, strict=True):
        assert_same(sample, dataset[key])


def test_a_sample_is_the_moved_view(index, taxonomy):
    """The batch's arithmetic and that of one view are the same, to rounding."""
    augmentation = Augmentation(flip=0.5)
    dataset = dataset_of(index, taxonomy, augmentation=augmentation, seed=1)
    for epoch in range(4):
        for position in range(8):
            motion = augmentation.draw(augmentation_stream(1, epoch, position))
            view = move_view(view_of(dataset, position), motion, size_px=SIZE, taxonomy=taxonomy)
            sample = dataset[epoch, position]
            assert torch.equal(sample.image, torch.from_numpy(view.image_rgb).permute(2, 0, 1))
            assert (sample.hand, sample.coarse, sample.fine) == (view.hand, view.coarse, view.fine)
            valid = view.joint_valid
            assert np.array_equal(sample.joint_valid.numpy(), valid)
            for mine, theirs in (
                (sample.keypoints_px, view.keypoints_px),
                (sample.joints_rel_mm, view.joints_rel_mm),
            ):
                np.testing.assert_allclose(mine.numpy()[valid], theirs[valid], rtol=1e-6, atol=1e-4)


def test_boxes_of_rootnet_need_an_index_with_them(index, taxonomy):
    with pytest.raises(ValueError, match="the index has no RootNet boxes"):
        dataset_of(index, taxonomy, box_source="rootnet")
    with pytest.raises(ValueError, match="possible: annotation, rootnet"):
        dataset_of(index, taxonomy, box_source="yolo")


def test_epochs_and_seeds_differ_and_a_plain_position_is_epoch_0(index, taxonomy):
    options = {"augmentation": Augmentation()}
    dataset = dataset_of(index, taxonomy, **options)
    other = dataset_of(index, taxonomy, seed=1, **options)
    assert_same(dataset[0], dataset[0, 0])
    assert_same(Subset(dataset, [4])[0], dataset[0, 4])
    assert not torch.equal(dataset[0, 0].image, dataset[1, 0].image)
    assert not torch.equal(dataset[0, 0].image, other[0, 0].image)


def test_without_augmentation_every_epoch_is_the_same(index, taxonomy):
    dataset = dataset_of(index, taxonomy)
    assert_same(dataset[0, 2], dataset[9, 2])


def test_a_mirrored_sample_has_the_mirrored_class(index, taxonomy):
    always = dataset_of(index, taxonomy, augmentation=Augmentation(0.0, 0.0, 0.0, 0.0, flip=1.0))
    plain = dataset_of(index, taxonomy)
    for row in range(8):
        one, other = plain[row], always[row]
        assert (other.coarse, other.fine) == taxonomy.flip(one.coarse, one.fine)
        assert other.hand == {0: 1, 1: 0, -1: -1}[one.hand]
        mirror = torch.tensor([-1.0, 1.0, 1.0])
        assert torch.equal(other.joints_rel_mm, one.joints_rel_mm * mirror)


def test_shuffled_control_follows_the_rows(index, taxonomy):
    control = taxonomy.shuffled(4)
    one = dataset_of(index, control)
    other = dataset_of(index, control, rows=range(7, -1, -1))
    assert np.array_equal(one.coarse, other.coarse[::-1])
    plain = dataset_of(index, taxonomy)
    assert sorted(one.fine) == sorted(plain.fine)
    assert np.array_equal(one.coarse < 0, plain.coarse < 0)


def test_a_pickled_dataset_is_small_and_gives_the_same_samples(index, taxonomy):
    # pickling a memory map would copy its content into every spawned worker
    dataset = dataset_of(index, taxonomy, augmentation=Augmentation())
    data = pickle.dumps(dataset.index)
    assert len(data) < 2000
    assert_same(pickle.loads(pickle.dumps(dataset))[1, 3], dataset[1, 3])


def test_the_description_is_printed_once(index, capsys):
    folders = Taxonomy.from_index_labels(index.labels)
    GestureDataset(index, range(8), folders, SIZE, augmentation=Augmentation(flip=0.5))
    printed = capsys.readouterr().out
    assert "7 of 8 images have a gesture class" in printed
    assert "No flip for 7 of 7 fine classes" in printed


def test_a_row_outside_of_the_index(index, taxonomy):
    with pytest.raises(ValueError, match=r"Row 8 is not in the index, which has rows 0 .. 7"):
        dataset_of(index, taxonomy, rows=[0, 8])


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_an_unreadable_image_is_named_with_its_row(tmp_path, content):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"row 17 is not a readable image: .*broken.jpg"):
        read_image_rgb(path, 17)


def test_a_missing_image_is_named_with_its_row(tmp_path):
    with pytest.raises(DataError, match="row 17 does not exist: .*gone.jpg"):
        read_image_rgb(tmp_path / "gone.jpg", 17)


def test_an_image_of_another_size_than_annotated(index, taxonomy, monkeypatch):
    dataset, small = dataset_of(index, taxonomy), np.zeros((60, 80, 3), np.uint8)
    monkeypatch.setattr("gesture_pretrain.data.images.files.read_image_rgb", lambda *_, **__: small)
    with pytest.raises(DataError, match="row 0 is 80 x 60 px, but its annotation says 160 x"):
        dataset[0]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((4, 4), 70, np.uint8), [70, 70, 70]),
        (np.full((4, 4, 3), (10, 20, 30), np.uint8), [30, 20, 10]),
        (np.full((4, 4, 4), (10, 20, 30, 0), np.uint8), [30, 20, 10]),
        (np.full((4, 4, 3), (2560, 5120, 7680), np.uint16), [30, 20, 10]),
    ],
    ids=["grey", "colour", "transparent", "16 bit"],
)
def test_every_kind_of_image_becomes_rgb(tmp_path, image, expected):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), image)
    image = read_image_rgb(path, 0)
    assert image.shape == (4, 4, 3) and image.dtype == np.uint8
    assert image[1, 1].tolist() == expected


def test_exif_rotation_is_applied(tmp_path):
    # orientation 6: the stored image is shown turned by 90 degrees clockwise
    _, data = cv2.imencode(".jpg", np.zeros((8, 16, 3), np.uint8))
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    payload = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload
    path = tmp_path / "turned.jpg"
    path.write_bytes(data.tobytes()[:2] + segment + data.tobytes()[2:])
    assert read_image_rgb(path, 0).shape == (16, 8, 3)


def test_a_folder_of_photographs_is_shown_whole(tmp_path):
    for name in ("fist", "palm"):
        (tmp_path / "train" / name).mkdir(parents=True)
        image = np.full((20, 40, 3), 255, np.uint8)
        cv2.imwrite(str(tmp_path / "train" / name / "a.png"), image)
    index = HandIndex.open(build_folder_index(tmp_path, tmp_path / "index"))
    dataset = dataset_of(index, Taxonomy.from_index_labels(index.labels), rows=range(2))
    sample = dataset[1]
    assert (sample.coarse, sample.fine, sample.hand) == (1, 1, -1)
    assert not sample.joint_valid.any() and not sample.joints_rel_mm.any()
    assert sample.image[:, :11].max() == 0 and sample.image[:, 14:34, :-1].min() == 255


@pytest.fixture(scope="module")
def golden_thumbup(shared_dir, sample_index):
    """A published image as a whole view, with what the EANet loader makes of it."""
    samples = json.loads((shared_dir / "interhand" / "golden.json").read_text())["samples"]
    golden = next(sample for sample in samples if sample["hand_type"] == "right")
    index = sample_index
    row = next(i for i in range(len(index)) if index.image_path(i).name == golden["image"])
    dataset = dataset_of(index, Taxonomy.load("interhand26m"), rows=[row])
    box = np.array(golden["eanet"]["bbox_xywh_after_process_bbox"])
    return replace(view_of(dataset, 0), box_xywh_px=box), golden["eanet"]


@pytest.mark.parametrize(
    ("motion", "target", "hand", "classes"),
    [
        (Motion(), "target_no_aug", 0, (5, 32)),
        (Motion(rotation_deg=30.0, flip=True), "target_flip_rot30", 1, (32, 67)),
    ],
)
def test_a_real_image_moves_as_in_the_eanet_loader(
    golden_thumbup, taxonomy, motion, target, hand, classes
):
    view, golden = golden_thumbup
    moved = move_view(view, motion, size_px=256, taxonomy=taxonomy)
    assert (moved.hand, moved.coarse, moved.fine) == (hand, *classes)
    block = slice(21 * hand, 21 * hand + 21)
    in_cells = np.array(golden[target]["joint_img_hm8_mano_order"])[block, :2]
    # golden tolerance 2e-3 px: 256 px are 8 cells
    np.testing.assert_allclose(moved.keypoints_px, in_cells * 32, atol=2e-3)
    relative_m = np.array(golden[target]["joint_cam_root_relative_m_mano_order"])[block]
    np.testing.assert_allclose(moved.joints_rel_mm, relative_m * 1000, atol=2e-3)
    if not motion.flip:
        mean_rgb = moved.image_rgb.mean(axis=(0, 1))
        np.testing.assert_allclose(mean_rgb, golden["patch_mean_rgb"], atol=1.0)
