"""Learning rate, weight decay and layer decay that suit the initial weights of a backbone.

The numbers were published for related tasks and batches of 16 to 512 images, except the first:

- `random`: ours, for AdamW with warm-up and cosine decay.
- `convolutional`: mmpose's ResNet-50 on FreiHAND2D (Adam, 5e-4). It also was the better of two
  rates for EfficientNet-Lite0 on our rendered hands.
- `convnext`: mmdetection's ConvNeXt-T (AdamW, 1e-4, layer decay 0.95), as in Liu et al., CVPR 2022.
- `transformer`: ViTPose-B (Xu et al., NeurIPS 2022; AdamW, 5e-4, layer decay 0.75).
"""

from collections.abc import Mapping
from typing import Any

import timm

from gesture_pretrain.models.architectures import ARCHS
from gesture_pretrain.names import require_choice

AUTO = "auto"
PRESETS: dict[str, dict[str, float]] = {
    "random": {"lr": 1e-3, "weight_decay": 0.05},
    "convolutional": {"lr": 5e-4, "weight_decay": 0.05},
    "convnext": {"lr": 1e-4, "weight_decay": 0.05, "layer_decay": 0.95},
    "transformer": {"lr": 5e-4, "weight_decay": 0.1, "layer_decay": 0.75},
}
# modules of timm
_FAMILIES = {"convnext": "convnext"} | dict.fromkeys(
    ("vision_transformer", "eva", "beit", "deit"), "transformer"
)


def apply_preset(config: dict[str, Any]) -> None:
    """Replace `optimizer.preset` of a config by its numbers, in place.

    Other keys of the section take precedence. "auto" chooses by `backbone.init` and
    `backbone.arch`.

    Raises:
        ValueError: There is no such preset.
    """
    section = config.get("optimizer") or {}
    if "preset" not in section:
        return
    numbers = dict(section)
    name = numbers.pop("preset")
    require_choice("optimizer.preset", name, (AUTO, *PRESETS))
    if name == AUTO:
        name = suitable_preset(config.get("backbone") or {})
    config["optimizer"] = {**PRESETS[name], **numbers}


def suitable_preset(backbone: Mapping[str, Any]) -> str:
    """Choose a preset for a section `backbone`, by its initial weights and architecture."""
    if backbone.get("init", "random") == "random":
        return "random"
    arch = str(backbone.get("arch")).partition(".")[0]
    if arch in ARCHS or not timm.is_model(arch):
        return "convolutional"
    module = timm.model_entrypoint(arch).__module__.rpartition(".")[2]
    return _FAMILIES.get(module, "convolutional")
