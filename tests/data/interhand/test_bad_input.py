"""Missing, damaged and invalid files of InterHand2.6M are refused by name."""

import json

import pytest

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.interhand.stream import JsonStream


def build(root, **arguments):
    return HandIndex.open(build_interhand_index(root, progress=False, **arguments), verify=True)


def data_json(root, split="train"):
    return root / "annotations" / split / f"InterHand2.6M_{split}_data.json"


def test_missing_root_or_annotations(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        build(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no folder 'annotations'"):
        build(tmp_path)
    (tmp_path / "annotations").mkdir()
    with pytest.raises(DataError, match="no annotations of any split.*found none"):
        build(tmp_path)


def test_split_or_file_that_is_not_there(tiny_release, tmp_path):
    root = tiny_release.write(tmp_path)
    with pytest.raises(DataError, match="no annotations of test.*found train, val"):
        build(root, splits=["test"])
    (data_json(root).parent / "InterHand2.6M_train_joint_3d.json").unlink()
    with pytest.raises(DataError, match="train_joint_3d.json is missing"):
        build(root)


def test_a_subset_of_a_release_without_subsets(tiny_release, tmp_path):
    """The error once claimed that there are no annotations."""
    root = tiny_release.write(tmp_path)
    with pytest.raises(DataError, match="Without the subset 'human_annot' there are train, val"):
        build(root, subset="human_annot")


@pytest.mark.parametrize("kind", ["data", "camera", "joint_3d", "MANO_NeuralAnnot"])
def test_truncated_json_names_file_and_byte(tiny_release, tmp_path, kind):
    root = tiny_release.write(tmp_path)
    path = root / "annotations" / "train" / f"InterHand2.6M_train_{kind}.json"
    whole = path.read_bytes()
    for kept in (0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=rf"train_{kind}.json: .*at byte \d+ of {kept} "):
            build(root)
    assert not (root / "index").exists()
    assert not list(root.glob(".index*"))


def test_truncation_is_called_so_with_the_offset_of_the_end(tmp_path):
    path = tmp_path / "cut.json"
    path.write_text('{"images": [{"id": 1}, {"id": 2')
    with JsonStream(path, block_bytes=8) as stream, pytest.raises(DataError) as caught:
        for _ in stream.members():
            list(stream.element_batches(1))
    assert "truncated JSON at byte 31 of 31" in str(caught.value)


def test_not_json_shows_what_it_is_instead(tiny_release, tmp_path):
    root = tiny_release.write(tmp_path)
    data_json(root).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(DataError, match="at byte 0.*git-lfs"):
        build(root)


def test_damage_inside_is_found_at_its_byte(tmp_path):
    text = '[{"a": 1}, {"é": 2}, {"b" 3}, {"c": 4}]'
    path = tmp_path / "damaged.json"
    path.write_text(text, encoding="utf-8")
    offset = text.encode().index(b" 3}")
    with JsonStream(path, block_bytes=5) as stream:
        with pytest.raises(DataError, match=rf"damaged JSON at byte {offset + 1} "):
            list(stream.element_batches(2))


def test_text_after_the_end_is_an_error(tmp_path):
    path = tmp_path / "two.json"
    path.write_text("[1] [2]")
    with JsonStream(path) as stream:
        assert list(stream.element_batches(8)) == [[1]]
        with pytest.raises(DataError, match="expected the end of the file"):
            stream.finish()


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 64])
def test_stream_equals_json_load_wherever_the_blocks_end(tmp_path, block_bytes, ascii_only):
    content = {
        "numbers": [1, -12.5e-7, 1.5e300, 0, 123456789],
        "text": ["é", "\\", '"]}', "😀", ""],
        "deep": [{"a": [[1], [], {}]}, None, True, False],
        "empty": [],
    }
    path = tmp_path / "content.json"
    path.write_text(json.dumps(content, ensure_ascii=ascii_only, indent=1), "utf-8")
    read = {}
    with JsonStream(path, block_bytes=block_bytes) as stream:
        for key in stream.members():
            read[key] = [value for batch in stream.element_batches(2) for value in batch]
        stream.finish()
    assert read == content


def test_a_stray_annotation_names_its_image(tiny_release, tmp_path):
    tiny_release.json["train"]["data"]["annotations"][0]["image_id"] = 55_555
    with pytest.raises(DataError, match="first image_id 55555"):
        build(tiny_release.write(tmp_path))


def test_repeated_images_and_annotations_are_named(tiny_release, tmp_path):
    data = tiny_release.json["train"]["data"]
    data["annotations"].append(data["annotations"][0])
    repeated = data["annotations"][0]["image_id"]
    with pytest.raises(DataError, match=f"repeated annotated images, first {repeated}"):
        build(tiny_release.write(tmp_path))
    data["images"].append(data["images"][0])
    with pytest.raises(DataError, match="repeated image ids, first 10"):
        build(tiny_release.write(tmp_path))


def test_missing_keys_and_odd_values_are_named(tiny_release, tmp_path):
    annotation = tiny_release.json["train"]["data"]["annotations"][0]
    flag, annotation["joint_valid"][0] = annotation["joint_valid"][0], [2]
    with pytest.raises(DataError, match="joint_valid of 2"):
        build(tiny_release.write(tmp_path))
    annotation["joint_valid"][0] = flag
    del annotation["bbox"]
    with pytest.raises(DataError, match="lacks bbox"):
        build(tiny_release.write(tmp_path))


def test_a_folder_that_is_not_an_index_is_not_replaced(tiny_release, tmp_path):
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="not an index"):
        build(tiny_release.write(tmp_path), out=out)
    assert (out / "thesis.txt").exists()
