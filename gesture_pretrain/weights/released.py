"""Released weights: those that the package contains, and names of those on a hub.

`assets/released/NAME/` holds a backbone (`arch.tag`, written by `release_backbone`) or a pose
network (a name without a dot, written by `release_pose_model`), with its card. Matrices and kernels
are stored in half precision; loading converts them to float32.
"""

from pathlib import Path

import gesture_pretrain
from gesture_pretrain.weights.record import CARD_FILE, is_backbone_name

FOLDER = Path(gesture_pretrain.__file__).parent / "assets" / "released"

# The pose network of `HandEstimator()` and of `gesture-pretrain predict`
POSE_NETWORK = "token_fusion_lite0"

# Further released weights: name to "hf-hub:organisation/name@commit". The commit fixes the content.
ON_THE_HUB: dict[str, str] = {}


def released_backbones() -> set[str]:
    """Return the names of the released backbones."""
    return {name for name in _names() if is_backbone_name(name)}


def released_pose_networks() -> set[str]:
    """Return the names of the released pose networks."""
    return {name for name in _names() if not is_backbone_name(name)}


def shipped_folder(name: str) -> Path | None:
    """Return the folder of weights in the package; None if it contains none of that name."""
    return FOLDER / name if name in _shipped() else None


def _names() -> set[str]:
    return _shipped() | set(ON_THE_HUB)


def _shipped() -> set[str]:
    return {card.parent.name for card in FOLDER.glob(f"*/{CARD_FILE}")}
