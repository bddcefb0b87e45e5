"""A hash that identifies a hand model without storing its arrays, which may be licensed."""

import hashlib

from gesture_pretrain.hand.model import HandModel


def hand_fingerprint(model: HandModel, *, tips: bool = True) -> str:
    """Return the SHA-256 (hex) of the arrays that pose a hand.

    Args:
        model: Hand model.
        tips: Include the choice of fingertip vertices, which does not affect the mesh.
    """
    digest = hashlib.sha256(model.tip_convention.encode() if tips else b"")
    for name, values in sorted(model.blend_arrays().items()):
        digest.update(f"{name}|{values.shape}|".encode())
        # models compute in float32; float64 would distinguish models that pose identically
        digest.update(values.astype("<f4").tobytes())
    return digest.hexdigest()
