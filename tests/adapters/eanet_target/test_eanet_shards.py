"""EANet from shards: the samples of the files to the last bit, or a refusal with the command."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from adapters.eanet.crop import EanetAugmentation
from adapters.eanet.dataset import EanetDataset
from adapters.eanet.shards import largest_motion, shard_plan
from adapters.pose.training import build_pose_runner
from adapters.targets import find_pose_target
from eanet import UPSTREAM, Quirks
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.samples.augmentation import NONE, Augmentation
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.picture import PictureFiles, WholePictures
from gesture_pretrain.data.shards import shards as shards_module
from gesture_pretrain.data.shards.card import ShardSettings, StaleShards
from gesture_pretrain.data.shards.shards import write_shards
from gesture_pretrain.taxonomy import Taxonomy

SIZE_PX = 128  # some crops of a picture show two of its pixels per pixel, some do not
WIDE = Augmentation(scale=0.3, rotation_deg=75, translation=0.2, colour=0.2, flip=0.5)


@pytest.fixture
def make(jpeg_index, recipes):
    def build(split="train", **options):
        options = {"size_px": SIZE_PX, "hands": "all", "announce": None, **options}
        rows = jpeg_index.select(split=split)
        return EanetDataset(jpeg_index, rows, None, mano=recipes.mano(), **options)

    return build


@pytest.fixture
def write(jpeg_index, tmp_path):
    def build(split="train", size_px=SIZE_PX, augmentation=WIDE, box_source=None, name="shards"):
        limits = largest_motion(augmentation)
        rows = jpeg_index.select(split=split)
        plan = shard_plan(jpeg_index, rows, size_px, box_source=box_source, limits=limits)
        write = {"boxes": plan.boxes, "progress": False}
        return write_shards(jpeg_index, plan.rows, tmp_path / name, plan.settings, **write)

    return build


def steps_of(folder) -> list[int]:
    return np.concatenate([np.load(path)["step_px"] for path in folder.glob("*.npy")]).tolist()


def assert_equal(one, other):
    for field, a, b in zip(one._fields, one, other, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=field)


@pytest.mark.parametrize("image_as", ["uint8", "float"])
@pytest.mark.parametrize(
    ("size_px", "augmentation", "steps"),
    [
        (256, WIDE, {1}),
        (128, WIDE, {1, 2}),
        (96, EanetAugmentation(), {2, 4}),
        (32, EanetAugmentation(scale=0.6, rotation_deg=90, rotation=1), {2, 4, 8}),
        (128, None, {2}),
    ],
)
@pytest.mark.parametrize(
    ("split", "box_source"), [("train", "joints"), ("test", "joints"), ("test", "rootnet")]
)
def test_samples_are_those_of_the_files_to_the_last_bit(
    make, write, split, box_source, size_px, augmentation, steps, image_as
):
    """Of boxes that reach out of the picture, that are stretched, and of one that is outside."""
    folder = write(split, size_px, augmentation, box_source)
    options = {"size_px": size_px, "augmentation": augmentation, "seed": 3, "image_as": image_as}
    stored, files = (
        make(split, box_source=box_source, shards=source, **options) for source in (folder, None)
    )
    assert split == "test" or set(steps_of(folder)) == steps
    seen = set()
    for key in ((epoch, position) for epoch in range(5) for position in range(len(files))):
        sample = stored[key]
        assert_equal(sample, files[key])
        seen.add((sample.mirrored, bool(sample.image.any())))
    assert (box_source == "rootnet") == ((False, False) in seen)  # the box outside shows nothing
    assert augmentation is None or {(False, True), (True, True)} <= seen


def test_boxes_of_two_hands_as_upstream_has_them_are_other_shards(make, write):
    upstream = write(box_source="joints_upstream")
    for quirks in (UPSTREAM, Quirks(interacting_box_from_right_hand=True)):
        options = {"quirks": quirks, "augmentation": WIDE}
        stored, files = (make(shards=source, **options) for source in (upstream, None))
        for position in range(len(files)):
            assert_equal(stored[2, position], files[2, position])
    with pytest.raises(
        StaleShards,
        match=r"box_source is 'joints', they were made for 'joints_upstream'. Make others with "
        r"tools/prepare_data.py shards --size 128 --target eanet --box-source joints, or leave",
    ):
        make(shards=upstream)


def test_of_single_hands_the_quirk_changes_no_box(jpeg_index, recipes, write):
    rows = jpeg_index.select(split="train", single_hand_only=True)
    options = {"mano": recipes.mano(), "quirks": UPSTREAM, "shards": write(), "announce": None}
    stored = EanetDataset(jpeg_index, rows, None, SIZE_PX, **options)
    files = EanetDataset(jpeg_index, rows, None, SIZE_PX, **options | {"shards": None})
    assert_equal(stored[0], files[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_px": 96}, "size_px is 96, they were made for 128.*--size 96 --target eanet"),
        (
            {"box_source": "rootnet"},
            "box_source is 'rootnet', they were made for 'joints'.*--box-source rootnet",
        ),
        (
            {"augmentation": EanetAugmentation()},
            r"augmentation.rotation_deg is 60.0, they hold what up to 30.0 .*--rotation-deg 60.0",
        ),
        ({"augmentation": Augmentation(scale=0.5)}, "augmentation.scale is 0.5.* --scale 0.5,"),
        ({"augmentation": Augmentation(translation=0.3)}, "augmentation.translation is 0.3"),
    ],
)
def test_shards_for_other_crops_are_refused_with_the_command_for_these(
    make, write, options, message
):
    shards = write("test", augmentation=Augmentation())
    with pytest.raises(StaleShards, match=f"do not serve this loader: {message}"):
        make("test", shards=shards, **options)


def test_a_turn_that_is_never_drawn_is_not_asked_for(make, write):
    make(shards=write(augmentation=NONE), augmentation=EanetAugmentation(scale=0, rotation=0))


def test_shards_of_one_loader_are_refused_by_the_other(jpeg_index, make, write, tmp_path):
    rows, taxonomy = jpeg_index.select(split="train"), Taxonomy.load("interhand26m")
    gestures = ShardSettings(SIZE_PX)
    annotated = write_shards(jpeg_index, rows, tmp_path / "annotated", gestures, progress=False)
    with pytest.raises(
        StaleShards,
        match=r"the crops are those of target 'eanet', they were made for those of the index's "
        r"boxes. Make others with .* shards --size 128 --target eanet --box-source joints, or",
    ):
        make(shards=annotated)
    with pytest.raises(
        StaleShards,
        match=r"the crops are those of the index's boxes, they were made for those of target "
        r"'eanet'. Make others with tools/prepare_data.py shards --size 128, or leave",
    ):
        GestureDataset(jpeg_index, rows, taxonomy, SIZE_PX, shards=write(), announce=None)


def test_rows_of_another_split_and_whole_decodes_are_refused(make, write):
    shards = write("train")
    with pytest.raises(
        DataError, match=r"lacks 7 of the rows asked for, first row 8. Make .*eanet"
    ):
        make("test", shards=shards)
    with pytest.raises(ValueError, match="reduced_decode=False has no effect on shards"):
        make(shards=shards, reduced_decode=False)


def test_rows_that_eanet_cannot_use_are_not_stored(jpeg_index):
    plan = shard_plan(jpeg_index, jpeg_index.select(split="train"), SIZE_PX)
    assert len(plan.rows) == 7 and "left out: 1 without joint in view" in plan.note
    with pytest.raises(ValueError, match="possible for target 'eanet': joints, joints_upstream, r"):
        shard_plan(jpeg_index, [0], SIZE_PX, box_source="annotation")


def test_a_pickled_loader_opens_its_shards_again(make, write):
    stored = make(shards=write(), augmentation=WIDE)
    assert isinstance(stored.pictures, WholePictures)
    expected = stored[4, 2]
    content = pickle.dumps(stored.pictures)
    assert len(content) < 20_000
    stored.pictures = pickle.loads(content)
    assert_equal(stored[4, 2], expected)


def test_an_interrupted_call_is_taken_up(write, monkeypatch, tmp_path):
    monkeypatch.setattr(shards_module, "_ROWS_PER_SHARD", 3)
    whole, read = write(name="whole"), PictureFiles.read

    def interrupted(self, row, *arguments, **keywords):
        if row == 4:
            raise KeyboardInterrupt
        return read(self, row, *arguments, **keywords)

    monkeypatch.setattr(PictureFiles, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(name="parts")
    parts = tmp_path / "parts"
    assert sorted(path.name for path in parts.iterdir()) == [
        "00000.bytes",
        "00000.npy",
        "shards.json",
    ]
    monkeypatch.setattr(PictureFiles, "read", read)
    with pytest.raises(StaleShards, match="holds shards with other settings"):
        write(name="parts", augmentation=replace(WIDE, scale=0.1))
    write(name="parts")
    for path in whole.iterdir():
        assert path.read_bytes() == (parts / path.name).read_bytes()


def test_limits_are_the_largest_motion_that_is_drawn():
    augmentation = EanetAugmentation(scale=0.4, rotation_deg=20, rotation=1)
    limits, random = largest_motion(augmentation), np.random.default_rng(0)
    motions = [augmentation.draw(random) for _ in range(400)]
    assert max(abs(motion.scale - 1) for motion in motions) == pytest.approx(limits.scale)
    assert max(abs(motion.rotation_deg) for motion in motions) == limits.rotation_deg == 40
    assert limits.translation == 0 and {motion.translation for motion in motions} == {(0.0, 0.0)}
    assert largest_motion(None) == NONE and largest_motion(WIDE) is WIDE


def test_training_from_shards_gives_the_weights_of_training_from_files(
    jpeg_index, tmp_path, monkeypatch
):
    shards, size_px = tmp_path / "shards", 128
    motion = {"scale": 0.1, "rotation_deg": 10, "translation": 0}  # shows parts of the pictures
    rows, limits = jpeg_index.select(split="train"), Augmentation(**motion)
    plan = find_pose_target("eanet").shard_plan(jpeg_index, rows, size_px, limits=limits)
    write_shards(jpeg_index, plan.rows, shards, plan.settings, boxes=plan.boxes, progress=False)
    data = {"index": str(jpeg_index.path), "batch_size": 3, "workers": 0, "val_split": None}
    data["augmentation"] = motion
    states = []
    for source in (None, shards):
        if source is not None:  # no picture file is read any more
            monkeypatch.setattr("gesture_pretrain.data.samples.picture.cv2.imread", None)
        run = build_pose_runner(
            out=tmp_path / f"run{len(states)}",
            target="eanet",
            data={**data, "shards": source},
            backbone={"arch": "hrnet_w16_tiny", "size_px": size_px},
            model={"size": "tiny"},
            hand_model={"path": "open", "tip_convention": "interhand"},
            schedule={"iterations": 4, "warmup_iterations": 1},
            training={"log_every": 1, "threads": 1},
            device="cpu",
            progress=False,
        )
        run.train()
        states.append(run.runner.model.state_dict())
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
