"""Fixtures of the tests of datasets."""

import pytest
from tiny_release import TinyRelease


@pytest.fixture(scope="session")
def tiny_release_class() -> type[TinyRelease]:
    return TinyRelease


@pytest.fixture
def tiny_release() -> TinyRelease:
    return TinyRelease()
