"""Write the predicted hands of a user's images to files: JSON, CSV, images or a video, meshes.

    predictions.json                        everything but the meshes' vertices
    predictions.csv                         one line per joint
    index.html                              images and meshes to look at, if asked for
    overlays/NAME.png                       joints, mesh and side view of an image
    overlays/NAME.mp4                       likewise for a video
    meshes/NAME_HAND.obj or .ply            one mesh per hand; NAME_FRAME_HAND for video frames,
                                            NAME_0_HAND, NAME_1_HAND if there are several

NAME is the input file's name including its suffix, so `a.jpg` and `a.png` do not clash.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from adapters.prediction.gesture_reader import Gesture
from adapters.prediction.hand_boxes import HandBox
from adapters.prediction.hand_estimator import HandEstimate
from adapters.prediction.html_page import HtmlPage
from adapters.prediction.image_hands import ImageHands, title
from adapters.prediction.intrinsics import Intrinsics, intrinsics_of, wrist_in_camera
from adapters.prediction.overlay_video import PART_ENDING, OverlayVideo
from gesture_pretrain.files import write_bytes_atomically, writing
from gesture_pretrain.report.hand_overlay import DrawnHand, hand_sheet
from gesture_pretrain.report.mesh_file import MESH_FORMATS, write_mesh
from gesture_pretrain.skeleton import JOINT_NAMES_MANO21

FORMAT = 2
# Frames of a video have one size: the side view and the captions have room for two hands
HANDS_OF_FRAMES = 2
PREDICTIONS_FILE, TABLE_FILE = "predictions.json", "predictions.csv"
UNITS = {
    "keypoints_px": "px of the upright image, (21, 2)",
    "joint_depth_rel_mm": "mm from the wrist, away from the camera, with keypoints_px, (21,)",
    "joints_rel_mm": "mm from the wrist, x right, y down, z away from the camera, (21, 3)",
    "mano_pose": "axis-angle, rad, minus MANO's mean pose, (48,)",
    "mano_shape": "(10,)",
    "wrist_cam_mm": "camera frame, x right, y down, z away, (3,); null if it cannot be placed",
    "camera_from_view": "rotation to the camera from the view of the predicted pose, (3, 3)",
    "image_from_mm": "scale px/mm and shift px: scale * (x, y) + shift of joints_rel_mm @ "
    "camera_from_view",
    "box_xywh_px": "the square that was cropped",
}
ESTIMATED = tuple(name for name in UNITS if name != "wrist_cam_mm")


class PredictionWriter:
    """Write results to a folder as they arrive; use it in a `with` block.

    Args:
        folder: Output folder, created if missing.
        network: JSON-serialisable description of the network.
        faces: `(F, 3)` faces of the meshes, by handedness.
        mesh_format: "obj", "ply", or None for no meshes.
        meshes_of_frames: Also write the (many) meshes of video frames.
        draw: Write images and videos.
        page: Page to add the images to; None for no page.
        focal_px: Focal length of the images; None to assume a field of view.
        overwrite: Write to a folder that has results already. Files with other names are kept.

    Raises:
        FileExistsError: The folder has results, and `overwrite` is false.
        ValueError: Unknown mesh format.
    """

    def __init__(
        self,
        folder: str | PathLike,
        *,
        network: Mapping[str, Any],
        faces: Mapping[str, np.ndarray],
        mesh_format: str | None = "obj",
        meshes_of_frames: bool = False,
        draw: bool = True,
        page: HtmlPage | None = None,
        focal_px: float | None = None,
        overwrite: bool = False,
    ):
        if mesh_format not in (*MESH_FORMATS, None):
            raise ValueError(f"mesh format {mesh_format!r}; possible: {', '.join(MESH_FORMATS)}")
        self.folder, self.network, self.faces = Path(folder), dict(network), faces
        self.mesh_format, self.draw = mesh_format, draw
        self.meshes_of_frames, self.page, self.focal_px = meshes_of_frames, page, focal_px
        self.images: list[dict] = []
        self.notes: list[str] = []
        self._video: OverlayVideo | None = None
        if not overwrite and (self.folder / PREDICTIONS_FILE).exists():
            raise FileExistsError(
                f"{self.folder} holds predictions already. Choose another folder, or pass "
                "overwrite=True."
            )
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()

    def __enter__(self) -> "PredictionWriter":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_exception) -> None:
        """Keep what was written before an error; leave no file if nothing was."""
        self.end_video()
        failed = error_type is not None and issubclass(error_type, Exception)
        if self.images or not failed:
            self._write_json()
            write_bytes_atomically(self.folder / TABLE_FILE, table(self.images).encode())
            if self.page is not None:
                self.page.write(self.folder)

    def begin_video(self, name: str, frames_per_s: float) -> None:
        """Begin a video; results are its frames until `end_video`.

        Args:
            name: Name of the video.
            frames_per_s: Frame rate of the results.
        """
        self.end_video()
        if self.draw:
            self._video = OverlayVideo(self._place("overlays", f"{name}.mp4"), frames_per_s)

    def end_video(self) -> None:
        """Finish the drawn video."""
        video, self._video = self._video, None
        if video is not None:
            video.close()

    def add(self, result: ImageHands) -> None:
        """Write the results of one image or frame.

        Raises:
            ValueError: The network's outputs are not finite.
            WriteFailed: Writing to disk failed.
        """
        seen = result.seen
        for hand in result.hands:
            _require_finite(hand, title(seen))
        height, width = seen.image_rgb.shape[:2]
        camera = seen.camera or intrinsics_of((width, height), self.focal_px)
        pairs = zip(result.hands, result.boxes, strict=True)
        self.images.append(
            {
                "image": seen.name,
                **({} if seen.frame is None else {"frame": seen.frame}),
                "size_wh": [width, height],
                "camera": camera._asdict(),
                "hands": [_as_json(hand, box, camera) for hand, box in pairs],
                **({"faults": result.faults} if result.faults else {}),
            }
        )
        if self.draw or self.page is not None:
            self._draw(result)
        if self.mesh_format is not None and (seen.frame is None or self.meshes_of_frames):
            self._write_meshes(result)

    def note(self, text: str) -> None:
        """Record a remark about no single result, such as a truncated video."""
        self.notes.append(text)

    def _draw(self, result: ImageHands) -> None:
        drawn = drawn_hands(result.hands, self.faces)
        places = None if self._video is None else HANDS_OF_FRAMES
        sheet = hand_sheet(result.seen.image_rgb, drawn, places=places)
        if self.page is not None:
            self.page.add(title(result.seen), sheet, drawn)
        if not self.draw:
            return
        if self._video is not None:
            self._video.write(sheet)
            return
        _, content = cv2.imencode(".png", sheet[..., ::-1])
        path = self._place("overlays", f"{result.seen.name}.png")
        write_bytes_atomically(path, content.tobytes())

    def _write_meshes(self, result: ImageHands) -> None:
        frame = "" if result.seen.frame is None else f"_{result.seen.frame:06d}"
        for number, hand in enumerate(result.hands):
            several = f"_{number}" if len(result.hands) > 1 else ""
            name = f"{result.seen.name}{frame}{several}_{hand.hand}.{self.mesh_format}"
            write_mesh(
                self._place("meshes", name),
                hand.vertices_rel_mm,
                self.faces[hand.hand],
                mesh_format=self.mesh_format,
                comment=f"{hand.hand} hand of {result.seen.name}{frame}, minus its wrist",
            )

    def _remove_leftovers(self) -> None:
        """Delete the unfinished videos of a killed prediction."""
        for part in (self.folder / "overlays").glob(f".*{PART_ENDING}"):
            part.unlink(missing_ok=True)

    def _place(self, kind: str, name: str) -> Path:
        with writing(self.folder):
            (self.folder / kind).mkdir(exist_ok=True)
        return self.folder / kind / name

    def _write_json(self) -> None:
        content = {
            "format": FORMAT,
            "network": self.network,
            "joint_names": list(JOINT_NAMES_MANO21),
            "units": UNITS,
            "notes": self.notes,
            "images": self.images,
        }
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        write_bytes_atomically(self.folder / PREDICTIONS_FILE, text.encode())


def drawn_hands(hands: Sequence[HandEstimate], faces: Mapping[str, np.ndarray]) -> list[DrawnHand]:
    """Convert estimates for drawing; `faces` are those of the meshes, by handedness."""
    return [
        DrawnHand(
            hand=hand.hand,
            vertices_rel_mm=hand.vertices_rel_mm @ hand.camera_from_view,
            faces=faces[hand.hand],
            keypoints_px=hand.keypoints_px,
            image_from_mm=hand.image_from_mm,
            box_xywh_px=hand.box_xywh_px,
            caption=caption(hand),
        )
        for hand in hands
    ]


def table(images: Sequence[Mapping[str, Any]]) -> str:
    """Format the images of `predictions.json` as CSV, one line per joint."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        ["image", "frame", "number", "track", "hand", "joint"]
        + ["x_px", "y_px", "x_rel_mm", "y_rel_mm", "z_rel_mm"]
    )
    for image in images:
        for number, hand in enumerate(image["hands"]):
            place = [image["image"], image.get("frame"), number, hand["track"], hand["hand"]]
            joints = zip(
                JOINT_NAMES_MANO21, hand["keypoints_px"], hand["joints_rel_mm"], strict=True
            )
            lines.writerows([*place, name, *pixel, *point] for name, pixel, point in joints)
    return text.getvalue()


