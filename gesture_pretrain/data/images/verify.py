"""Looking at every image of an index: missing, unreadable, black, or of another size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from gesture_pretrain.data.index.index import HandIndex

# InterHand2.6M contains annotated images that are black; IntagHand's preparation drops those
# whose mean grey value is below this.
BLACK_BELOW_GREY = 10.0
_WAITING_PER_WORKER = 8


@dataclass(frozen=True)
class Finding:
    """An invalid image."""

    row: int
    path: str
    why: str


@dataclass
class VerifyReport:
    """Outcome of `verify_index`; falsy lists mean that nothing was found.

    Attributes:
        images: Number of images processed, of `images_in_index`.
        missing: No file there.
        unreadable: The file does not decode to the end.
        black: Mean grey value below `BLACK_BELOW_GREY`.
        wrong_size: Other width and height than the annotations say.
    """

    images: int
    images_in_index: int
    missing: list[Finding] = field(default_factory=list)
    unreadable: list[Finding] = field(default_factory=list)
    black: list[Finding] = field(default_factory=list)
    wrong_size: list[Finding] = field(default_factory=list)

    @property
    def kinds(self) -> dict[str, list[Finding]]:
        """Kind of fault -> findings."""
        return {
            "missing": self.missing,
            "unreadable": self.unreadable,
            "black": self.black,
            "wrong_size": self.wrong_size,
        }

    @property
    def ok(self) -> bool:
        """Return whether nothing was found."""
        return not any(self.kinds.values())

    @property
    def rows(self) -> list[int]:
        """Return all rows found, ascending, for `HandIndex.select(exclude_rows=...)`."""
        return sorted({finding.row for found in self.kinds.values() for finding in found})

    def describe(self, named: int = 10) -> str:
        """Return a text for the terminal that names up to `named` images of each kind."""
        lines = [f"{self.images:,} of {self.images_in_index:,} images processed"]
        for kind, found in self.kinds.items():
            lines.append(f"{kind.replace('_', ' ')}: {len(found):,}")
            lines += [f"  {finding.path} ({finding.why})" for finding in found[:named]]
            if len(found) > named:
                lines.append(f"  and {len(found) - named:,} more")
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return the findings and `rows` as JSON."""
        return json.dumps({**asdict(self), "ok": self.ok, "rows": self.rows}, indent=1)


def verify_index(
    index: HandIndex,
    rows: np.ndarray | None = None,
    *,
    workers: int = 4,
    progress: bool = True,
) -> VerifyReport:
    """Compares the index's columns with their hashes, then decodes its images to the end.

    Args:
        index: The index.
        rows: Images to check; None for all.
        workers: Decoding threads.
        progress: Show a bar.

    Raises:
        IndexFormatError: The columns of the index were changed.
    """
    index.verify_columns()
    rows = np.arange(len(index)) if rows is None else np.asarray(rows)
    report = VerifyReport(len(rows), len(index))
    for kind, finding in _look(index, rows.tolist(), workers, progress):
        report.kinds[kind].append(finding)
    for found in report.kinds.values():
        found.sort(key=lambda finding: finding.row)
    return report


def _look(
    index: HandIndex, rows: list[int], workers: int, progress: bool
) -> Iterator[tuple[str, Finding]]:
    """Findings as the threads come upon them; only a few tasks wait at a time."""
    widths, heights = index.values("width"), index.values("height")
    bar = tqdm(total=len(rows), unit="image", desc="verifying", disable=not progress)
    with bar, ThreadPoolExecutor(workers) as pool:
        waiting = set()
        for row in rows:
            path, size = index.image_path(row), (int(widths[row]), int(heights[row]))
            waiting.add(pool.submit(_look_at, row, path, size))
            if len(waiting) >= workers * _WAITING_PER_WORKER:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                bar.update(len(done))
                yield from (found for task in done if (found := task.result()) is not None)
        for task in waiting:
            bar.update()
            if (found := task.result()) is not None:
                yield found


def _look_at(row: int, path: Path, size_wh: tuple[int, int]) -> tuple[str, Finding] | None:
    if path.exists() and not path.is_file():
        return "unreadable", Finding(row, str(path), "not a regular file")
    try:
        with Image.open(path) as image:
            grey = ImageOps.exif_transpose(image).convert("L")
    except FileNotFoundError:
        return "missing", Finding(row, str(path), "no such file")
    except Exception as error:  # damage makes Pillow's readers raise errors of any class
        return "unreadable", Finding(row, str(path), f"{type(error).__name__}: {error}")
    if grey.size != size_wh:
        why = f"{grey.size[0]}x{grey.size[1]}, annotated as {size_wh[0]}x{size_wh[1]}"
        return "wrong_size", Finding(row, str(path), why)
    mean = float(np.asarray(grey).mean())
    if mean < BLACK_BELOW_GREY:
        return "black", Finding(row, str(path), f"mean grey value {mean:.1f}")
    return None
