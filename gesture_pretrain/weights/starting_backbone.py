"""The backbone that a training starts from: random, published, from a file, or an exported one.

`models.backbone.build_backbone` loads nothing; this module does. All weights go through the same
ledger, and exported ones are checked by their hash.
"""

from pathlib import Path

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
    "Initial weights are 'random', 'imagenet', 'timm', a file of weights, or the name or folder of "
    "exported ones."
)
WORDS = ("random", "imagenet", "timm")


def build_starting_backbone(
    arch: str, *, init: str | Path = "random", size_px: int = 256, seed: int | None = 0
) -> Backbone:
    """Build a backbone and fill it with initial weights.

    Args:
        arch: Architecture, that of the weights.
        init: "random"; "imagenet", see `load_imagenet_weights`; "timm" for the weights that timm
            publishes (its cache, or the network); a file of weights, see `load_initial_weights`; or
            whatever `load_backbone` accepts: a name (`arch.tag`), an exported folder or its
            `model.safetensors`, or `hf-hub:…`. The gesture heads of exported weights are not used.
        size_px: Side of the square crops it is meant for.
        seed: Of the random weights; None draws from torch's global generator.

    Returns:
        The backbone. Exported weights bring the mean and std that they were trained with.

    Raises:
        As `build_backbone`, `load_initial_weights`, `load_timm_weights` and `load_backbone`.
        UnknownBackbone: No such name; the near ones are listed.
        ValueError: The exported weights are of another architecture.
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
    """Whether `load_backbone` is to read it, rather than the reader of bare files."""
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
            f"the initial weights {record.name} are of {record.arch}, backbone.arch is "
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
