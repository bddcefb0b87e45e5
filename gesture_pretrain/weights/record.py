"""The record stored with weights, `card.json`.

A folder of the registry contains `model.safetensors` (the backbone, with timm's parameter names),
`heads.safetensors` (the gesture heads, if any), `card.json` and a README. The card has everything
needed to rebuild the network and prepare its input, and documents its origin. This module does not
need torch.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import Field

from gesture_pretrain.files.json_file import parse_json
from gesture_pretrain.plain_data import plain_data
from gesture_pretrain.schema import STRICT, Fraction, validated
from gesture_pretrain.weights.errors import WeightsError

FORMAT_VERSION = 1
CARD_FILE = "card.json"
MODEL_FILE = "model.safetensors"
HEADS_FILE = "heads.safetensors"

# Types of the numbers in a card. A value outside these limits means an edited or damaged card.
Size = Annotated[int, Field(ge=1, le=8192)]  # pixels
Channels = Annotated[int, Field(ge=1, le=65536)]
Classes = Annotated[int, Field(ge=1, le=100_000)]
Mean = Annotated[float, Field(ge=-10, le=10)]
Std = Annotated[float, Field(ge=1e-4, le=100)]
NumBytes = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FILE_ENDINGS = ("safetensors", "json", "pt", "pth", "bin", "ckpt")
_LONGEST_NAME = 120


def backbone_name(arch: str, tag: str) -> str:
    """Build `arch.tag`, the name of a set of weights.

    Raises:
        ValueError: A part contains characters other than letters, digits, `_` and `-`, or does not
            start with a letter or digit; the tag is a file extension; or the name is too long.
    """
    for role, part in (("architecture", arch), ("tag", tag)):
        if not isinstance(part, str) or not _PART.fullmatch(part):
            raise ValueError(
                f"{role} {part!r} cannot be part of a name. Allowed are letters, digits, '_' and "
                "'-', starting with a letter or digit; for example tag='gesture_interhand26m'."
            )
    if tag.lower() in _FILE_ENDINGS:
        raise ValueError(f"tag {tag!r} would make the name look like a file. Choose another tag.")
    if len(arch) + 1 + len(tag) > _LONGEST_NAME:
        raise ValueError(f"the name '{arch}.{tag}' has more than {_LONGEST_NAME} characters")
    return f"{arch}.{tag}"


def is_backbone_name(text: str) -> bool:
    """Return whether `text` has the form `arch.tag`."""
    arch, _, tag = text.partition(".")
    try:
        return backbone_name(arch, tag) == text
    except ValueError:
        return False


@dataclass(frozen=True)
class FileRecord:
    """One file listed in the card.

    Attributes:
        sha256: SHA-256 of the file, hexadecimal.
        size_bytes: Size in bytes.
    """

    sha256: Sha256
    size_bytes: NumBytes


@dataclass(frozen=True)
class InputRecord:
    """Input of the backbone: RGB scaled to [0, 1], then normalised with `mean` and `std`.

    Attributes:
        size_px: Side length of the square training crops.
        mean: Mean per channel.
        std: Standard deviation per channel.
        multiple_of: Height and width must be multiples of this number of pixels.
        fixed_size: Whether only `size_px` is accepted.
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
    """Arguments from which the gesture heads are built."""

    in_channels: Channels
    hidden: Channels
    dropout: Fraction
    num_coarse: Classes
    num_fine: Classes


@dataclass(frozen=True)
class TaxonomyRecord:
    """The classes of the gesture heads.

    Attributes:
        name: Name of the taxonomy.
        sha256: SHA-256 of its content.
        coarse_names: Class names by id.
        fine_names: Class names by id.
    """

    name: str
    sha256: str
    coarse_names: tuple[str, ...]
    fine_names: tuple[str, ...]


