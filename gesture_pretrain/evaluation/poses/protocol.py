"""Evaluation protocols, which define the meaning of an error in millimetres.

The same predictions can have an error of 5 mm or 15 mm depending on root, scale and ground truth.
Therefore every score has a protocol, and is printed together with the protocol's card.
"""

from dataclasses import asdict, dataclass, replace

from gesture_pretrain.skeleton import TIP_VERTICES

_CHOICES = {
    "joints": ("predicted", "regressed from the mesh"),
    "ground_truth": ("annotation", "fit"),
    "root": ("wrist", "middle1", "none"),
    "alignment": ("root", "root and bone", "similarity"),
    "mask": ("in view", "triangulated", "none"),
    "mask_rows": ("own joint", "interhand21 read as mano21"),
    "missing_fit": ("excluded", "counted as 0 mm", "no fit is used"),
    "tips": (*TIP_VERTICES, "as predicted"),
    "averaging": ("joint, then joints", "joint, then joints and groups", "pairs", "sample", "hand"),
    "empty_joint": ("nan", "left out"),
    "images": ("all", "interacting"),
}
_AVERAGING_TEXT = {
    "joint, then joints": "over samples per joint, then over the joints of both hands",
    "joint, then joints and groups": (
        "over samples per joint, then over the joints of both hands; 'all' is the mean over the "
        "joints of single and of interacting images"
    ),
    "pairs": "one mean over all counted (sample, joint) pairs",
    "sample": "over the counted joints of a hand, then over hands",
    "hand": "over samples and joints of each hand, then (left + right) / 2",
}


class ProtocolError(ValueError):
    """A protocol is missing, incomplete or inconsistent."""


@dataclass(frozen=True)
class Protocol:
    """Definition of how errors are computed and averaged. Lengths are in mm.

    Attributes:
        name: Identifier.
        title: One-line description.
        source: Publication or code that defines the protocol.
        joints: Use the predicted joints, or joints regressed from the predicted mesh.
        ground_truth: Annotated joints, or joints of the MANO fit (regressed like the prediction's).
        root: Joint at which prediction and ground truth are aligned.
        alignment: "root" (translation only), "root and bone" (the prediction is also scaled by the
            ratio of |wrist - middle1| of ground truth and prediction), "similarity" (Procrustes
            without reflections: scale, rotation, translation).
        mask: Joints that count: in view of this image, triangulated, or all.
        mask_rows: Whether a flag gates its own joint, or the joint in the same row of another
            order.
        wrist_gates: Whether a hand counts only if its wrist counts.
        root_counted: Whether the root's error of 0 is included in the mean.
        missing_fit: Treatment of hands without a fit.
        tips: Fingertip vertices of a mesh ("manopth": middle 444; "interhand": 445).
        averaging: Order of the means.
        empty_joint: Whether a joint without any counted sample makes the mean NaN, or is left out.
        images: Images that count.
        vertices: Whether the mesh is compared with that of the fit. Both are aligned in the same
            way as joints, by their regressed joints, or by vertices for "similarity".
        aligned_scores: Whether to compute PCK curves and F-scores, raw and similarity-aligned.
        joint_auc: Whether to compute the area under the PCK curve of the joints, 0 to 50 mm.
        box_source: Origin of the crop boxes; set by ``bound``.
        split: Evaluated split; set by ``bound``.
    """

    name: str
    title: str
    source: str
    joints: str = "predicted"
    ground_truth: str = "annotation"
    root: str = "wrist"
    alignment: str = "root"
    mask: str = "in view"
    mask_rows: str = "own joint"
    wrist_gates: bool = True
    root_counted: bool = True
    missing_fit: str = "no fit is used"
    tips: str = "as predicted"
    averaging: str = "pairs"
    empty_joint: str = "nan"
    images: str = "all"
    vertices: bool = False
    aligned_scores: bool = False
    joint_auc: bool = False
    box_source: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ProtocolError(
                    f"protocol '{self.name}': {name} is {getattr(self, name)!r}; choose one of "
                    f"{', '.join(map(repr, choices))}"
                )
        uses_fit = self.ground_truth == "fit" or self.vertices
        if uses_fit == (self.missing_fit == "no fit is used"):
            raise ProtocolError(
                f"protocol '{self.name}': missing_fit is '{self.missing_fit}', but a fit is "
                f"{'used' if uses_fit else 'not used'}"
            )

    def bound(self, *, box_source: str | None, split: str) -> "Protocol":
        """Return the protocol with the boxes and the split of one evaluation."""
        return replace(self, box_source=box_source or "not stated by the predictions", split=split)

    def require_bound(self) -> None:
        """Raise ProtocolError unless ``bound`` was called."""
        if self.box_source is None or self.split is None:
            raise ProtocolError(
                f"protocol '{self.name}' has no split and boxes. Call "
                "protocol.bound(box_source=..., split=...) with those of the evaluation"
            )

    def card(self) -> list[str]:
        """Format the protocol as lines of text to print next to every score."""
        self.require_bound()
        lines = [
            f"Protocol {self.name}: {self.title} [{self.source}]",
            f"  ground truth: {self._ground_truth_text()}; joints: {self.joints}"
            + (f" (mesh tips: {self._tips_text()})" if self.tips != "as predicted" else ""),
            f"  root: {self.root}, {'counted as 0 mm' if self.root_counted else 'not counted'}"
            if self.alignment != "similarity"
            else "  root: none (similarity alignment per hand, no reflections)",
            f"  scale and rotation: {self._alignment_text()}",
            f"  mask: {self._mask_text()}",
            f"  hands without a fit: {self.missing_fit}",
            f"  mean: {self._mean_text()}; images: {self.images}",
            f"  split: {self.split}; boxes: {self.box_source}",
        ]
        return lines

    def to_json(self) -> dict:
        """Return all fields as plain values."""
        return asdict(self)

    def _ground_truth_text(self) -> str:
        if self.ground_truth == "annotation":
            return "annotated joints" + (", mesh of the MANO fit" if self.vertices else "")
        return "MANO fit of the frame"

    def _tips_text(self) -> str:
        vertices = TIP_VERTICES[self.tips]
        return ", ".join(f"{finger} {vertex}" for finger, vertex in vertices.items())

    def _mean_text(self) -> str:
        text = _AVERAGING_TEXT[self.averaging]
        if not self.averaging.startswith("joint"):
            return text
        effect = {"nan": "makes it NaN", "left out": "is left out"}[self.empty_joint]
        return f"{text}; a joint without samples {effect}"

    def _alignment_text(self) -> str:
        return {
            "root": "not aligned",
            "root and bone": "scaled by |wrist - middle1| of truth over prediction; not rotated",
            "similarity": "both aligned (Procrustes)",
        }[self.alignment]

    def _mask_text(self) -> str:
        if self.mask == "none":
            return "none, every joint counts"
        text = {"in view": "joints annotated in this view", "triangulated": "triangulated joints"}
        gate = "; none of a hand whose wrist is not" if self.wrist_gates else ""
        if self.mask_rows == "own joint":
            return f"{text[self.mask]}{gate}"
        return (
            f"{text[self.mask]}{gate}; each flag in interhand21 order gates the joint in the same "
            "row of mano21 order (a published defect, reproduced)"
        )


