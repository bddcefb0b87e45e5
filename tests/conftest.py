"""Fixtures and settings that every test file shares."""

from pathlib import Path

import mmengine  # noqa: F401  before the workers start, which would race for the cache of yapf
import pytest
import torch
from shared_fixtures import (  # noqa: F401  fixtures of several folders
    backbone,
    eight_hands,
    gesture_network,
    hand_models,
    miniature,
    registered,
    sample_index,
    swap_index,
    tiny_index,
)

REPO_ROOT = Path(__file__).resolve().parents[1]

# The networks of the tests are tiny: threads cost more than they bring, and on a busy machine they
# wait for one another (40 times slower was seen).
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_torch_numbers():
    """Every test draws the same numbers from torch's global stream, alone or among others."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout the tests run in."""
    return REPO_ROOT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference samples and golden values beside the repository; absent on a user's machine."""
    folder = REPO_ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of reference samples is not beside this checkout")
    return folder
