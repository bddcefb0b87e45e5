"""Metrics against values that independent public code computed."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from back_projection import back_projected

from gesture_pretrain.evaluation.poses.averaging import average
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruth, GroundTruthReader
from gesture_pretrain.evaluation.poses.hand_errors import hand_errors
from gesture_pretrain.evaluation.poses.mesh_joints import joints_of_mesh
from gesture_pretrain.evaluation.poses.metrics import (
    auc,
    bone_scale,
    distances,
    f_scores,
    root_aligned_errors,
)
from gesture_pretrain.evaluation.poses.procrustes import procrustes_errors
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS
from gesture_pretrain.geometry.similarity import procrustes_align
from gesture_pretrain.skeleton import MANO21_FROM_INTERHAND, MANO21_FROM_MANO16_TIPS, tip_vertices

# the golden numbers are printed with 9 significant digits, from float32 inputs
PRINTED = {"rel": 2e-7, "abs": 2e-5}


# --- one hand: alignments, AUC, F-scores -----------------------------------------------------


@pytest.fixture(scope="module")
def golden(shared_dir):
    folder = shared_dir / "interhand"
    values = json.loads((folder / "golden_metrics.json").read_text())
    with np.load(folder / "golden_metrics.npz") as arrays:
        return values, dict(arrays)


@pytest.fixture(params=[0, 1, 2], ids=["case0", "case1", "case0_mirrored"])
def case(request, golden):
    """Expected values, and predicted and true joints and vertices in mm, (1, P, 3) each."""
    values, arrays = golden
    entry = values["mesh_cases"][request.param]
    name = entry["name"].removesuffix("_mirrored")
    truth, predicted = (
        {kind: 1000 * arrays[f"{name}_{side}_{kind}"].astype(np.float64)[None] for kind in KINDS}
        for side in ("gt", "pred")
    )
    if entry["name"].endswith("mirrored"):
        predicted = {kind: points * [-1, 1, 1] for kind, points in truth.items()}
    return SimpleNamespace(expected=entry["expected"], predicted=predicted, truth=truth)


KINDS = ("joints", "verts")
LETTER = {"joints": "MPJPE", "verts": "MPVPE"}


@pytest.mark.parametrize("kind", KINDS)
def test_root_aligned_errors(case, kind):
    joints, true_joints = case.predicted["joints"], case.truth["joints"]
    scale = bone_scale(joints, true_joints)
    assert scale[0] == pytest.approx(case.expected["bone_scale_gt_over_pred"], **PRINTED)
    for root, name, factor in (
        (0, "wrist_root", 1.0),
        (9, "mcp9_root", 1.0),
        (9, "mcp9_root_bone_scale", scale),
    ):
        errors = root_aligned_errors(
            case.predicted[kind], case.truth[kind], joints[:, root], true_joints[:, root], factor
        )
        assert errors.mean() == pytest.approx(case.expected[f"{LETTER[kind]}_{name}"], **PRINTED)


@pytest.mark.parametrize("kind", KINDS)
def test_similarity_aligned_errors(case, kind):
    error = procrustes_errors(case.predicted[kind], case.truth[kind]).mean()
    expected = case.expected[f"PA_{LETTER[kind]}"]
    assert error == pytest.approx(expected["eanet_rigid_align"], **PRINTED)
    # HaMeR's function works in float32 and differs by that
    assert error == pytest.approx(expected["hamer"], abs=5e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_area_under_the_curve(case, kind):
    predicted, truth = case.predicted[kind], case.truth[kind]
    raw = auc(distances(predicted, truth))
    assert raw == pytest.approx(case.expected[f"AUC_{kind}_0_50mm"], abs=1e-8)
    if case.expected["PA_MPJPE"]["freihand_align_w_scale"] < 1e-3:
        return  # FreiHAND's alignment allows a reflection here, ours must not
    aligned = auc(procrustes_errors(predicted, truth))
    assert aligned == pytest.approx(case.expected[f"AUC_{kind}_aligned_0_50mm"], abs=1e-8)


def test_f_scores(case):
    predicted, truth = case.predicted["verts"], case.truth["verts"]
    raw = f_scores(predicted, truth, (5.0, 15.0))
    np.testing.assert_allclose(
        raw[0], [case.expected["F@5"], case.expected["F@15"]], atol=1e-8, rtol=0
    )
    if case.expected["PA_MPJPE"]["freihand_align_w_scale"] < 1e-3:
        return
    aligned = f_scores(procrustes_align(predicted, truth), truth, (5.0, 15.0))
    np.testing.assert_allclose(
        aligned[0],
        [case.expected["F@5_aligned"], case.expected["F@15_aligned"]],
        atol=1e-8,
        rtol=0,
    )


def test_a_perfect_prediction_reaches_one_half_step_less_than_one():
    assert auc(np.full((3, 2), 1e-9)) == pytest.approx(1 - 0.5 / 99)
    assert auc(np.zeros((3, 2))) == 1.0


# --- InterNet and mmpose ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def annotated(golden, shared_dir):
    """Per image: annotation (golden.json) and prediction (golden_metrics.json), (3, 2, 21, .)."""
    samples = json.loads((shared_dir / "interhand" / "golden.json").read_text())["samples"]
    by_name = {sample["image"]: sample["mmpose"] for sample in samples}
    predictions = golden[0]["interhand_metric"]["predictions"]
    truth = [by_name[p["image"]] for p in predictions]
    order = list(MANO21_FROM_INTERHAND)

    def both_hands(values, width):
        return np.array(values, np.float64).reshape(len(truth), 2, 21, width)[:, :, order]

    return SimpleNamespace(
        raw_truth=truth,
        raw_predictions=predictions,
        joints=both_hands([t["keypoints_cam_mm"] for t in truth], 3),
        visible=both_hands([t["keypoints_visible"] for t in truth], 1)[..., 0] > 0,
        predicted=both_hands([p["pred_px_and_depth_mm"] for p in predictions], 3),
        wrist_depth=np.array([t["abs_depth_right_left_mm"] for t in truth]),
        focal=np.array([t["focal"] for t in truth]),
        princpt=np.array([t["princpt"] for t in truth]),
        interacting=np.array([sum(t["hand_type_onehot_right_left"]) == 2 for t in truth]),
    )


@pytest.fixture(scope="module")
def wrist_errors(annotated):
    """(3 images, 2 hands, 21) mm, NaN where the annotation is not visible."""
    back = back_projected(
        annotated.predicted[..., :2].reshape(6, 21, 2),
        annotated.predicted[..., 2].reshape(6, 21),
        annotated.wrist_depth.reshape(6),
        np.repeat(annotated.focal, 2, axis=0),
        np.repeat(annotated.princpt, 2, axis=0),
    )
    truth = annotated.joints.reshape(6, 21, 3)
    errors = root_aligned_errors(back, truth, back[:, 0], truth[:, 0]).reshape(3, 2, 21)
    return np.where(annotated.visible, errors, np.nan)


def _averages(name, errors, interacting):
    count = len(errors)
    return average(
        PROTOCOLS[name],
        errors.reshape(2 * count, -1),
        np.full(2 * count, np.nan),
        rows=np.repeat(np.arange(count), 2),
        hand=np.tile([0, 1], count),
        interacting=np.repeat(interacting, 2),
    )


def test_mmpose_and_internet_averages(golden, annotated, wrist_errors):
    expected = golden[0]["interhand_metric"]
    pairs = _averages("mmpose_interhand", wrist_errors, annotated.interacting).mpjpe_mm
    joints = _averages("interhand_wrist", wrist_errors, annotated.interacting)
    for group in ("single", "interacting", "all"):
        # float32 pixels and depths in the reference, 1e3 mm from the camera
        assert pairs[group] == pytest.approx(
            expected["mmpose_InterHandMetric"][f"MPJPE_{group}"], abs=5e-5
        )
    style = expected["internet_style"]
    for group in ("single", "interacting", "all"):
        value = style[f"MPJPE_{group}_mean_of_joint_means"]
        assert joints.mpjpe_mm[group] == pytest.approx(value, abs=5e-5)
    # the only single-hand image is a right hand
    assert joints.joints["single"] == "right hand, 21 joints"
    assert joints.joints["all"] == "both hands, 42 joints"
    assert joints.empty_joints["single"][0] == "left wrist"


def test_mmpose_itself_gives_the_same(annotated, wrist_errors):
    """mmpose's own InterHandMetric on the same inputs, where it can be imported."""
    evaluation = pytest.importorskip("mmpose.evaluation.metrics", reason="mmpose is not installed")
    metric = evaluation.InterHandMetric(modes=["MPJPE", "MRRPE", "HandednessAcc"])
    metric.dataset_meta = {}
    for truth, prediction in zip(annotated.raw_truth, annotated.raw_predictions, strict=True):
        metric.process([], [_mmpose_sample(truth, prediction)])
    theirs = metric.compute_metrics(metric.results)
    ours = _averages("mmpose_interhand", wrist_errors, annotated.interacting).mpjpe_mm
    for group in ("single", "interacting", "all"):
        # mmpose works in float32 at 1e3 mm from the camera
        assert ours[group] == pytest.approx(float(theirs[f"MPJPE_{group}"]), abs=2e-4)


