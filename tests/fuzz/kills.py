"""Kill jobs with SIGKILL, repeat them, and compare: `python -m tests.fuzz.kills [--kills 40]`.

A job is killed at a random moment, at the k-th change of the file system (a file opened for
writing, synced or renamed, a folder made, anything deleted), or by the end of one of its data
loading processes. After up to three kills it is repeated until it is done. Then its files must be
those of an uninterrupted job, with the same bits, and no other files may be there.

Every job is a fork of this process, which has imported its libraries and computed nothing.
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
import torch.utils.tensorboard  # slow to import

from tests.fuzz.fuzzing import table
from tests.fuzz.kill_jobs import Job, jobs, write_inputs

KILLS_IN_A_ROW = 3
LIMIT_S = 300
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link"}
COMPARED = {".pt", ".safetensors", ".npz", ".npy", ".png", ".jpg", ".obj", ".mp4", ".bytes"}
COMPARED_NAMES = {"predictions.json", "meta.json", "shards.json", "metrics.jsonl"}
IGNORED = {"tensorboard", "log"}
TIMES = {"images_per_s", "data_wait_fraction"}
OUTCOMES = ("kills", "moment", "write", "worker", "finished", "identical", "faults")


class Kills:
    """Kills of one job.

    Args:
        name: Its name.
        job: The job.
        home: Folder for its files.
        seed: Random seed.
    """

    def __init__(self, name: str, job: Job, home: Path, seed: int):
        self.name, self.job, self.home = name, job, home
        self.random = random.Random(f"{seed} {name}")
        self.counts, self.faults = Counter(), []

    def run(self, kills: int) -> None:
        """Kill the job so often, in several folders."""
        whole = self._new_folder("whole")
        began = time.monotonic()
        self._finish(whole)
        if self.faults:
            raise RuntimeError(f"The uninterrupted job failed. {self.faults[0]}")
        self.seconds = time.monotonic() - began
        self.changes = int((whole.parent / "changes").read_text())
        self.expected = files_of(whole)
        for number in itertools.count():
            if self.counts["kills"] >= kills or number > kills:
                break
            folder = self._new_folder(f"killed_{number}")
            for _ in range(KILLS_IN_A_ROW):
                self._kill_once(folder)
                self._check(folder)
            self._finish(folder)
            self._compare(folder)
            shutil.rmtree(folder.parent)

    def _new_folder(self, name: str) -> Path:
        folder = self.home / name / "files"
        folder.mkdir(parents=True)
        self._forked(lambda: self.job.before(folder), folder)
        return folder

    def _finish(self, folder: Path) -> None:
        children = self._start(folder)
        for child in children:
            if self._status(child) != 0:
                self._fault(folder, "the repeated job failed")
        self.counts["finished"] += 1

    def _kill_once(self, folder: Path) -> None:
        ways = ["moment", "write"] + ["worker"] * self.job.loads
        way = ways[self.random.randrange(len(ways))]
        at = self.random.randint(1, self.changes) if way == "write" else None
        victim = self.random.randrange(self.job.ranks)
        children = self._start(folder, kill_at=at, victim=victim)
        if way != "write":
            time.sleep(self.random.uniform(0, self.seconds))
            self._send(children[victim], way)
        statuses = [self._status(child) for child in children]
        if way == "worker" or statuses[victim] == -signal.SIGKILL:
            self.counts.update(["kills", way])

    def _send(self, child: int, way: str) -> None:
        workers = Path(f"/proc/{child}/task/{child}/children")
        found = workers.read_text().split() if workers.exists() else []
        if way == "moment":
            os.kill(child, signal.SIGKILL)
        elif found:
            os.kill(int(self.random.choice(found)), signal.SIGKILL)

    def _start(self, folder: Path, *, kill_at: int | None = None, victim: int = 0) -> list[int]:
        environment = {}
        if self.job.ranks > 1:
            environment = {
                "WORLD_SIZE": str(self.job.ranks), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(_free_port()),
            }  # fmt: skip
        return [
            _fork(
                lambda rank=rank: self._work(folder, environment, rank, kill_at, rank == victim),
                folder,
            )
            for rank in range(self.job.ranks)
        ]

    def _work(self, folder: Path, environment: dict, rank: int, kill_at, is_victim: bool) -> None:
        if environment:
            os.environ.update(environment, RANK=str(rank), LOCAL_RANK=str(rank))
        changes = watch_changes(kill_at if is_victim else None)
        self.job.work(folder)
        if rank == 0:
            (folder.parent / "changes").write_text(str(changes()))

    def _status(self, child: int) -> int:
        """Exit status, minus the number of a signal; a process that hangs is killed."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self.faults.append(f"{self.name}: a process did not end")
        return 1

    def _forked(self, work: Callable, folder: Path) -> int:
        return self._status(_fork(work, folder))

    def _check(self, folder: Path) -> None:
        if self._forked(lambda: self.job.check(folder), folder):
            self._fault(folder, "something half-written looks complete")

    def _compare(self, folder: Path) -> None:
        found = files_of(folder)
        names = sorted(found.keys() | self.expected.keys())
        different = [name for name in names if found.get(name) != self.expected.get(name)]
        if different:
            self._fault(folder, f"other files than uninterrupted: {different[:5]}")
        else:
            self.counts["identical"] += 1

    def _fault(self, folder: Path, text: str) -> None:
        log = (folder.parent / "log.txt").read_text(errors="replace")[-1500:]
        self.faults.append(f"{self.name}, {folder.parent.name}: {text}\n{log}")


