"""The record that travels with weights: `card.json`, read and written without any loss.

A folder of the registry holds `model.safetensors` (the backbone under timm's own parameter names),
`heads.safetensors` (the gesture heads, where there are any), `card.json` and a README for people.
The card says what is needed to rebuild the network, to feed it, and to know where it comes from.
Nothing here needs torch.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import Field

from gesture_pretrain.json_file import STRICT, parse_json, validated
from gesture_pretrain.plain_data import plain_data
from gesture_pretrain.weights.errors import WeightsError

FORMAT_VERSION = 1
CARD_FILE = "card.json"
MODEL_FILE = "model.safetensors"
HEADS_FILE = "heads.safetensors"

# Types of the numbers in a card; beyond these limits a card was edited or damaged
Size = Annotated[int, Field(ge=1, le=8192)]  # pixels
Channels = Annotated[int, Field(ge=1, le=65536)]
Classes = Annotated[int, Field(ge=1, le=100_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Mean = Annotated[float, Field(ge=-10, le=10)]
Std = Annotated[float, Field(ge=1e-4, le=100)]
NumBytes = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FILE_ENDINGS = ("safetensors", "json", "pt", "pth", "bin", "ckpt")
_LONGEST_NAME = 120


def backbone_name(arch: str, tag: str) -> str:
    """`arch.tag`, the name of a set of weights.

    Raises:
        ValueError: A part holds other characters than letters, digits, `_` and `-`, starts with
            neither letter nor digit, the tag looks like a file's ending, or the whole is too long.
    """
    for role, part in (("architecture", arch), ("tag", tag)):
        if not isinstance(part, str) or not _PART.fullmatch(part):
            raise ValueError(
                f"{role} {part!r} cannot be part of a name. Possible: letters, digits, '_' and "
                "'-', the first a letter or digit; for example tag='gesture_interhand26m'."
            )
    if tag.lower() in _FILE_ENDINGS:
        raise ValueError(f"tag {tag!r} would make the name look like a file. Choose another tag.")
    if len(arch) + 1 + len(tag) > _LONGEST_NAME:
        raise ValueError(f"the name '{arch}.{tag}' has more than {_LONGEST_NAME} characters")
    return f"{arch}.{tag}"


def is_backbone_name(text: str) -> bool:
    """Whether `text` has the form `arch.tag`."""
    arch, _, tag = text.partition(".")
    try:
        return backbone_name(arch, tag) == text
    except ValueError:
        return False


@dataclass(frozen=True)
class FileRecord:
    """One file beside the card.

    Attributes:
        sha256: Hash of its bytes, hexadecimal.
        size_bytes: Length in bytes.
    """

    sha256: Sha256
    size_bytes: NumBytes


@dataclass(frozen=True)
class InputRecord:
    """What the backbone takes as input: RGB, `(value in 0..1 - mean) / std` per channel.

    Attributes:
        size_px: Side of the square crop it was trained on.
        mean: Per channel.
        std: Per channel.
        multiple_of: Height and width must be multiples of this.
        fixed_size: Only `size_px` will do.
    """

    size_px: Size
    mean: tuple[Mean, Mean, Mean]
    std: tuple[Std, Std, Std]
    multiple_of: Size
    fixed_size: bool = False


@dataclass(frozen=True)
class LevelRecord:
    """One feature map: `(B, channels, H / stride, W / stride)`."""

    channels: Channels
    stride: Size


@dataclass(frozen=True)
class HeadsRecord:
    """What the gesture heads are built from."""

    in_channels: Channels
    hidden: Channels
    dropout: Fraction
    num_coarse: Classes
    num_fine: Classes


@dataclass(frozen=True)
class TaxonomyRecord:
    """The classes that the heads tell apart.

    Attributes:
        name: Name of the taxonomy.
        sha256: Hash of its content.
        coarse_names: Class names by id.
        fine_names: Class names by id.
    """

    name: str
    sha256: str
    coarse_names: tuple[str, ...]
    fine_names: tuple[str, ...]


@dataclass(frozen=True)
class DataRecord:
    """What the weights were trained on.

    Attributes:
        name: Of the data set.
        licence: Under which the images may be used; "unknown" where nobody said.
        synthetic: Whether the images are rendered.
        details: Anything else worth keeping: release, counts, seed.
    """

    name: str
    licence: str
    synthetic: bool
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_index_meta(cls, meta: Mapping[str, Any], **details: Any) -> "DataRecord":
        """The data of an index: its `data_name`, `licence` and `synthetic` note."""
        synthetic = meta["synthetic"] is not None and meta["synthetic"] is not False
        return cls(meta["data_name"], meta["licence"], synthetic, details)


@dataclass(frozen=True)
class WeightRecord:
    """Everything about one set of weights, as it stands in `card.json`.

    Attributes:
        arch: Architecture, a name that `build_backbone` knows.
        tag: Who trained it on what; `name` is `arch.tag`.
        files: File name to hash and size.
        input: What the backbone takes as input.
        feature_specs: Level name to channels and stride.
        low: Name of the level F_lo.
        high: Name of the level F_hi.
        heads: What the heads are built from, None where there are none.
        taxonomy: Classes of the heads, None where there are none.
        label_variant: Which labels were used: "gesture", or a control such as "shuffled0".
        data: What it was trained on, None where it was not trained by us.
        config: The run's resolved configuration.
        commit: Of the code that trained it, None where unknown.
        metrics: Name to value, with what they were measured on in the name.
        library_versions: Name to version.
        created: UTC time, ISO 8601.
        notes: Free text.
        source: Where the weights were pulled from ("hf-hub:organisation/name@commit"), None for
            weights that were exported here.
        format_version: Version of the card's layout.
    """

    arch: str
    tag: str
    files: Mapping[str, FileRecord]
    input: InputRecord
    feature_specs: Mapping[str, LevelRecord]
    low: str
    high: str
    heads: HeadsRecord | None
    taxonomy: TaxonomyRecord | None
    label_variant: str
    data: DataRecord | None
    config: Mapping[str, Any]
    commit: str | None
    metrics: Mapping[str, Any]
    library_versions: Mapping[str, str]
    created: str
    notes: str = ""
    source: str | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self):
        backbone_name(self.arch, self.tag)
        wanted = {MODEL_FILE} | ({HEADS_FILE} if self.heads else set())
        if set(self.files) != wanted:
            raise WeightsError(f"files are {sorted(self.files)}, expected {sorted(wanted)}")
        for level in (self.low, self.high):
            if level not in self.feature_specs:
                raise WeightsError(f"level {level!r} is not one of {sorted(self.feature_specs)}")
        _check_classes(self.heads, self.taxonomy)

    @property
    def name(self) -> str:
        """`arch.tag`."""
        return backbone_name(self.arch, self.tag)

    def to_json(self) -> str:
        """The card's text; `from_json` gives back an equal record.

        Raises:
            ValueError: A value is not plain data (dict with string keys, list, string, finite
                number, bool, None); its place is named.
        """
        values = {"name": self.name, **plain_data(asdict(self), "card")}
        if self.source is None:
            del values["source"]  # as in cards written before the key existed
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str = CARD_FILE) -> "WeightRecord":
        """Read a card.

        Args:
            text: The card's content.
            source: Where it comes from, for messages.

        Raises:
            WeightsError: Not JSON, an unknown or missing key, a wrong type or value, or a newer
                format.
        """
        values = _parsed(text, source)
        name = values.pop("name", None)
        record = validated(cls, values, source, WeightsError)
        if name != record.name:
            raise WeightsError(f"{source}: name is {name!r}, but arch and tag make {record.name!r}")
        return record


def _check_classes(heads: HeadsRecord | None, taxonomy: TaxonomyRecord | None) -> None:
    if (heads is None) != (taxonomy is None):
        raise WeightsError("heads and taxonomy belong together: give both or neither")
    if heads is None:
        return
    for level, outputs, names in (
        ("coarse", heads.num_coarse, taxonomy.coarse_names),
        ("fine", heads.num_fine, taxonomy.fine_names),
    ):
        if outputs != len(names):
            raise WeightsError(
                f"the {level} head has {outputs} outputs, taxonomy {taxonomy.name!r} has "
                f"{len(names)} {level} classes"
            )


def _parsed(text: str | bytes, source: str) -> dict:
    values = parse_json(text, source, WeightsError, remedy="Export the backbone again.")
    if not isinstance(values, dict):
        raise WeightsError(f"{source}: not a card: its top level is not an object")
    version = values.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise WeightsError(f"{source}: format_version is {version!r}; a card has 1 or more")
    if version > FORMAT_VERSION:
        raise WeightsError(
            f"{source}: the card has format {version}, this gesture-pretrain reads up to "
            f"{FORMAT_VERSION}. Update it: pip install -U gesture-pretrain."
        )
    return values


for _record in (
    FileRecord, InputRecord, LevelRecord, HeadsRecord, TaxonomyRecord, DataRecord, WeightRecord
):  # fmt: skip
    _record.__pydantic_config__ = STRICT
