"""A cell has one worker at a time, whatever becomes of the others."""

import json
import os
import signal
import socket
import time

import pytest

from adapters.transfer.run.cell_lock import cell_lock, holder_of, is_held


def hold_in_child(folder) -> tuple[int, str]:
    """Forks a process that asks for the lock and stays; its id, and what it was told."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            with cell_lock(folder) as mine:
                os.write(write, str(mine).encode())
                time.sleep(600)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as answer:
        # at most five bytes, written at once; nothing, if the child died before
        return child, os.read(answer.fileno(), 5).decode()


def test_lock_is_exclusive_and_says_who_has_it(tmp_path):
    child, got_it = hold_in_child(tmp_path / "cell")
    try:
        assert got_it == "True"
        assert is_held(tmp_path / "cell")
        with cell_lock(tmp_path / "cell") as mine:
            assert not mine
        holder = holder_of(tmp_path / "cell")
        assert holder["pid"] == child and holder["host"] == socket.gethostname()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    # killed without a chance to clean up: the lock is free at once
    assert not is_held(tmp_path / "cell")
    with cell_lock(tmp_path / "cell") as mine:
        assert mine


def test_lock_keeps_its_own_process_out_and_is_released(tmp_path):
    with cell_lock(tmp_path) as first, cell_lock(tmp_path) as second:
        assert first and not second
    assert holder_of(tmp_path) is None
    with pytest.raises(RuntimeError), cell_lock(tmp_path):
        raise RuntimeError
    with cell_lock(tmp_path) as again:
        assert again


def test_looking_at_a_lock_does_not_lose_it(tmp_path):
    with cell_lock(tmp_path / "cell") as mine:
        assert mine and is_held(tmp_path / "cell")
        with cell_lock(tmp_path / "cell") as again:
            assert not again
        child, got_it = hold_in_child(tmp_path / "cell")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert got_it == "False"


def test_holder_on_another_machine_counts_until_its_heartbeat_is_old(tmp_path):
    def say(age_s):
        heartbeat = {"pid": 1, "host": "another", "heartbeat": time.time() - age_s}
        (tmp_path / "holder.json").write_text(json.dumps(heartbeat))

    (tmp_path / "lock").touch()
    say(5)
    assert is_held(tmp_path)
    with cell_lock(tmp_path) as mine:
        assert not mine
    say(500)
    assert not is_held(tmp_path)
    with cell_lock(tmp_path) as mine:
        assert mine
