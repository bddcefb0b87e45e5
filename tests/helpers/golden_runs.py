"""A network of full size with the reference weights, and what one pass through it gives."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import golden_recipe
import numpy as np
import torch
from torch import Tensor

from eanet import CORRECT, EANet, EANetOutput, Quirks, ResNet50Map
from eanet.checkpoint import load_snapshot
from eanet.key_maps import their_names

COORDINATES = ("rjoint_img", "ljoint_img")
POSES_6D = ("rroot_pose_6d", "rpose_6d", "lroot_pose_6d", "lpose_6d")
SHAPE_AND_CAMERA = ("rshape", "rcam", "lshape", "lcam", "rel_trans")
AXIS_ANGLES = ("rroot_pose_aa", "rpose_aa", "lroot_pose_aa", "lpose_aa")
NETWORK_OUTPUTS = (*COORDINATES, *POSES_6D, *SHAPE_AND_CAMERA)
OUTPUTS = (*NETWORK_OUTPUTS, *AXIS_ANGLES)


class GoldenRun(NamedTuple):
    """One forward and backward pass, in float64 numpy whatever it was computed in."""

    output: dict[str, np.ndarray]
    loss: float
    grad_norm: dict[str, float]  # by the parameter's name in a snapshot
    grad_head: dict[str, np.ndarray]  # first 8 entries
    bn_sum: dict[str, float]  # sums of the running statistics after the pass
    extra: dict[str, np.ndarray]  # what the loss function returned beside the loss
    taps: dict[str, tuple[tuple[int, ...], np.ndarray]]  # module -> shape and summary of its output


def sum_of_squares(output: EANetOutput) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss behind ``eval_loss`` and ``train.loss``."""
    return sum(getattr(output, name).square().sum() for name in NETWORK_OUTPUTS), {}


class GoldenNetwork:
    """EANet with a ResNet-50, its weights loaded from a snapshot of the recipe's numbers."""

    def __init__(
        self,
        *,
        layout: str,
        salt: str,
        gesture_fusion: str = "none",
        quirks: Quirks = CORRECT,
    ) -> None:
        with torch.device("meta"):
            model = EANet(ResNet50Map(), gesture_fusion=gesture_fusion, quirks=quirks)
        self.model = model.to_empty(device="cpu")
        self.names = their_names(model.state_dict(), layout)
        load_snapshot(self.model, self._snapshot(salt), layout=layout)

    def snapshot_rows(self) -> dict[str, list]:
        """Shape, type and kind of every tensor by its name in a snapshot, in order."""
        parameters = {name for name, _ in self.model.named_parameters()}
        return {
            f"module.{self.names[name]}": [
                list(value.shape),
                str(value.dtype).removeprefix("torch."),
                "parameter" if name in parameters else "buffer",
            ]
            for name, value in self.model.state_dict().items()
        }

    def _snapshot(self, salt: str) -> Mapping:
        tensors = {
            f"module.{theirs}": golden_recipe.weight(theirs, tuple(value.shape), salt)
            for (ours, value), theirs in zip(
                self.model.state_dict().items(), self.names.values(), strict=True
            )
        }
        return {"epoch": 0, "network": tensors, "optimizer": {}}

    def run(
        self,
        image: Tensor,
        *,
        dtype: torch.dtype,
        training: bool = False,
        loss: Callable[[EANetOutput], tuple[Tensor, dict[str, Tensor]]] = sum_of_squares,
        taps: tuple[str, ...] = (),
    ) -> GoldenRun:
        """One pass; the network is as before afterwards: float32 to float64 and back is exact."""
        buffers = {name: value.clone() for name, value in self.model.named_buffers()}
        self.model.to(dtype).train(training)
        tapped, hooks = {}, []
        for name in taps:
            module = self.model.get_submodule(name)
            hooks.append(module.register_forward_hook(_tap_into(tapped, name)))
        output = self.model(image.to(dtype))
        for hook in hooks:
            hook.remove()
        total, extra = loss(output)
        total.backward()
        result = GoldenRun(
            _as_numpy({k: v for k, v in output._asdict().items() if v is not None}),
            total.item(),
            *self._gradients(),
            self._bn_sums(),
            _as_numpy(extra),
            tapped,
        )
        self.model.zero_grad(set_to_none=True)
        self.model.float()
        for name, value in self.model.named_buffers():
            value.copy_(buffers[name])
        return result

    def _gradients(self) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        by_name = {self.names[name]: p.grad for name, p in self.model.named_parameters()}
        norms = {name: grad.norm().item() for name, grad in by_name.items()}
        heads = {name: grad.flatten()[:8].double().numpy() for name, grad in by_name.items()}
        return norms, {name: head.copy() for name, head in heads.items()}

    def _bn_sums(self) -> dict[str, float]:
        return {
            self.names[name]: value.double().sum().item()
            for name, value in self.model.named_buffers()
            if value.is_floating_point()
        }


def _as_numpy(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().double().numpy() for name, value in tensors.items()}


def _tap_into(tapped: dict, name: str) -> Callable:
    def hook(module, inputs, output: Tensor) -> None:
        values = output.detach()
        of_all = [values.mean(), values.std(correction=0), values.abs().max()]
        ends = [*values[0].flatten()[:6], *values[1].flatten()[-6:]]
        tapped[name] = (tuple(values.shape), np.array([float(v) for v in (*of_all, *ends)]))

    return hook


def fingerprints(feature_map: np.ndarray) -> dict[str, np.ndarray]:
    """What the reference keeps of a map (B, C, H, W), by the ending of its name."""
    batch, channels = feature_map.shape[:2]
    size = feature_map[0].size
    draws = golden_recipe.gen(f"signs:{size}").random((8, size))
    signs = np.where(draws < 0.5, -1.0, 1.0)
    return {
        "slice": feature_map[:, :: channels // 16, ::3, ::3],
        "channel_mean": feature_map.mean(axis=(0, 2, 3)),
        "position_mean": feature_map.mean(axis=1),
        "mean": feature_map.mean(),
        "std": feature_map.std(),
        "sign_projection": feature_map.reshape(batch, -1) @ signs.T,
    }
