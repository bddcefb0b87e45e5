"""Whole or not at all: files and folders under a full disk, a kill and two writers."""

import errno
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from gesture_pretrain.files import (
    DiskFull,
    WriteFailed,
    atomic_folder,
    temporary_folder,
    write_bytes_atomically,
)
from gesture_pretrain.files import atomic as atomic_write
from gesture_pretrain.files.atomic import remove_abandoned_parts


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _refuse(monkeypatch, number):
    """Every fsync fails, which is where a delayed allocation reports a full disk."""

    def fail(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic_write.os, "fsync", fail)


def test_file_is_created_and_replaced(tmp_path):
    path = tmp_path / "state.pt"
    write_bytes_atomically(path, b"old")
    write_bytes_atomically(path, memoryview(b"new content"))
    assert path.read_bytes() == b"new content"
    assert _names(tmp_path) == ["state.pt"]


def test_file_has_the_permissions_of_any_new_file(tmp_path):
    """A temporary file made private must not leave a file that colleagues cannot read."""
    plain = tmp_path / "plain"
    plain.write_bytes(b"x")
    write_bytes_atomically(tmp_path / "atomic", b"x")
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_keeps_the_old_file_and_says_how_much_is_needed(tmp_path, monkeypatch, number):
    path = tmp_path / "state.pt"
    path.write_bytes(b"old")
    _refuse(monkeypatch, number)
    with pytest.raises(DiskFull) as caught:
        write_bytes_atomically(path, b"x" * 2_500_000)
    message = str(caught.value)
    assert str(path) in message and "2.5 MB needed" in message and "unchanged" in message
    assert caught.value.errno == number and caught.value.bytes_needed == 2_500_000
    assert path.read_bytes() == b"old" and _names(tmp_path) == ["state.pt"]


def test_full_disk_without_an_old_file_leaves_nothing(tmp_path, monkeypatch):
    _refuse(monkeypatch, errno.ENOSPC)
    with pytest.raises(DiskFull, match="Nothing was left"):
        write_bytes_atomically(tmp_path / "state.pt", b"abc")
    assert _names(tmp_path) == []


_ON_A_FULL_DISK = """
import sys
from gesture_pretrain.files import DiskFull, write_bytes_atomically
path = sys.argv[1] + "/state.pt"
write_bytes_atomically(path, b"old")
try:
    write_bytes_atomically(path, b"x" * 2_000_000)
except DiskFull as error:
    print(error)
print(open(path, "rb").read())
"""


def test_a_disk_that_is_really_full(tmp_path):
    """A file system of 1 MiB, where this machine lets a test mount one for itself."""
    script = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", tmp_path, sys.executable]
    if not shutil.which("unshare"):
        pytest.skip("no unshare command here, so a test cannot mount a file system")
    run = subprocess.run([*command, _ON_A_FULL_DISK], capture_output=True, text=True)
    if "unshare:" in run.stderr or "mount:" in run.stderr:
        pytest.skip("this machine does not let a test mount a file system")
    assert run.returncode == 0, run.stderr
    assert "no space left while writing" in run.stdout and "2.0 MB needed" in run.stdout
    assert "b'old'" in run.stdout


