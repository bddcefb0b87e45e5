"""Every reader names the damaged file in one line, whatever its content is."""

import json

import pytest

from adapters.pose.checkpoint import read_pose_card
from adapters.prediction.box_file import boxes_from_file
from gesture_pretrain.commands.main import run_commands
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.training.run_folder import write_run_folder
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.folder import open_weights
from tests.fuzz.formats import POSE_CARD
from tests.helpers.tiny_release import TinyRelease

LATIN_1 = "Größe".encode("latin-1")
LONG_CELL = b"label,coarse,fine\n" + b"a" * 200_000 + b",0,0\n"
LONG_BOX = b"image,x,y,width,height\n" + b"a" * 200_000 + b",1,2,3,4\n"


@pytest.mark.parametrize("command", [["pretrain"], ["pose", "train"], ["transfer"], ["swap"]])
@pytest.mark.parametrize(
    "content",
    [b"x = 1 / 0\n", b"assert False\n", b"x = {}['key']\n", b"x = '" + LATIN_1 + b"'\n", b"x = ("],
    ids=["division", "assertion", "key", "latin-1", "syntax"],
)
def test_a_config_that_cannot_be_run_is_named(tmp_path, capsys, command, content):
    path = tmp_path / "damaged_config.py"
    path.write_bytes(content)
    words = [*command, str(path)] + ["status"] * (command == ["transfer"])
    if command == ["swap"]:
        words = ["swap", "--target", "eanet", "--backbone", "a.b", "--config", str(path)]
    assert run_commands(words) == 1
    message = capsys.readouterr().err.strip()
    assert "damaged_config.py" in message and "Traceback" not in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("signs.csv", b"label,coarse,fine\n" + LATIN_1 + b",0,0\n", Taxonomy.load),
        ("signs.csv", LONG_CELL, Taxonomy.load),
        ("boxes.csv", b"image,x,y,width,height\n" + LATIN_1 + b",1,2,3,4\n", boxes_from_file),
        ("boxes.csv", LONG_BOX, boxes_from_file),
        ("boxes.json", b'{"' + LATIN_1 + b'": 1}', boxes_from_file),
        ("card.json", b'{"' + LATIN_1 + b'": 1}', lambda path: read_pose_card(path.parent)),
        ("card.json", b'{"' + LATIN_1 + b'": 1}', lambda path: open_weights(path.parent)),
    ],
)
def test_text_that_cannot_be_read_is_named(tmp_path, name, content, read):
    path = tmp_path / name
    path.write_bytes(content)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=name) as caught:
        read(path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("key", [*POSE_CARD])
@pytest.mark.parametrize("value", [None, 10**400, [[]]], ids=["absent", "huge", "list"])
def test_a_changed_pose_card_is_refused_or_sound(tmp_path, key, value):
    card = {**POSE_CARD, key: value} if value else {k: v for k, v in POSE_CARD.items() if k != key}
    (tmp_path / "card.json").write_text(json.dumps(card))
    try:
        read_pose_card(tmp_path)
    except WeightsError as error:
        assert "card.json" in str(error)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *[("run.json", text) for text in (b"", b"[]", b"{", b"\xff", b'{"starts": 1}', b"{}")],
        *[("config.json", text) for text in (b"", b"[]", b"{", b"\xff")],
    ],
)
def test_a_damaged_run_folder_is_named_and_kept(tmp_path, name, content):
    write_run_folder(tmp_path, {"seed": 1}, name="a.b", device="cpu")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}.*Restore"):
        write_run_folder(tmp_path, {"seed": 2}, name="a.b", device="cpu")
    assert (tmp_path / name).read_bytes() == content


def test_gestures_need_no_camera(tmp_path):
    release = TinyRelease()
    for files in release.json.values():
        files["camera"], files["MANO_NeuralAnnot"] = {}, {}
    root = release.write_images(release.write(tmp_path))
    index = HandIndex.open(build_interhand_index(root, progress=False))
    labels = Taxonomy.from_index_labels(index.labels)
    dataset = GestureDataset(index, index.select("train"), labels, size_px=32, announce=None)
    assert dataset[0, 0].image.shape == (3, 32, 32)
