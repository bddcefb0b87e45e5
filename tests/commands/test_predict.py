"""tools/predict.py: images, folders and videos to JSON, overlays and meshes; wrong input."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from random_pose_model import store_random_pose_model
from tool_module import load_tool

from adapters.pose.hand_models import HandModelSource
from adapters.prediction.hand_estimator import HandEstimator
from adapters.prediction.prediction_writer import ESTIMATED
from adapters.prediction.run import shown_notes
from gesture_pretrain.hand.mano_file import open_hand
from gesture_pretrain.taxonomy import Taxonomy

WIDTH, HEIGHT = 60, 40


@pytest.fixture(scope="module")
def tool():
    return load_tool("predict")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "model"
    return store_random_pose_model(folder, taxonomy=Taxonomy.load("interhand26m"))


@pytest.fixture
def folder(tmp_path):
    """Three images of noise: grey, colour with alpha, and 16 bits."""
    home = tmp_path / "images of mine"
    home.mkdir()
    noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 4)).astype(np.uint8)
    cv2.imwrite(str(home / "grey.png"), noise[..., 0])
    cv2.imwrite(str(home / "alpha.png"), noise)
    cv2.imwrite(str(home / "deep.png"), noise[..., :3].astype(np.uint16) * 257)
    return home


def predict(tool, model, *arguments) -> int:
    """Run the command; without boxes, the hand is assumed to fill the image."""
    words = [str(argument) for argument in arguments]
    if not {"--box", "--boxes"} & set(words):
        words.append("--whole-image")
    return tool.run(["--model", str(model), *words])


def read(out) -> dict:
    return json.loads((out / "predictions.json").read_text())


def test_a_folder_of_grey_alpha_and_16_bit_images(tool, model, folder, tmp_path):
    out = tmp_path / "out"
    assert predict(tool, model, folder, "--out", out, "--batch", "2") == 0
    content = read(out)
    assert [entry["image"] for entry in content["images"]] == ["alpha.png", "deep.png", "grey.png"]
    assert content["network"]["target"] == "token_fusion" and content["notes"] == []
    assert len(content["joint_names"]) == 21
    for entry in content["images"]:
        (hand,) = entry["hands"]
        assert entry["size_wh"] == [WIDTH, HEIGHT]
        shapes = {name: np.shape(hand[name]) for name in ESTIMATED}
        assert shapes == {
            "keypoints_px": (21, 2),
            "joint_depth_rel_mm": (21,),
            "joints_rel_mm": (21, 3),
            "mano_pose": (48,),
            "mano_shape": (10,),
            "camera_from_view": (3, 3),
            "image_from_mm": (3,),
            "box_xywh_px": (4,),
        }
        assert hand["hand"] in ("right", "left") and 0.5 <= hand["hand_probability"] <= 1
        assert hand["coarse"]["name"].startswith(hand["hand"]) and hand["coarse"]["probability"] > 0
        sheet = cv2.imread(str(out / "overlays" / f"{entry['image']}.png"))
        assert sheet.shape[1] == 2 * WIDTH + HEIGHT
        mesh = (out / "meshes" / f"{entry['image']}_{hand['hand']}.obj").read_text()
        assert mesh.count("\nv ") == 778 and mesh.count("\nf ") == 1538
    # alpha and 16 bits change nothing: these two are the same image
    first, second = (content["images"][i]["hands"][0]["joints_rel_mm"] for i in (0, 1))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_it_gives_what_the_estimator_gives(tool, model, folder, tmp_path):
    out = tmp_path / "out"
    box = [5, 3, 30, 32]
    arguments = [folder / "grey.png", "--hand", "left", "--out", out]
    arguments += ["--box", *map(str, box), "--mesh", "ply", "--no-overlays"]
    assert predict(tool, model, *arguments) == 0
    image = cv2.imread(str(folder / "grey.png"))  # grey: RGB and BGR are one
    (expected,) = HandEstimator(model).predict([image], [box], "left")
    (hand,) = read(out)["images"][0]["hands"]
    for name in ESTIMATED:
        np.testing.assert_allclose(hand[name], getattr(expected, name), atol=1e-4, err_msg=name)
    assert hand["hand"] == "left" and hand["hand_probability"] is None
    assert hand["fine"] == expected.fine._asdict()
    ply = (out / "meshes" / "grey.png_left.ply").read_bytes().split(b"end_header\n", 1)[1]
    vertices = np.frombuffer(ply[: 778 * 12], "<f4").reshape(778, 3)
    np.testing.assert_allclose(vertices, expected.vertices_rel_mm, atol=1e-4)
    assert not (out / "overlays").exists()


WITHOUT_SMPLX = """
import sys