def _write_beyond_limit(path, queue):
    """The kernel itself breaks the write in the middle."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        write_bytes_atomically(path, b"x" * 100_000)
    except WriteFailed as error:
        queue.put((type(error).__name__, error.errno, str(error)))


def test_a_write_broken_by_the_system_keeps_the_old_file(tmp_path):
    path = tmp_path / "state.pt"
    path.write_bytes(b"old")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_write_beyond_limit, args=(path, queue))
    process.start()
    kind, number, message = queue.get(timeout=120)
    process.join()
    assert (kind, number) == ("WriteFailed", errno.EFBIG)
    assert str(path) in message and "0.1 MB needed" in message
    assert path.read_bytes() == b"old" and _names(tmp_path) == ["state.pt"]


def test_missing_parent_is_named(tmp_path):
    with pytest.raises(WriteFailed, match="No such file or directory"):
        write_bytes_atomically(tmp_path / "absent" / "file", b"x")


def test_folder_takes_its_name_only_at_the_end(tmp_path):
    target = tmp_path / "home" / "net.one"
    with atomic_folder(target) as part:
        (part / "a").write_bytes(b"1")
        (part / "b").write_bytes(b"2")
        assert not target.exists()
    assert _names(target) == ["a", "b"] and _names(target.parent) == ["net.one"]


@pytest.mark.parametrize("writer", [atomic_folder, temporary_folder])
def test_what_cannot_fit_is_refused_before_it_is_written(tmp_path, monkeypatch, writer):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2_000_000))
    with writer(tmp_path / "a" if writer is atomic_folder else tmp_path, bytes_needed=2_000_000):
        pass
    with pytest.raises(DiskFull, match="at least 2.5 MB needed.*2.0 MB free"):
        with writer(tmp_path / "b" if writer is atomic_folder else tmp_path, bytes_needed=2500000):
            pytest.fail("the block ran")
    assert set(_names(tmp_path)) <= {"a"}


def test_folder_is_dropped_on_error(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with atomic_folder(tmp_path / "net.one") as part:
            (part / "a").write_bytes(b"1")
            1 / 0  # noqa: B018
    assert _names(tmp_path) == []


def test_errors_of_the_block_itself_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError):
        with atomic_folder(tmp_path / "net.one"):
            (tmp_path / "absent").read_bytes()


def test_existing_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "net.one").mkdir()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        with atomic_folder(tmp_path / "net.one"):
            pytest.fail("the block must not run")


def test_folder_that_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "net.one"
    with pytest.raises(FileExistsError, match="exists already"):
        with atomic_folder(target) as part:
            (part / "a").write_bytes(b"mine")
            target.mkdir()
            (target / "a").write_bytes(b"theirs")
    assert (target / "a").read_bytes() == b"theirs" and _names(tmp_path) == ["net.one"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_overwrite_replaces_the_whole_folder(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(atomic_write, "_exchanged", lambda part, path: False)
    target = tmp_path / "net.one"
    for content in ("old", "new"):
        with atomic_folder(target, overwrite=True) as part:
            (part / content).write_text(content)
    assert _names(target) == ["new"] and _names(tmp_path) == ["net.one"]


def test_part_deleted_meanwhile_does_not_cost_the_old_folder(tmp_path):
    """A rename that fails because its source is gone must not free the name."""
    target = tmp_path / "net.one"
    target.mkdir()
    (target / "a").write_bytes(b"old")
    with pytest.raises(WriteFailed):
        with atomic_folder(target, overwrite=True) as part:
            part.rmdir()
    assert (target / "a").read_bytes() == b"old"


def test_full_disk_in_a_folder_names_the_folder_and_keeps_the_old(tmp_path, monkeypatch):
    target = tmp_path / "net.one"
    target.mkdir()
    (target / "a").write_bytes(b"old")
    _refuse(monkeypatch, errno.ENOSPC)
    with pytest.raises(DiskFull) as caught:
        with atomic_folder(target, overwrite=True) as part:
            write_bytes_atomically(part / "a", b"x" * 300_000)
    assert str(target) + " " in str(caught.value) and "0.3 MB needed" in str(caught.value)
    assert (target / "a").read_bytes() == b"old" and _names(tmp_path) == ["net.one"]


_ENDLESS = """
import sys
from gesture_pretrain.files import write_bytes_atomically
while True:
    for fill in (b"a", b"b"):
        write_bytes_atomically(sys.argv[1], fill * 3_000_000)
"""


def test_kill_at_any_moment_leaves_a_whole_file(tmp_path):
    path = tmp_path / "state.pt"
    for wait_s in (0.01, 0.03, 0.07):
        process = subprocess.Popen([sys.executable, "-c", _ENDLESS, path])
        while not path.exists():
            time.sleep(0.01)
        time.sleep(wait_s)
        process.kill()
        process.wait()
        content = path.read_bytes()
        assert len(content) == 3_000_000 and content in (b"a" * 3_000_000, b"b" * 3_000_000)
    remove_abandoned_parts(tmp_path)
    assert _names(tmp_path) == ["state.pt"]


def test_parts_are_removed_unless_their_writer_is_at_work(tmp_path):
    killed = tmp_path / f".net.one.{12 * 'a'}.part"
    killed.mkdir()
    (killed / "a").write_bytes(b"x")
    own = tmp_path / ".shopping.part"
    own.write_bytes(b"x")
    with atomic_folder(tmp_path / "net.one") as part:
        assert part.exists() and own.exists() and not killed.exists()
        assert remove_abandoned_parts(tmp_path) == 0


def test_a_part_that_cannot_be_removed_does_not_stop_a_writer(tmp_path, monkeypatch):
    link, foreign = (tmp_path / f".net.{letter * 12}.part" for letter in "ab")
    link.symlink_to(tmp_path / "elsewhere")
    foreign.write_bytes(b"x")
    unlink = type(foreign).unlink

    def refuse(path, **options):
        if path == foreign:
            raise PermissionError(errno.EACCES, "another user's")
        unlink(path, **options)

    monkeypatch.setattr(type(foreign), "unlink", refuse)
    write_bytes_atomically(tmp_path / "state", b"abc")
    assert (tmp_path / "state").read_bytes() == b"abc" and link.is_symlink() and foreign.exists()


def test_a_part_that_is_taken_for_abandoned_is_made_again(tmp_path, monkeypatch):
    """Between its creation and its lock, nothing shows that a part has a writer."""
    lock, taken = atomic_write._lock, []

    def too_late(handle):
        if not taken:
            taken.append(remove_abandoned_parts(tmp_path))
        return lock(handle)

    monkeypatch.setattr(atomic_write, "_lock", lambda handle: too_late(handle))
    monkeypatch.setattr(atomic_write, "_removed_if_abandoned", lambda part: part.unlink() or True)
    write_bytes_atomically(tmp_path / "state", b"abc")
    assert taken == [1] and _names(tmp_path) == ["state"]


def _overwrite_often(target, letter, count):
    for _ in range(count):
        with atomic_folder(target, overwrite=True) as part:
            for name in ("a", "b"):
                (part / name).write_text(letter)


@pytest.mark.parametrize("can_exchange", [True, False])
def test_two_overwriting_processes_never_mix(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(atomic_write, "_exchanged", lambda part, path: False)
    target = tmp_path / "net.one"
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=_overwrite_often, args=(target, letter, 25)) for letter in "xy"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert (target / "a").read_text() == (target / "b").read_text()
    assert _names(tmp_path) == ["net.one"]
