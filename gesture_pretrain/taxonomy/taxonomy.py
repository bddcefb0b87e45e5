"""Gesture taxonomies, which map source labels (folder names) to coarse and fine classes.

A taxonomy is a CSV file, whose format is documented in `gesture_pretrain.taxonomy.file`.

Each fine class belongs to exactly one coarse class. If classes depend on handedness, mirroring an
image changes its class, so class flips are derived from the `flip` column.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gesture_pretrain.names import did_you_mean
from gesture_pretrain.taxonomy.file import read_taxonomy_file

UNLABELLED = -1


@dataclass(frozen=True)
class AssignmentReport:
    """Number of images with and without a gesture class.

    Attributes:
        total: Number of images.
        labelled: Images with a class.
        unknown: Images whose label is not in the taxonomy.
        side_mismatch: Images whose label has another handedness than the annotated hand.
        unknown_labels: Number of images of each unknown label.
    """

    total: int
    labelled: int
    unknown: int
    side_mismatch: int
    unknown_labels: dict[str, int]

    def __str__(self) -> str:
        line = (
            f"{self.labelled:,} of {self.total:,} images have a gesture class; masked: "
            f"{self.unknown:,} of an unknown label, {self.side_mismatch:,} of the other handedness"
        )
        if not self.unknown_labels:
            return line
        shown = sorted(self.unknown_labels.items(), key=lambda item: (-item[1], item[0]))[:8]
        more = len(self.unknown_labels) - len(shown)
        listed = ", ".join(f"{label} ({count:,})" for label, count in shown)
        return f"{line}; unknown labels: {listed}" + (f" and {more} more" if more else "")


@dataclass(frozen=True)
class Taxonomy:
    """Source labels, their coarse and fine classes, and the effect of mirroring.

    Attributes:
        name: Name of the packaged or user file without extension, plus the variant.
        sha256: SHA-256 of content and variant, independent of line ends and column order.
        labels: Source labels in file order.
        coarse_of, fine_of: Class id of each label.
        coarse_names, fine_names: Class names, indexed by id.
        hand_of_label: Handedness of the labels that have one.
        coarse_flip, fine_flip: Class of the mirror image of each class, None if undefined.
        shuffle_seed: Seed of the shuffled-label control, or None.
        class_of_cluster: (subject, label) to (coarse, fine) where a label's class depends on the
            subject, see `cluster_labels`; None where it does not.
    """

    name: str
    labels: tuple[str, ...]
    coarse_of: dict[str, int]
    fine_of: dict[str, int]
    coarse_names: tuple[str, ...]
    fine_names: tuple[str, ...]
    hand_of_label: dict[str, str] = field(default_factory=dict)
    coarse_flip: tuple[int | None, ...] = ()
    fine_flip: tuple[int | None, ...] = ()
    shuffle_seed: int | None = None
    class_of_cluster: Mapping[tuple[int, str], tuple[int, int]] | None = None

    @classmethod
    def load(cls, source: str | Path) -> "Taxonomy":
        """Read and validate a packaged taxonomy (by name) or a CSV file (by path).

        Raises:
            FileNotFoundError: There is no such name or file.
            ValueError: The file violates a rule; the message names file and line.
        """
        return cls(**read_taxonomy_file(source))

    @classmethod
    def from_index_labels(cls, labels: Iterable[str], name: str = "folders") -> "Taxonomy":
        """Create one class per distinct label at both levels, in sorted order, without flips."""
        distinct = tuple(sorted(set(labels)))
        if not distinct:
            raise ValueError("A taxonomy needs at least one label; the index has none.")
        ids, undefined = {label: i for i, label in enumerate(distinct)}, (None,) * len(distinct)
        return cls(name, distinct, ids, dict(ids), distinct, distinct, {}, undefined, undefined)

    @property
    def num_coarse(self) -> int:
        """Number of coarse classes."""
        return len(self.coarse_names)

    @property
    def num_fine(self) -> int:
        """Number of fine classes."""
        return len(self.fine_names)

    @property
    def sha256(self) -> str:
        """SHA-256 of content and variant, independent of the name."""
        content = {key: value for key, value in self.to_dict().items() if key != "name"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def has_flip(self) -> bool:
        """Return whether the mirror image of every class has a class."""
        return None not in self.fine_flip and len(self.fine_flip) == self.num_fine

    def to_dict(self) -> dict:
        """Return all fields as plain lists and dicts."""
        clusters = {}
        if self.class_of_cluster is not None:
            clusters["class_of_cluster"] = [[*k, *v] for k, v in self.class_of_cluster.items()]
        return {
            **clusters,
            "name": self.name,
            "rows": [
                [label, self.coarse_of[label], self.fine_of[label], self.hand_of(label)]
                for label in self.labels
            ],
            "coarse_names": list(self.coarse_names),
            "fine_names": list(self.fine_names),
            "coarse_flip": list(self.coarse_flip),
            "fine_flip": list(self.fine_flip),
            "shuffle_seed": self.shuffle_seed,
        }

    def ids(self, label: str) -> tuple[int, int]:
        """Return (coarse, fine) of a label, or (-1, -1) if it is unknown."""
        return self.coarse_of.get(label, UNLABELLED), self.fine_of.get(label, UNLABELLED)

    def hand_of(self, label: str) -> str | None:
        """Return the handedness of a label ("right", "left", "interacting"), or None."""
        return self.hand_of_label.get(label)

    def flip(self, coarse: int, fine: int) -> tuple[int, int] | None:
        """Return the classes of the mirror image, or None. (-1, -1) stays (-1, -1)."""
        if (coarse, fine) == (UNLABELLED, UNLABELLED):
            return coarse, fine
        mirrored = self.coarse_flip[coarse], self.fine_flip[fine]
        return None if None in mirrored else mirrored

    def accepts(self, label: str, hand: str) -> bool:
        """Return whether the annotated hand of an image is compatible with its label.

        "unknown" (a photograph without annotation) is compatible with every label, "interacting"
        only with labels of interacting hands.
        """
        side = self.hand_of(label)
        if hand == "interacting":
            return side == "interacting"
        return side is None or hand in (side, "unknown")

    def assign(
        self, labels: Sequence[str], hands: Sequence[str], *, rows: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray, AssignmentReport]:
        """Assign classes to N images, see `assign_codes`.

        Args:
            labels: (N,) source label of each image.
            hands: (N,) annotated hand: "right", "left", "interacting" or "unknown".
            rows: (N,) identity of each image.

        Raises:
            ValueError: The numbers of labels and hands differ.
        """
        if len(labels) != len(hands):
            raise ValueError(f"{len(labels)} labels but {len(hands)} hands; one hand per image.")
        names, codes = np.unique(labels, return_inverse=True)
        sides, hand_codes = np.unique(hands, return_inverse=True)
        return self.assign_codes(codes, names.tolist(), hand_codes, sides.tolist(), rows=rows)

    def assign_codes(
        self,
        label_codes: np.ndarray,
        label_names: Sequence[str],
        hand_codes: np.ndarray,
        hand_names: Sequence[str],
        *,
        rows: Sequence[int] | None = None,
        subjects: Sequence[int] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, AssignmentReport]:
        """Assign classes to N images; masked images have -1 at both levels.

        Args:
            label_codes, hand_codes: (N,) codes into the names.
            label_names: Source labels.
            hand_names: Annotated hands: "right", "left", "interacting" and "unknown".
            rows: (N,) identity of each image. Default: its position. Used only by the shuffled
                control, whose result must not depend on the order of the images.
            subjects: (N,) subject numbers. Required only with `class_of_cluster`.

        Returns:
            Coarse classes (N,) int64, fine classes (N,) int64, report.
        """
        label_codes, hand_codes = np.asarray(label_codes), np.asarray(hand_codes)
        unknown = _count_unknown(label_codes, label_names, self.coarse_of)
        ids = np.array([self.ids(name) for name in label_names], np.int64).reshape(-1, 2)
        fits = np.array([[self.accepts(n, h) for h in hand_names] for n in label_names], bool)
        pairs = ids[label_codes]
        known = pairs[:, 0] != UNLABELLED
        mismatch = known & ~fits.reshape(len(label_names), len(hand_names))[label_codes, hand_codes]
        pairs[mismatch] = UNLABELLED
        if self.class_of_cluster is not None:
            pairs = self._of_clusters(pairs, label_codes, label_names, subjects)
        if self.shuffle_seed is not None:
            identity = np.arange(len(pairs)) if rows is None else np.asarray(rows)
            pairs = _shuffle_labelled(pairs, identity, self.shuffle_seed)
        report = AssignmentReport(
            total=len(pairs),
            labelled=int((known & ~mismatch).sum()),
            unknown=int((~known).sum()),
            side_mismatch=int(mismatch.sum()),
            unknown_labels=unknown,
        )
        return pairs[:, 0].copy(), pairs[:, 1].copy(), report

    def _of_clusters(self, pairs, label_codes, label_names, subjects) -> np.ndarray:
        """Look up classes (N, 2) by subject and label for labelled images."""
        if subjects is None:
            raise ValueError(f"The classes of taxonomy {self.name!r} depend on the subject.")
        labelled = np.flatnonzero(pairs[:, 0] != UNLABELLED)
        keys = np.stack([np.asarray(subjects)[labelled], label_codes[labelled]], axis=1)
        distinct, place = np.unique(keys, axis=0, return_inverse=True)
        of_distinct = [
            self.class_of_cluster.get((subject, label_names[code]), (UNLABELLED, UNLABELLED))
            for subject, code in distinct.tolist()
        ]
        found = pairs.copy()
        found[labelled] = np.array(of_distinct, np.int64).reshape(-1, 2)[place.reshape(-1)]
        return found

    def without(self, labels: Iterable[str]) -> "Taxonomy":
        """Withhold labels, so that their images have no class. The classes stay the same.

        Raises:
            ValueError: A label is unknown, or no label is left.
        """
        withheld = set(labels)
        if unknown := sorted(withheld - set(self.labels)):
            near = did_you_mean(unknown[0], self.labels)
            raise ValueError(f"Taxonomy {self.name!r} has no label {unknown[0]!r}.{near}")
        kept = tuple(label for label in self.labels if label not in withheld)
        if not kept:
            raise ValueError("All labels are withheld; leave some to be trained on.")
        return replace(
            self,
            labels=kept,
            coarse_of={label: self.coarse_of[label] for label in kept},
            fine_of={label: self.fine_of[label] for label in kept},
            hand_of_label={k: v for k, v in self.hand_of_label.items() if k not in withheld},
        )

    def drawn_gestures(self, fraction: float, seed: int) -> tuple[str, ...]:
        """Draw a random fraction of the gestures and return their labels.

        A gesture is a coarse class together with its mirror image.

        Raises:
            ValueError: The fraction draws none or all of the gestures.
        """
        gestures = sorted({self._gesture(coarse) for coarse in self.coarse_of.values()})
        count = round(fraction * len(gestures))
        if not 0 < count < len(gestures):
            raise ValueError(
                f"A fraction of {fraction} withholds {count} of {len(gestures)} gestures; at least "
                "one must be withheld and one left."
            )
        order = np.random.Generator(np.random.Philox(key=[seed, 0x317418])).permutation(gestures)
        drawn = set(order[:count].tolist())
        return tuple(n for n in self.labels if self._gesture(self.coarse_of[n]) in drawn)

    def _gesture(self, coarse: int) -> int:
        mirrored = self.coarse_flip[coarse]
        return coarse if mirrored is None else min(coarse, mirrored)

    def control(self, name: str, *, seed: int = 0) -> "Taxonomy":
        """Create an experimental control by name, see `CONTROLS`. "shuffled" uses `seed`.

        Raises:
            ValueError: The control is unknown.
        """
        if name not in CONTROLS:
            raise ValueError(f"Unknown control {name!r}. Known: {', '.join(CONTROLS)}.")
        return CONTROLS[name](self, seed)

    def handedness_only(self) -> "Taxonomy":
        """Create a control whose only classes are right (0) and left (1), for the same images.

        Raises:
            ValueError: The labels do not include both hands.
        """
        side = {
            label: ("right", "left").index(hand)
            for label, hand in self.hand_of_label.items()
            if hand in ("right", "left")
        }
        if set(side.values()) != {0, 1}:
            raise ValueError(
                f"Taxonomy {self.name!r} has no `hand` column with right and left labels, so "
                "handedness cannot be its only class. Fill in `hand`."
            )
        return replace(
            self,
            name=f"{self.name}-handedness_only",
            labels=tuple(label for label in self.labels if label in side),
            coarse_of=side,
            fine_of=dict(side),
            coarse_names=("right", "left"),
            fine_names=("right", "left"),
            hand_of_label={label: self.hand_of_label[label] for label in side},
            coarse_flip=(1, 0),
            fine_flip=(1, 0),
        )

    def shuffled(self, seed: int = 0) -> "Taxonomy":
        """Create a control with the same class counts, but classes permuted among images.

        `assign_codes` permutes the (coarse, fine) pairs of the labelled images, so that they can
        only be memorised. The permutation depends on the seed and on the identities of the images.
        """
        return replace(self, name=f"{self.name}-shuffled{seed}", shuffle_seed=int(seed))

    def coarse_only(self) -> "Taxonomy":
        """Create a variant whose fine level repeats the coarse level."""
        return replace(
            self,
            name=f"{self.name}-coarse_only",
            fine_of=dict(self.coarse_of),
            fine_names=self.coarse_names,
            fine_flip=self.coarse_flip,
        )

    def fine_only(self) -> "Taxonomy":
        """Create a variant whose coarse level repeats the fine level."""
        return replace(
            self,
            name=f"{self.name}-fine_only",
            coarse_of=dict(self.fine_of),
            coarse_names=self.fine_names,
            coarse_flip=self.fine_flip,
        )


CONTROLS: dict[str, Callable[[Taxonomy, int], Taxonomy]] = {
    "handedness_only": lambda taxonomy, seed: taxonomy.handedness_only(),
    "shuffled": lambda taxonomy, seed: taxonomy.shuffled(seed),
    "coarse_only": lambda taxonomy, seed: taxonomy.coarse_only(),
    "fine_only": lambda taxonomy, seed: taxonomy.fine_only(),
}


def _count_unknown(
    label_codes: np.ndarray, label_names: Sequence[str], known: dict[str, int]
) -> dict[str, int]:
    """Count the images of each unknown label."""
    counts = np.bincount(label_codes, minlength=len(label_names)).tolist()
    return {
        name: count
        for name, count in zip(label_names, counts, strict=True)
        if count and name not in known
    }


def _shuffle_labelled(pairs: np.ndarray, identity: np.ndarray, seed: int) -> np.ndarray:
    """Permute the labelled rows of pairs (N, 2), depending only on seed and identity (N,)."""
    labelled = np.flatnonzero(pairs[:, 0] != UNLABELLED)
    in_order = labelled[np.argsort(identity[labelled], kind="stable")]
    stream = np.random.Generator(np.random.Philox(key=[seed, 0x5AFF1E]))
    shuffled = pairs.copy()
    shuffled[in_order] = pairs[stream.permutation(in_order)]
    return shuffled
