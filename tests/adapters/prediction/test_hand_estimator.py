"""From images to hands: crops as in the dataset, left hands mirrored back, wrong input."""

import numpy as np
import pytest
import torch
from random_pose_model import HEADS, store_random_pose_model

from adapters.pose.checkpoint import load_pose_model, save_pose_model
from adapters.pose.hand_models import HandModelSource
from adapters.pose.prediction import predict_split
from adapters.prediction.gesture_reader import GestureReader
from adapters.prediction.hand_estimator import HandEstimator, fit_image_from_mm
from adapters.prediction.intrinsics import Intrinsics
from adapters.targets import find_pose_target
from adapters.token_fusion import TARGET
from gesture_pretrain.data.images import read_image_rgb
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.export import export_backbone


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.load("interhand26m")


@pytest.fixture(scope="module")
def stored(tmp_path_factory, taxonomy):
    folder = tmp_path_factory.mktemp("stored") / "model"
    return store_random_pose_model(folder, taxonomy=taxonomy)


@pytest.fixture(scope="module")
def estimator(stored):
    return HandEstimator(stored)


@pytest.fixture(scope="module")
def images(eight_hands):
    """Images, boxes and sides of the eight rows."""
    records = [eight_hands.record(row) for row in range(8)]
    images = [read_image_rgb(record.image_path, record.row) for record in records]
    return images, [r.bbox_xywh_px for r in records], [r.hand for r in records]


@pytest.mark.parametrize(
    ("box_ratio", "tolerance"),
    [
        # crops are the same bytes; convolutions of 3 instead of 8 images differ by rounding
        (1.0, 0.05),
        # crops of more than 2 x 64 px are averaged after decoding, by the data set while decoding:
        # about one grey level apart
        (1.25, 1.0),
    ],
)
def test_it_gives_what_the_data_set_s_way_gives(
    stored, box_ratio, tolerance, eight_hands, taxonomy, hand_models, images
):
    options = {"hand_models": hand_models, "augmentation": None, "seed": 0, "announce": None}
    estimator = HandEstimator(stored, box_ratio=box_ratio, batch_size=3)
    options["box_ratio"] = box_ratio
    small = TARGET.build_dataset(eight_hands, range(8), taxonomy, 64, **options)
    expected = predict_split(estimator.model, small, system="test", progress=False)
    found = estimator.predict(*images)
    assert [estimate.hand for estimate in found] == images[2]
    assert {"right", "left"} == set(images[2])
    for name, columns in (
        ("joints_rel_mm", expected.joints_rel_mm),
        ("vertices_rel_mm", expected.vertices_rel_mm),
        ("keypoints_px", expected.keypoints_image_px),
        ("joint_depth_rel_mm", expected.joint_depth_rel_mm),
    ):
        values = np.stack([getattr(estimate, name) for estimate in found])
        np.testing.assert_allclose(values, columns, atol=tolerance, rtol=0, err_msg=name)


@pytest.mark.parametrize("network", ["stored", "in_views"])
def test_parameters_pose_the_mesh_with_the_hand_model_of_their_side(
    request, network, hand_models, images
):
    estimator = HandEstimator(request.getfixturevalue(network), focal_px=60.0)
    for estimate in estimator.predict(*images):
        pose, shape = (torch.from_numpy(v)[None] for v in (estimate.mano_pose, estimate.mano_shape))
        mesh = hand_models[estimate.hand](pose, shape, torch.zeros(1, 3))
        vertices = 1000 * (mesh.vertices_m - mesh.joints_m[:, :1])[0].numpy()
        np.testing.assert_allclose(estimate.vertices_rel_mm, vertices, atol=0.01, rtol=0)
        assert np.allclose(estimate.camera_from_view, np.eye(3)) == (network == "stored")


@pytest.fixture(scope="module")
def in_views(tmp_path_factory, taxonomy):
    folder = tmp_path_factory.mktemp("in_views") / "model"
    return store_random_pose_model(folder, taxonomy=taxonomy, frame="view")


