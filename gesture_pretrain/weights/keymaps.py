"""Names of the same tensor in different libraries, as literal tables.

Nothing is guessed: a tensor that no table accounts for is an error in `initial_weights`. `None`
means that it is left out on purpose. A key that ends in "." is a prefix, any other a full name.

What the tables rest on, counted for HRNet-W18: timm's network has 1956 tensors. mmpose's `HRNet`
with `multiscale_output=True` in stage 4 has 1830 of them under the same names, and no others; the
missing 126 are the classification head. With mmpose's default, `multiscale_output=False`, 78 more
are missing: `stage4.2.fuse_layers.{1,2,3}`, weights and not a head. ResNet has the same names in
timm and in torchvision.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn

# Prefixes that training code puts before every name
WRAPPERS = ("module.", "_orig_mod.", "network.", "model.", "feature_encoder.", "backbone.", "net.")

# Whoever has "backbone." has these beside it; they are not part of a backbone
BESIDE_BACKBONE: dict[str, None] = {
    "head.": None,
    "heads.": None,
    "keypoint_head.": None,
    "neck.": None,
    "data_preprocessor.": None,
}

# Where a checkpoint keeps its tensors
CONTAINERS = ("state_dict", "model_state", "model_state_dict", "model", "network")

# The counter of batch norm is not used with a fixed momentum, and older files do not have it
COUNTER = "num_batches_tracked"
COUNTER_REASON = "counter of batch norm, absent from older files; not used in computing"


@dataclass(frozen=True)
class KeyMap:
    """From the names of one library to those of another.

    Attributes:
        source: Whose names go in.
        target: Whose names come out.
        renamed: Source name or prefix to target name or prefix, or None for what is left out. What
            is not listed keeps its name.
        fresh: Target prefix that the source does not have, to the reason.
    """

    source: str
    target: str
    renamed: dict[str, str | None] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)

    def name(self, source_name: str) -> str | None:
        """Target name of a tensor, None if it is left out."""
        for old in sorted(self.renamed, key=len, reverse=True):
            if covers(old, source_name):
                new = self.renamed[old]
                return None if new is None else new + source_name[len(old) :]
        return source_name

    def apply(self, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        """Rename tensors.

        Returns:
            The tensors under target names, and the source names left out.

        Raises:
            ValueError: Two tensors would get the same name.
        """
        renamed, left_out = {}, []
        for source_name, tensor in tensors.items():
            name = self.name(source_name)
            if name is None:
                left_out.append(source_name)
            elif name in renamed:
                raise ValueError(f"two tensors of the {self.source} file become {name!r}")
            else:
                renamed[name] = tensor
        return renamed, tuple(left_out)


_NO_HRNET_HEAD = "mmpose's HRNet ends with its branches and has no classification head"

TIMM_FROM_MMPOSE_HRNET = KeyMap(
    source="mmpose",
    target="timm",
    fresh={
        "incre_modules.": _NO_HRNET_HEAD,
        "downsamp_modules.": _NO_HRNET_HEAD,
        "final_layer.": _NO_HRNET_HEAD,
    },
)

MMPOSE_HRNET_FROM_TIMM = KeyMap(
    source="timm",
    target="mmpose",
    renamed={
        "incre_modules.": None,
        "downsamp_modules.": None,
        "final_layer.": None,
        "classifier.": None,
    },
)

TIMM_FROM_TORCHVISION_RESNET = KeyMap(
    source="torchvision", target="timm", renamed={"fc.weight": None, "fc.bias": None}
)

TORCHVISION_RESNET_FROM_TIMM = KeyMap(
    source="timm",
    target="torchvision",
    fresh={"fc.": "timm's backbone is exported without its classifier"},
)


def timm_keymap(net: nn.Module, removed: tuple[str, ...] = ()) -> KeyMap:
    """timm to timm: the classifier, which timm's own record names, and removed head modules go."""
    record = getattr(net, "pretrained_cfg", None) or {}
    classifier = record.get("classifier") or ()
    classifiers = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return KeyMap(
        source="timm",
        target="timm",
        renamed={f"{name}.": None for name in (*classifiers, *removed)},
    )


def efficientnet_lite_keymap(net: nn.Module, names: Iterable[str]) -> KeyMap:
    """Return the map from EfficientNet-PyTorch's names (`_blocks.0._bn1.weight`) to timm's.

    Both list the same modules in the same order, and stage and block numbers differ throughout, so
    the two lists are paired.

    Args:
        net: timm's network without its classifier.
        names: Of the file, in its order.

    Raises:
        ValueError: The lists do not pair: another number of tensors, or another kind of one.
    """
    own = list(net.state_dict())
    stored = [name for name in names if not covers("_fc.", name)]
    kinds = [[name.rpartition(".")[2] for name in listed] for listed in (stored, own)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"the file's {len(stored)} tensors are not those of the network's {len(own)} in order; "
            "it belongs to another architecture"
        )
    renamed = dict(zip(stored, own, strict=True))
    return KeyMap("EfficientNet-PyTorch", "timm", {**renamed, "_fc.": None})


def keymap_for(net: nn.Module, names: set[str], removed: tuple[str, ...] = ()) -> KeyMap:
    """The table for a file of these names (wrappers stripped) and this network.

    An HRNet file without the classification head's modules is mmpose's; ResNet files of torchvision
    and timm cannot be told apart and need not be; all else is timm's.
    """
    family = type(net).__name__
    if family == "HighResolutionNet" and not any(covers("incre_modules.", n) for n in names):
        return TIMM_FROM_MMPOSE_HRNET
    if family == "ResNet":
        return TIMM_FROM_TORCHVISION_RESNET
    return timm_keymap(net, removed)


def covers(key: str, name: str) -> bool:
    """Whether a table's key, a full name or a prefix ending in ".", means this name."""
    return name.startswith(key) if key.endswith(".") else name == key


def strip_wrappers(
    tensors: dict[str, Tensor], own_names: set[str]
) -> tuple[dict[str, Tensor], tuple[str, ...], dict[str, Tensor]]:
    """Take known prefixes off, and with "backbone." what stands beside a backbone.

    A prefix is taken off only where every name has it ("backbone.": every name but those of
    `BESIDE_BACKBONE`), and not where the network's own names begin with it.

    Args:
        tensors: Tensors by name.
        own_names: The names of the network that is to be filled.

    Returns:
        The tensors, the prefixes taken off from the outside in, and the tensors that
        stand beside a backbone, under the file's names.
    """
    stripped, beside = [], {}
    while wrapper := _wrapper_of(tensors, own_names):
        outer = "".join(stripped)
        beside.update({outer + n: t for n, t in tensors.items() if not n.startswith(wrapper)})
        tensors = {
            name[len(wrapper) :]: tensor
            for name, tensor in tensors.items()
            if name.startswith(wrapper)
        }
        stripped.append(wrapper)
    return tensors, tuple(stripped), beside


def _wrapper_of(tensors: dict[str, Tensor], own_names: set[str]) -> str | None:
    for wrapper in WRAPPERS:
        if any(name.startswith(wrapper) for name in own_names):
            continue
        outside = [name for name in tensors if not name.startswith(wrapper)]
        if len(outside) == len(tensors):
            continue
        if not outside or (wrapper == "backbone." and _all_beside(outside)):
            return wrapper
    return None


def _all_beside(names: list[str]) -> bool:
    return all(any(covers(key, name) for key in BESIDE_BACKBONE) for name in names)
