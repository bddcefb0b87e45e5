"""Out of the crop and back into the camera of the image; and the errors measured there."""

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from adapters.pose.frames import to_camera_frame
from adapters.pose.mesh_storage import TOLERANCE_MM, MeshStorage
from adapters.pose.model import HandPrediction
from adapters.pose.validation import PoseErrors
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.data.samples.pose_dataset import PoseDataset
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.geometry.camera import project_px
from gesture_pretrain.taxonomy import Taxonomy

# Axis-angle entries up to pi and coordinates up to 1500 mm are float32 in the samples; see
# tests/data/test_pose_dataset.py. The mesh is posed in float32 besides: a hundred roundings.
MM = (5 * 200 * np.pi + 2 * 1500 + 100 * 200) * 2**-24


@pytest.fixture(scope="module")
def index(pose_index):
    return HandIndex.open(pose_index)


def crops(index, hands, **options):
    rows = index.select(split="val")
    options = {"hand_models": hands, "announce": None, "seed": 2, **options}
    dataset = PoseDataset(index, rows, Taxonomy.load("interhand26m"), 64, **options)
    return default_collate([dataset[position] for position in range(len(dataset))])


def truth_as_prediction(batch, hands) -> HandPrediction:
    """What a perfect network would give for the crops."""
    vertices = torch.zeros(len(batch.row), 778, 3)
    for code, side in enumerate(("right", "left")):
        chosen = batch.hand == code
        if chosen.any():
            zero = torch.zeros(int(chosen.sum()), 3)
            mesh = hands[side](batch.mano_pose[chosen], batch.mano_shape[chosen], zero)
            vertices[chosen] = 1000 * (mesh.vertices_m - mesh.joints_m[:, :1])
    return HandPrediction(
        joints_rel_mm=batch.joints_rel_mm,
        vertices_rel_mm=vertices,
        keypoints_px=batch.keypoints_px,
        joint_depth_rel_mm=batch.joints_rel_mm[..., 2],
        mano_pose=batch.mano_pose,
        mano_shape=batch.mano_shape,
        hand=batch.hand,
    )


MOTIONS = {
    "plain": {},
    "mirror_left": {"mirror_left": True},
    "strong": {"augmentation": Augmentation(0.3, 90, 0.2, 0, 0.5)},
    "view": {"frame": "view", "mirror_left": True, "augmentation": Augmentation(0.3, 90, 0.2)},
}


@pytest.mark.parametrize("options", MOTIONS.values(), ids=MOTIONS)
def test_perfect_crops_give_the_truth_of_the_image(index, hands, options):
    batch = crops(index, hands, **options)
    found = to_camera_frame(truth_as_prediction(batch, hands), batch)
    rows = index.select(split="val")
    reader = GroundTruthReader(index, hand_models=hands)
    truth = reader.read(*reader.hands_of(rows))
    assert np.array_equal(found.rows, rows) and np.array_equal(found.hand, truth.hand)
    expected = truth.joints_cam_mm - truth.joints_cam_mm[:, :1]
    np.testing.assert_allclose(found.joints_rel_mm, expected, rtol=0, atol=MM)
    expected_mesh = truth.fit_vertices_cam_mm - truth.fit_joints_cam_mm[:, :1]
    np.testing.assert_allclose(found.vertices_rel_mm, expected_mesh, rtol=0, atol=MM)
    np.testing.assert_allclose(found.joint_depth_rel_mm, expected[..., 2], rtol=0, atol=MM)
    for position, row in enumerate(rows):
        record = index.record(row)
        in_image = project_px(truth.joints_cam_mm[position], record.focal_px, record.princpt_px)
        # pixels of both are float32 numbers up to 300 with a few roundings each
        found_px = found.keypoints_image_px[position]
        np.testing.assert_allclose(found_px, in_image, rtol=0, atol=16 * 300 * 2**-24)


def test_stretched_crop_is_refused(index, hands):
    batch = crops(index, hands)
    batch.image_from_crop[0, 0] *= 1.5
    with pytest.raises(ValueError, match="stretches"):
        to_camera_frame(truth_as_prediction(batch, hands), batch)


def errors(index, hands, prediction, batch) -> dict:
    scores = PoseErrors(GroundTruthReader(index, hand_models=hands))
    scores.add(prediction, batch)
    return scores.compute()


def test_perfect_prediction_has_no_error_and_a_known_offset_is_measured(index, hands):
    batch = crops(index, hands, mirror_left=True)
    perfect = truth_as_prediction(batch, hands)
    assert max(errors(index, hands, perfect, batch).values()) < MM
    # 3 mm in x and 4 mm in y, at every joint but the wrist, are 5 mm; likewise 6, 8 and 10 mm
    offset = torch.zeros(21, 3)
    offset[1:] = torch.tensor([3.0, 4.0, 0.0])
    moved = perfect._replace(
        joints_rel_mm=perfect.joints_rel_mm + offset,
        vertices_rel_mm=perfect.vertices_rel_mm + torch.tensor([6.0, 0.0, 8.0]),
    )
    assert errors(index, hands, moved, batch) == pytest.approx(
        {"mpjpe_mm": 5.0, "mpvpe_mm": 10.0}, abs=MM
    )