sys.modules["smplx"] = None
from gesture_pretrain.commands.main import main

sys.argv[1:1] = ["predict", "--whole-image", "--hand", "left"]
sys.exit(main())
"""


def test_a_network_of_the_bundled_hand_model_needs_no_smplx(model, folder, tmp_path):
    words = [folder / "grey.png", "--model", model, "--out", tmp_path / "out", "--html"]
    call = [sys.executable, "-c", WITHOUT_SMPLX, *map(str, words)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(read(tmp_path / "out")["images"]) == 1


def test_boxes_refer_to_the_upright_image(tool, model, folder, tmp_path):
    """An image that is stored on its side gives what the upright one gives in the same box."""
    upright = Image.open(folder / "deep.png").convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer is to turn it clockwise
    home = tmp_path / "turned"
    home.mkdir()
    upright.transpose(Image.Transpose.ROTATE_90).save(home / "turned.png", exif=exif)
    upright.save(home / "upright.png")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "image,x,y,width,height,hand\nturned.png,30,2,20,30,right\nupright.png,30,2,20,30,right\n"
    )
    out = tmp_path / "out"
    assert predict(tool, model, home, "--boxes", boxes, "--out", out) == 0
    turned, straight = (entry["hands"][0] for entry in read(out)["images"])
    assert read(out)["images"][0]["size_wh"] == [WIDTH, HEIGHT]
    assert turned["keypoints_px"] == straight["keypoints_px"]
    assert turned["mano_pose"] == straight["mano_pose"]


def test_several_hands_in_one_image(tool, model, folder, tmp_path):
    boxes = tmp_path / "boxes.json"
    two = [{"box": [0, 0, 30, 30], "hand": "right"}, {"box": [25, 5, 30, 30], "hand": "left"}]
    boxes.write_text(json.dumps({"grey.png": two}))
    out = tmp_path / "out"
    arguments = [folder / "grey.png", "--boxes", boxes, "--out", out]
    # the file of boxes takes precedence over --hand
    assert predict(tool, model, *arguments, "--hand", "right") == 0
    assert [hand["hand"] for hand in read(out)["images"][0]["hands"]] == ["right", "left"]
    names = sorted(path.name for path in (out / "meshes").iterdir())
    assert names == ["grey.png_0_right.obj", "grey.png_1_left.obj"]


# --- videos ----------------------------------------------------------------------------------


def write_video(path, frames: int):
    code = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), code, 10, (96, 64))
    noise = np.random.default_rng(2).integers(0, 255, (frames, 64, 96, 3)).astype(np.uint8)
    for frame in noise:
        writer.write(frame)
    writer.release()
    return path


def frames_of(path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (found := capture.read())[0]:
        frames.append(found[1])
    return frames


def test_a_video_gives_a_video(tool, model, tmp_path):
    video, out, boxes = write_video(tmp_path / "v.avi", 5), tmp_path / "out", tmp_path / "b.csv"
    # frame 2 has two hands, frame 4 none: the drawn frames have one size all the same
    rows = [f"v.avi,10,10,40,40,right,{frame}" for frame in (0, 1, 2, 3)]
    rows += ["v.avi,30,10,40,40,left,2"]
    boxes.write_text("\n".join(["image,x,y,width,height,hand,frame", *rows]) + "\n")
    arguments = [video, "--boxes", boxes, "--out", out, "--batch", "2"]
    assert predict(tool, model, *arguments, "--mesh", "obj") == 2
    content = read(out)
    assert [entry["frame"] for entry in content["images"]] == [0, 1, 2, 3, 4]
    assert [len(entry["hands"]) for entry in content["images"]] == [1, 1, 2, 1, 0]
    assert content["notes"] == [f"1 frames of v.avi have no box in {boxes}."]
    drawn = frames_of(out / "overlays" / "v.avi.mp4")
    assert len(drawn) == 5 and drawn[0].shape[1] == 2 * 96 + 32
    assert (out / "meshes" / "v.avi_000002_1_left.obj").is_file()
    assert [path.name for path in (out / "overlays").iterdir()] == ["v.avi.mp4"]


def test_a_video_that_ends_early(tool, model, tmp_path, capsys):
    video, out = write_video(tmp_path / "v.mkv", 8), tmp_path / "out"
    content = video.read_bytes()
    video.write_bytes(content[: int(0.6 * len(content))])
    arguments = [video, "--hand", "right", "--out", out]
    assert predict(tool, model, *arguments) == 2
    count = len(read(out)["images"])
    assert 2 <= count < 8
    assert f"v.mkv ends early: only {count} of the stated 8 frames" in capsys.readouterr().err
    assert len(frames_of(out / "overlays" / "v.mkv.mp4")) == count
    assert not (out / "meshes").exists()  # of videos only where asked for


def test_videos_of_one_stem_keep_their_endings(tool, model, tmp_path):
    for name in ("clip.avi", "clip.mkv"):
        write_video(tmp_path / name, 2)
    out = tmp_path / "out"
    assert predict(tool, model, tmp_path, "--hand", "right", "--out", out) == 0
    drawn = {path.name for path in (out / "overlays").iterdir()}
    assert drawn == {"clip.avi.mp4", "clip.mkv.mp4"}
    assert {entry["image"] for entry in read(out)["images"]} == {"clip.avi", "clip.mkv"}


# --- wrong input -----------------------------------------------------------------------------


def refused(tool, capsys, model, *arguments) -> str:
    """What the tool says when it refuses everything."""
    assert predict(tool, model, *arguments) == 1
    return capsys.readouterr().err


def test_an_empty_folder(tool, model, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    said = refused(tool, capsys, model, tmp_path / "empty", "--out", out)
    assert "empty holds no image and no video (0 other files" in said
    assert not out.exists()


def test_a_corrupt_image_is_named_and_the_others_are_done(tool, model, folder, tmp_path, capsys):
    content = (folder / "alpha.png").read_bytes()
    (folder / "broken.png").write_bytes(content[: len(content) // 2])
    out = tmp_path / "out"
    assert predict(tool, model, folder, "--out", out) == 2
    said = capsys.readouterr().err
    assert f"Note: {folder / 'broken.png'} is not a readable image" in said
    assert len(read(out)["images"]) == 3 and len(read(out)["notes"]) == 1
    said = refused(
        tool,
        capsys,
        model,
        folder / "broken.png",
        "--out",
        tmp_path / "alone",
    )
    assert "no hand was predicted" in said and "not a readable image" in said


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (["10", "10", "0", "20"], "width and height of at least 1"),
        (["60", "10", "20", "20"], "lies outside its 60 x 40 px"),
    ],
)
def test_a_box_without_area_or_outside(tool, model, folder, tmp_path, capsys, box, message):
    image = folder / "grey.png"
    said = refused(tool, capsys, model, image, "--box", *box, "--out", tmp_path / "out")
    assert "box of image grey.png" in said and message in said
    # in a file it is that image's fault only
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"grey.png": [float(v) for v in box], "deep.png": [0, 0, 30, 30]}))
    out = tmp_path / "some"
    assert predict(tool, model, folder, "--boxes", boxes, "--out", out) == 2
    images = {entry["image"]: entry for entry in read(out)["images"]}
    assert message in images["grey.png"]["faults"][0] and not images["grey.png"]["hands"]
    assert len(images["deep.png"]["hands"]) == 1
    assert f"alpha.png has no box in {boxes}." in read(out)["notes"]


def test_notes_are_a_line_each_where_no_hand_was_predicted(tool, model, folder, tmp_path, capsys):
    # they ran into one another
    given = [model, folder, "--box", "0", "0", "0", "0", "--out", tmp_path / "out"]
    lines = refused(tool, capsys, *given).strip().splitlines()
    start = lines.index("Error: no hand was predicted.")
    assert len(lines) == start + 1 + len(list(folder.iterdir()))
    for line in lines[start + 1 :]:
        assert line.startswith("Note: box of image ") and line.endswith("height of at least 1")


def test_notes_that_are_many_are_counted(tool):
    assert shown_notes(["a", "b"]) == ["Note: a", "Note: b"]
    lines = shown_notes([str(number) for number in range(13)])
    assert len(lines) == 11 and lines[-1].startswith("and 3 further notes")


def test_weights_of_another_taxonomy(tool, folder, tmp_path, capsys):
    other = Taxonomy.load("interhand26m").handedness_only()
    model = store_random_pose_model(tmp_path / "model", taxonomy=other)
    said = refused(
        tool,
        capsys,
        model,
        folder,
        "--taxonomy",
        "interhand26m",
        "--out",
        tmp_path / "out",
    )
    assert "taxonomy" in said


def test_nothing_that_tells_the_side(tool, folder, tmp_path, capsys):
    model = store_random_pose_model(tmp_path / "model", taxonomy=None)
    said = refused(tool, capsys, model, folder, "--out", tmp_path / "out")
    assert "handedness in alpha.png" in said
    assert "`hand`" in said and "`gestures`" in said
    # an empty predictions.json was left, which refused the call that the message asks for
    arguments = [folder, "--hand", "right", "--out", tmp_path / "out"]
    assert predict(tool, model, *arguments) == 0


def test_a_mano_file_of_the_wrong_hand(tool, folder, tmp_path, capsys):
    good, swapped = tmp_path / "good", tmp_path / "swapped"
    for home, sides in ((good, ("right", "left")), (swapped, ("left", "right"))):
        home.mkdir()
        for name, side in zip(("MANO_RIGHT.npz", "MANO_LEFT.npz"), sides, strict=True):
            np.savez(home / name, **open_hand(side))
    model = store_random_pose_model(
        tmp_path / "model", taxonomy=None, hand_source=HandModelSource(good, "smplx")
    )
    given = [model, folder, "--hand", "right", "--no-overlays"]
    said = refused(tool, capsys, *given, "--mano", swapped, "--out", tmp_path / "out")
    assert "MANO_RIGHT.npz contains a left hand" in said
    said = refused(tool, capsys, *given, "--mano", tmp_path, "--out", tmp_path / "out")
    assert "no MANO file" in said and "MANO_DIR" in said and "--mano PATH" in said
    assert "--mano open" not in said  # the network is not of that hand
    assert predict(tool, *given, "--mano", good, "--out", tmp_path / "out") == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA where there is none")
def test_cuda_asked_and_absent_is_one_message(tool, model, folder, tmp_path, capsys):
    # it was torch's own assertion, with a traceback
    given = [model, folder, "--hand", "right", "--out", tmp_path / "out", "--device", "cuda"]
    assert "cuda" in refused(tool, capsys, *given)


def test_results_are_not_replaced_unasked(tool, model, folder, tmp_path, capsys):
    arguments = [folder, "--out", tmp_path / "out", "--no-overlays"]
    assert predict(tool, model, *arguments) == 0
    assert "holds predictions already" in refused(tool, capsys, model, *arguments)
    assert predict(tool, model, *arguments, "--overwrite") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "0"], "batch must be above 0"),
        (["--every", "-1"], "every must be above 0"),
        (["--box-ratio", "0"], "box_ratio must be above 0"),
        (["--box", "1", "2", "nan", "4"], "box is [1.0, 2.0, nan, 4.0]"),
        (["--boxes", "absent.csv"], "there is no file of boxes absent.csv"),
        (["--gestures", "absent.weights"], "absent.weights"),
    ],
)
def test_wrong_arguments(tool, model, folder, tmp_path, capsys, arguments, message):
    said = refused(tool, capsys, model, folder, *arguments, "--out", tmp_path / "out")
    assert message in said


def test_a_folder_of_both_has_meshes_of_the_images_only(tool, model, folder, tmp_path):
    write_video(folder / "v.avi", 2)
    out = tmp_path / "out"
    assert predict(tool, model, folder, "--hand", "right", "--out", out) == 0
    names = sorted(path.name for path in (out / "meshes").iterdir())
    assert names == [f"{name}.png_right.obj" for name in ("alpha", "deep", "grey")]
    assert len(read(out)["images"]) == 5


def test_a_network_that_gives_nan_is_named(tool, model, folder, tmp_path, monkeypatch, capsys):
    def broken(self, *arguments, **options):
        found = predict(self, *arguments, **options)
        return [found[0]._replace(mano_shape=np.full(10, np.nan, np.float32)), *found[1:]]

    predict = HandEstimator.predict
    monkeypatch.setattr(HandEstimator, "predict", broken)
    out = tmp_path / "out"
    said = refused(tool, capsys, model, folder, "--out", out)
    assert "the network's mano_shape of alpha.png are not finite" in said
    assert not (out / "predictions.json").exists()  # it would refuse the next call


def test_many_notes_are_counted(tool, model, tmp_path, capsys):
    video, out = write_video(tmp_path / "v.avi", 12), tmp_path / "out"
    boxes = tmp_path / "boxes.json"
    rows = [{"box": [500, 0, 9, 9], "frame": frame} for frame in range(11)]
    boxes.write_text(json.dumps({"v.avi": [*rows, {"box": [0, 0, 40, 40], "frame": 11}]}))
    arguments = [video, "--boxes", boxes, "--hand", "right"]
    assert predict(tool, model, *arguments, "--out", out) == 2
    said = capsys.readouterr().err
    assert said.count("Note: box of image v.avi, frame") == 10
    assert "and 1 further notes, see the file" in said and len(read(out)["notes"]) == 11


def test_a_folder_that_holds_no_network(tool, folder, tmp_path, capsys):
    assert "holds no pose network" in refused(tool, capsys, tmp_path, folder)


def test_an_interruption_keeps_what_was_done(tool, model, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(HandEstimator, "predict", interrupted_at_the_second(HandEstimator.predict))
    out = tmp_path / "out"
    assert predict(tool, model, folder, "--out", out, "--batch", "1") == 130
    assert [entry["image"] for entry in read(out)["images"]] == ["alpha.png"]
    assert "Interrupted" in capsys.readouterr().err


def interrupted_at_the_second(predict):
    calls = []

    def once(self, *arguments, **options):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return predict(self, *arguments, **options)

    return once


def test_real_images_with_the_boxes_of_their_annotations(tool, model, shared_dir, tmp_path):
    """Runs to the end on the four samples of InterHand2.6M and on other hands."""
    sample = shared_dir / "interhand" / "sample"
    cases = [(sample, sample / "test_interhand2.6m_data.json", 4)]
    for name, count in (("freihand", 4), ("onehand10k", 2), ("rhd", 2)):
        home = shared_dir / "interhand" / "sample_other" / name
        cases.append((home, home / f"test_{name}.json", count))
    for home, boxes, count in cases:
        out = tmp_path / home.name
        arguments = [home, "--boxes", boxes, "--out", out]
        assert predict(tool, model, *arguments) == 0
        assert len(read(out)["images"]) == count
        assert len(list((out / "overlays").iterdir())) == count
    sides = [entry["hands"][0]["hand"] for entry in read(tmp_path / "rhd")["images"]]
    assert sides == ["left", "left"]  # as annotated