def _mmpose_sample(truth: dict, prediction: dict) -> dict:
    return {
        "pred_instances": {
            "keypoints": np.array([prediction["pred_px_and_depth_mm"]], np.float32),
            "hand_type": np.array([prediction["pred_hand_type"]]),
            "rel_root_depth": np.float32(prediction["pred_rel_root_depth_mm"]),
        },
        "gt_instances": {
            "keypoints_cam": np.array([truth["keypoints_cam_mm"]], np.float32),
            "keypoints_visible": np.array([truth["keypoints_visible"]], np.float32).reshape(1, 42),
        },
        "hand_type": np.array([truth["hand_type_onehot_right_left"]]),
        "hand_type_valid": np.array([truth["hand_type_valid"]]).reshape(1),
        "rel_root_depth": truth["rel_root_depth_mm"],
        "abs_depth": truth["abs_depth_right_left_mm"],
        "focal": truth["focal"],
        "principal_pt": truth["princpt"],
    }


# --- EANet's evaluator -----------------------------------------------------------------------


def _reader(regressor) -> GroundTruthReader:
    models = {
        side: SimpleNamespace(hand=side, flat_hand_mean=False, joint_regressor=regressor)
        for side in ("right", "left")
    }
    return GroundTruthReader(None, hand_models=models)


