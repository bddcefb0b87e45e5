"""The declared comparisons of a plan, from its scores."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

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
    is_one_pretraining,
    pretraining_groups,
)
from adapters.transfer.score.results import ComparedPair
from adapters.transfer.score.scoring import Scored, on_shared_hands
from gesture_pretrain.evaluation.poses.score import Score
from gesture_pretrain.evaluation.statistics.comparison import holm
from gesture_pretrain.evaluation.statistics.paired_scores import CLUSTERS, compare_scores


class PairedRuns(NamedTuple):
    """The finished runs of an arm and its reference, paired by seed.

    Attributes:
        own, base: Protocol -> score, for each seed of the arm and of its reference.
        starts: Pretraining of the arm and of its reference, for each seed.
    """

    own: list[dict[str, Score]]
    base: list[dict[str, Score]]
    starts: list[tuple[str | None, str | None]]

    def scores(self, protocol: str) -> tuple[list[Score], list[Score]]:
        """Return the scores of both sides on the hands that all runs have."""
        shared = on_shared_hands([scores[protocol] for scores in (*self.own, *self.base)])
        return shared[: len(self.own)], shared[len(self.own) :]


def compare_plan(
    plan: Plan, scored: Scored, *, exposure: Mapping[str, Exposure]
) -> list[ComparedPair]:
    """Make every declared comparison, in each target and at each fraction of the labels.

    Args:
        plan: The plan.
        scored: Its scores.
        exposure: Gestures that the pretraining of an arm had, for arms where that is known.
    """
    pairs = []
    for declared in plan.comparisons:
        known = exposure.get(declared.arm, exposure.get(declared.reference))
        for target in compared_targets(plan, declared):
            other = declared.reference_target or target
            names = (declared.arm, declared.reference, declared.text)
            for fraction in plan.fractions:
                pair = ComparedPair(target, other, fraction, *names)
                pairs.append(_compared(plan, scored, pair, known))
    return correct_exposure(_corrected(pairs))


def compare_external(plan: Plan, scored: Scored) -> list[ComparedPair]:
    """Compare each external system with its reference arm, in each target, on the hands of both.

    The system is one set of weights, so the interval generalises to other clusters and to other
    seeds of the reference, but not to other weights of the system.
    """
    fraction = max(plan.fractions)
    pairs = []
    for system in plan.external:
        reference = system.reference or (plan.comparisons[0].arm if plan.comparisons else None)
        for target in plan.targets:
            if reference in plan.arms_of(target):
                pair = ComparedPair(system.name, target, fraction, "", reference, text=system.text)
                pairs.append(_measured(plan, pair, _paired_runs(plan, scored, pair)))
    return _corrected(pairs)


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


def cluster_columns(plan: Plan) -> tuple[str, ...]:
    """Return the names in `Score.info` that define a cluster of test hands."""
    return ("subject",) if plan.cluster_by == "subject" else CLUSTERS


def _corrected(pairs: list[ComparedPair]) -> list[ComparedPair]:
    """Return the pairs with p-values after Holm's correction over all of them."""
    p_values = [np.nan if pair.joints is None else pair.joints.p_value for pair in pairs]
    adjusted = holm(p_values)
    return [replace(pair, joints_p_holm=float(p)) for pair, p in zip(pairs, adjusted, strict=True)]


def _paired_runs(plan: Plan, scored: Scored, pair: ComparedPair) -> PairedRuns:
    """Pair the runs by seed. An external system (no arm) is the same in all seeds."""
    runs = PairedRuns([], [], [])
    for seed in plan.seeds:
        ours = (pair.target, pair.arm, pair.fraction, seed)
        theirs = (pair.reference_target, pair.reference, pair.fraction, seed)
        own = scored.cells.get(ours) if pair.arm else scored.external[pair.target]
        if own is not None and theirs in scored.cells:
            runs.own.append(own)
            runs.base.append(scored.cells[theirs])
            runs.starts.append((scored.pretrainings.get(ours), scored.pretrainings[theirs]))
    return runs


def _compared(
    plan: Plan, scored: Scored, pair: ComparedPair, exposure: Exposure | None
) -> ComparedPair:
    """Return the pair with its differences, also by gesture, joint and exposure."""
    runs = _paired_runs(plan, scored, pair)
    pair = _measured(plan, pair, runs)
    if pair.joints is None:
        return pair
    sides, options = runs.scores(plan.protocols[0]), _options(plan, runs)
    return replace(
        pair,
        by_gesture=gains_by_gesture(*sides, seen=exposure and exposure.seen, **options),
        by_joint=gains_by_joint(*sides, **options),
        by_exposure=gains_by_exposure(*sides, exposure=exposure, **options),
    )


def _measured(plan: Plan, pair: ComparedPair, runs: PairedRuns) -> ComparedPair:
    """Return the pair with its differences, or with the reason why there is none."""
    if not runs.base:
        cells = "both of its cells" if pair.arm else "the cell of its reference"
        return replace(pair, missing=f"no seed has {cells} finished")
    protocol, everything = plan.protocols[0], [*runs.own, *runs.base]
    if any(protocol not in scores for scores in everything):
        return replace(pair, missing=f"protocol {protocol} cannot be applied")
    ours, theirs = runs.scores(protocol)
    if not len(ours[0].info["rows"]):
        return replace(pair, missing="no hand was predicted by both")
    options, mesh = _options(plan, runs), _mesh_protocol(plan, everything)
    joints, meshes = compare_scores(ours, theirs, **options), None
    if is_one_pretraining(runs.starts):
        joints = replace(joints, caveats=(*joints.caveats, ONE_PRETRAINING))
    if mesh is not None:
        meshes = compare_scores(*runs.scores(mesh), meshes=True, **options)
    finished, planned = len(runs.base), len(plan.seeds)
    return replace(
        pair,
        joints=joints,
        meshes=meshes,
        meshes_protocol=mesh or "",
        by_subject=compare_scores(ours, theirs, **{**options, "cluster_by": ("subject",)}),
        missing=""
        if finished == planned
        else f"{finished} of {planned} seeds have all of their cells finished",
    )


def _options(plan: Plan, runs: PairedRuns) -> dict[str, Any]:
    """Return the arguments of `compare_scores` that all parts of a comparison share."""
    return {"pretrainings": pretraining_groups(runs.starts), "cluster_by": cluster_columns(plan)}


def _mesh_protocol(plan: Plan, scores: list[dict[str, Score]]) -> str | None:
    """Return the first protocol with meshes under which every run has some."""
    for name in plan.protocols:
        found = [each[name] for each in scores if name in each]
        meshes = (s.protocol.vertices and not np.isnan(s.errors.vertex_mm).all() for s in found)
        if len(found) == len(scores) and all(meshes):
            return name
    return None
