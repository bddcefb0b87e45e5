"""Hand model of a pose network, and its fingerprint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from gesture_pretrain.hand.fingerprint import hand_fingerprint
from gesture_pretrain.hand.model import HandModel, load_hand_model
from gesture_pretrain.schema import section
from gesture_pretrain.skeleton import HANDS, TIP_VERTICES


@section
class HandModelSource:
    """Source of the hand models.

    Attributes:
        path: "open" for the bundled hand model; a MANO file or folder; None to look in `$MANO_DIR`.
        tip_convention: Vertices of the fingertips: "interhand" for InterHand2.6M, "smplx"
            for the embedded dataset.
    """

    path: str | Path | None = None
    tip_convention: Literal[tuple(TIP_VERTICES)] = "interhand"

    def load(self, *, with_smplx: bool = True) -> dict[str, HandModel]:
        """Load the "right" and the "left" hand.

        Args:
            with_smplx: See `load_hand_model`.

        Raises:
            MissingManoFile, ManoFileError: See `load_hand_model`.
        """
        return {
            side: load_hand_model(
                side, self.path, tip_convention=self.tip_convention, with_smplx=with_smplx
            )
            for side in HANDS
        }


def hand_fingerprints(hand_models: Mapping[str, HandModel]) -> dict[str, str]:
    """Return the SHA-256 of the arrays that pose each hand."""
    return {side: hand_fingerprint(model) for side, model in sorted(hand_models.items())}