def _two_hand_case(predicted_mm, target_mm, mask_interhand, has_fit, hand_types):
    """Both hands of every image, as predictions (float64, unlike a file's) and truth."""
    count = len(hand_types)
    rows, hand = np.repeat(np.arange(count), 2), np.tile([0, 1], count)
    target_mm = np.where(has_fit[:, :, None, None], target_mm, np.nan).reshape(-1, 778, 3)
    flags = mask_interhand.reshape(-1, 21)[:, list(MANO21_FROM_INTERHAND)]
    nothing = np.zeros(2 * count, np.int64)
    truth = GroundTruth(
        rows=rows,
        hand=hand,
        joints_cam_mm=np.full((2 * count, 21, 3), np.nan),
        triangulated=flags,
        in_view=flags,
        has_fit=has_fit.reshape(-1),
        fit_vertices_cam_mm=target_mm,
        fit_joints_cam_mm=None,
        interacting=np.repeat(np.array(hand_types) == "interacting", 2),
        **dict.fromkeys(
            ("split", "capture", "subject", "frame", "camera", "label", "coarse", "fine"), nothing
        ),
    )
    predictions = SimpleNamespace(
        system="golden",
        rows=rows,
        hand=hand,
        joints_rel_mm=np.zeros((2 * count, 21, 3)),
        vertices_rel_mm=predicted_mm.reshape(-1, 778, 3),
        has_mesh=True,
    )
    return predictions, truth


