"""Labels of whole clusters, and gestures that are withheld from pretraining."""

import numpy as np
import pytest

from gesture_pretrain.cluster_labels import (
    Cluster,
    cluster_shuffled,
    labelled_clusters,
    sequence_identity,
)
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.pretraining.labels import load_taxonomy
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.load("interhand26m")


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> HandIndex:
    root = write_synthetic(
        tmp_path_factory.mktemp("clusters") / "data",
        images_per_split={"train": 96, "test": 24},
        size_px=32,
        cameras_per_frame=2,
        subjects={"train": 4, "test": 2},
        workers=0,
        progress=False,
    )
    return HandIndex.open(build_interhand_index(root, progress=False))


def classes_by_cluster(index, taxonomy, split="train") -> dict[tuple[int, str], set[tuple]]:
    rows = index.select(split=split)
    found = GestureDataset(index, rows, taxonomy, 32, announce=None)
    classes = {}
    for row, *pair in zip(rows, found.coarse.tolist(), found.fine.tolist(), strict=True):
        record = index.record(row)
        classes.setdefault((record.subject, record.label), set()).add(tuple(pair))
    return classes


def test_shuffled_clusters_keep_one_class_each_and_the_counts_and_the_hand(index, taxonomy):
    true = classes_by_cluster(index, taxonomy)
    control = load_taxonomy("interhand26m", "cluster_shuffled", 1, index)
    shuffled = classes_by_cluster(index, control)
    assert all(len(classes) == 1 for classes in shuffled.values())
    assert sorted(map(min, true.values())) == sorted(map(min, shuffled.values()))
    assert np.mean([true[key] == shuffled[key] for key in true]) < 0.3
    right = {
        taxonomy.coarse_of[name] for name, hand in taxonomy.hand_of_label.items() if hand == "right"
    }
    assert all((min(true[key])[0] in right) == (min(shuffled[key])[0] in right) for key in true)
    other = classes_by_cluster(index, load_taxonomy("interhand26m", "cluster_shuffled", 2, index))
    assert other != shuffled and control.sha256 != taxonomy.sha256


def test_a_gesture_means_nothing_across_subjects(taxonomy):
    labels = [name for name in taxonomy.labels if taxonomy.hand_of(name) == "right"][:20]
    clusters = [Cluster(0, subject, label) for subject in range(30) for label in labels]
    control = cluster_shuffled(taxonomy, clusters, 0)
    of_fist = {control.class_of_cluster[subject, labels[0]] for subject in range(30)}
    assert len(of_fist) > 10  # of 20 classes, drawn 30 times


def test_sequence_identity_has_a_class_for_each_cluster(index, taxonomy):
    control = load_taxonomy("interhand26m", "sequence_identity", 0, index)
    found = classes_by_cluster(index, control)
    assert len({min(classes) for classes in found.values()}) == len(found)
    clusters = labelled_clusters(index, taxonomy)
    assert control.num_coarse == control.num_fine == len(clusters)
    assert control.has_flip and control.flip(1, 1) == (1, 1)


def test_clusters_need_subjects(index, taxonomy):
    control = sequence_identity(taxonomy, labelled_clusters(index, taxonomy), 0)
    with pytest.raises(ValueError, match="subject"):
        control.assign(["0016_fist"], ["right"])


def test_withheld_gestures_have_no_class_and_the_others_keep_theirs(index, taxonomy):
    some = load_taxonomy("interhand26m", None, 0, index, withheld=["0016_fist", "0116_fist"])
    assert some.ids("0016_fist") == (-1, -1) and some.num_coarse == taxonomy.num_coarse
    assert some.ids("0010_thumbup_normal") == taxonomy.ids("0010_thumbup_normal")
    fifth = load_taxonomy("interhand26m", None, 0, index, withheld=0.2, withheld_seed=3)
    gone = set(taxonomy.labels) - set(fifth.labels)
    assert {taxonomy.hand_of(label) for label in gone} == {"right", "left"}
    # a gesture goes with its mirror image, of the other hand
    assert {taxonomy.coarse_flip[taxonomy.coarse_of[label]] for label in gone} == {
        taxonomy.coarse_of[label] for label in gone
    }
    assert 0.1 < len({taxonomy.coarse_of[label] for label in gone}) / taxonomy.num_coarse < 0.3
    rows = index.select(split="train", labelled_by=fifth)
    assert not gone & {index.record(row).label for row in rows}
    assert fifth.labels != load_taxonomy("interhand26m", None, 0, index, withheld=0.2).labels


@pytest.mark.parametrize(
    ("withheld", "message"),
    [(["0016_fits"], "0016_fist"), (0.001, "fraction"), (1.0, "fraction")],
)
def test_what_cannot_be_withheld_is_named(index, withheld, message):
    with pytest.raises(ValueError, match=message):
        load_taxonomy("interhand26m", None, 0, index, withheld=withheld)
