"""Fixtures of the pose training tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pose_run import write_pose_index  # noqa: E402

from gesture_pretrain.hand_model import load_hand_model  # noqa: E402


@pytest.fixture(scope="session")
def pose_index(tmp_path_factory) -> Path:
    return write_pose_index(tmp_path_factory.mktemp("pose_runs") / "data")


@pytest.fixture(scope="session")
def hands():
    return {side: load_hand_model(side, "open") for side in ("right", "left")}
