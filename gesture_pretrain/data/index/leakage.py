"""Leakage audit of training and test images.

There are two kinds of leaks. A test image may be a training image. Or another view of its
moment (same capture and frame, another camera) may be a training image, which shows the same
pose. Shared subjects and recordings are counted too, because datasets differ in them. Gestures
that occur in the test only are listed.

Rows of two indexes of the same data are compared by moment and camera. Equal numbers in different
datasets are different subjects. Copies under other names are found by comparing file contents, on
request.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gesture_pretrain.data.index.index import HandIndex, file_sha256
from gesture_pretrain.data.index.scenes import scenes_of

SAME_IMAGE, OTHER_VIEW = "same_image", "other_view"
KINDS = (SAME_IMAGE, OTHER_VIEW)


class LeakageError(ValueError):
    """Training images leak into the test set."""


@dataclass(frozen=True)
class LeakageAudit:
    """Overlap of training and test rows.

    Attributes:
        training_images, test_images: Numbers of images that were compared.
        same_image: Number of test images that are training images.
        other_view: Number of test images whose moment is trained on in another view.
        examples: Kind of leak -> paths of up to three test images.
        shared_subjects: Numbers of the subjects in both; None if subjects are unknown, or the
            indexes are of different datasets.
        test_subjects: Number of subjects in the test; None if subjects are unknown.
        shared_recordings: Number of recordings (capture and sequence) in both; None where
            `shared_subjects` is.
        gestures_seen, gestures_unseen: Labels of the test that do and do not occur in training.
        unseen_images: Number of test images with an unseen label.
        by_content: Whether file contents were compared.
        shared_backgrounds, shared_lights: Numbers of backgrounds and lights of rendered test images
            that training images have, too; None if they are not recorded.
    """

    training_images: int
    test_images: int
    same_image: int
    other_view: int
    examples: Mapping[str, tuple[str, ...]]
    shared_subjects: tuple[int, ...] | None
    test_subjects: int | None
    shared_recordings: int | None
    gestures_seen: tuple[str, ...]
    gestures_unseen: tuple[str, ...]
    unseen_images: int
    by_content: bool
    shared_backgrounds: int | None = None
    shared_lights: int | None = None

    @property
    def leaks(self) -> dict[str, int]:
        """Return the number of test images by kind of leak, without absent kinds."""
        return {kind: getattr(self, kind) for kind in KINDS if getattr(self, kind)}

    def sentences(self) -> list[str]:
        """Describe the findings for a report."""
        compared = "by moment, camera and content" if self.by_content else "by moment and camera"
        found = [
            f"{self.training_images:,} training images against {self.test_images:,} test images, "
            f"{compared}: {self.same_image} test images are trained on, and {self.other_view} more "
            "in another view of the same moment."
        ]
        if self.shared_subjects is None:
            found.append("Whether subjects are shared is unknown.")
        else:
            found.append(
                f"{len(self.shared_subjects)} of the {self.test_subjects} test subjects and "
                f"{self.shared_recordings} test recordings are also trained on."
            )
        total = len(self.gestures_seen) + len(self.gestures_unseen)
        found.append(
            f"{len(self.gestures_seen)} of {total} test gestures occur in training; "
            f"{self.unseen_images:,} test images show a gesture that does not."
        )
        if self.shared_backgrounds is not None:
            found.append(
                f"{self.shared_backgrounds} backgrounds and {self.shared_lights} lights of the "
                "test images occur in training."
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def audit_leakage(
    index: HandIndex,
    rows: Sequence[int],
    test_index: HandIndex,
    test_rows: Sequence[int],
    *,
    by_content: bool = False,
) -> LeakageAudit:
    """Compare training rows with test rows.

    Args:
        index, rows: Training images.
        test_index, test_rows: Test images; may be of the same index.
        by_content: Also compare the bytes of the files, to find copies under another name. Files
            of different sizes are not read.

    Raises:
        ValueError: One of the two has no rows.
        FileNotFoundError: An image is missing, with `by_content`.
    """
    rows, test_rows = np.asarray(rows, np.int64), np.asarray(test_rows, np.int64)
    if not len(rows) or not len(test_rows):
        raise ValueError(
            f"{len(rows)} training and {len(test_rows)} test images: nothing to compare."
        )
    same = _same_images(index, rows, test_index, test_rows)
    if by_content:
        same |= _same_files(index, rows, test_index, test_rows)
    view = _shared_moments(index, rows, test_index, test_rows) & ~same
    subjects = _subjects(index, rows), _subjects(test_index, test_rows)
    known = None not in subjects and _same_source(index, test_index)
    scenes = scenes_of(index, rows), scenes_of(test_index, test_rows)
    shared = (None, None)
    if None not in scenes:
        shared = tuple(len(ours & theirs) for ours, theirs in zip(*scenes, strict=True))
    seen, unseen, unseen_images = _gestures(index, rows, test_index, test_rows)
    return LeakageAudit(
        training_images=len(rows),
        test_images=len(test_rows),
        same_image=int(same.sum()),
        other_view=int(view.sum()),
        examples={
            kind: tuple(str(test_index.image_path(int(row))) for row in test_rows[found][:3])
            for kind, found in ((SAME_IMAGE, same), (OTHER_VIEW, view))
        },
        shared_subjects=tuple(sorted(subjects[0] & subjects[1])) if known else None,
        test_subjects=None if subjects[1] is None else len(subjects[1]),
        shared_recordings=_shared_recordings(index, rows, test_index, test_rows) if known else None,
        gestures_seen=seen,
        gestures_unseen=unseen,
        unseen_images=unseen_images,
        by_content=by_content,
        shared_backgrounds=shared[0],
        shared_lights=shared[1],
    )


def require_no_leaks(audits: Mapping[str, LeakageAudit], allowed: Collection[str] = ()) -> None:
    """Refuse leaks that are not explicitly allowed.

    Args:
        audits: Use of the rows ("pretraining", "fine-tuning") -> audit.
        allowed: Intended leaks as `use:kind`, e.g. "pretraining:other_view".

    Raises:
        LeakageError: A leak is not allowed.
        ValueError: `allowed` names an unknown use or kind.
    """
    known = [f"{use}:{kind}" for use in audits for kind in KINDS]
    unknown = [name for name in allowed if name not in known]
    if unknown:
        raise ValueError(f"allowed leaks {unknown} do not exist; possible: {', '.join(known)}.")
    lines = [
        f"{use}:{kind}: {count} of {audit.test_images} test images, e.g. {audit.examples[kind][0]}"
        for use, audit in audits.items()
        for kind, count in audit.leaks.items()
        if f"{use}:{kind}" not in allowed
    ]
    if lines:
        raise LeakageError(
            "Test images leak into training:\n  "
            + "\n  ".join(lines)
            + "\nExclude these rows, or allow the leaks in the plan (allowed_leaks)."
        )


def _same_source(index: HandIndex, other: HandIndex) -> bool:
    """Return whether two indexes are of the same recordings."""
    return index.path == other.path or (
        index.meta["data_name"] == other.meta["data_name"]
        and index.meta["synthetic"] == other.meta["synthetic"]
        and bool(index.meta["cameras"] and other.meta["cameras"])
    )


def _moments(index: HandIndex, rows: np.ndarray) -> np.ndarray:
    """Return (N,) uint64 key of each row's moment (split, capture, frame)."""
    return np.asarray(index.columns["step_key"])[index.values("step", rows)]


