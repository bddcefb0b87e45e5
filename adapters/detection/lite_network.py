"""The networks in `models/`: checking their files and running them.

They are those of MediaPipe Hands (Zhang et al., 2020, arXiv 2006.10214); `models/PROVENANCE.md`
states where the files come from.
"""

import hashlib
from pathlib import Path

import numpy as np

from gesture_pretrain.data.images import reduced_image
from gesture_pretrain.data.samples.augmentation import warp
from gesture_pretrain.extras import missing_extra
from gesture_pretrain.weights.initial_weights import WeightFileError

MODELS = Path(__file__).with_name("models")
SHA256 = {
    "palm_detection_full": "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    "hand_landmark_full": "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
}


class LiteNetwork:
    """A network in LiteRT's format that reads one square RGB image.

    Args:
        name: Name of the network, a key of `SHA256`.
        threads: Number of CPU threads.

    Attributes:
        size_px: Side of the image.

    Raises:
        ModuleNotFoundError: The extra `detect` is not installed.
        FileNotFoundError: The file is missing.
        WeightFileError: The file is damaged.
    """

    def __init__(self, name: str, *, threads: int = 1):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ModuleNotFoundError as error:
            raise missing_extra(error) or error from error
        content = _checked_content(MODELS / f"{name}.tflite", SHA256[name])
        self._interpreter = Interpreter(model_content=content, num_threads=threads)
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        self._outputs = sorted(self._interpreter.get_output_details(), key=lambda d: d["name"])
        self.size_px = int(self._input["shape"][1])

    def __call__(
        self, image_rgb: np.ndarray, affine: np.ndarray, side_px: float
    ) -> list[np.ndarray]:
        """Run the network on a square crop of an image.

        Args:
            image_rgb: `(H, W, 3)` uint8. Crops are black outside of it.
            affine: `(2, 3)`, maps image pixels to the `size_px` pixels of the crop.
            side_px: Side of the square in image pixels.

        Returns:
            Outputs of the network, float32, without their batch axis.
        """
        part = reduced_image(image_rgb, shrink=side_px / self.size_px)
        crop = warp(part.image_rgb, part.crop_affine(affine), self.size_px)
        self._interpreter.set_tensor(self._input["index"], np.float32(crop[None]) / 255)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output["index"])[0] for output in self._outputs]


def _checked_content(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise WeightFileError(
            f"{path} is damaged: its SHA-256 is not {sha256[:12]}…. Reinstall gesture-pretrain."
        )
    return content
