"""Figure of single hands in a transfer report: ground truth and two systems, side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from adapters.transfer.score.results import DrawnPose, PosePair
from gesture_pretrain.report.figures import INK, to_png
from gesture_pretrain.skeleton import BONES_MANO21

TRUTH_COLOUR = "#ffffff"
_MESH_STRENGTH = 0.75
_HANDS_BESIDE, _GAP = 2, 0.12


def pose_pairs_figure(
    pairs: Sequence[PosePair],
    *,
    title: str,
    arm: str,
    reference: str,
    arm_colour: str,
    reference_colour: str,
) -> bytes:
    """Draw each hand with the true pose, the reference's and the arm's, as mesh and joints."""
    beside = min(_HANDS_BESIDE, len(pairs))
    rows = -(-len(pairs) // beside)
    widths = [1.0, 1.0, 1.0, _GAP] * beside  # the last gap is empty space at the edge
    figure = Figure(figsize=(1.76 * sum(widths), 2.2 * rows + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(rows, len(widths), squeeze=False, width_ratios=widths)
    for axes in panels.flat:
        axes.set_axis_off()
    for place, pair in enumerate(pairs):
        first = 4 * (place % beside)
        truth, before, after = panels[place // beside, first : first + 3]
        for axes, pose, colour, text in (
            (truth, pair.truth, TRUTH_COLOUR, f"truth\n{pair.place}"),
            (before, pair.reference, reference_colour, f"{reference}\n{pair.reference_mm:.0f} mm"),
            (after, pair.arm, arm_colour, f"{arm}\n{pair.arm_mm:.0f} mm"),
        ):
            _draw(axes, pair.crop_rgb, pose, colour)
            axes.set_title(text, fontsize=8.5, color=INK if axes is truth else colour)
    return to_png(figure)


def _draw(axes, crop_rgb: np.ndarray, pose: DrawnPose, colour: str) -> None:
    size = len(crop_rgb)
    axes.imshow(crop_rgb, interpolation="bilinear")
    if pose.mesh is not None:
        layer = np.empty((size, size, 4))
        brightness, coverage = np.moveaxis(pose.mesh / 255.0, -1, 0)
        layer[..., :3] = brightness[..., None] * np.array(to_rgb(colour))
        layer[..., 3] = _MESH_STRENGTH * coverage
        axes.imshow(layer, interpolation="bilinear")
    known = ~np.isnan(pose.joints_px).any(1)
    bones = [pose.joints_px[[a, b]] for a, b in BONES_MANO21 if known[a] and known[b]]
    if pose.mesh is None:
        axes.add_collection(LineCollection(bones, colors="black", linewidths=2.4, alpha=0.6))
        axes.add_collection(LineCollection(bones, colors=colour, linewidths=1.3))
    else:  # the mesh has the colour already
        axes.add_collection(LineCollection(bones, colors="black", linewidths=0.8, alpha=0.7))
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
