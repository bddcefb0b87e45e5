"""What a run folder tells, and that resuming executes nothing of it."""

import json
from pathlib import Path

from gesture_pretrain.training.run_folder import differing_keys, write_run_folder

CONFIG = {"data": {"index": Path("x"), "hands": ("right",)}, "seed": 1, "heads": None}


def write(out, config, **changes):
    return write_run_folder(out, {**config, **changes}, name="a.b", device="cpu")


def test_changed_keys_are_told_and_recorded(tmp_path):
    assert write(tmp_path, CONFIG) == []
    assert write(tmp_path, CONFIG) == []  # paths and tuples are what they were
    changed = write(tmp_path, CONFIG, seed=2, data={"index": Path("x"), "hands": ("left",)})
    assert changed == ["data.hands ['right'] -> ['left']", "seed 1 -> 2"]
    record = json.loads((tmp_path / "run.json").read_text())
    assert [start["changed_keys"] for start in record["starts"]] == [[], [], changed]


def test_a_section_that_comes_or_goes_is_a_change():
    assert differing_keys({"a": {"b": 1}}, {"a": {}}) == ["a None -> {}", "a.b 1 -> None"]


def test_resuming_executes_no_code_of_the_run_folder(tmp_path):
    """The folder's config.py was imported: whoever could write there ran code at the next start."""
    write(tmp_path, CONFIG)
    trap = tmp_path / "executed"
    (tmp_path / "config.py").write_text(f"open({str(trap)!r}, 'w')\nseed = 1\n")
    assert write(tmp_path, CONFIG) == []
    assert not trap.exists()
    assert "open(" not in (tmp_path / "config.py").read_text()
