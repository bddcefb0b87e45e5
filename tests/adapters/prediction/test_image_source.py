"""A user's images: upright, of any depth and kind; unreadable files are named."""

import cv2
import numpy as np
import pytest
from PIL import Image

from adapters.prediction.image_source import (
    ImageList,
    UnreadableInput,
    VideoFile,
    find_images,
    read_image,
)

# an image whose corners differ, so that no turn or mirror maps it onto itself
PIXELS = np.zeros((20, 30, 3), np.uint8)
PIXELS[:10, :15], PIXELS[:10, 15:], PIXELS[10:, :15] = [200, 30, 30], [30, 200, 30], [30, 30, 200]
# how the stored pixels become upright, by EXIF orientation
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation_is_honoured(tmp_path, ending, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"hand.{ending}"
    Image.fromarray(PIXELS).save(path, exif=exif, quality=100)
    found = read_image(path).astype(int)
    expected = UPRIGHT[orientation](PIXELS).astype(int)
    assert found.shape == expected.shape
    # JPEG and WebP blur the edges between the quarters; these are 170 apart
    assert np.median(np.abs(found - expected)) <= 4 and np.abs(found - expected).mean() < 10


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_grey_16_bit_and_alpha(tmp_path, ending):
    ramp = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
    upper = (ramp >> 8).astype(np.uint8)
    colours = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1)
    cases = {
        "grey": (upper, np.stack([upper] * 3, -1)),
        "grey16": (ramp, np.stack([upper] * 3, -1)),
        "rgb16": (colours[..., ::-1], (colours >> 8).astype(np.uint8)),
        "rgba": (np.dstack([PIXELS[..., ::-1], upper]), PIXELS),
    }
    for name, (stored, expected) in cases.items():
        path = tmp_path / f"{name}.{ending}"
        assert cv2.imwrite(str(path), stored)
        found = read_image(path)
        assert found.dtype == np.uint8 and found.shape == (20, 30, 3), name
        # decoders cut or round the lower bits
        assert np.abs(found.astype(int) - expected).max() <= 1, name


def test_a_jpeg_that_is_cut_off_is_no_image(tmp_path):
    """OpenCV alone gives an image that is grey where the data is missing."""
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    content = cv2.imencode(".jpg", noise)[1].tobytes()
    path = tmp_path / "cut.jpg"
    path.write_bytes(content[: len(content) // 2])
    assert cv2.imread(str(path)) is not None
    with pytest.raises(UnreadableInput, match=r"cut\.jpg is not a readable image .*truncated"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_other_content_is_no_image(tmp_path, content):
    path = tmp_path / "hand.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableInput, match="not a readable image"):
        read_image(path)
    with pytest.raises(UnreadableInput, match="no image"):
        read_image(tmp_path / "absent.png")


def test_a_folder_gives_its_images_by_name_and_skips_what_is_damaged(tmp_path):
    for name in ("b.PNG", "a.jpg"):
        Image.fromarray(PIXELS).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"damaged")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "inside").mkdir()
    Image.fromarray(PIXELS).save(tmp_path / "inside" / "d.png")
    (source,) = find_images([tmp_path])
    assert isinstance(source, ImageList) and len(source) == 3
    assert [image.name for image in source] == ["a.jpg", "b.PNG"]
    assert list(source.unreadable) == ["c.png"]


def test_wrong_inputs_are_named(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="no image"):
        find_images([tmp_path])
    with pytest.raises(ValueError, match="unknown type"):
        find_images([tmp_path / "notes.txt"])
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        find_images([tmp_path / "absent"])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        Image.fromarray(PIXELS).save(tmp_path / folder / "a.png")
    with pytest.raises(ValueError, match="same name"):
        find_images([tmp_path / "one", tmp_path / "two"])


# --- videos ----------------------------------------------------------------------------------


def write_video(path, frames: int):
    """Frame i is grey of 20 i."""
    code = cv2.VideoWriter_fourcc(*("mp4v" if path.suffix == ".mp4" else "MJPG"))
    writer = cv2.VideoWriter(str(path), code, 10, (96, 64))
    for number in range(frames):
        writer.write(np.full((64, 96, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_all_frames_of_a_video_or_each_third(tmp_path):
    path = write_video(tmp_path / "hand.mp4", 10)
    (video,) = find_images([path])
    frames = list(video)
    assert [frame.frame for frame in frames] == list(range(10)) and len(video) == 10
    # compression alters the grey by a few steps, 20 lie between two frames
    assert [round(frame.image_rgb.mean() / 20) for frame in frames] == list(range(10))
    assert video.ended_early is None and video.frames_per_s == pytest.approx(10)
    (third,) = find_images([path], every=3)
    assert [frame.frame for frame in third] == [0, 3, 6, 9] and len(third) == 4
    assert third.frames_per_s == pytest.approx(10 / 3) and third.ended_early is None
    with pytest.raises(ValueError, match="every is 0"):
        find_images([path], every=0)


def test_a_video_that_ends_early_gives_its_frames_and_says_so(tmp_path):
    path = write_video(tmp_path / "hand.mkv", 12)
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    video = VideoFile(path)
    frames = list(video)
    assert 3 <= len(frames) < 12
    assert f"{len(frames)} of the stated 12 frames" in video.ended_early


def test_a_video_that_cannot_be_opened_is_named(tmp_path):
    path = write_video(tmp_path / "hand.mp4", 12)
    path.write_bytes(path.read_bytes()[:200])  # an MP4's table of contents is at its end
    with pytest.raises(UnreadableInput, match=r"hand\.mp4 is not a readable video \(200 bytes\)"):
        find_images([path])
