"""Fixtures that every test file may use."""

from pathlib import Path

import pytest

REPO_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout the tests run in."""
    return REPO_ROOT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference samples and golden values kept beside the repository; absent on a user's machine."""
    folder = REPO_ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of reference samples is not beside this checkout")
    return folder
