"""The index benchmark runs, and what it makes has the structure that it claims."""

import json

import numpy as np

from gesture_pretrain.commands.benchmarks import index, interhand_annotations
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index


def test_runs_and_writes_its_numbers(tmp_path):
    out = tmp_path / "numbers.json"
    index.main(["--scale", "0.0005", "--work", str(tmp_path), "--json", str(out)])
    document = json.loads(out.read_text())
    assert [row["candidate"] for row in document["results"]] == list(index.CANDIDATES)
    assert all(row["seconds"] > 0 and row["peak_mib"] > 0 for row in document["results"])
    assert document["versions"]["numpy"] and document["machine"]["cores"]
    assert list(tmp_path.iterdir()) == [out]  # the annotations are gone


def test_made_up_annotations_have_the_real_structure(tmp_path):
    root = interhand_annotations.write_annotations(tmp_path, 0.004)
    built = HandIndex.open(build_interhand_index(root, progress=False))
    assert len(built) == round(0.004 * interhand_annotations.FULL_IMAGES)
    assert built.meta["rounded_to_float32"] == {}
    single = np.mean(built.values("hand") < 2)
    assert 0.45 < single < 0.55  # half of the time steps, give or take the last one
    assert (built.columns["step_mano"] < 0).all(axis=1).any()  # steps without a fit
    data = root / "annotations" / "train" / "InterHand2.6M_train_data.json"
    per_image = data.stat().st_size / len(built)
    assert 560 < per_image < 680  # the real file has 622 bytes per image
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert 0.5 * total < index._FULL_BYTES * 0.004 < total
