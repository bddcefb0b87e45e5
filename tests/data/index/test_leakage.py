"""The leakage audit finds planted leaks of each kind, and nothing where there is none."""

import json
import shutil

import numpy as np
import pytest

from gesture_pretrain.data.folders import build_folder_index
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.leakage import (
    LeakageError,
    audit_leakage,
    require_no_leaks,
    rows_fingerprint,
)
from gesture_pretrain.data.interhand.build import build_interhand_index


@pytest.fixture
def index(tiny_release, tmp_path):
    return HandIndex.open(build_interhand_index(tiny_release.write(tmp_path / "a"), progress=False))


def split_rows(index):
    return index.select(split="train"), index.select(split="val")


def test_separate_splits_have_no_leak_but_share_subjects_and_gestures(index):
    audit = audit_leakage(index, split_rows(index)[0], index, split_rows(index)[1])
    assert audit.leaks == {} and audit.shared_recordings == 0
    # the made-up release has the same people in both splits, under the same capture numbers
    assert audit.shared_subjects == (5, 8) and audit.test_subjects == 2
    assert audit.gestures_unseen == () and len(audit.gestures_seen) == 3
    require_no_leaks({"pretraining": audit})


def test_planted_test_image_is_found(index):
    train, test = split_rows(index)
    audit = audit_leakage(index, [*train, test[2]], index, test)
    # the image itself, and the other camera's image of its moment
    assert audit.leaks == {"same_image": 1, "other_view": 1}
    assert audit.examples["same_image"] == (str(index.image_path(int(test[2]))),)
    with pytest.raises(LeakageError, match="pretraining:same_image: 1 of 8 test images, e.g. "):
        require_no_leaks({"pretraining": audit}, allowed=["pretraining:other_view"])


def test_planted_view_of_a_test_moment_is_found(index):
    train, test = split_rows(index)
    moment = index.values("step", test)
    first = np.flatnonzero(moment == moment[0])
    audit = audit_leakage(index, [*train, test[first[0]]], index, test[first[1:]])
    assert audit.leaks == {"other_view": 1} and audit.shared_recordings == 1
    with pytest.raises(LeakageError, match="other_view.*\n.*allowed_leaks"):
        require_no_leaks({"fine-tuning": audit})
    require_no_leaks({"fine-tuning": audit}, allowed=["fine-tuning:other_view"])


def test_the_same_data_indexed_twice_is_recognised(index, tiny_release, tmp_path):
    again = build_interhand_index(
        tiny_release.write(tmp_path / "b"), tmp_path / "elsewhere", progress=False
    )
    other = HandIndex.open(again)
    train, test = split_rows(index)
    assert audit_leakage(other, train, index, test).leaks == {}
    assert audit_leakage(other, [*train, test[0]], index, test).leaks == {
        "same_image": 1, "other_view": 1,
    }  # fmt: skip


def test_subjects_of_another_dataset_are_not_those_of_equal_numbers(index, tiny_release, tmp_path):
    # the 24 test subjects of a rendered dataset were called trained on, in another rendered one
    root = tiny_release.write(tmp_path / "b")
    other = HandIndex.open(build_interhand_index(root, data_name="another", progress=False))
    audit = audit_leakage(index, split_rows(index)[0], other, split_rows(other)[1])
    assert audit.shared_subjects is None and audit.shared_recordings is None
    assert audit.test_subjects == 2 and "unknown" in audit.sentences()[1]


def test_gestures_that_only_the_test_has_are_listed(index):
    train, test = split_rows(index)
    without = [row for row in train if index.record(row).label != "0107_thumbup_normal"]
    audit = audit_leakage(index, without, index, test)
    assert audit.gestures_unseen == ("0107_thumbup_normal",) and audit.unseen_images == 2
    assert "2 of 3 test gestures" in " ".join(audit.sentences())


def test_copy_under_another_name_is_found_by_content_only(index, tiny_release, tmp_path):
    tiny_release.write_images(tmp_path / "a")
    train, test = split_rows(index)
    for row in test:  # the synthetic images are all alike; make those of the test unique
        with index.image_path(int(row)).open("ab") as file:
            file.write(b"\0" * (100 + int(row)))
    (tmp_path / "mine" / "fist").mkdir(parents=True)
    shutil.copy(index.image_path(int(test[3])), tmp_path / "mine" / "fist" / "holiday.jpg")
    mine = HandIndex.open(build_folder_index(tmp_path / "mine", progress=False))
    assert audit_leakage(mine, [0], index, test).leaks == {}
    found = audit_leakage(mine, [0], index, test, by_content=True)
    assert found.leaks == {"same_image": 1}
    assert found.examples["same_image"] == (str(index.image_path(int(test[3]))),)
    assert found.shared_subjects is None  # photographs in folders are of nobody known


def test_a_link_in_a_folder_of_the_same_name_is_found_in_both_directions(
    index, tiny_release, tmp_path
):
    tiny_release.write_images(tmp_path / "a")
    test = split_rows(index)[1]
    (tmp_path / "mine" / "fist").mkdir(parents=True)
    (tmp_path / "mine" / "fist" / "a.jpg").symlink_to(index.image_path(int(test[3])))
    name = index.meta["data_name"]
    mine = HandIndex.open(build_folder_index(tmp_path / "mine", data_name=name, progress=False))
    assert audit_leakage(mine, [0], index, test).leaks == {"same_image": 1}
    assert audit_leakage(index, test, mine, [0]).leaks == {"same_image": 1}


def test_impossible_arguments_are_named(index):
    train, test = split_rows(index)
    with pytest.raises(ValueError, match="0 training and 8 test images"):
        audit_leakage(index, [], index, test)
    audit = audit_leakage(index, train, index, test)
    with pytest.raises(ValueError, match="'pretraining:twins'.*possible: pretraining:same_image"):
        require_no_leaks({"pretraining": audit}, allowed=["pretraining:twins"])


def test_fingerprint_of_rows_is_of_their_order_and_content(index):
    train, test = split_rows(index)
    assert rows_fingerprint(index, train) == rows_fingerprint(index, list(train))
    assert rows_fingerprint(index, train) != rows_fingerprint(index, test)


def write_scenes(index, split, background):
    """A background and a light for every image and moment of a split, as edition 2 lists them."""
    scenes = {"images": {}, "lights": {}}
    for row in index.select(split=split).tolist():
        record = index.record(row)
        scenes["images"][str(record.image_id)] = {"background": background, "visible": 1.0}
        frames = scenes["lights"].setdefault(str(record.capture), {})
        frames[str(record.frame)] = f"{split} {record.frame}"
    folder = index.root / "scenes"
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.json").write_text(json.dumps(scenes))


def test_shared_backgrounds_and_lights_of_rendered_images_are_counted(index):
    train, test = split_rows(index)
    assert audit_leakage(index, train, index, test).shared_backgrounds is None
    for split, background in (("train", "a"), ("val", "b")):
        write_scenes(index, split, background)
    audit = audit_leakage(index, train, index, test)
    assert (audit.shared_backgrounds, audit.shared_lights) == (0, 0)
    write_scenes(index, "val", "a")
    audit = audit_leakage(index, train, index, test)
    assert (audit.shared_backgrounds, audit.shared_lights) == (1, 0)
    assert "1 backgrounds and 0 lights" in audit.sentences()[-1]
    (index.root / "scenes" / "val.json").write_text('{"images": {}, "lights": {}}')
    with pytest.raises(DataError, match="val.json lacks"):
        audit_leakage(index, train, index, test)
