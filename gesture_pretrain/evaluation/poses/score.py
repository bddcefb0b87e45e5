"""Scores of predictions against ground truth, computed in blocks; each has a protocol.

Letters: N hands, J = 21 joints, V = 778 vertices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from gesture_pretrain.data.index.record import HANDS, SPLITS
from gesture_pretrain.data.samples.supervision import count_supervision
from gesture_pretrain.evaluation.poses.averaging import Averages, average
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruth, GroundTruthReader
from gesture_pretrain.evaluation.poses.hand_errors import (
    HandErrors,
    NotAvailable,
    hand_errors,
    require_available,
)
from gesture_pretrain.evaluation.poses.mesh_scores import MeshScores
from gesture_pretrain.evaluation.poses.metrics import auc, mean_known
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.poses.protocol import Protocol, ProtocolError
from gesture_pretrain.skeleton import JOINT_NAMES_MANO21

BLOCK_HANDS = 512
_INFO = (
    "rows", "hand", "interacting", "capture", "subject", "frame", "camera", "label",
    "coarse", "fine",
)  # fmt: skip


class MissingPredictions(ValueError):
    """Hands of the evaluated rows have no prediction."""


@dataclass(frozen=True)
class Score:
    """Score of one system under one protocol, which must be bound.

    Attributes:
        system: Name of the system.
        protocol: Protocol, bound to boxes and split.
        averages: Means defined by the protocol.
        errors: Errors per hand, before averaging.
        info: Columns (N,) per hand: rows, hand, interacting, capture, subject, frame, camera,
            label, coarse, fine.
        extra: Other means by name, such as auc or f@5 (fractions). Empty for most protocols.
        excluded: Number of hands or joints left out or treated specially, by reason.
    """

    system: str
    protocol: Protocol
    averages: Averages
    errors: HandErrors
    info: Mapping[str, np.ndarray]
    extra: Mapping[str, float] = field(default_factory=dict)
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.protocol, Protocol):
            raise ProtocolError(
                f"the score of '{self.system}' has no protocol; pass a bound one of "
                "gesture_pretrain.evaluation.poses.protocol.PROTOCOLS"
            )
        self.protocol.require_bound()

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:.2f}" for name, value in self.values().items())
        return "\n".join([f"{self.system}: {numbers}", *self.protocol.card()])

    def values(self) -> dict[str, float]:
        """Return all means that the protocol defines by name, in table order."""
        found = {}
        for kind, means in (("MPJPE", self.averages.mpjpe_mm), ("MPVPE", self.averages.mpvpe_mm)):
            if kind == "MPVPE" and not self.protocol.vertices:
                continue
            found |= {f"{kind} {group}": means[group] for group in means}
        return found | dict(self.extra)

    def by_joint(self) -> dict[str, float]:
        """Compute the mean error of each joint over hands, mm."""
        means = mean_known(self.errors.joint_mm, axis=0)
        return dict(zip(JOINT_NAMES_MANO21, means.tolist(), strict=True))

    def by_group(self, names: np.ndarray) -> dict[str, tuple[float, int]]:
        """Compute the mean error and the number of hands of each group.

        Args:
            names: (N,) group of each hand, such as ``info["label"]``.

        Returns:
            Group name -> (mean over hands of their mean joint error in mm, number of hands).
        """
        means = mean_known(self.errors.joint_mm, axis=1)
        found = {}
        for name in np.unique(names):
            values = means[(names == name) & ~np.isnan(means)]
            if len(values):
                found[str(name)] = (float(values.mean()), len(values))
        return found


@dataclass
class _Accumulated:
    """Errors of the blocks scored so far under one protocol."""

    joint_mm: list[np.ndarray] = field(default_factory=list)
    vertex_mm: list[np.ndarray] = field(default_factory=list)
    excluded: dict[str, int] = field(default_factory=dict)
    mesh: MeshScores | None = None

    def add(self, errors: HandErrors) -> None:
        self.joint_mm.append(errors.joint_mm)
        self.vertex_mm.append(errors.vertex_mm)
        for reason, count in errors.excluded.items():
            self.excluded[reason] = self.excluded.get(reason, 0) + count


def score_predictions(
    predictions: PosePredictions,
    reader: GroundTruthReader,
    protocols: Sequence[Protocol],
    *,
    rows: np.ndarray | None = None,
    allow_missing: bool = False,
    progress: bool = False,
) -> tuple[list[Score], dict[str, str]]:
    """Score one system under several protocols, in one pass over its predictions.

    Args:
        predictions: Predictions of the system.
        reader: Ground-truth reader of the same index.
        protocols: Protocols, which are bound to the boxes of the predictions and the split of the
            rows.
        rows: Images to evaluate. Default: those of the predictions.
        allow_missing: Allow hands of `rows` without a prediction, and score the others.
        progress: Show a progress bar.

    Returns:
        The scores, and protocol name -> reason why it cannot be applied to this system.

    Raises:
        PredictionError: The predictions belong to another index.
        MissingPredictions: Hands have no prediction and `allow_missing` is false.
        ValueError: There is nothing to score.
    """
    predictions.require_index(reader.index)
    evaluated = reader.hands_of(np.unique(predictions.rows) if rows is None else rows)
    chosen, counts = _match(predictions, *evaluated, allow_missing)
    if len(chosen) < len(predictions):
        predictions = predictions.take(chosen)
    usable, refused = _usable(protocols, predictions, reader)
    gathered = {protocol.name: _Accumulated() for protocol in usable}
    info: list[dict[str, np.ndarray]] = []
    starts = range(0, len(predictions), BLOCK_HANDS)
    for start in tqdm(starts, desc=f"scoring {predictions.system}", disable=not progress):
        block = predictions.take(slice(start, start + BLOCK_HANDS))
        if reader.hand_models is not None:
            block = block.with_vertices(reader.hand_models)
        truth = reader.read(block.rows, block.hand)
        info.append({name: getattr(truth, name) for name in _INFO})
        for protocol in usable:
            _add_block(gathered[protocol.name], protocol, block, truth, reader)
    columns = {name: np.concatenate([i[name] for i in info]) for name in _INFO}
    split = _split_name(reader, predictions.rows)
    scores = [
        _score(predictions, protocol, gathered[protocol.name], columns, counts, split)
        for protocol in usable
    ]
    return scores, refused


def _match(predictions, rows, hand, allow_missing) -> tuple[np.ndarray, dict[str, int]]:
    """Find the predictions of the evaluated hands, and count the others."""
    have, want = 2 * predictions.rows + predictions.hand, 2 * rows + hand
    chosen = np.flatnonzero(np.isin(have, want))
    missing = int(np.sum(~np.isin(want, have)))
    if missing and not allow_missing:
        first = int(want[~np.isin(want, have)][0])
        raise MissingPredictions(
            f"'{predictions.system}' has no prediction for {missing} of {len(want)} annotated "
            f"hands, the first is the {HANDS[first % 2]} hand of row {first // 2}. A mean over the "
            "rest is another metric: predict them, or allow missing ones (allow_missing=True), "
            "which are then counted in the table"
        )
    if len(chosen) == 0:
        raise ValueError(f"'{predictions.system}' has no prediction for any evaluated hand")
    counts = {
        "annotated hands without a prediction": missing,
        "predictions of hands that are not annotated or not asked for": len(have) - len(chosen),
    }
    return chosen, counts


def _usable(protocols, predictions, reader) -> tuple[list[Protocol], dict[str, str]]:
    usable, refused = [], {}
    interacting = reader.index.values("hand", predictions.rows) == HANDS.index("interacting")
    has_fits = count_supervision(reader.index, predictions.rows).fits > 0
    for protocol in protocols:
        try:
            require_available(protocol, predictions, reader)
            if protocol.images == "interacting" and not interacting.any():
                raise NotAvailable(
                    f"protocol {protocol.name} requires interacting hands, but no image shows them"
                )
            if protocol.ground_truth == "fit" and not has_fits:
                raise NotAvailable(
                    f"protocol {protocol.name} requires MANO fits, but no hand has one"
                )
            usable.append(protocol)
        except NotAvailable as error:
            refused[protocol.name] = str(error)
    return usable, refused


def _add_block(gathered, protocol, block, truth: GroundTruth, reader) -> None:
    gathered.add(hand_errors(protocol, block, truth, reader))
    if protocol.aligned_scores:
        gathered.mesh = gathered.mesh or MeshScores()
        gathered.mesh.add(protocol, block, truth, reader)


def _score(predictions, protocol, gathered: _Accumulated, columns, counts, split) -> Score:
    joint_mm, vertex_mm = np.concatenate(gathered.joint_mm), np.concatenate(gathered.vertex_mm)
    means = average(
        protocol,
        joint_mm,
        vertex_mm,
        rows=columns["rows"],
        hand=columns["hand"],
        interacting=columns["interacting"],
    )
    return Score(
        predictions.system,
        protocol.bound(box_source=predictions.box_source, split=split),
        means,
        HandErrors(joint_mm, vertex_mm, gathered.excluded),
        columns,
        _extra_means(protocol, gathered, joint_mm),
        {**counts, **gathered.excluded},
    )


def _extra_means(protocol: Protocol, gathered: _Accumulated, joint_mm) -> dict[str, float]:
    known = ~np.isnan(joint_mm).all(axis=0)
    if protocol.joint_auc and known.any():
        return {"AUC joints": auc(joint_mm[:, known])}
    return {} if gathered.mesh is None else gathered.mesh.means()


def _split_name(reader: GroundTruthReader, rows: np.ndarray) -> str:
    found = np.unique(reader.index.values("split", rows))
    names = " + ".join(SPLITS[code] for code in found)
    return f"{names} of {reader.index.meta['data_name']} ({len(np.unique(rows)):,} images)"
