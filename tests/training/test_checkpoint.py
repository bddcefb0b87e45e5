import errno
import json
import os

import pytest
import torch

from gesture_pretrain.training.checkpoint import (
    has_checkpoint,
    load_newest_checkpoint,
    save_checkpoint,
)
from gesture_pretrain.training.stopped import NoIntactCheckpoint, NoRoomForRun


def state(value: float) -> dict:
    return {"model": {"weight": torch.full((1000,), value)}, "note": "x", "nothing": None}


def test_round_trip_and_only_the_newest_two_stay(tmp_path):
    for iteration in (0, 5, 10, 15):
        save_checkpoint(tmp_path, iteration, state(iteration), keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "iteration_00000010.json",
        "iteration_00000010.pt",
        "iteration_00000015.json",
        "iteration_00000015.pt",
    ]
    loaded = load_newest_checkpoint(tmp_path)
    assert loaded.state["iteration"] == 15 and loaded.notes == ()
    assert torch.equal(loaded.state["model"]["weight"], torch.full((1000,), 15.0))


def test_empty_folder_has_no_checkpoint(tmp_path):
    assert load_newest_checkpoint(tmp_path) is None
    assert not has_checkpoint(tmp_path)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage, said",
    [(truncate, "bytes"), (flip_a_byte, "SHA-256"), (os.unlink, "missing")],
)
def test_torn_checkpoint_is_named_and_the_one_before_is_used(tmp_path, damage, said):
    save_checkpoint(tmp_path, 1, state(1))
    torn = save_checkpoint(tmp_path, 2, state(2))
    damage(torn)
    loaded = load_newest_checkpoint(tmp_path)
    assert loaded.state["iteration"] == 1
    assert str(torn) in loaded.notes[0] and said in loaded.notes[0]


def test_file_without_its_record_does_not_count(tmp_path):
    # A kill between the two renames leaves a whole file without its json.
    save_checkpoint(tmp_path, 1, state(1))
    save_checkpoint(tmp_path, 2, state(2)).with_suffix(".json").unlink()
    assert load_newest_checkpoint(tmp_path).state["iteration"] == 1


def test_unreadable_record_is_a_torn_checkpoint(tmp_path):
    save_checkpoint(tmp_path, 1, state(1))
    save_checkpoint(tmp_path, 2, state(2)).with_suffix(".json").write_text("{")
    loaded = load_newest_checkpoint(tmp_path)
    assert loaded.state["iteration"] == 1 and "JSON" in loaded.notes[0]


def test_all_torn_is_an_error_that_lists_them(tmp_path):
    paths = [save_checkpoint(tmp_path, k, state(k)) for k in (1, 2)]
    for path in paths:
        truncate(path)
    with pytest.raises(NoIntactCheckpoint) as error:
        load_newest_checkpoint(tmp_path)
    assert all(str(path) in str(error.value) for path in paths)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_named_and_the_earlier_checkpoint_stays(tmp_path, monkeypatch, number):
    save_checkpoint(tmp_path, 1, state(1))

    def no_room(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(NoRoomForRun, match=r"iteration_00000002.pt.*MB needed"):
        save_checkpoint(tmp_path, 2, state(2))
    monkeypatch.undo()
    assert load_newest_checkpoint(tmp_path).state["iteration"] == 1
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".pt"]  # nothing half-written


def test_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "canary"),))

    path = save_checkpoint(tmp_path, 1, {"evil": Evil()})
    assert json.loads(path.with_suffix(".json").read_text())["bytes"] == path.stat().st_size
    with pytest.raises(NoIntactCheckpoint, match=f"{path.name}.*UnpicklingError"):
        load_newest_checkpoint(tmp_path)
    assert not (tmp_path / "canary").exists()


def test_no_view_of_a_buffer_is_handed_on(repo_root):
    """cpython#111049: Python 3.12.1 crashed when it collected `BytesIO.getbuffer()` views.

    An exception's traceback, as of a full disk, holds them in a reference cycle.
    """
    folders = ("gesture_pretrain", "adapters", "third_party", "tools")
    files = [path for folder in folders for path in (repo_root / folder).rglob("*.py")]
    assert len(files) > 100
    assert [str(path) for path in files if "getbuffer(" in path.read_text()] == []