def watch_changes(kill_at: int | None) -> Callable[[], int]:
    """Count changes of the file system by this process, and end it before the `kill_at`-th.

    Returns:
        A function that returns the number of changes so far.
    """
    own, count = os.getpid(), 0

    def change() -> None:
        nonlocal count
        count += os.getpid() == own
        if count == kill_at and os.getpid() == own:
            os.kill(own, signal.SIGKILL)

    def hook(event: str, arguments: tuple) -> None:
        if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            change()

    def fsync(handle) -> None:
        change()
        real(handle)

    real, os.fsync = os.fsync, fsync
    sys.addaudithook(hook)
    return lambda: count


def files_of(folder: Path) -> dict[str, str]:
    """Names of all files, with hashes of those that must have the same bits."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not _is_ignored(path)]
    return {str(path.relative_to(folder)): _content(path) for path in sorted(paths)}


def _is_ignored(path: Path) -> bool:
    return bool(IGNORED & {parent.name for parent in path.parents})


def _content(path: Path) -> str:
    if path.suffix not in COMPARED and path.name not in COMPARED_NAMES:
        return ""
    content = path.read_bytes()
    if path.suffix == ".pt":
        content = _state(torch.load(path, map_location="cpu", weights_only=True))
    if path.name == "metrics.jsonl":
        lines = [json.loads(line) for line in content.splitlines()]
        content = repr([{k: v for k, v in line.items() if k not in TIMES} for line in lines])
        content = content.encode()
    return hashlib.sha256(content).hexdigest()


def _state(value: object) -> bytes:
    """Bytes of nested values; pickles of equal values may differ."""
    if isinstance(value, dict):
        return b"{%s}" % b",".join(_state(k) + _state(value[k]) for k in sorted(value, key=str))
    if isinstance(value, list | tuple):
        return b"[%s]" % b",".join(map(_state, value))
    return value.numpy().tobytes() if torch.is_tensor(value) else repr(value).encode()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _fork(work: Callable[[], object], folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        log = os.open(folder.parent / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def kill_all(home: Path, kills: int, *, seed: int = 0, only: list[str] | None = None) -> int:
    """Kill every job so often, print a table, and return the number of faults."""
    inputs = home / "inputs"
    inputs.mkdir(parents=True)
    if os.waitpid(_fork(lambda: write_inputs(inputs), inputs), 0)[1]:
        raise RuntimeError((home / "log.txt").read_text())
    results = {}
    for name, job in jobs(inputs).items():
        if only and name not in only:
            continue
        killed = Kills(name, job, home / name.replace(", ", "_"), seed)
        killed.run(kills)
        killed.counts["finished"] -= 1  # the uninterrupted one
        killed.counts["faults"] = len(killed.faults)
        results[name] = killed.counts
        print("\n".join([f"{name}: {dict(killed.counts)}", *killed.faults]), flush=True)
    print(table("job", results, OUTCOMES))
    return sum(counts["faults"] for counts in results.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="per job")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="these jobs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        faults = kill_all(Path(folder), options.kills, seed=options.seed, only=options.only)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
