"""Building of a backbone with initial weights: random, published, from a file, or exported.

`models.backbone.build_backbone` loads no weights; this module does. All weights are listed in a
ledger, and exported ones are verified by their hash.
"""

from pathlib import Path

from pydantic import PositiveInt

from gesture_pretrain.models.backbone import Backbone, build_backbone
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.imagenet import load_imagenet_weights
from gesture_pretrain.weights.initial_weights import (
    PICKLED,
    fill_backbone,
    load_initial_weights,
    load_timm_weights,
)
from gesture_pretrain.weights.keymaps import KeyMap
from gesture_pretrain.weights.record import CARD_FILE, MODEL_FILE
from gesture_pretrain.weights.registry import (
    find_backbone,
    list_backbones,
    load_backbone,
)

POSSIBLE = (
    "Initial weights can be 'random', 'imagenet', 'timm', a weight file, or the name or folder of "
    "exported weights."
)
WORDS = ("random", "imagenet", "timm")


def build_starting_backbone(
    arch: str, *, init: str | Path = "random", size_px: PositiveInt = 256, seed: int | None = 0
) -> Backbone:
    """Build a backbone and fill it with initial weights.

    Args:
        arch: Architecture. It must match the weights.
        init: "random"; "imagenet", see `load_imagenet_weights`; "timm" for the weights that timm
            publishes (from its cache or the network); a weight file, see `load_initial_weights`; or
            any source that `load_backbone` accepts: a name (`arch.tag`), an exported folder or its
            `model.safetensors`, or `hf-hub:…`. Gesture heads of exported weights are not used.
        size_px: Side length of the square crops.
        seed: Random seed of the weights. None draws from torch's global generator.

    Returns:
        The backbone. With exported weights, it uses the mean and standard deviation that they were
        trained with.

    Raises:
        UnknownBackbone: There are no weights of that name.
        ValueError: The exported weights are of another architecture.
        Exception: Errors of `build_backbone`, `load_initial_weights`, `load_timm_weights` and
            `load_backbone`.
    """
    backbone = build_backbone(arch, size_px=size_px, seed=seed)
    if init == "imagenet":
        load_imagenet_weights(backbone, arch)
    elif init == "timm":
        load_timm_weights(backbone, arch)
    elif is_exported(init):
        _fill_from_exported(backbone, init)
    elif init != "random":
        load_initial_weights(backbone, init)
    return backbone


def is_exported(init: str | Path) -> bool:
    """Return whether `load_backbone` reads this source, rather than the reader of weight files."""
    path = Path(init)
    if init in WORDS:
        return False
    if path.is_file():
        return path.name == CARD_FILE or (
            path.name == MODEL_FILE and path.with_name(CARD_FILE).is_file()
        )
    return path.is_dir() or path.suffix not in (".safetensors", *PICKLED)


def _fill_from_exported(backbone: Backbone, init: str | Path) -> None:
    try:
        record = find_backbone(init).record
    except WeightsError as error:
        raise type(error)(f"{error} {POSSIBLE}") from error
    if record.arch != backbone.arch:
        raise ValueError(
            f"the initial weights {record.name} are for {record.arch}, but backbone.arch is "
            f"{backbone.arch}. Set backbone.arch={record.arch}, or choose weights of "
            f"{backbone.arch}{_some_of(backbone.arch)}."
        )
    stored = load_backbone(init)
    same_names = KeyMap(record.name, backbone.arch)
    source = f"{record.name}, SHA-256 {record.files[MODEL_FILE].sha256}"
    fill_backbone(backbone, stored.net.state_dict(), same_names, source=source)
    backbone.input_spec = backbone.input_spec._replace(
        mean=stored.input_spec.mean, std=stored.input_spec.std
    )


def _some_of(arch: str) -> str:
    names = list_backbones(f"{arch}.*")
    return f": {', '.join(names[:10])}" if names else "; the registry has none"
