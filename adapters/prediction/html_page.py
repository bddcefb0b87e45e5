"""One self-contained page with the predicted hands: overlays, and meshes that can be rotated."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import jinja2
import numpy as np

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.report.hand_overlay import SIDE_COLOURS_RGB, DrawnHand

IMAGES_AT_MOST = 200  # further images are counted, but not shown
PAGE_FILE = "index.html"
_TEMPLATE, _VIEWER = (Path(__file__).with_name(name) for name in ("page.html", "mesh_view.js"))


class HtmlPage:
    """Collect images and write them as `index.html`.

    Args:
        subtitle: Line of text below the title.
        faces: `(F, 3)` faces of the meshes, by handedness.
    """

    def __init__(self, subtitle: str, faces: Mapping[str, np.ndarray]):
        self.subtitle, self.faces = subtitle, faces
        self._shown: list[dict] = []
        self._images = 0

    def add(self, name: str, sheet_rgb: np.ndarray, hands: Sequence[DrawnHand]) -> None:
        """Add an image.

        Args:
            name: Heading.
            sheet_rgb: `(H, W, 3)` uint8, the image with its overlays.
            hands: Its hands.
        """
        self._images += 1
        if self._images > IMAGES_AT_MOST:
            return
        jpeg = cv2.imencode(".jpg", sheet_rgb[..., ::-1])[1].tobytes()
        self._shown.append(
            {
                "name": name,
                "jpeg": base64.b64encode(jpeg).decode(),
                "caption": "; ".join(hand.caption for hand in hands) or "no hand",
                "meshes": [_mesh(hand) for hand in hands],
            }
        )

    def write(self, folder: Path) -> None:
        """Write the page."""
        template = jinja2.Template(_TEMPLATE.read_text(encoding="utf-8"), autoescape=True)
        page = template.render(
            subtitle=self.subtitle,
            images=self._shown,
            left_out=self._images - IMAGES_AT_MOST,
            faces=json.dumps({side: faces.tolist() for side, faces in self.faces.items()}),
            viewer=_VIEWER.read_text(encoding="utf-8"),
        )
        write_bytes_atomically(folder / PAGE_FILE, page.encode())


def _mesh(hand: DrawnHand) -> str:
    """Format a mesh as the viewer reads it, rounded to 0.1 mm."""
    vertices = np.float64(hand.vertices_rel_mm).round(1).ravel().tolist()
    mesh = {"hand": hand.hand, "colour": SIDE_COLOURS_RGB[hand.hand], "vertices": vertices}
    return json.dumps(mesh)
