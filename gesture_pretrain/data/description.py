"""Text description of an index for the terminal, with the published numbers."""

from __future__ import annotations

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS
from gesture_pretrain.data.interhand.published_counts import (
    PUBLISHED,
    PUBLISHED_FITS,
    HandCounts,
    Release,
    release_of_split,
)
from gesture_pretrain.tables import text_table


def describe_index(index: HandIndex) -> str:
    """Describe an index: its release, and its images per split, hand and label."""
    counts = index.meta["counts"]
    lines = [f"{index.meta['data_name']}, {len(index):,} images in {index.root}"]
    if index.meta["kind"] == "interhand26m":
        lines += _release_lines(index, counts)
    lines += ["", *_split_table(counts), *_notes(index), "", *_label_table(counts)]
    return "\n".join(lines)


def _release_lines(index: HandIndex, counts: dict) -> list[str]:
    if index.meta["synthetic"] is not None:
        return ["rendered images in InterHand2.6M's layout (see synthetic.json)"]
    release = Release(index.meta["release"]["name"], index.meta["release"]["subset"])
    if release.name:
        line = f"the counts match InterHand2.6M {release}, 5 frames per second"
    else:
        line = "the counts match no published release (a subset, another frame rate, or edited)"
    return [line, *_comparison(counts)]


def _comparison(counts: dict) -> list[str]:
    lines = []
    for split, of in counts.items():
        hands = of["hands"]
        here = HandCounts(hands.get("right", 0) + hands.get("left", 0), hands.get("interacting", 0))
        found = release_of_split(split, here)
        lines.append(f"  {split:5} here: {_pair(here)}  = {found}")
        if found.name is None:
            lines += [
                f"        {release} ({subset}): {_pair(published)}"
                for (release, subset, of_split), published in PUBLISHED.items()
                if of_split == split and subset.startswith("human and")
            ]
        if "images_with_fit" in of and found.name == "v1.0":
            images, steps = PUBLISHED_FITS[split]
            lines.append(
                f"        MANO fits here: {of['images_with_fit']:,} images, "
                f"{of['time_steps_with_fit']:,} time steps; published {images:,} and {steps:,}"
            )
    return lines


def _pair(counts: HandCounts) -> str:
    single, interacting, total = counts.single, counts.interacting, counts.total
    return f"{single:>9,} single + {interacting:>9,} interacting = {total:>9,}"


def _split_table(counts: dict) -> list[str]:
    rows = [("split", "images", "time steps", *HANDS, "invalid", "with fit", "subjects", "labels")]
    for split, of in counts.items():
        rows.append(
            (
                split,
                f"{of['images']:,}",
                f"{of['time_steps']:,}",
                *(f"{of['hands'].get(hand, 0):,}" for hand in HANDS),
                _number(of.get("hand_type_invalid")),
                _number(of.get("images_with_fit")),
                _number(len(of["subjects"]) if "subjects" in of else None),
                f"{len(of['labels']):,}",
            )
        )
    return text_table(rows[0], rows[1:]).splitlines()


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _label_table(counts: dict) -> list[str]:
    labels = sorted({label for of in counts.values() for label in of["labels"]})
    rows = [("images per label", *counts)]
    rows += [
        (label, *(f"{of['labels'].get(label, 0):,}" for of in counts.values())) for label in labels
    ]
    return text_table(rows[0], rows[1:]).splitlines()


def _notes(index: HandIndex) -> list[str]:
    lines = [
        f"{split}: {count:,} {what.replace('_', ' ')}"
        for split, notes in index.meta.get("notes", {}).items()
        for what, count in notes.items()
        if count
    ]
    lines += [
        f"{count:,} numbers of {column} are not float32 and were rounded"
        for column, count in index.meta.get("rounded_to_float32", {}).items()
    ]
    return ["", *lines] if lines else []
