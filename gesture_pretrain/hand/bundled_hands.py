"""The two bundled hand models, posed in numpy."""

import numpy as np


class BundledHands:
    """Right and left bundled hand.

    Args:
        tip_convention: See `load_hand_model`.

    Attributes:
        models: Hand model by side.
        rest_vertices_m: (778, 3) vertices of the flat right hand.
        rest_joints_m: (21, 3) its joints, mano21 order.
    """

    def __init__(self, tip_convention: str):
        from gesture_pretrain.hand.model import load_hand_model  # imports torch

        self.models = {
            hand: load_hand_model(hand, path="open", tip_convention=tip_convention)
            for hand in ("right", "left")
        }
        flat = np.concatenate([np.zeros((1, 3)), -self.mean_pose("right")], axis=1)
        vertices, joints = self.posed("right", flat, np.zeros((1, 10)))
        self.rest_vertices_m, self.rest_joints_m = (
            values[0].astype(np.float64) for values in (vertices, joints)
        )

    def mean_pose(self, hand: str) -> np.ndarray:
        """Return MANO's mean finger pose (1, 45), rad, which a pose does not include."""
        return np.asarray(self.models[hand].hands_mean).reshape(1, 45)

    def posed(
        self, hand: str, pose: np.ndarray, shape: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pose hands from pose (B, 48), rad, and shape (B, 10), without translation.

        Returns:
            Vertices (B, 778, 3) and joints (B, 21, 3), mano21 order, float32, metres.
        """
        import torch

        arrays = (pose, shape, np.zeros((len(pose), 3)))
        with torch.inference_mode():
            mesh = self.models[hand](*(torch.tensor(a, dtype=torch.float32) for a in arrays))
        return mesh.vertices_m.numpy(), mesh.joints_m.numpy()
