"""Hand models: joints, kinematics and mesh, from MANO files or the bundled hand model."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "HandJoints": "gesture_pretrain.hand.joints",
        "HandModel": "gesture_pretrain.hand.model",
        "ManoKinematics": "gesture_pretrain.hand.kinematics",
        "find_mano_file": "gesture_pretrain.hand.mano_file",
        "hand_fingerprint": "gesture_pretrain.hand.fingerprint",
        "load_hand_model": "gesture_pretrain.hand.model",
    },
)
