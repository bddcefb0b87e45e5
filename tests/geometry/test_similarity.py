"""Procrustes alignment against other code bases' values and against itself."""

import json

import numpy as np
import pytest

from gesture_pretrain.geometry.axis_angle import rodrigues
from gesture_pretrain.geometry.similarity import procrustes_align


def test_procrustes_equals_golden(shared_dir):
    folder = shared_dir / "interhand"
    cases = json.loads((folder / "golden_metrics.json").read_text())["mesh_cases"]
    arrays = np.load(folder / "golden_metrics.npz")
    for case in (c for c in cases if c["name"] in ("case0", "case1")):
        for kind, key in (("joints", "PA_MPJPE"), ("verts", "PA_MPVPE")):
            target = arrays[f"{case['name']}_gt_{kind}"]
            aligned = procrustes_align(arrays[f"{case['name']}_pred_{kind}"], target)
            error_mm = 1000 * np.linalg.norm(aligned - target, axis=-1).mean()
            # the makers agree among themselves to 2.5e-5 mm (float32)
            assert error_mm == pytest.approx(case["expected"][key]["eanet_rigid_align"], abs=5e-5)


def test_procrustes_does_not_reflect(shared_dir):
    target = np.load(shared_dir / "interhand" / "golden_metrics.npz")["case0_gt_joints"]
    aligned = procrustes_align(target * [-1, 1, 1], target)
    error_mm = 1000 * np.linalg.norm(aligned - target, axis=-1).mean()
    assert error_mm == pytest.approx(32.99, abs=0.005)


def test_procrustes_undoes_a_similarity_in_batches_with_mask():
    rng = np.random.default_rng(2)
    target = rng.normal(size=(4, 21, 3))
    predicted = 3 * target @ np.swapaxes(rodrigues(rng.normal(size=(4, 3))), 1, 2) + 5
    valid = np.arange(21) < np.array([[21], [10], [3], [7]])
    target_with_gaps = np.where(valid[..., None], target, np.nan)
    np.testing.assert_allclose(
        procrustes_align(predicted, target_with_gaps, valid), target, atol=1e-12
    )


def test_procrustes_degenerate_input():
    target = np.random.default_rng(3).normal(size=(21, 3))
    collapsed = procrustes_align(np.ones((21, 3)), target)
    np.testing.assert_allclose(collapsed, np.tile(target.mean(axis=0), (21, 1)), atol=1e-12)
    with pytest.raises(ValueError, match="1 of 1 samples"):
        procrustes_align(target, target, np.arange(21) < 2)
    with pytest.raises(ValueError, match="collinear"):
        procrustes_align(target, np.outer(np.arange(21), [1, 2, 3]))
    with pytest.raises(ValueError, match="NaN"):
        procrustes_align(target, np.full((21, 3), np.nan))