def test_mirrored_prediction_is_wrong(index, hands):
    batch = crops(index, hands, mirror_left=True)
    perfect = truth_as_prediction(batch, hands)
    flip_x = torch.tensor([-1.0, 1.0, 1.0])
    mirrored = perfect._replace(joints_rel_mm=perfect.joints_rel_mm * flip_x)
    assert errors(index, hands, mirrored, batch)["mpjpe_mm"] > 10


def test_hands_count_alike_whatever_the_batches_and_unknown_ones_not_at_all(
    index, hands, monkeypatch
):
    batch = crops(index, hands)
    perfect = truth_as_prediction(batch, hands)
    parts = [type(batch)(*(v[s] for v in batch)) for s in (slice(0, 3), slice(3, None))]
    scores = PoseErrors(GroundTruthReader(index, hand_models=hands))
    for part, share in zip(parts, (slice(0, 3), slice(3, None)), strict=True):
        piece = HandPrediction(*(v[share] for v in perfect))
        spoilt = piece.joints_rel_mm.clone()
        if len(part.row) == 3:  # 8 mm at one of 20 joints of one of 16 hands: 8 / 20 / 16
            spoilt[0, 4, 1] += 8.0
        scores.add(piece._replace(joints_rel_mm=spoilt), part)
    assert scores.compute()["mpjpe_mm"] == pytest.approx(8 / 20 / 16, abs=MM)
    assert scores.compute() == {}  # and it starts again
    read = GroundTruthReader.read

    def without_truth(self, rows, hand):
        truth = read(self, rows, hand)
        truth.joints_cam_mm[0, 0] = np.nan  # no wrist: nothing is relative to it
        truth.joints_cam_mm[1, 2:] = np.nan  # one joint is left
        truth.fit_vertices_cam_mm[:] = np.nan
        return truth

    monkeypatch.setattr(GroundTruthReader, "read", without_truth)
    moved = perfect.joints_rel_mm.clone()
    moved[0] += 1000.0  # of the hand without a wrist
    moved[1, 1, 0] += 15.0  # 15 mm, one hand of 15
    moved[1, 2:] += 1000.0
    found = errors(index, hands, perfect._replace(joints_rel_mm=moved), batch)
    assert found == pytest.approx({"mpjpe_mm": 1.0}, abs=MM)


def test_prediction_of_another_shape_or_type_is_refused(index, hands):
    batch = crops(index, hands)
    perfect = truth_as_prediction(batch, hands)
    with pytest.raises(ValueError, match="keypoints_px has shape"):
        errors(index, hands, perfect._replace(keypoints_px=perfect.joints_rel_mm), batch)
    with pytest.raises(ValueError, match="hand is torch.float32"):
        errors(index, hands, perfect._replace(hand=perfect.hand.float()), batch)
    with pytest.raises(TypeError, match="HandPrediction"):
        errors(index, hands, tuple(perfect), batch)


@pytest.mark.parametrize("options", MOTIONS.values(), ids=MOTIONS)
def test_meshes_are_stored_as_parameters_and_come_back(index, hands, options, tmp_path):
    batch = crops(index, hands, **options)
    prediction = truth_as_prediction(batch, hands)
    storage, camera = MeshStorage(hands), to_camera_frame(prediction, batch)
    stored = PosePredictions(
        "toy", index.fingerprint, **storage.predictions(storage.arrays(camera))
    )
    assert stored.vertices_rel_mm is None and stored.has_mesh
    path = stored.save(tmp_path / "p.npz")
    assert path.stat().st_size < 1000 * len(stored) + 8000  # a mesh alone has 9,336 bytes
    back = PosePredictions.load(path).take(slice(1, None)).with_vertices(hands)
    np.testing.assert_allclose(
        back.vertices_rel_mm, camera.vertices_rel_mm[1:], rtol=0, atol=TOLERANCE_MM
    )
    with pytest.raises(ValueError, match="fingerprint"):
        stored.with_vertices({"right": hands["left"], "left": hands["right"]})
    # a mesh that is not the one of its parameters: told at once, or stored as it is
    other = to_camera_frame(prediction._replace(mano_shape=prediction.mano_shape + 1), batch)
    with pytest.raises(ValueError, match="MANO parameters"):
        storage.arrays(other)
    assert "vertices_rel_mm" in MeshStorage(hands).arrays(other)
