"""Schema and reader of an index's `meta.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from gesture_pretrain.data.index.errors import DataError, IndexFormatError
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.schema import STRICT, validated

INDEX_FORMAT = 2
META_FILE = "meta.json"

_BUILD_AGAIN = "Build the index again."
_Side = Annotated[int, Field(ge=1, le=1 << 20)]
_ALWAYS_THERE = {
    "step", "sequence", "size", "hand", "step_split", "step_capture", "step_frame", "step_key"
}  # fmt: skip


@dataclass(frozen=True)
class ColumnSpec:
    """One column: its file, and the expected type and shape."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+\.npy$")]
    dtype: str
    shape: list[Annotated[int, Field(ge=0)]]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class IndexMeta:
    """Contents of `meta.json`.

    Attributes:
        format: Format of the index.
        created_by: Version that built it.
        root: Folder of the dataset, absolute or relative to the index.
        kind: Reader that built it.
        data_name: Name of the dataset, for reports.
        licence: Licence of the images.
        synthetic: How the images were rendered; None for recorded ones.
        image_folders: Split to folder, below `root` or absolute.
        labels: Source labels; `sequence` numbers them.
        cameras: Camera names; `camera` numbers them.
        image_sizes: Width and height; `size` numbers them.
        counts: Images per split, hand and label.
        columns: Column name to its file.
        checked: Result of the checks when the index was built.
        release: Name and subset of the release of InterHand2.6M.
        rounded_to_float32: Column to the number of its values that were rounded.
        notes: Split to counts of incomplete entries.
        sources: Annotation files with their hashes.
    """

    format: Literal[2]
    created_by: str
    root: str
    kind: str
    data_name: str
    licence: str
    synthetic: dict[str, Any] | bool | None
    image_folders: dict[Literal[SPLITS], str]
    labels: list[str]
    cameras: list[str]
    image_sizes: list[tuple[_Side, _Side]]
    counts: dict[str, Any]
    columns: dict[str, ColumnSpec]
    checked: dict[str, Any] = field(default_factory=dict)
    release: dict[str, str | None] | None = None
    rounded_to_float32: dict[str, int] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)

    __pydantic_config__ = STRICT

    def __post_init__(self):
        if missing := sorted(_ALWAYS_THERE - self.columns.keys()):
            raise ValueError(f"the columns {', '.join(missing)} are missing")
        if wrong := [name for name, spec in self.columns.items() if spec.file != f"{name}.npy"]:
            raise ValueError(f"the column {wrong[0]} is in another file than {wrong[0]}.npy")
        for folder in self.image_folders.values():
            if ".." in Path(folder).parts:
                raise ValueError(f"the image folder {folder!r} holds '..'")


def read_meta(folder: Path) -> dict:
    """Read and check an index's `meta.json`.

    Raises:
        IndexFormatError: It is damaged, incomplete, or of another format.
    """
    path = folder / META_FILE
    meta = read_json(path, IndexFormatError, remedy=_BUILD_AGAIN)
    version = meta.get("format") if isinstance(meta, dict) else None
    if version != INDEX_FORMAT:
        raise IndexFormatError(
            f"{folder} has index format {version}, this version reads {INDEX_FORMAT}. "
            f"{_BUILD_AGAIN}"
        )
    validated(IndexMeta, meta, str(path), IndexFormatError)
    return meta


def index_folder(path: Path) -> Path:
    """Find the folder of an index, given that folder or the folder of its dataset.

    Raises:
        DataError: There is none.
    """
    for folder in (path, path / "index"):
        if (folder / META_FILE).is_file():
            return folder.resolve()
    if not path.exists():
        raise DataError(f"{path} does not exist; give the folder of an index or of its dataset.")
    raise DataError(
        f"{path} holds no index (no {META_FILE} here or in {path / 'index'}). Make one with "
        "`gesture-pretrain data` and one of synthetic, interhand or folders."
    )
