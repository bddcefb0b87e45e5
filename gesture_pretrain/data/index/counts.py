"""Count the images of an index per split, hand and label."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gesture_pretrain.data.index.record import HANDS, SPLITS


def count_images(columns: Mapping[str, np.ndarray], labels: list[str]) -> dict:
    """Count the images of each split for `meta.json`.

    Returns:
        Split -> {"images", "time_steps", "hands": {hand: images}, "hand_type_invalid",
        "labels": {label: images}, "subjects", "images_with_fit", "time_steps_with_fit"}; the last
        three only where the dataset has them.
    """
    of_image = columns["step_split"][columns["step"]]
    return {
        SPLITS[k]: _count_split(columns, labels, k, np.flatnonzero(of_image == k))
        for k in np.unique(of_image).tolist()
    }


def _count_split(
    columns: Mapping[str, np.ndarray], labels: list[str], split: int, rows: np.ndarray
) -> dict:
    of_hand = np.bincount(columns["hand"][rows], minlength=len(HANDS)).tolist()
    of_label = np.bincount(columns["sequence"][rows], minlength=len(labels)).tolist()
    counts: dict = {
        "images": len(rows),
        "time_steps": int(np.count_nonzero(columns["step_split"] == split)),
        "hands": {hand: n for hand, n in zip(HANDS, of_hand, strict=True) if n},
        "labels": {label: n for label, n in zip(labels, of_label, strict=True) if n},
    }
    if "hand_valid" in columns:
        counts["hand_type_invalid"] = int(np.count_nonzero(columns["hand_valid"][rows] == 0))
    if "subject" in columns:
        counts["subjects"] = np.unique(columns["subject"][rows]).tolist()
    if "step_mano" in columns:
        fitted = (columns["step_mano"] >= 0).any(axis=1)
        counts["images_with_fit"] = int(np.count_nonzero(fitted[columns["step"][rows]]))
        counts["time_steps_with_fit"] = int(
            np.count_nonzero(fitted & (columns["step_split"] == split))
        )
    return counts
