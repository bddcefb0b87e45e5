"""Back-projection of 2.5D predictions (InterNet, ECCV 2020)."""

import numpy as np


def back_projected(keypoints_px, depth_rel_mm, wrist_depth_mm, focal_px, princpt_px):
    """Points (N, P, 3), camera frame, of 2.5D predictions: pixels, and depth minus the wrist's."""
    depth = depth_rel_mm + wrist_depth_mm[:, None]
    xy = (keypoints_px - princpt_px[:, None]) / focal_px[:, None] * depth[..., None]
    return np.concatenate([xy, depth[..., None]], axis=-1)