def test_poses_in_views_are_those_of_the_dataset_and_its_cameras(
    in_views, eight_hands, taxonomy, hand_models, images
):
    options = {"hand_models": hand_models, "augmentation": None, "seed": 0, "announce": None}
    estimator = HandEstimator(in_views, box_ratio=1.0, batch_size=3)
    assert estimator.uses_cameras
    small = TARGET.dataset_for(frame="view")(
        eight_hands, range(8), taxonomy, 64, box_ratio=1.0, **options
    )
    expected = predict_split(estimator.model, small, system="test", progress=False)
    records = [eight_hands.record(row) for row in range(8)]
    cameras = [
        Intrinsics(float(record.focal_px.mean()), tuple(record.princpt_px), assumed=False)
        for record in records
    ]
    found = estimator.predict(*images, cameras)
    for name in ("joints_rel_mm", "vertices_rel_mm", "joint_depth_rel_mm"):
        values = np.stack([getattr(estimate, name) for estimate in found])
        # focal lengths in x and y differ by less than a thousandth
        np.testing.assert_allclose(values, getattr(expected, name), atol=0.1, rtol=0, err_msg=name)


def test_without_cameras_the_focal_length_decides_how_far_a_view_is_rotated(in_views, stored):
    image = np.random.default_rng(0).integers(0, 255, (100, 400, 3), np.uint8)
    box = [(0.0, 0.0, 80.0, 80.0)]  # its middle is 159.5 px left of and 9.5 px above the middle
    angles = []
    for source, focal_px in ((in_views, 400.0), (in_views, None), (stored, 400.0)):
        estimator = HandEstimator(source, focal_px=focal_px)
        aside = estimator.predict([image], box, "right")[0].joints_rel_mm
        ahead = estimator.predict(
            [image], box, "right", [Intrinsics(400.0, (40.0, 40.0), assumed=False)]
        )[0].joints_rel_mm
        (rotation, _, _, _) = np.linalg.lstsq(ahead, aside, rcond=None)
        angles.append(np.degrees(np.arccos((np.trace(rotation) - 1) / 2)))
    offset = np.hypot(159.5, 9.5)
    assumed_px = 200 / np.tan(np.radians(30))
    expected = np.degrees(np.arctan([offset / 400, offset / assumed_px, 0]))
    np.testing.assert_allclose(angles, expected, rtol=0, atol=0.1)


