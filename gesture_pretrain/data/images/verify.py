"""Find the images of an index that are missing, unreadable, black, or of another size."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from gesture_pretrain.data.index.index import HandIndex

# InterHand2.6M contains annotated images that are black; IntagHand's preparation drops those
# whose mean grey value is below this.
BLACK_BELOW_GREY = 10.0
KINDS = ("missing", "unreadable", "black", "wrong_size")
_BLOCK = 4096  # images that are queued at a time


@dataclass(frozen=True)
class Finding:
    """An invalid image; `kind` is one of `KINDS`."""

    kind: str
    row: int
    path: str
    why: str


@dataclass(frozen=True)
class VerifyReport:
    """Outcome of `verify_index`.

    Attributes:
        images: Number of images processed.
        images_in_index: Number of images in the index.
        findings: Invalid images, by row.
    """

    images: int
    images_in_index: int
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Return whether nothing was found."""
        return not self.findings

    @property
    def rows(self) -> list[int]:
        """Return the rows of the findings, for `HandIndex.select(exclude_rows=...)`."""
        return [finding.row for finding in self.findings]

    def of_kind(self, kind: str) -> list[Finding]:
        """Return the findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    def describe(self, named: int = 10) -> str:
        """Return a text for the terminal that names up to `named` images of each kind."""
        lines = [f"{self.images:,} of {self.images_in_index:,} images processed"]
        for kind in KINDS:
            found = self.of_kind(kind)
            lines.append(f"{kind.replace('_', ' ')}: {len(found):,}")
            lines += [f"  {finding.path} ({finding.why})" for finding in found[:named]]
            if len(found) > named:
                lines.append(f"  and {len(found) - named:,} more")
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return the findings by kind, and `rows`, as JSON."""
        found = {kind: [asdict(finding) for finding in self.of_kind(kind)] for kind in KINDS}
        counts = {"images": self.images, "images_in_index": self.images_in_index}
        return json.dumps({**counts, **found, "ok": self.ok, "rows": self.rows}, indent=1)


def verify_index(
    index: HandIndex,
    rows: np.ndarray | None = None,
    *,
    workers: int = 4,
    progress: bool = True,
) -> VerifyReport:
    """Compare the index's columns with their hashes, and decode its images to the end.

    Args:
        index: The index.
        rows: Images to check; None for all.
        workers: Decoding threads.
        progress: Show a progress bar.

    Raises:
        IndexFormatError: The columns of the index were changed.
    """
    index.verify_columns()
    rows = np.arange(len(index)) if rows is None else np.sort(rows)
    findings = []
    with (
        tqdm(total=len(rows), unit="image", desc="verifying", disable=not progress) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            sizes = zip(index.values("width", block), index.values("height", block), strict=True)
            for found in pool.map(_check, block.tolist(), map(index.image_path, block), sizes):
                bar.update()
                findings += [] if found is None else [found]
    return VerifyReport(len(rows), len(index), findings)


def _check(row: int, path: Path, size_wh: tuple[int, int]) -> Finding | None:
    if path.exists() and not path.is_file():
        return Finding("unreadable", row, str(path), "not a regular file")
    try:
        with Image.open(path) as image:
            grey = ImageOps.exif_transpose(image).convert("L")
    except FileNotFoundError:
        return Finding("missing", row, str(path), "no such file")
    except Exception as error:  # damage makes Pillow's readers raise errors of any class
        return Finding("unreadable", row, str(path), f"{type(error).__name__}: {error}")
    if grey.size != size_wh:
        why = f"{grey.size[0]}x{grey.size[1]}, annotated as {size_wh[0]}x{size_wh[1]}"
        return Finding("wrong_size", row, str(path), why)
    mean = float(np.asarray(grey).mean())
    if mean < BLACK_BELOW_GREY:
        return Finding("black", row, str(path), f"mean grey value {mean:.1f}")
    return None