def _upstream_means(name, errors, truth, hand_types):
    """Means of a two-hand case; of a single-hand image only the annotated hand's mesh counts."""
    kind = np.repeat(np.array(hand_types), 2)
    own = (kind == "interacting") | (kind == np.where(truth.hand == 0, "right", "left"))
    return average(
        PROTOCOLS[name],
        errors.joint_mm,
        np.where(own, errors.vertex_mm, np.nan),
        rows=truth.rows,
        hand=truth.hand,
        interacting=truth.interacting,
    )


def _generator(text):
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed))


def _normal(tag, shape):
    return _generator(f"fn:public:{tag}").standard_normal(shape)


@pytest.fixture(scope="module")
def eanet(shared_dir):
    """The synthetic two-hand case of the description of EANet, float64 from float32 inputs."""
    with np.load(shared_dir / "eanet" / "golden_functions_public.npz") as stored:
        golden = {key: stored[key] for key in stored.files if key.split(".")[0] in WANTED}
    has_mano = golden["eval.has_mano"]
    target = np.empty((14, 2, 778, 3), np.float32)
    predicted = np.empty_like(target)
    for n in range(14):
        for side, letter in enumerate("rl"):
            shape = 0.08 * _normal(f"eval_gt_{letter}_{n}", (778, 3))
            noise = 0.01 * _normal(f"eval_pred_{letter}_{n}", (778, 3))
            target[n, side] = shape
            predicted[n, side] = (1 + 0.1 * (n % 3)) * shape + noise + (0.02, -0.01, 0.03)
    weights = _generator("regressor:public").random((16, 778)) ** 64
    regressor = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    mask = golden["eval.joint_trunc"].reshape(14, 2, 21) > 0
    case = _two_hand_case(
        1000 * predicted.astype(np.float64),
        1000 * target.astype(np.float64),
        mask,
        has_mano,
        golden["eval.hand_type"],
    )
    return golden, regressor, case


WANTED = ("eval", "eval_regressor21", "model_regressor21", "regressor_argmax")


def test_both_regressors_differ_in_the_middle_tip(eanet):
    golden, regressor, _ = eanet
    vertices = 0.1 * _normal("reg_verts", (778, 3)).astype(np.float32)
    vertices = np.float32(vertices).astype(np.float64)
    for name, tips in (("eval_regressor21", "manopth"), ("model_regressor21", "interhand")):
        joints = joints_of_mesh(vertices, regressor, tip_convention=tips)
        np.testing.assert_allclose(joints, golden[name], atol=1e-8)


def test_eanet_as_published(eanet):
    golden, regressor, (predictions, truth) = eanet
    errors = hand_errors(PROTOCOLS["eanet_upstream"], predictions, truth, _reader(regressor))
    interacting = golden["eval.hand_type"] == "interacting"
    ours = errors.joint_mm.reshape(14, 42)
    for key, where in (("eval.mpjpe_sh", ~interacting), ("eval.mpjpe_ih", interacting)):
        expected = golden[key]
        np.testing.assert_allclose(ours[where], expected[where], atol=FLOAT32_MM)
        assert np.isnan(expected[~where]).all()
    means = _upstream_means("eanet_upstream", errors, truth, golden["eval.hand_type"])
    summary = [means.mpvpe_mm[g] for g in GROUPS] + [means.mpjpe_mm[g] for g in GROUPS]
    np.testing.assert_allclose(summary, golden["eval.summary"], atol=FLOAT32_MM)


def test_eanet_corrected(eanet):
    golden, regressor, (predictions, truth) = eanet
    errors = hand_errors(PROTOCOLS["eanet_corrected"], predictions, truth, _reader(regressor))
    np.testing.assert_allclose(
        errors.joint_mm.reshape(14, 42), golden["eval.corrected_joint_error"], atol=ATOL_MM
    )
    assert errors.excluded["hands without a fit, excluded"] == int(np.sum(~truth.has_fit))


ATOL_MM = 1e-9
# upstream was run in float32; its own float64 run differs by 1.8e-4
FLOAT32_MM = 5e-4
GROUPS = ("all", "single", "interacting")


