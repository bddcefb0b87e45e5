"""Image files that are truncated, too large, or not regular files are refused."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from gesture_pretrain.data.folders import build_folder_index
from gesture_pretrain.data.images.decoding import UnreadableImage, image_size_wh
from gesture_pretrain.data.images.files import read_image_rgb
from gesture_pretrain.data.index.errors import DataError

NOISE = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)


def _jpeg_with_thumbnail() -> bytes:
    """Its head holds a whole small JPEG, with an end marker of its own."""
    small, large = io.BytesIO(), io.BytesIO()
    Image.fromarray(NOISE[:8, :8]).save(small, "JPEG")
    Image.fromarray(NOISE).save(large, "JPEG")
    segment = b"Exif\0\0" + small.getvalue()
    head = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    return head + large.getvalue()[2:]


def _bomb(side: int) -> bytes:
    """The head of a PNG of side x side pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    head = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + head + end


@pytest.mark.parametrize("kind", ["jpg", "png", "thumbnail"])
def test_a_file_that_is_cut_off_is_refused_everywhere(tmp_path, kind):
    path = tmp_path / f"a.{'png' if kind == 'png' else 'jpg'}"
    cv2.imwrite(str(path), NOISE)
    content = _jpeg_with_thumbnail() if kind == "thumbnail" else path.read_bytes()
    path.write_bytes(content + b"trailing bytes of a phone")
    assert image_size_wh(path) == (96, 64)
    assert read_image_rgb(path, 0).shape == NOISE.shape
    path.write_bytes(content[: int(0.9 * len(content))])
    with pytest.raises(UnreadableImage):
        image_size_wh(path)
    with pytest.raises(DataError, match=f"row 7 .*{path.name}"):
        read_image_rgb(path, 7)


@pytest.mark.parametrize("side", [16_500, 100_000])
def test_an_image_of_a_billion_pixels_is_named_or_left_out(tmp_path, side):
    folder = tmp_path / "train" / "fist"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "good.png"), NOISE)
    (folder / "bomb.png").write_bytes(_bomb(side))
    with pytest.raises(DataError, match="bomb.png"):
        build_folder_index(tmp_path, progress=False)
    build_folder_index(tmp_path, progress=False, skip_unreadable=True)
    with pytest.raises(DataError, match="bomb.png"):
        read_image_rgb(folder / "bomb.png", 0)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for read in (image_size_wh, lambda path: read_image_rgb(path, 0)):
        with pytest.raises(ValueError, match="file"):
            read(tmp_path / "a.png")
