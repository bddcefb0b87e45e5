"""Reference numbers of the published EANet, and the recipes of their inputs."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from adapters.eanet.mano import ManoHands
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index


def draws(text: str) -> np.random.Generator:
    """The generator that belongs to a text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed))


class Recipes:
    """Inputs of the public reference numbers, as float64 of float32."""

    def normal(self, tag: str, *shape: int) -> np.ndarray:
        values = draws(f"fn:public:{tag}").standard_normal(shape)
        return values.astype(np.float32).astype(np.float64)

    def uniform(self, tag: str, *shape: int) -> np.ndarray:
        values = draws(f"fn:public:{tag}").random(shape)
        return values.astype(np.float32).astype(np.float64)

    def mano(self, dtype=torch.float32) -> ManoHands:
        """The stand-in for MANO: vertices that are linear in all parameters."""
        rows = draws("regressor:public").random((16, 778)) ** 64
        regressor = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
        hands = [self._linear_hand(name, dtype) for name in "rl"]
        return ManoHands(*hands, torch.from_numpy(regressor).to(dtype))

    def _linear_hand(self, name: str, dtype: torch.dtype):
        rest = np.float32(0.05 * draws(f"fn:public:standin_V0_{name}").standard_normal((778, 3)))
        basis = np.float32(0.01 * draws(f"fn:public:standin_M_{name}").standard_normal((58, 2334)))
        rest, basis = torch.from_numpy(rest).to(dtype), torch.from_numpy(basis).to(dtype)

        def vertices(pose, shape, trans_m):
            moved = torch.cat([pose, shape], dim=1) @ basis
            return rest + moved.reshape(-1, 778, 3) + trans_m[:, None]

        return vertices


@pytest.fixture(scope="session")
def recipes() -> Recipes:
    return Recipes()


@pytest.fixture(scope="session")
def function_golden(shared_dir) -> dict[str, np.ndarray]:
    """Reference numbers of single functions."""
    with np.load(shared_dir / "eanet" / "golden_functions_public.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="session")
def tiny_golden(shared_dir) -> dict[str, np.ndarray]:
    """Reference numbers of the published loader on eight synthetic images."""
    with np.load(shared_dir / "eanet" / "tiny_ih26m" / "golden.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="session")
def tiny_index(shared_dir, tmp_path_factory) -> HandIndex:
    """The index of those images, built from files in the official layout by the real reader."""
    root = tmp_path_factory.mktemp("tiny_ih26m")
    for split in ("train", "test"):
        source = shared_dir / "eanet" / "tiny_ih26m" / f"annotations_{split}.json"
        _write_split(root, split, json.loads(source.read_text()))
    return HandIndex.open(build_interhand_index(root, progress=False))


@pytest.fixture(scope="session")
def jpeg_index(shared_dir, tmp_path_factory) -> HandIndex:
    """The same annotations over JPEG files of noise; RootNet's boxes are not square here.

    Of the test split, the second box extends beyond its image and the third lies outside it.
    """
    root = tmp_path_factory.mktemp("tiny_jpeg")
    for split in ("train", "test"):
        source = shared_dir / "eanet" / "tiny_ih26m" / f"annotations_{split}.json"
        content = json.loads(source.read_text().replace(".png", ".jpg"))
        for annotation in content["data"]["annotations"]:
            annotation["bbox"] = [85.0, 180.0, 160.0, 140.0]  # the published ones are empty here
        for number, detection in enumerate(content.get("rootnet", [])):
            x, y, width, height = detection["bbox"]
            shapes = {1: [x - 150, y + 90, width, height / 2], 2: [900.0, -700.0, 250.0, 180.0]}
            detection["bbox"] = shapes.get(number, [x, y, width * 0.6, height * 1.3])
        _write_split(root, split, content, write_image=_write_noise)
    return HandIndex.open(build_interhand_index(root, progress=False))


def _write_noise(path: Path, image: dict) -> None:
    noise = draws(image["file_name"]).integers(0, 256, (image["height"], image["width"], 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), noise.astype(np.uint8))


def _write_split(root: Path, split: str, content: dict, *, write_image=None) -> None:
    write_image = write_image or _write_image
    folder = root / "annotations" / split
    folder.mkdir(parents=True)
    for image in content["data"]["images"]:
        image["subject"] = 0  # the published files have these three, the synthetic ones have not
        write_image(root / "images" / split / image["file_name"], image)
    for annotation in content["data"]["annotations"]:
        annotation["hand_type_valid"] = 1
    names = {"data": "data", "camera": "camera", "joint_3d": "joint_3d"}
    for kind, name in {**names, "MANO": "MANO_NeuralAnnot"}.items():
        path = folder / f"InterHand2.6M_{split}_{name}.json"
        path.write_text(json.dumps(content[kind]))
    if "rootnet" in content:
        for detection in content["rootnet"]:
            detection["root_valid"] = [1.0, 1.0]
        path = root / "rootnet_output" / f"rootnet_interhand2.6m_output_{split}.json"
        path.parent.mkdir()
        path.write_text(json.dumps(content["rootnet"]))


def _write_image(path: Path, image: dict) -> None:
    number = int(image["file_name"].removeprefix("im").removesuffix(".png"))
    x, y = np.meshgrid(np.arange(image["width"]), np.arange(image["height"]))
    channels = [
        127.5 + 127.5 * np.sin((x + 7 * number) / 19 + k) * np.cos(y / (23 + k)) for k in range(3)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.stack(channels, axis=-1).astype(np.uint8)[..., ::-1])
