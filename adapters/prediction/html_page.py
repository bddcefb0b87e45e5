"""One self-contained page with the predicted hands: overlays, and meshes that can be rotated."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.report import html
from gesture_pretrain.report.hand_overlay import SIDE_COLOURS_RGB, DrawnHand

PAGE_FILE = "index.html"
_VIEWER = Path(__file__).with_name("mesh_view.js")
_CANVAS_PX, _LEAST_WIDTH_PX = 320, 640
_STYLE = "canvas.mesh { touch-action: none; cursor: grab; background: #f4f7fa; }"


class HtmlPage:
    """Collect images and write them as `index.html`.

    Args:
        subtitle: Line of text below the title.
        faces: `(F, 3)` faces of the meshes, by handedness.
        images_at_most: Further images are counted, but not shown.
    """

    def __init__(self, subtitle: str, faces: Mapping[str, np.ndarray], images_at_most: int = 200):
        self.subtitle, self.faces, self.images_at_most = subtitle, faces, images_at_most
        self._blocks: list[str] = []
        self._images = 0

    def add(self, name: str, sheet_rgb: np.ndarray, hands: Sequence[DrawnHand]) -> None:
        """Add an image.

        Args:
            name: Heading.
            sheet_rgb: `(H, W, 3)` uint8, the image with its overlays.
            hands: Its hands.
        """
        self._images += 1
        if self._images > self.images_at_most:
            return
        content = cv2.imencode(".jpg", sheet_rgb[..., ::-1])[1].tobytes()
        width = max(sheet_rgb.shape[1], _LEAST_WIDTH_PX)
        caption = "; ".join(hand.caption for hand in hands) or "no hand"
        self._blocks += [html.heading(name), html.image(content, caption, width_px=width)]
        self._blocks += [_canvas(hand) for hand in hands]

    def write(self, folder: Path) -> None:
        """Write the page."""
        blocks = [html.paragraph("Drag a mesh to rotate it. Blue: right hand. Orange: left hand.")]
        left_out = self._images - self.images_at_most
        if left_out > 0:
            blocks.append(html.notice(f"{left_out} further images are not on this page."))
        faces = json.dumps({side: f.tolist() for side, f in self.faces.items()})
        script = f"const FACES = {faces};\n{_VIEWER.read_text(encoding='utf-8')}"
        blocks += [*self._blocks, f"<style>{_STYLE}</style>", f"<script>{script}</script>"]
        page = html.page("Predicted hands", self.subtitle, blocks)
        write_bytes_atomically(folder / PAGE_FILE, page.encode())


def _canvas(hand: DrawnHand) -> str:
    mesh = {
        "hand": hand.hand,
        "colour": SIDE_COLOURS_RGB[hand.hand],
        "vertices": np.float64(hand.vertices_rel_mm).round(1).ravel().tolist(),
    }
    return (
        f'<canvas class="mesh" width="{_CANVAS_PX}" height="{_CANVAS_PX}" '
        f"data-mesh='{escape(json.dumps(mesh), quote=True)}'></canvas>"
    )
