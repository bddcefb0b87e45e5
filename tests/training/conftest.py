"""Fixtures of the training tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny_run import write_tiny_index  # noqa: E402


@pytest.fixture(scope="session")
def tiny_index(tmp_path_factory) -> Path:
    return write_tiny_index(tmp_path_factory.mktemp("tiny") / "data")
