"""The loader on three real annotated images, against what the published code makes of them."""

import json

import numpy as np
import pytest

from adapters.eanet.boxes import box_of_hands
from adapters.eanet.dataset import EanetDataset
from adapters.eanet.rows import captured_hands
from eanet import UPSTREAM
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_index_from_files
from gesture_pretrain.data.interhand.files import AnnotationFiles
from gesture_pretrain.data.samples.augmentation import Motion
from gesture_pretrain.geometry.boxes import clip_box_eanet

# as the reference values themselves: nine digits of float32 computations
PIXELS, BOX_PX, CELLS, METRES = 2e-3, 1e-2, 2e-4, 2e-6
NUMBERS = (0, 1, 2)


@pytest.fixture(scope="module")
def samples(shared_dir) -> list[dict]:
    return json.loads((shared_dir / "interhand" / "golden.json").read_text())["samples"]


@pytest.fixture(scope="module")
def index(shared_dir, tmp_path_factory) -> HandIndex:
    sample = shared_dir / "interhand" / "sample"
    kinds = ("data", "camera", "joint_3d")
    files = [sample / f"test_interhand2.6m_{kind}.json" for kind in kinds]
    out = tmp_path_factory.mktemp("sample") / "index"
    described = AnnotationFiles("test", sample, *files)
    return HandIndex.open(build_index_from_files([described], sample, out, progress=False))


@pytest.fixture(scope="module")
def dataset(index, recipes) -> EanetDataset:
    options = {"mano": recipes.mano(), "hands": "all", "image_as": "float", "quirks": UPSTREAM}
    return EanetDataset(index, range(len(index)), None, announce=None, **options)


def position_of(dataset, sample) -> int:
    names = [dataset.index.image_path(row).name for row in dataset.rows]
    return names.index(sample["image"])


@pytest.mark.parametrize("number", NUMBERS)
def test_boxes_of_real_images(dataset, samples, number):
    golden = samples[number]["eanet"]
    record = dataset.index.record(int(dataset.rows[position_of(dataset, samples[number])]))
    hands = captured_hands(record)
    raw = box_of_hands(hands.joints_px, hands.valid, record.hand, box_bug=True)
    fitted = clip_box_eanet(raw, record.image_size_wh)
    for box, name in (
        (raw, "hand_bbox_xywh_before_process"),
        (fitted, "bbox_xywh_after_sanitize"),
        (dataset.box(record), "bbox_xywh_after_process_bbox"),
    ):
        np.testing.assert_allclose(box, golden[name], rtol=0, atol=BOX_PX)
    if record.hand == "interacting":
        intended = box_of_hands(hands.joints_px, hands.valid, record.hand)
        expected = golden["union_bbox_xywh_as_probably_intended"]
        np.testing.assert_allclose(intended, expected, rtol=0, atol=BOX_PX)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("name", "motion"),
    [("target_no_aug", Motion()), ("target_flip_rot30", Motion(rotation_deg=30.0, flip=True))],
)
def test_targets_of_real_images(dataset, samples, number, name, motion):
    golden = samples[number]["eanet"][name]
    found = dataset.sample(position_of(dataset, samples[number]), motion)
    valid = np.array(golden["joint_valid_mano_order"], bool).ravel()
    np.testing.assert_array_equal(found.joint_valid[:, 0] > 0, valid)
    for values, expected, tolerance in (
        (found.joint_img, golden["joint_img_hm8_mano_order"], CELLS),
        (found.joint_cam, golden["joint_cam_root_relative_m_mano_order"], METRES),
    ):
        expected = np.array(expected)[valid]
        np.testing.assert_allclose(values[valid], expected, rtol=0, atol=tolerance)
    if "joint_trunc_mano_order" in golden:
        inside = np.array(golden["joint_trunc_mano_order"], bool).ravel()
        np.testing.assert_array_equal(found.joint_trunc[:, 0] > 0, inside)
    if found.rel_trans_valid:
        np.testing.assert_allclose(found.rel_trans, golden["rel_trans_m"], rtol=0, atol=METRES)
    assert not found.mano_param_valid.any()  # these files hold no fits


@pytest.mark.parametrize("number", NUMBERS)
def test_crops_of_real_images(dataset, samples, number):
    golden = samples[number]["eanet"]
    found = dataset.sample(position_of(dataset, samples[number]), Motion())
    np.testing.assert_allclose(
        found.image_from_crop, golden["bb2img_trans_256"], rtol=0, atol=PIXELS
    )
    mean = 255 * found.image.mean(dim=(1, 2))
    np.testing.assert_allclose(mean, golden["patch_mean_rgb"], rtol=0, atol=1.0)


def test_the_mirrored_translation_is_that_of_the_mirrored_hands(dataset, samples):
    """Left minus right, mirrored in x and exchanged: x stays, y and z change their signs."""
    number = next(i for i, s in enumerate(samples) if s["hand_type"] == "interacting")
    position = position_of(dataset, samples[number])
    hands = captured_hands(dataset.index.record(int(dataset.rows[position])))
    mirrored = hands.joints_cam_mm[::-1, 0] * [-1, 1, 1] / 1000  # what was left is now right
    found = dataset.sample(position, Motion(flip=True)).rel_trans
    np.testing.assert_allclose(found, mirrored[1] - mirrored[0], rtol=0, atol=METRES)
