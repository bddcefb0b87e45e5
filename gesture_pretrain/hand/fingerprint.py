"""How a hand model is recognised again without its arrays, which a licence may protect."""

import hashlib

from gesture_pretrain.hand.model import HandModel


def hand_fingerprint(model: HandModel, *, tips: bool = True) -> str:
    """Return the SHA-256 (hex) of the arrays that pose a hand.

    Args:
        model: The hand.
        tips: Include which vertices are the fingertips. A mesh does not depend on them.
    """
    digest = hashlib.sha256(model.tip_convention.encode() if tips else b"")
    for name, values in sorted(model.blend_arrays().items()):
        digest.update(f"{name}|{values.shape}|".encode())
        # stored and computed in float32; float64 would also tell apart what poses alike
        digest.update(values.astype("<f4").tobytes())
    return digest.hexdigest()
