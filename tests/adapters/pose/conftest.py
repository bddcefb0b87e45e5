"""Fixtures of the pose training tests."""

from pathlib import Path

import pytest
from pose_run import write_pose_index

from gesture_pretrain.hand.model import load_hand_model


@pytest.fixture(scope="session")
def pose_index(tmp_path_factory) -> Path:
    return write_pose_index(tmp_path_factory.mktemp("pose_runs") / "data")


@pytest.fixture(scope="session")
def hands():
    return {side: load_hand_model(side, "open") for side in ("right", "left")}
