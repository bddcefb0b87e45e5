"""The declared comparisons of a plan, from its scores."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.transfer.plan.plan import Comparison, Plan
from adapters.transfer.score.exposure import Exposure
from adapters.transfer.score.gains import (
    correct_exposure,
    gains_by_exposure,
    gains_by_gesture,
    gains_by_joint,
)
from adapters.transfer.score.pretraining_groups import (
    ONE_PRETRAINING,
    Starts,
    is_one_pretraining,
    pretraining_groups,
)
from adapters.transfer.score.results import ComparedPair
from adapters.transfer.score.scoring import Scored, on_shared_hands
from gesture_pretrain.evaluation.poses.mean_pose import did_not_learn
from gesture_pretrain.evaluation.poses.score import Score
from gesture_pretrain.evaluation.statistics.comparison import holm
from gesture_pretrain.evaluation.statistics.paired_scores import CLUSTERS, compare_scores
from gesture_pretrain.files import write_bytes_atomically


def compare_plan(
    plan: Plan, scored: Scored, *, exposure: Mapping[str, Exposure]
) -> list[ComparedPair]:
    """Every declared comparison in each target and at each share of the labels.

    Args:
        plan: the plan.
        scored: its scores.
        exposure: Gestures that the pretraining of an arm had, of the arms where that is known.
    """
    pairs = [
        _compared(plan, scored, declared, target, fraction, exposure)
        for declared in plan.comparisons
        for target in compared_targets(plan, declared)
        for fraction in plan.fractions
    ]
    return correct_exposure(_corrected(pairs))


def marked_untrained(
    pairs: list[ComparedPair], limit_mm: float, scored: Scored, protocol: str
) -> list[ComparedPair]:
    """The same pairs with the arms that are not below the error of the mean training pose.

    Args:
        pairs: of the plan.
        limit_mm: MPJPE of the mean training pose under the tested protocol; NaN marks none.
        scored: all scores.
        protocol: the tested one.
    """
    return [
        replace(
            pair,
            did_not_learn=tuple(
                f"{target}, {arm}"
                for target, arm in (
                    (pair.target, pair.arm),
                    (pair.reference_target, pair.reference),
                )
                if did_not_learn(
                    _mean_error(scored, target, arm, pair.fraction, protocol), limit_mm
                )
            ),
        )
        for pair in pairs
    ]


def _mean_error(scored: Scored, target, arm, fraction, protocol) -> float:
    """Mean over seeds of the finished cells; -inf without any."""
    errors = [
        scores[protocol].averages.mpjpe_mm["single"]
        for place, scores in scored.cells.items()
        if place[:3] == (target, arm, fraction) and protocol in scores
    ]
    return float(np.mean(errors)) if errors else -np.inf


def compare_external(plan: Plan, scored: Scored) -> list[ComparedPair]:
    """Each external system against its reference arm, in each target, on the hands of both.

    The system is one set of weights, the same in all seeds of the reference. The interval therefore
    generalises to other clusters and other seeds of the reference, but not to other weights.
    """
    fraction = max(plan.fractions)
    pairs = []
    for system in plan.external:
        reference = system.reference or (plan.comparisons[0].arm if plan.comparisons else None)
        for target in plan.targets:
            if reference not in plan.arms_of(target):
                continue
            pair = ComparedPair(system.name, target, fraction, "", reference, text=system.text)
            seeds = [s for s in plan.seeds if (target, reference, fraction, s) in scored.cells]
            base = [scored.cells[target, reference, fraction, seed] for seed in seeds]
            own = [scored.external[system.name]] * len(seeds)
            starts = [
                (None, scored.pretrainings[target, reference, fraction, seed]) for seed in seeds
            ]
            pairs.append(_measured(plan, pair, own, base, starts))
    return _corrected(pairs)


def _corrected(pairs: list[ComparedPair]) -> list[ComparedPair]:
    """The same pairs with p-values after Holm over all of them."""
    p_values = [np.nan if pair.joints is None else pair.joints.p_value for pair in pairs]
    adjusted = holm(p_values)
    return [replace(pair, joints_p_holm=float(p)) for pair, p in zip(pairs, adjusted, strict=True)]


def compared_targets(plan: Plan, declared: Comparison) -> list[str]:
    """Return the targets that a declared comparison is made in."""
    if declared.target is not None:
        return [declared.target]
    return [
        name
        for name in plan.targets
        if declared.arm in plan.arms_of(name)
        and declared.reference in plan.arms_of(declared.reference_target or name)
    ]


def _compared(plan, scored: Scored, declared, target, fraction, exposure) -> ComparedPair:
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
    own = [scored.cells[target, declared.arm, fraction, seed] for seed in seeds]
    base = [scored.cells[other, declared.reference, fraction, seed] for seed in seeds]
    starts = [
        (
            scored.pretrainings[target, declared.arm, fraction, seed],
            scored.pretrainings[other, declared.reference, fraction, seed],
        )
        for seed in seeds
    ]
    measured = _measured(plan, pair, own, base, starts)
    known = exposure.get(declared.arm, exposure.get(declared.reference))
    return _with_parts(plan, measured, own, base, known, starts)


def _measured(
    plan: Plan, pair: ComparedPair, own: list[dict], base: list[dict], starts: Starts
) -> ComparedPair:
    """Return the pair with its differences.

    Args:
        own, base: protocol -> score, of each seed of the arm and of its reference.
        starts: Pretrainings of the arm and its reference, for each seed.
    """
    if not base:
        cells = "both of its cells" if pair.arm else "the cell of its reference"
        return replace(pair, missing=f"no seed has {cells} finished")
    protocol = plan.protocols[0]
    if any(protocol not in scores for scores in (*own, *base)):
        return replace(pair, missing=f"protocol {protocol} cannot be applied")
    ours, theirs = _on_shared_hands(own, base, protocol)
    if not len(ours[0].info["rows"]):
        return replace(pair, missing="no hand was predicted by both")
    mesh = _mesh_protocol(plan, [*own, *base])
    runs = _runs(plan, starts)
    joints, meshes = compare_scores(ours, theirs, **runs), None
    if is_one_pretraining(starts):
        joints = replace(joints, caveats=(*joints.caveats, ONE_PRETRAINING))
    if mesh is not None:
        meshes = compare_scores(*_on_shared_hands(own, base, mesh), meshes=True, **runs)
    return replace(
        pair,
        joints=joints,
        meshes=meshes,
        meshes_protocol=mesh or "",
        by_subject=compare_scores(ours, theirs, **{**runs, "cluster_by": ("subject",)}),
        missing=""
        if len(base) == len(plan.seeds)
        else f"{len(base)} of {len(plan.seeds)} seeds have all of their cells finished",
    )


def _runs(plan: Plan, starts: Starts) -> dict[str, Any]:
    """Return the arguments of `compare_scores` that all parts of a comparison share."""
    return {"pretrainings": pretraining_groups(starts), "cluster_by": cluster_columns(plan)}


def cluster_columns(plan: Plan) -> tuple[str, ...]:
    """Return the names in `Score.info` that define a cluster of test hands."""
    return ("subject",) if plan.cluster_by == "subject" else CLUSTERS


def _with_parts(
    plan: Plan, pair: ComparedPair, own, base, exposure: Exposure | None, starts
) -> ComparedPair:
    if pair.joints is None:
        return pair
    ours, theirs = _on_shared_hands(own, base, plan.protocols[0])
    runs = _runs(plan, starts)
    seen = None if exposure is None else exposure.seen
    return replace(
        pair,
        by_gesture=gains_by_gesture(ours, theirs, seen=seen, **runs),
        by_joint=gains_by_joint(ours, theirs, **runs),
        by_exposure=gains_by_exposure(ours, theirs, exposure=exposure, **runs),
    )


def _on_shared_hands(own, base, protocol: str) -> tuple[list[Score], list[Score]]:
    scores = on_shared_hands([scores[protocol] for scores in (*own, *base)])
    return scores[: len(own)], scores[len(own) :]


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


def write_pairs_json(path: Path, pairs: list[ComparedPair]) -> None:
    """All comparisons as plain values."""
    content = [{**asdict(pair), "finding": pair.finding} for pair in pairs]
    write_bytes_atomically(path, json.dumps(content, indent=1).encode())