def _image_keys(index: HandIndex, rows: np.ndarray, other: HandIndex) -> list:
    """Return a key for each image; images of the two indexes with equal keys are the same."""
    if index.path == other.path:
        return rows.tolist()
    if not _same_source(index, other):
        return [str(index.image_path(row).resolve()) for row in rows.tolist()]
    cameras = [index.meta["cameras"][code] for code in index.values("camera", rows).tolist()]
    return list(zip(_moments(index, rows).tolist(), cameras, strict=True))


def _same_images(index, rows, test_index, test_rows) -> np.ndarray:
    """Return (N,) bool: test rows that are training rows."""
    trained = set(_image_keys(index, rows, test_index))
    return np.array([key in trained for key in _image_keys(test_index, test_rows, index)])


def _same_files(index, rows, test_index, test_rows) -> np.ndarray:
    """Return (N,) bool: test images whose bytes are those of a training image."""
    trained, tested = (
        [(path, path.stat().st_size) for path in map(of.image_path, part.tolist())]
        for of, part in ((index, rows), (test_index, test_rows))
    )
    shared = {size for _, size in trained} & {size for _, size in tested}
    hashes = {file_sha256(path) for path, size in trained if size in shared}
    return np.array([size in shared and file_sha256(path) in hashes for path, size in tested])


def _shared_moments(index, rows, test_index, test_rows) -> np.ndarray:
    if not _same_source(index, test_index):
        return np.zeros(len(test_rows), bool)
    return np.isin(_moments(test_index, test_rows), _moments(index, rows))


def _subjects(index: HandIndex, rows: np.ndarray) -> set[int] | None:
    if "subject" not in index.columns:
        return None
    return {int(value) for value in np.unique(index.values("subject", rows))}


def _shared_recordings(index, rows, test_index, test_rows) -> int:
    return len(_recordings(index, rows) & _recordings(test_index, test_rows))


def _recordings(index: HandIndex, rows: np.ndarray) -> set[str]:
    columns = [index.values(name, rows) for name in ("split", "capture", "sequence")]
    found = np.unique(np.stack(columns, axis=1), axis=0)
    return {f"{split}/{capture}/{index.labels[label]}" for split, capture, label in found}


def _gestures(index, rows, test_index, test_rows) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    trained = {index.labels[k] for k in np.unique(index.values("sequence", rows))}
    codes, counts = np.unique(test_index.values("sequence", test_rows), return_counts=True)
    tested = {test_index.labels[k]: int(n) for k, n in zip(codes, counts, strict=True)}
    seen = tuple(sorted(tested.keys() & trained))
    unseen = tuple(sorted(tested.keys() - trained))
    return seen, unseen, sum(tested[label] for label in unseen)


def rows_fingerprint(index: HandIndex, rows: Sequence[int]) -> str:
    """SHA-256 of the selected images of an index, for a manifest."""
    digest = hashlib.sha256(index.fingerprint.encode())
    digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
    return digest.hexdigest()