@dataclass(frozen=True)
class DataRecord:
    """Training data of the weights.

    Attributes:
        name: Name of the dataset.
        licence: Licence of the images; "unknown" if not stated.
        synthetic: Whether the images are rendered.
        details: Further information, such as release, counts or seed.
    """

    name: str
    licence: str
    synthetic: bool
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_index_meta(cls, meta: Mapping[str, Any], **details: Any) -> "DataRecord":
        """Create the record from the metadata of an index."""
        synthetic = meta["synthetic"] is not None and meta["synthetic"] is not False
        return cls(meta["data_name"], meta["licence"], synthetic, details)


@dataclass(frozen=True)
class WeightRecord:
    """Complete description of one set of weights, the content of `card.json`.

    Attributes:
        arch: Architecture, a name that `build_backbone` accepts.
        tag: Tag that distinguishes these weights; `name` is `arch.tag`.
        files: File name to hash and size.
        input: Input requirements of the backbone.
        feature_specs: Level name to channels and stride.
        low: Name of the level F_lo.
        high: Name of the level F_hi.
        heads: Arguments of the heads. None without heads.
        taxonomy: Classes of the heads. None without heads.
        label_variant: Labels used in training: "gesture", or a control such as "shuffled0".
        data: Training data. None if not trained by this toolkit.
        config: Resolved config of the run.
        commit: Commit of the training code. None if unknown.
        metrics: Name to value. The name includes the evaluation data.
        library_versions: Library name to version.
        created: UTC time, ISO 8601.
        notes: Free text.
        source: Origin of downloaded weights ("hf-hub:organisation/name@commit"). None for weights
            exported locally.
        format_version: Version of the card format.
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
        expected = {MODEL_FILE} | ({HEADS_FILE} if self.heads else set())
        if set(self.files) != expected:
            raise WeightsError(f"files are {sorted(self.files)}, expected {sorted(expected)}")
        for level in (self.low, self.high):
            if level not in self.feature_specs:
                raise WeightsError(f"level {level!r} is not one of {sorted(self.feature_specs)}")
        _check_classes(self.heads, self.taxonomy)

    @property
    def name(self) -> str:
        """Name of the weights, `arch.tag`."""
        return backbone_name(self.arch, self.tag)

    def to_json(self) -> str:
        """Format the card as JSON. `from_json` restores an equal record.

        Raises:
            ValueError: A value is not plain data (dict with string keys, list, string, finite
                number, bool, None).
        """
        values = {"name": self.name, **plain_data(asdict(self), "card")}
        if self.source is None:
            del values["source"]  # cards written by older versions lack this key
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str = CARD_FILE) -> "WeightRecord":
        """Read a card.

        Args:
            text: Content of the card.
            source: Origin of the text, for error messages.

        Raises:
            WeightsError: The text is not JSON, a key is unknown or missing, a value is invalid, or
                the format is newer than supported.
        """
        values = _parsed(text, source)
        name = values.pop("name", None)
        record = validated(cls, values, source, WeightsError)
        if name != record.name:
            raise WeightsError(f"{source}: name is {name!r}, but arch and tag give {record.name!r}")
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
                f"the {level} head has {outputs} outputs, but taxonomy {taxonomy.name!r} has "
                f"{len(names)} {level} classes"
            )


def _parsed(text: str | bytes, source: str) -> dict:
    values = parse_json(text, source, WeightsError, remedy="Export the backbone again.")
    if not isinstance(values, dict):
        raise WeightsError(f"{source} is not a card: its top level is not an object")
    version = values.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise WeightsError(f"{source}: format_version is {version!r}; it must be at least 1")
    if version > FORMAT_VERSION:
        raise WeightsError(
            f"{source}: the card has format {version}, but this version of gesture-pretrain reads "
            f"formats up to {FORMAT_VERSION}. Update it: pip install -U gesture-pretrain."
        )
    return values


for _record in (
    FileRecord, InputRecord, LevelRecord, HeadsRecord, TaxonomyRecord, DataRecord, WeightRecord
):  # fmt: skip
    _record.__pydantic_config__ = STRICT