_MESH = {"joints": "regressed from the mesh", "tips": "manopth", "ground_truth": "fit"}
_INTAGHAND = {**_MESH, "root": "middle1", "alignment": "root and bone", "vertices": True}

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "interhand_wrist",
            "MPJPE of the InterHand2.6M paper, wrist-aligned",
            "InterNet, ECCV 2020",
            averaging="joint, then joints",
            empty_joint="left out",
        ),
        Protocol(
            "mmpose_interhand",
            "MPJPE of mmpose's InterHandMetric, wrist-aligned",
            "mmpose 1.3.2",
            averaging="pairs",
        ),
        Protocol(
            "interwild",
            "MPJPE against annotations, MPVPE against fits, both wrist-aligned",
            "InterWild, CVPR 2023",
            tips="interhand",
            averaging="joint, then joints",
            empty_joint="left out",
            vertices=True,
            missing_fit="excluded",
        ),
        Protocol(
            "intaghand",
            "MPJPE and MPVPE of two interacting hands, scaled at the middle knuckle",
            "IntagHand, CVPR 2022",
            **_INTAGHAND,
            mask="none",
            wrist_gates=False,
            averaging="hand",
            images="interacting",
            missing_fit="excluded",
        ),
        Protocol(
            "eanet_upstream",
            "MPJPE and MPVPE as EANet's public evaluator prints them, with its defects",
            "EANet, ICCV 2023, code",
            **_INTAGHAND,
            mask_rows="interhand21 read as mano21",
            averaging="joint, then joints and groups",
            missing_fit="counted as 0 mm",
        ),
        Protocol(
            "eanet_corrected",
            "EANet's metric with each flag at its joint and hands without a fit left out",
            "EANet, ICCV 2023, corrected",
            **_INTAGHAND,
            averaging="joint, then joints and groups",
            empty_joint="left out",
            missing_fit="excluded",
        ),
        Protocol(
            "pa_mpjpe",
            "PA-MPJPE against annotations, PA-MPVPE against fits",
            "Procrustes alignment, Umeyama 1991",
            alignment="similarity",
            root="none",
            mask="triangulated",
            wrist_gates=False,
            averaging="sample",
            vertices=True,
            missing_fit="excluded",
        ),
        Protocol(
            "joint_auc",
            "AUC 0-50 mm of the PCK curves of annotated joints, wrist-aligned",
            "Zimmermann and Brox, ICCV 2017; thresholds of FreiHAND",
            mask="triangulated",
            averaging="sample",
            joint_auc=True,
        ),
        Protocol(
            "freihand",
            "PCK, AUC 0-50 mm and F-scores of FreiHAND, wrist-aligned and similarity-aligned",
            "FreiHAND, ICCV 2019; reflections excluded",
            **_MESH,
            mask="none",
            wrist_gates=False,
            averaging="sample",
            vertices=True,
            aligned_scores=True,
            missing_fit="excluded",
        ),
    )
}


def find_protocols(names: list[str] | tuple[str, ...]) -> list[Protocol]:
    """Find protocols by name; "all" selects all of them.

    Raises:
        ProtocolError: A name is unknown.
    """
    if "all" in names:
        return list(PROTOCOLS.values())
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise ProtocolError(
            f"unknown protocol {', '.join(map(repr, unknown))}. Known: {', '.join(PROTOCOLS)}, all"
        )
    return [PROTOCOLS[name] for name in dict.fromkeys(names)]
