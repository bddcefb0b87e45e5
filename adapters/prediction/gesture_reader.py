"""Read gestures and handedness from gesture logits.

The logits come from a Stage 1 gesture network, or from the gesture heads that guide a pose network.
During pose training such heads see right-looking crops only and no gesture labels, so their classes
may drift.

Letters: B batch, K classes.
"""

from collections.abc import Sequence
from os import PathLike
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.models.image_normaliser import ImageNormaliser
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.registry import find_backbone, load_backbone

LEVELS = ("coarse", "fine")


class Gesture(NamedTuple):
    """One class of a taxonomy and its probability, given the handedness."""

    name: str
    probability: float


class GestureReader:
    """Convert the logits of each level, `(B, K)`, to gesture names and handedness.

    Args:
        taxonomy: Taxonomy of the logits.
        network: Gesture network that computes logits; None to read those of the pose network.
    """

    def __init__(self, taxonomy: Taxonomy, network: GestureNetwork | None = None):
        self.taxonomy, self.network = taxonomy, network
        self._normalise = None
        if network is not None:
            device = next(network.parameters()).device
            self._normalise = ImageNormaliser(network.backbone.input_spec).to(device)
        self._names = {"coarse": taxonomy.coarse_names, "fine": taxonomy.fine_names}
        self._flips = {"coarse": taxonomy.coarse_flip, "fine": taxonomy.fine_flip}
        self._sides = {level: _sides_of_classes(taxonomy, level) for level in LEVELS}

    def logits(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the gesture network's logits of crops `(B, 3, S, S)`, uint8."""
        output = self.network(self._normalise(image))
        return {"coarse": output.coarse_logits, "fine": output.fine_logits}

    def tells_sides(self) -> bool:
        """True if the taxonomy has classes of both right and left hands."""
        return all({"right", "left"} <= set(sides) for sides in self._sides.values())

    def right_probability(self, logits: dict[str, Tensor]) -> np.ndarray:
        """Sum the probabilities of right-hand classes, `(B,)`, at the finest such level."""
        level = "fine" if "fine" in logits else "coarse"
        chances = logits[level].float().softmax(-1).cpu().numpy()
        return chances[:, self._sides[level] == "right"].sum(-1)

    def gestures(self, logits: dict[str, Tensor], hands: list[str]) -> list[dict[str, Gesture]]:
        """Return the most probable gesture of each hand and level.

        Args:
            logits: Logits by level, of crops that look like right hands.
            hands: Handedness of the B hands. Classes of left hands are mirrored back.

        Returns:
            B dicts by level.
        """
        found: list[dict[str, Gesture]] = [{} for _ in hands]
        for level, values in logits.items():
            shown = torch.from_numpy(self._sides[level] != "left").to(values.device)
            chances = values.float().masked_fill(~shown, -torch.inf).softmax(-1).cpu()
            for i, (chance, best) in enumerate(zip(*chances.max(-1), strict=True)):
                mirror = self._flips[level][best] if hands[i] == "left" else int(best)
                if mirror is not None:
                    found[i][level] = Gesture(self._names[level][mirror], float(chance))
        return found


def stored_gesture_reader(
    source: str | PathLike, *, device: str | torch.device, taxonomy: str | PathLike | None = None
) -> GestureReader:
    """Build the reader of a gesture network that `load_backbone` finds.

    Raises:
        ValueError: The weights have no gesture heads, or `taxonomy` does not match them.
        UnknownBackbone: No such weights.
    """
    record = find_backbone(source).record
    if record.heads is None or record.taxonomy is None:
        raise ValueError(f"{source} has no gesture heads; choose weights that have")
    classes = matching_taxonomy(
        record.taxonomy.name,
        record.taxonomy.sha256,
        taxonomy,
        labels=record.taxonomy.coarse_names,
    )
    return GestureReader(classes, load_backbone(source, with_heads=True, device=device))


def matching_taxonomy(
    name: str,
    sha256: str,
    source: str | PathLike | None = None,
    *,
    labels: Sequence[str] = (),
) -> Taxonomy:
    """Find the taxonomy that weights were trained on.

    Args:
        name: Its name on their card.
        sha256: Its hash on their card.
        source: Name or file of the taxonomy; None for the one with the card's name.
        labels: Names of the coarse classes on their card. If every label is a class of its own
            (`index_labels`), these define the taxonomy.

    Raises:
        ValueError: The taxonomy is another one.
    """
    if source is None and labels:
        own = Taxonomy.from_index_labels(labels)
        if own.sha256 == sha256:
            return own
    taxonomy = Taxonomy.load(name if source is None else source)
    if taxonomy.sha256 != sha256:
        raise ValueError(
            f"The weights were trained on another version of the taxonomy {taxonomy.name!r} "
            f"(theirs: {name!r}, SHA-256 {sha256[:12]}…; found: {taxonomy.sha256[:12]}…). Pass "
            "the file that they were trained with as taxonomy=…"
        )
    return taxonomy


def _sides_of_classes(taxonomy: Taxonomy, level: str) -> np.ndarray:
    """Return the handedness of each class, "" if its labels do not share one."""
    of = taxonomy.coarse_of if level == "coarse" else taxonomy.fine_of
    count = taxonomy.num_coarse if level == "coarse" else taxonomy.num_fine
    sides = np.full(count, "", dtype="<U11")
    for label in taxonomy.labels:
        sides[of[label]] = taxonomy.hand_of(label) or ""
    return sides
