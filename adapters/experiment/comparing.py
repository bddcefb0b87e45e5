"""The declared comparisons of a plan, from its scores."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from gesture_pretrain.evaluation.paired_scores import compare_scores
from gesture_pretrain.evaluation.score import Score
from gesture_pretrain.evaluation.statistics import holm
from gesture_pretrain.report.transfer_results import ComparedPair, GroupGain
from gesture_pretrain.skeleton import JOINT_NAMES_MANO21

from .plan import Comparison, Plan
from .scoring import Scored, on_shared_hands

_FEWEST_HANDS = 3  # of a gesture, to be shown


def compare_plan(plan: Plan, scored: Scored, *, seen: frozenset[str] | None) -> list[ComparedPair]:
    """Every declared comparison in each target and at each share of the labels.

    Args:
        plan: the plan.
        scored: its scores.
        seen: labels that pretraining has; None where that is not known.
    """
    pairs = [
        _compared(plan, scored, declared, target, fraction, seen)
        for declared in plan.comparisons
        for target in _targets(plan, declared)
        for fraction in plan.fractions
    ]
    p_values = [np.nan if pair.joints is None else pair.joints.p_value for pair in pairs]
    adjusted = holm(p_values)
    return [replace(pair, joints_p_holm=float(p)) for pair, p in zip(pairs, adjusted, strict=True)]


def _targets(plan: Plan, declared: Comparison) -> list[str]:
    if declared.target is not None:
        return [declared.target]
    return [
        name
        for name in plan.targets
        if declared.arm in plan.arms_of(name)
        and declared.reference in plan.arms_of(declared.reference_target or name)
    ]


def _compared(plan, scored: Scored, declared, target, fraction, seen) -> ComparedPair:
    other = declared.reference_target or target
    pair = ComparedPair(
        target, other, fraction, declared.arm, declared.reference, text=declared.text
    )
    seeds = [
        seed
        for seed in plan.seeds
        if (target, declared.arm, fraction, seed) in scored.cells
        and (other, declared.reference, fraction, seed) in scored.cells
    ]
    if not seeds:
        return replace(pair, missing="no seed has both of its cells finished")
    own = [scored.cells[target, declared.arm, fraction, seed] for seed in seeds]
    base = [scored.cells[other, declared.reference, fraction, seed] for seed in seeds]
    protocol = plan.protocols[0]
    if any(protocol not in scores for scores in (*own, *base)):
        return replace(pair, missing=f"protocol {protocol} cannot be applied")
    scores = on_shared_hands([s[protocol] for s in (*own, *base)])
    ours, theirs = scores[: len(seeds)], scores[len(seeds) :]
    mesh = _mesh_protocol(plan, [*own, *base])
    meshes = None
    if mesh is not None:
        of_meshes = on_shared_hands([s[mesh] for s in (*own, *base)])
        meshes = compare_scores(of_meshes[: len(seeds)], of_meshes[len(seeds) :], meshes=True)
    return replace(
        pair,
        joints=compare_scores(ours, theirs),
        meshes=meshes,
        meshes_protocol=mesh or "",
        by_subject=compare_scores(ours, theirs, cluster_by=("subject",)),
        by_gesture=_by_gesture(ours, theirs, seen),
        by_joint=_by_joint(ours, theirs),
        missing=""
        if len(seeds) == len(plan.seeds)
        else f"{len(seeds)} of {len(plan.seeds)} seeds have both of their cells finished",
    )


def _mesh_protocol(plan: Plan, scores: list[Mapping[str, Score]]) -> str | None:
    """The first protocol with meshes under which every cell has some."""
    for name in plan.protocols:
        fitting = all(
            name in s and s[name].protocol.vertices and not np.isnan(s[name].errors.vertex_mm).all()
            for s in scores
        )
        if fitting:
            return name
    return None


def _mean_difference(ours: list[Score], theirs: list[Score]) -> np.ndarray:
    """(N, J) mm, mean over seeds; NaN where not counted."""
    return np.mean(
        [a.errors.joint_mm - b.errors.joint_mm for a, b in zip(ours, theirs, strict=True)], axis=0
    )


def _by_gesture(ours, theirs, seen) -> tuple[GroupGain, ...]:
    difference = _mean_difference(ours, theirs)
    labels = ours[0].info["label"]
    found = []
    for label in np.unique(labels):
        chosen = difference[labels == label]
        hands = int((~np.isnan(chosen)).any(1).sum())
        if hands >= _FEWEST_HANDS:
            is_seen = None if seen is None else str(label) in seen
            found.append(GroupGain(str(label), float(np.nanmean(chosen)), hands, is_seen))
    return tuple(sorted(found, key=lambda gain: gain.difference_mm))


def _by_joint(ours, theirs) -> tuple[GroupGain, ...]:
    difference = _mean_difference(ours, theirs)
    found = []
    for position, name in enumerate(JOINT_NAMES_MANO21):
        counted = ~np.isnan(difference[:, position])
        if counted.any():
            mean = float(difference[counted, position].mean())
            found.append(GroupGain(name, mean, int(counted.sum())))
    return tuple(found)


def write_pairs_json(path: Path, pairs: list[ComparedPair]) -> None:
    """All comparisons as plain values."""
    import json
    from dataclasses import asdict

    from gesture_pretrain.atomic_write import write_bytes_atomically

    content = [{**asdict(pair), "finding": pair.finding} for pair in pairs]
    write_bytes_atomically(path, json.dumps(content, indent=1).encode())