def caption(hand: HandEstimate) -> str:
    """Format handedness and gesture with their probabilities, one line of ASCII."""
    side = hand.hand
    if hand.hand_probability is not None:
        side += f" {hand.hand_probability:.0%}"
    gestures = [
        f"{level}: {gesture.name} {gesture.probability:.0%}"
        for level, gesture in (("coarse", hand.coarse), ("fine", hand.fine))
        if gesture is not None
    ]
    return "   ".join([side, *gestures]).encode("ascii", "replace").decode()


def _as_json(hand: HandEstimate, box: HandBox, camera: Intrinsics) -> dict[str, Any]:
    """Convert to JSON without vertices, rounded to four decimals of a mm, px or rad."""
    content: dict[str, Any] = {"hand": hand.hand, "hand_probability": hand.hand_probability}
    content |= {"presence": box.presence, "track": box.track}
    wrist = wrist_in_camera(hand.joints_rel_mm, hand.keypoints_px, camera)
    content["wrist_cam_mm"] = None if wrist is None else wrist.round(2).tolist()
    for level in ("coarse", "fine"):
        gesture: Gesture | None = getattr(hand, level)
        content[level] = None if gesture is None else gesture._asdict()
    for name in ESTIMATED:
        values = np.asarray(getattr(hand, name), np.float64)
        content[name] = values.round(4).tolist()
    return content


def _require_finite(hand: HandEstimate, name: str) -> None:
    for part in (*ESTIMATED, "vertices_rel_mm"):
        if not np.isfinite(getattr(hand, part)).all():
            raise ValueError(
                f"the network's {part} of {name} are not finite: its weights are broken, or its "
                "training diverged. Earlier results were written."
            )
