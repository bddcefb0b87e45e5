"""Fixtures of the training tests."""

from pathlib import Path

import pytest
from tiny_run import write_tiny_index


@pytest.fixture(scope="session")
def tiny_index(tmp_path_factory) -> Path:
    return write_tiny_index(tmp_path_factory.mktemp("tiny") / "data")
