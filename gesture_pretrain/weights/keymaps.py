"""Tables that map tensor names of one library to those of another.

Nothing is guessed: a tensor that no table covers is an error in `initial_weights`. `None` means
that a tensor is deliberately unused. A key that ends in "." is a prefix, any other a full name.

Tensor counts for HRNet-W18: timm's network has 1956 tensors. mmpose's `HRNet` with
`multiscale_output=True` in stage 4 has 1830 of them under the same names, and no others; the other
126 are the classification head. With mmpose's default, `multiscale_output=False`, 78 more are
missing, `stage4.2.fuse_layers.{1,2,3}`, which are not part of a head. ResNet has the same names in
timm and torchvision.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn

# Prefixes that training code adds to all names
WRAPPERS = ("module.", "_orig_mod.", "network.", "model.", "feature_encoder.", "backbone.", "net.")

# Modules next to "backbone." in a checkpoint, which are not part of the backbone
BESIDE_BACKBONE: dict[str, None] = {
    "head.": None,
    "heads.": None,
    "keypoint_head.": None,
    "neck.": None,
    "data_preprocessor.": None,
}

# Keys under which a checkpoint stores its tensors
CONTAINERS = ("state_dict", "model_state", "model_state_dict", "model", "network")

# The batch-norm counter is unused with a fixed momentum, and older files lack it
COUNTER = "num_batches_tracked"
COUNTER_REASON = "batch-norm counter, absent from older files; not used in computations"


@dataclass(frozen=True)
class KeyMap:
    """Map from the tensor names of one library to those of another.

    Attributes:
        source: Library of the original names.
        target: Library of the new names.
        renamed: Source name or prefix to target name or prefix; None if the tensor is not used.
            Unlisted names stay unchanged.
        fresh: Target prefix that the source lacks, to the reason.
    """

    source: str
    target: str
    renamed: dict[str, str | None] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)

    def name(self, source_name: str) -> str | None:
        """Return the target name of a tensor, or None if it is not used."""
        for old in sorted(self.renamed, key=len, reverse=True):
            if covers(old, source_name):
                new = self.renamed[old]
                return None if new is None else new + source_name[len(old) :]
        return source_name

    def apply(self, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        """Rename tensors.

        Returns:
            The tensors under their target names, and the source names of unused tensors.

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
    """Build the map from timm to timm that drops the classifier and removed head modules."""
    record = getattr(net, "pretrained_cfg", None) or {}
    classifier = record.get("classifier") or ()
    classifiers = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return KeyMap(
        source="timm",
        target="timm",
        renamed={f"{name}.": None for name in (*classifiers, *removed)},
    )


def efficientnet_lite_keymap(net: nn.Module, names: Iterable[str]) -> KeyMap:
    """Build the map from EfficientNet-PyTorch's names (`_blocks.0._bn1.weight`) to timm's.

    Both libraries list the same modules in the same order but number stages and blocks differently,
    so the names are paired by position.

    Args:
        net: timm's network without its classifier.
        names: Tensor names of the file, in its order.

    Raises:
        ValueError: The lists differ in length or in the kinds of tensors.
    """
    own = list(net.state_dict())
    stored = [name for name in names if not covers("_fc.", name)]
    kinds = [[name.rpartition(".")[2] for name in listed] for listed in (stored, own)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"the {len(stored)} tensors of the file do not match the {len(own)} tensors of the "
            "network in order; the file belongs to another architecture"
        )
    renamed = dict(zip(stored, own, strict=True))
    return KeyMap("EfficientNet-PyTorch", "timm", {**renamed, "_fc.": None})


def keymap_for(net: nn.Module, names: set[str], removed: tuple[str, ...] = ()) -> KeyMap:
    """Choose the map for a file with these names (wrappers stripped) and this network.

    An HRNet file without the modules of the classification head comes from mmpose. ResNet files of
    torchvision and timm are indistinguishable, and need the same map. All others come from timm.
    """
    family = type(net).__name__
    if family == "HighResolutionNet" and not any(covers("incre_modules.", n) for n in names):
        return TIMM_FROM_MMPOSE_HRNET
    if family == "ResNet":
        return TIMM_FROM_TORCHVISION_RESNET
    return timm_keymap(net, removed)


def covers(key: str, name: str) -> bool:
    """Return whether a key, a full name or a prefix ending in ".", matches a name."""
    return name.startswith(key) if key.endswith(".") else name == key


def strip_wrappers(
    tensors: dict[str, Tensor], own_names: set[str]
) -> tuple[dict[str, Tensor], tuple[str, ...], dict[str, Tensor]]:
    """Remove known prefixes from tensor names, and tensors that are not part of the backbone.

    A prefix is removed only if all names have it (for "backbone.", all names except those of
    `BESIDE_BACKBONE`), and only if no name of the network itself starts with it.

    Args:
        tensors: Tensors by name.
        own_names: Tensor names of the network to be filled.

    Returns:
        The renamed tensors, the removed prefixes, outermost first, and the tensors next to the
        backbone, under the file's names.
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