def test_a_mirrored_image_has_the_mirrored_hand(estimator, images):
    image = images[0][0]
    width = image.shape[1]
    right = estimator.predict([image], hands="right")[0]
    # the crop of the mirrored image, mirrored, samples pixel width - x where x was: 1 px aside
    flipped = np.ascontiguousarray(np.roll(image[:, ::-1], 1, axis=1))
    left = estimator.predict([flipped], hands="left")[0]
    mirror = np.array([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(left.joints_rel_mm, right.joints_rel_mm * mirror, atol=2.0)
    mirrored_px = np.array([width, 0]) + right.keypoints_px * [-1, 1]
    np.testing.assert_allclose(left.keypoints_px, mirrored_px, atol=1.0)


class BrightOnTheLeft:
    """A reader for which a right hand is what is bright in the left half of the crop."""

    network = None

    def tells_sides(self) -> bool:
        return True

    def right_probability(self, crops):
        halves = crops.float().mean((1, 2)).unflatten(1, (2, -1)).mean(-1)
        return (halves[:, 0] / halves.sum(1)).numpy()

    def gestures(self, crops, hands):
        return [{} for _ in hands]


def test_the_side_is_that_of_the_crop_that_looks_more_right(estimator, monkeypatch):
    images = np.full((3, 80, 80, 3), 50, np.uint8)
    images[0, :, :40], images[1, :, 40:], images[2, :, :40] = 150, 150, 150
    monkeypatch.setattr(estimator, "reader", BrightOnTheLeft())
    monkeypatch.setattr(estimator, "_logits", lambda crops, output=None: crops.image)
    found = estimator.predict(list(images), hands=[None, None, "left"])
    assert [estimate.hand for estimate in found] == ["right", "left", "left"]
    # 150 of 150 + 50; a column on the edge between the halves is interpolated
    assert found[0].hand_probability == pytest.approx(0.75, abs=0.02)
    assert found[1].hand_probability == pytest.approx(0.75, abs=0.02)
    assert found[2].hand_probability is None
    assert found[0].box_xywh_px.tolist() == [0, 0, 80, 80]


def test_gestures_are_named_for_the_side(estimator, images):
    for estimate in estimator.predict(*images):
        assert estimate.coarse.name.startswith(f"{estimate.hand} ")
        assert estimate.fine.name.startswith(f"{estimate.hand} ")
        assert 1 / 27 <= estimate.coarse.probability <= 1
        assert estimate.hand_probability is None


def test_reader_by_hand(taxonomy):
    """Right and left classes of the same gesture, and the probability given the side."""
    reader = GestureReader(taxonomy)
    logits = torch.full((2, 54), -30.0)
    logits[:, 3], logits[:, 5], logits[:, 30] = 2.0, 2.0 - np.log(3), 2.0
    right = reader.right_probability({"coarse": logits})
    np.testing.assert_allclose(right, (1 + 1 / 3) / (2 + 1 / 3), rtol=1e-5)
    found = reader.gestures({"coarse": logits}, ["right", "left"])
    assert [f["coarse"].name for f in found] == [
        taxonomy.coarse_names[3],
        taxonomy.coarse_names[taxonomy.coarse_flip[3]],
    ]
    assert found[0]["coarse"].probability == pytest.approx(0.75)


def test_a_gesture_network_replaces_the_heads(stored, images, taxonomy, tmp_path):
    backbone = build_backbone("test_resnet", size_px=64, seed=4)
    heads = build_gesture_heads(backbone.pooled_channels, **HEADS)
    weights = export_backbone(
        GestureNetwork(backbone, heads), tag="test", taxonomy=taxonomy, out=tmp_path
    )
    estimator = HandEstimator(stored, gestures=weights.path)
    assert estimator.reader.network is not None
    estimates = estimator.predict(images[0])
    assert all(e.coarse is not None and e.hand_probability is not None for e in estimates)


def test_classes_of_ones_own_folders_come_from_the_card(stored, images, tmp_path):
    """There is no file of a taxonomy in which every label is a class."""
    classes = Taxonomy.from_index_labels(["peace", "fist", "flat"])
    backbone = build_backbone("test_resnet", size_px=64, seed=4)
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=3, num_fine=3, hidden=8)
    network = GestureNetwork(backbone, heads)
    weights = export_backbone(network, tag="signs", taxonomy=classes, out=tmp_path)
    estimator = HandEstimator(stored, gestures=weights.path)
    estimates = estimator.predict(images[0][:2], hands=["right", "right"])
    assert all(e.coarse.name in classes.labels for e in estimates)


def test_weights_of_another_taxonomy_are_refused(tmp_path, taxonomy):
    other = taxonomy.handedness_only()
    folder = store_random_pose_model(tmp_path / "model", taxonomy=other)
    with pytest.raises(ValueError, match="taxonomy"):
        HandEstimator(folder, taxonomy="interhand26m")


@pytest.mark.parametrize("guidance", ["none", "both"])
def test_without_trained_gestures_the_side_must_be_given(tmp_path, guidance, images):
    """Heads that began at random name no class, guide as they may."""
    folder = store_random_pose_model(tmp_path / "model", guidance=guidance, taxonomy=None)
    estimator = HandEstimator(load_pose_model(folder))
    with pytest.raises(ValueError, match="handedness in image 0"):
        estimator.predict(images[0][:1])
    estimate = estimator.predict(images[0][:1], hands="left")[0]
    assert estimate.hand == "left" and estimate.coarse is None and estimate.fine is None


def test_another_target_is_shown_left_hands_as_they_are(
    tmp_path, eight_hands, taxonomy, hand_models, images
):
    """EANet knows both hands; its own data set gives the same, in the same boxes."""
    eanet, source = find_pose_target("eanet"), HandModelSource("open", "smplx")
    options = eanet.options("tiny")
    backbone = build_backbone("hrnet_w16_tiny", size_px=64, seed=0)
    folder = save_pose_model(
        eanet.build_model(backbone, hand_models=hand_models, seed=0, **options),
        tmp_path / "model",
        target="eanet",
        options=options,
        size_px=64,
        heads=None,
        backbone_name="hrnet_w16_tiny (random)",
        head_classes=None,
        hand_source=source,
        hand_models=hand_models,
    )
    given = {"hand_models": hand_models, "augmentation": None, "seed": 0, "announce": None}
    small = eanet.build_dataset(eight_hands, range(8), taxonomy, 64, **given)
    # its boxes are squares, enlarged already
    boxes = [small.box(eight_hands.record(int(row))) for row in small.rows]
    estimator = HandEstimator(folder, box_ratio=1.0)
    expected = predict_split(estimator.model, small, system="test", progress=False)
    images, _, sides = images
    rows = [int(row) for row in small.rows]
    found = estimator.predict([images[i] for i in rows], boxes, [sides[i] for i in rows])
    assert {e.hand for e in found} == {"right", "left"} and len(found) >= 6
    for name, values in (
        ("joints_rel_mm", expected.joints_rel_mm),
        ("vertices_rel_mm", expected.vertices_rel_mm),
        ("keypoints_px", expected.keypoints_image_px),
        ("joint_depth_rel_mm", expected.joint_depth_rel_mm),
    ):
        ours = np.stack([getattr(estimate, name) for estimate in found])
        np.testing.assert_allclose(ours, values, atol=0.05, rtol=0, err_msg=name)
    with pytest.raises(ValueError, match="handedness in image 0"):
        estimator.predict(images[:1])


@pytest.mark.parametrize(
    "engine",
    [{"precision": "bf16"}, {"channels_last": True}, {"compile": "default", "batch_size": 3}],
    ids=lambda engine: next(iter(engine)),
)
def test_it_runs_on_the_chosen_engine(stored, estimator, images, monkeypatch, engine):
    shapes = []

    def compiled(model, **_):
        return lambda batch, mode: shapes.append(len(batch.image)) or model(batch, mode=mode)

    monkeypatch.setattr(torch, "compile", compiled)
    images, boxes, sides = images
    found = HandEstimator(stored, **engine).predict(images, boxes, sides)
    for ours, theirs in zip(found, estimator.predict(images, boxes, sides), strict=True):
        # bf16 rounds by 2**-8, carried through some ten layers
        np.testing.assert_allclose(ours.joints_rel_mm, theirs.joints_rel_mm, atol=10)
        assert ours.joints_rel_mm.dtype == np.float32 and ours.coarse is not None
    assert set(shapes) == ({3} if "compile" in engine else set())


@pytest.mark.slow
def test_onnx_runtime_gives_the_hands_without_gestures(stored, estimator, images):
    pytest.importorskip("onnxruntime")
    images, boxes, sides = images
    found = HandEstimator(stored, engine="onnx").predict(images, boxes, sides)
    for ours, theirs in zip(found, estimator.predict(images, boxes, sides), strict=True):
        np.testing.assert_allclose(ours.joints_rel_mm, theirs.joints_rel_mm, atol=0.2)
        assert ours.coarse is None


def test_no_image_gives_no_hand(estimator):
    assert estimator.predict([]) == []


IMAGE = np.zeros((40, 60, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (IMAGE[:, :, 0], ValueError, "image 0 has shape"),
        (np.zeros((40, 60, 4), np.uint8), ValueError, "H, W, 3"),
        (IMAGE.astype(np.uint16), TypeError, "uint16"),
        (IMAGE[:0], ValueError, "image 0 has shape"),
        ("hand.png", TypeError, "str"),
    ],
)
def test_other_arrays_than_rgb_images_are_refused(estimator, image, error, message):
    with pytest.raises(error, match=message):
        estimator.predict([image], hands="right")


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([10, 10, 0, 5], "width and height"),
        ([10, 10, 5], "width and height"),
        ([10, np.nan, 5, 5], "width and height"),
        ([60, 10, 20, 20], "60 x 40 px"),
        ([-30, 0, 30, 20], "lies outside"),
    ],
)
def test_a_box_without_area_or_outside_is_refused(estimator, box, message):
    with pytest.raises(ValueError, match=message):
        estimator.predict([IMAGE, IMAGE], boxes=[None, box], hands="right")


def test_a_wrong_side_or_count_is_refused(estimator):
    with pytest.raises(ValueError, match="hand of image 1 is 'both'"):
        estimator.predict([IMAGE] * 2, hands=["left", "both"])
    with pytest.raises(ValueError, match="1 boxes for 2 images"):
        estimator.predict([IMAGE] * 2, boxes=[None], hands="right")


def test_fit_of_scale_and_shift_by_hand():
    joints = np.array([[0.0, 0, 5], [100, 0, 7], [0, 50, 9]])
    pixels = joints[:, :2] * 0.4 + [30, 20]
    np.testing.assert_allclose(fit_image_from_mm(joints, pixels), [0.4, 30, 20], rtol=1e-5)
