"""What a pretraining is worth in fine-tuning steps and in pose labels.

Errors are means over the seeds. Between two measured amounts, the error is interpolated linearly
over the logarithm of the amount.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from adapters.transfer.plan.plan import Comparison, Plan
from adapters.transfer.score.comparing import compared_targets
from adapters.transfer.score.results import Equivalent
from adapters.transfer.score.scoring import Scored


def equivalents(plan: Plan, scored: Scored) -> tuple[Equivalent, ...]:
    """Return the worth of the arm of each declared comparison, in each of its targets.

    In steps, at each fraction of the labels: after how many steps the arm reaches the final error
    of its reference. In labels: how many the reference needs for the error that the arm has with
    its own. Steps need a plan with a curve, labels one with several fractions.
    """
    found = []
    for declared in plan.comparisons:
        for target in compared_targets(plan, declared):
            other = declared.reference_target or target
            arm, reference = (target, declared.arm), (other, declared.reference)
            found += _in_steps(plan, scored, declared, arm, reference)
            found += _in_labels(plan, scored, declared, arm, reference)
    return tuple(found)


def amount_for(errors_mm: Mapping[float, float], level_mm: float) -> float | None:
    """Return the least amount with an error of at most a level; None if no amount reaches it.

    If the smallest measured amount reaches it, that amount is returned, which is an upper bound.

    Args:
        errors_mm: Amount to error.
        level_mm: The error to reach.
    """
    amounts = sorted(errors_mm)
    for before, amount in zip([None, *amounts], amounts, strict=False):
        error = errors_mm[amount]
        if error > level_mm:
            continue
        if before is None:
            return float(amount)
        share = (errors_mm[before] - level_mm) / (errors_mm[before] - error)
        return float(np.exp(np.log(before) + share * np.log(amount / before)))
    return None


def _in_steps(
    plan: Plan, scored: Scored, declared: Comparison, arm: tuple, reference: tuple
) -> list[Equivalent]:
    found = []
    for fraction in plan.fractions:
        ours, theirs = (_steps(scored, *of, fraction) for of in (arm, reference))
        if ours and theirs:
            last = max(theirs)
            needed = amount_for(ours, theirs[last])
            found.append(_row("steps", declared, arm, fraction, theirs[last], needed, last))
    return found


def _in_labels(
    plan: Plan, scored: Scored, declared: Comparison, arm: tuple, reference: tuple
) -> list[Equivalent]:
    if len(plan.fractions) < 2:
        return []
    ours, theirs = (_labels(plan, scored, *of) for of in (arm, reference))
    return [
        _row(
            "labels",
            declared,
            arm,
            fraction,
            error,
            images,
            amount_for({count: each for count, each in theirs.values()}, error),
        )
        for fraction, (images, error) in ours.items()
        if theirs
    ]


def _row(kind, declared: Comparison, arm, fraction, error_mm, needed, of_reference) -> Equivalent:
    names = (arm[0], declared.arm, declared.reference)
    return Equivalent(kind, *names, fraction, error_mm, needed, of_reference)


def _steps(scored: Scored, target: str, arm: str, fraction: float) -> dict[int, float]:
    """Return the mean error by the number of steps."""
    errors: dict[int, list[float]] = {}
    for point in scored.curves:
        if (point.target, point.arm, point.fraction) == (target, arm, fraction):
            errors.setdefault(point.steps, []).append(point.error_mm)
    return {steps: float(np.mean(values)) for steps, values in errors.items()}


def _labels(plan: Plan, scored: Scored, target: str, arm: str) -> dict[float, tuple[int, float]]:
    """Return (number of labelled images, mean error) by the fraction of the labels."""
    found = {}
    for fraction in plan.fractions:
        places = [(target, arm, fraction, seed) for seed in plan.seeds]
        there = [place for place in places if plan.protocols[0] in scored.cells.get(place, {})]
        if there:
            found[fraction] = (scored.results[there[0]]["train_images"], _mean(plan, scored, there))
    return found


def _mean(plan: Plan, scored: Scored, places: Iterable[tuple]) -> float:
    tested = plan.protocols[0]
    return float(np.mean([scored.cells[p][tested].averages.mpjpe_mm["single"] for p in places]))
