"""How the reference arrays of EANet were drawn: every array has a text, the text gives the seed."""

import hashlib

import numpy as np
import torch

_RAISED_HEATMAPS = ("position_net.conv_r2.0.weight", "position_net.conv_l2.0.weight")


def gen(text: str) -> np.random.Generator:
    """The generator of a text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed))


def weight(key: str, shape: tuple[int, ...], salt: str = "") -> torch.Tensor:
    """The reference value of a tensor named as in a snapshot, without ``module.``."""
    last = key.split(".")[-1]
    if last == "num_batches_tracked":
        return torch.zeros((), dtype=torch.int64)
    noise = gen(salt + key).standard_normal(int(np.prod(shape))).reshape(shape)
    return torch.from_numpy(np.asarray(_scaled(noise, key, last, shape), dtype=np.float32))


def _scaled(noise: np.ndarray, key: str, last: str, shape: tuple[int, ...]) -> np.ndarray:
    if last == "running_mean":
        return 0.05 * noise
    if last == "running_var":
        return 1 + 0.1 * np.abs(noise)
    if last in ("pos_embed", "pos_embed2", "cls_token", "gate") or key.endswith("pos_b.weight"):
        return 0.5 * noise
    if last.endswith("bias"):
        return 0.1 * noise
    if len(shape) == 1:
        return 1 + 0.05 * noise
    raised = 4 if key.removeprefix("hand_") in _RAISED_HEATMAPS else 1
    return raised * noise / np.sqrt(np.prod(shape[1:]))


def image(text: str, batch: int) -> torch.Tensor:
    """(batch, 3, 256, 256) float32 in [0, 1]."""
    g = gen(text)
    coarse = g.random((batch, 3, 8, 8)).repeat(32, axis=2).repeat(32, axis=3)
    fine = g.random((batch, 3, 256, 256))
    return torch.from_numpy((0.75 * coarse + 0.25 * fine).astype(np.float32))


def regressor16(case: str) -> torch.Tensor:
    """(16, 778) float32 stand-in for MANO's joint regressor."""
    rows = gen(f"regressor:{case}").random((16, 778)) ** 64
    return torch.from_numpy((rows / rows.sum(axis=1, keepdims=True)).astype(np.float32))


class FunctionInputs:
    """The inputs of the single functions: float32 draws, handed out in float64."""

    def __init__(self, case: str) -> None:
        self.case = case

    def normal(self, tag: str, *shape: int, scale: float = 1.0) -> torch.Tensor:
        """``scale`` times standard normal numbers."""
        return self._cast(scale * gen(f"fn:{self.case}:{tag}").standard_normal(shape))

    def uniform(
        self, tag: str, *shape: int, scale: float = 1.0, offset: float = 0.0
    ) -> torch.Tensor:
        """``scale`` times numbers in [0, 1), plus ``offset``."""
        return self._cast(scale * gen(f"fn:{self.case}:{tag}").random(shape) + offset)

    def below(self, tag: str, threshold: float, *shape: int) -> torch.Tensor:
        """1.0 where a uniform number lies below the threshold, else 0.0."""
        return torch.from_numpy(gen(f"fn:{self.case}:{tag}").random(shape) < threshold).double()

    @staticmethod
    def _cast(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).double()

    def mano_layer(self, hand: str):
        """Linear stand-in for a MANO layer of hand "r" or "l": (pose, shape) -> vertices."""
        rest = self.normal(f"standin_V0_{hand}", 778, 3, scale=0.05)
        directions = self.normal(f"standin_M_{hand}", 58, 2334, scale=0.01)

        def layer(pose: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
            moved = torch.cat([pose, shape], dim=1) @ directions.to(pose)
            return rest.to(pose) + moved.unflatten(1, (778, 3))

        return layer
