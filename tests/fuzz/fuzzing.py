"""Damaging files, reading them, and counting what happens."""

import json
import os
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gesture_pretrain.tables import markdown_table
from tests.fuzz.formats import Format
from tests.fuzz.mutations import mutated

SECONDS_PER_FILE = 20
SECONDS_TO_START = 60
OUTCOMES = (
    "refused", "unnamed", "unchanged", "accepted", "absurd", "traceback", "hang", "signal", "code"
)  # fmt: skip
FAULTS = ("unnamed", "absurd", "traceback", "hang", "signal", "code")


class Hang(BaseException):
    """A file was being read for too long."""


def fuzz(name: str, of: Format, *, files: int, seed: int, shown: list[str]) -> Counter:
    """Outcomes of reading `files` damaged copies; faults are described in `shown`."""
    rng = np.random.default_rng([seed, *name.encode()])
    neighbours = [path for path in of.file.parent.iterdir() if path.is_file()]
    sound = {path: path.read_bytes() for path in neighbours}
    of.read()  # the sound file is accepted
    canary = of.file.parent / "canary"
    counts = Counter()
    for number in range(files):
        content = mutated(sound[of.file], rng, is_json=of.is_json, canary=canary)
        of.file.write_bytes(content)
        outcome, text = _outcome(of, content == sound[of.file])
        if canary.exists():
            canary.unlink()
            outcome, text = "code", "reading the file ran code that it contains"
        counts[outcome] += 1
        if outcome in FAULTS:
            shown.append(f"{name}, file {number}: {outcome}: {text}")
        for path, before in sound.items():
            path.write_bytes(before)
    return counts


def _outcome(of: Format, unchanged: bool) -> tuple[str, str]:
    try:
        with _alarm(SECONDS_PER_FILE), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            of.after()
            found = of.read()
    except Hang:
        return "hang", "".join(traceback.format_stack(limit=3))
    except SystemExit:  # a config that ends the program
        return "accepted", ""
    except of.promised as error:
        named = of.file.name in str(error) or of.file.parent.name in str(error)
        return ("refused", "") if named else ("unnamed", f"{type(error).__name__}: {error}")
    except Exception as error:
        return "traceback", "".join(traceback.format_exception(error)[-3:])
    if not all(np.isfinite(numbers).all() for numbers in found):
        return "absurd", "NaN or infinity was accepted"
    return ("unchanged" if unchanged else "accepted"), ""


@contextmanager
def _alarm(seconds: int):
    def ring(*_):
        raise Hang

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


@contextmanager
def without_fsync():
    """Forcing files to the disk takes most of the time of building an index."""
    real, os.fsync = os.fsync, lambda handle: None
    try:
        yield
    finally:
        os.fsync = real


def fuzz_apart(name: str, make, *, files: int, seed: int) -> tuple[Counter, list[str]]:
    """As `fuzz`, in a separate process, so that a signal ends only that one."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        child = os.fork()
        if child == 0:
            _child(name, make, report, Path(folder) / "home", files, seed)
        status = _wait(child, SECONDS_TO_START + SECONDS_PER_FILE * files)
        if os.WIFSIGNALED(status) or not report.is_file():
            return Counter(signal=1), [f"{name}: the process ended with status {status}"]
        content = json.loads(report.read_text())
        return Counter(content[0]), content[1]


def _wait(child: int, seconds: float) -> int:
    """The child's exit status; a child that ignores its alarm is killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _child(name: str, make, report: Path, home: Path, files: int, seed: int) -> None:
    try:
        home.mkdir()
        shown: list[str] = []
        with without_fsync():
            counts = fuzz(name, make(home)[name], files=files, seed=seed, shown=shown)
        report.write_text(json.dumps([dict(counts), shown[:20]]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def table(what: str, results: dict[str, Counter], columns: Sequence[str]) -> str:
    """Markdown, a row per name and the total."""
    rows = {**results, "total": sum(results.values(), Counter())}
    cells = [(name, *(counts[kind] for kind in columns)) for name, counts in rows.items()]
    return markdown_table((what, *columns), cells)


def deadline(hours: float) -> float:
    """The time at which fuzzing for some hours ends."""
    return time.monotonic() + 3600 * hours
