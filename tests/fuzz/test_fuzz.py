"""A few damaged files of every format; `python -m tests.fuzz` reads many more."""

import pytest

from tests.fuzz.formats import formats
from tests.fuzz.fuzzing import FAULTS, fuzz, without_fsync

SLOW_TO_READ = ("annotation", "rootnet", "human", "bare", "model", "released")


@pytest.fixture(scope="module")
def every_format(tmp_path_factory):
    with without_fsync():
        yield formats(tmp_path_factory.mktemp("fuzz"))


def test_damaged_files_are_refused_by_name(every_format):
    shown: list[str] = []
    for name, of in every_format.items():
        files = 4 if name.startswith(SLOW_TO_READ) else 25
        counts = fuzz(name, of, files=files, seed=0, shown=shown)
        assert counts.total() == files
        if counts["unchanged"] + counts["accepted"] == files and "npy, opened" not in name:
            shown.append(f"{name}: every damaged file was accepted")
    assert not shown, "\n".join(shown)
    assert set(FAULTS) == {"unnamed", "absurd", "traceback", "hang", "signal", "code"}
