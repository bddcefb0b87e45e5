"""Published numbers of images and fits of each InterHand2.6M release.

Sources: the dataset's home page (images of v1.0 and v0.0, at 5 frames per second), and issues 52
and 103 of its repository (fits). No counts were published for the 30 fps release or per gesture.
"""

from __future__ import annotations

from typing import NamedTuple

_ALL = "human and machine annotations"
_HUMAN = "human annotations"
_MACHINE = "machine annotations"


class HandCounts(NamedTuple):
    """Number of images with one and with two annotated hands."""

    single: int
    interacting: int

    @property
    def total(self) -> int:
        """Return the number of annotated images."""
        return self.single + self.interacting


# (release, subset, split) -> images
PUBLISHED = {
    ("v1.0", _ALL, "train"): HandCounts(687_548, 673_514),
    ("v1.0", _ALL, "val"): HandCounts(234_183, 145_942),
    ("v1.0", _ALL, "test"): HandCounts(488_968, 360_192),
    ("v1.0", _HUMAN, "train"): HandCounts(142_231, 386_251),
    ("v1.0", _HUMAN, "test"): HandCounts(33_665, 87_908),
    ("v1.0", _MACHINE, "train"): HandCounts(594_189, 314_848),
    ("v1.0", _MACHINE, "test"): HandCounts(455_303, 272_284),
    ("v0.0", _ALL, "train"): HandCounts(371_800, 366_802),
    ("v0.0", _ALL, "val"): HandCounts(113_370, 70_917),
    ("v0.0", _ALL, "test"): HandCounts(197_992, 154_905),
    ("v0.0", _HUMAN, "train"): HandCounts(76_445, 208_271),
    ("v0.0", _HUMAN, "test"): HandCounts(18_399, 48_323),
    ("v0.0", _MACHINE, "train"): HandCounts(322_675, 174_383),
    ("v0.0", _MACHINE, "test"): HandCounts(179_593, 106_582),
}  # fmt: skip
RELEASES = tuple(dict.fromkeys(release for release, _, _ in PUBLISHED))

# v1.0, split -> (images with a fit, time steps with a fit)
PUBLISHED_FITS = {
    "train": (1_340_326, 18_718),
    "val": (379_947, 2_736),
    "test": (848_297, 6_890),
}


class Release(NamedTuple):
    """Release and subset that counts match; `name` is None if none matches."""

    name: str | None
    subset: str | None

    def __str__(self) -> str:
        return f"{self.name}, {self.subset}" if self.name else "no published release"


def release_of_split(split: str, counts: HandCounts) -> Release:
    """Return the release and subset whose published numbers equal `counts`."""
    for (release, subset, of_split), published in PUBLISHED.items():
        if of_split == split and published == counts:
            return Release(release, subset)
    return Release(None, None)


def release_of(counts: dict[str, HandCounts]) -> Release:
    """Return the release that all splits match.

    Args:
        counts: Split -> images.
    """
    found = {release_of_split(split, of_split) for split, of_split in counts.items()}
    names = {release.name for release in found}
    if len(names) != 1 or None in names:
        return Release(None, None)
    subsets = sorted({release.subset for release in found})
    return Release(names.pop(), " / ".join(subsets))