@pytest.fixture(scope="module")
def author(golden):
    """The fork's evaluator on eight synthetic two-hand meshes."""
    values, arrays = golden
    case = values["author_evaluate"]
    count = len(case["hand_types"])
    mask, has_fit = np.ones((count, 42), bool), np.ones((count, 2), bool)
    for i, kind in enumerate(case["hand_types"]):
        mask[i, case["joint_trunc_zero"][i]] = False
        if kind != "interacting":
            mask[i].reshape(2, 21)[1 if kind == "right" else 0] = False
        for side in case["mano_fit_missing"][i]:
            has_fit[i, ("right", "left").index(side)] = False
    meshes = (
        1000 * arrays[f"author_{side}_mesh"].astype(np.float64).reshape(count, 2, 778, 3)
        for side in ("pred", "gt")
    )
    built = _two_hand_case(*meshes, mask.reshape(count, 2, 21), has_fit, case["hand_types"])
    return case, arrays["author_J_regressor"], built


def test_fork_as_published(author):
    case, regressor, (predictions, truth) = author
    errors = hand_errors(PROTOCOLS["eanet_upstream"], predictions, truth, _reader(regressor))
    expected = np.array(case["mpjpe_sh_per_sample_and_joint"][0], np.float64)
    # the fork adds 1e-6 mm to both bone lengths and works in float32
    np.testing.assert_allclose(errors.joint_mm[:2].reshape(42), expected, atol=1e-3)
    means = _upstream_means("eanet_upstream", errors, truth, case["hand_types"])
    printed = [float(line.split(": ")[1].removesuffix(" mm")) for line in case["log_lines_all"]]
    ours = [means.mpvpe_mm[g] for g in GROUPS] + [means.mpjpe_mm[g] for g in GROUPS]
    np.testing.assert_allclose(ours, printed, atol=0.0051)  # printed with two decimals
    other = case["single_hand_mpjpe_other_aggregations"]["mask_as_in_the_fork"]
    assert means.mpjpe_mm["single"] == pytest.approx(other["mean_of_joint_means"], abs=1e-4)


def test_fork_corrected_is_the_mask_in_distance_order_of_fitted_samples(author):
    case, regressor, (predictions, truth) = author
    errors = hand_errors(PROTOCOLS["eanet_corrected"], predictions, truth, _reader(regressor))
    means = _upstream_means("eanet_corrected", errors, truth, case["hand_types"])
    other = case["single_hand_mpjpe_other_aggregations"]
    expected = other["mask_in_distance_order_only_samples_with_a_fit"]
    assert means.mpjpe_mm["single"] == pytest.approx(expected["mean_of_joint_means"], abs=1e-4)
    single = errors.joint_mm[~truth.interacting]
    assert np.nanmean(single) == pytest.approx(expected["mean_over_all_valid_joints"], abs=1e-4)


def test_fork_on_single_hands_only_prints_nan(author):
    case, regressor, (predictions, truth) = author
    errors = hand_errors(PROTOCOLS["eanet_upstream"], predictions, truth, _reader(regressor))
    single = np.flatnonzero(~truth.interacting)
    means = average(
        PROTOCOLS["eanet_upstream"],
        errors.joint_mm[single],
        errors.vertex_mm[single],
        rows=truth.rows[single],
        hand=truth.hand[single],
        interacting=truth.interacting[single],
    )
    assert "nan mm" in case["log_lines_single_only"][3]
    assert np.isnan(means.mpjpe_mm["all"]) and np.isfinite(means.mpjpe_mm["single"])


def test_metric_joints_are_in_mano21_order():
    """Row k of the regressed joints is joint k by name: mano16 + tips, reordered."""
    vertices = np.arange(778.0)[:, None] * np.ones(3)
    regressor = np.eye(16, 778)  # joint j of mano16 is vertex j
    joints = joints_of_mesh(vertices, regressor, tip_convention="manopth")[:, 0]
    native = np.concatenate([np.arange(16), tip_vertices("manopth")])
    np.testing.assert_array_equal(joints, native[list(MANO21_FROM_MANO16_TIPS)])
