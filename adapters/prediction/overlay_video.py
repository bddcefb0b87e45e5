"""Video of drawn frames, written with OpenCV."""

import errno
from pathlib import Path

import cv2
import numpy as np

from gesture_pretrain.files import WriteFailed, writing

PART_ENDING = ".part.mp4"  # OpenCV chooses the container by the ending


class OverlayVideo:
    """MP4 file that gets its name when it is closed and all of its frames can be read.

    Args:
        path: The file.
        frames_per_s: Frame rate.
    """

    def __init__(self, path: Path, frames_per_s: float):
        self.path, self.frames_per_s = path, frames_per_s
        self._part = path.with_name(f".{path.stem}{PART_ENDING}")
        self._writer: cv2.VideoWriter | None = None
        self._frames = 0

    def write(self, image_rgb: np.ndarray) -> None:
        """Add a frame `(H, W, 3)` uint8; all have the same size, with even sides.

        Raises:
            WriteFailed: OpenCV cannot write the file.
        """
        if self._writer is None:
            size_wh, code = image_rgb.shape[1::-1], cv2.VideoWriter_fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._part), code, self.frames_per_s, size_wh)
            if not self._writer.isOpened():
                raise WriteFailed(None, f"could not begin the video {self.path}", self.path, None)
        self._writer.write(np.ascontiguousarray(image_rgb[..., ::-1]))
        self._frames += 1

    def close(self) -> None:
        """Finish the file. Without frames, no file is written.

        Raises:
            DiskFull: Frames are missing in the file.
        """
        if self._writer is None:
            return
        self._writer.release()
        readable = int(cv2.VideoCapture(str(self._part)).get(cv2.CAP_PROP_FRAME_COUNT))
        if readable == self._frames:
            self._part.replace(self.path)
            return
        self._part.unlink(missing_ok=True)
        with writing(self.path):  # OpenCV does not report a full disk
            raise OSError(errno.ENOSPC, f"{readable} of {self._frames} frames were written")
