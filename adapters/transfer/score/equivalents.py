"""What a pretraining is worth in fine-tuning steps and in pose labels.

Errors are means over the seeds. Between two measured amounts, the error is interpolated linearly
over the logarithm of the amount.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from adapters.transfer.plan.plan import Plan
from adapters.transfer.score.comparing import compared_targets
from adapters.transfer.score.scoring import Scored
from gesture_pretrain.report.frames import numbers_frame

COLUMNS = (
    "kind", "target", "arm", "reference", "fraction", "error_mm", "arm_amount", "reference_amount",
)  # fmt: skip


def equivalents(plan: Plan, scored: Scored) -> pd.DataFrame:
    """Return the amounts that the arm and the reference of each comparison need for one error.

    Kind "steps", of plans with a curve: the fine-tuning steps for the final error of the reference.
    Kind "labels", of plans with several fractions: the images with pose labels for the error that
    the arm has at this fraction. An amount that does not suffice is missing.
    """
    rows = []
    for declared in plan.comparisons:
        for target in compared_targets(plan, declared):
            arm = (target, declared.arm)
            reference = (declared.reference_target or target, declared.reference)
            names = {"target": target, "arm": declared.arm, "reference": declared.reference}
            amounts = [*_in_steps(plan, scored, arm, reference)]
            amounts += _in_labels(plan, scored, arm, reference)
            rows += [{**names, **row} for row in amounts]
    return numbers_frame(rows, COLUMNS)


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
        part = (errors_mm[before] - level_mm) / (errors_mm[before] - error)
        return float(np.exp(np.log(before) + part * np.log(amount / before)))
    return None


def _in_steps(plan: Plan, scored: Scored, arm: tuple, reference: tuple) -> list[dict]:
    rows = []
    for fraction in plan.fractions:
        ours, theirs = (_steps(scored, (*of, fraction)) for of in (arm, reference))
        if ours and theirs:
            last = max(theirs)
            amounts = {"arm_amount": amount_for(ours, theirs[last]), "reference_amount": last}
            rows.append(
                {"kind": "steps", "fraction": fraction, "error_mm": theirs[last], **amounts}
            )
    return rows


def _in_labels(plan: Plan, scored: Scored, arm: tuple, reference: tuple) -> list[dict]:
    if len(plan.fractions) < 2:
        return []
    ours, theirs = (_labels(plan, scored, *of) for of in (arm, reference))
    errors = dict(theirs.values())
    return [
        {
            "kind": "labels",
            "fraction": fraction,
            "error_mm": error,
            "arm_amount": images,
            "reference_amount": amount_for(errors, error),
        }
        for fraction, (images, error) in ours.items()
        if theirs
    ]


def _steps(scored: Scored, place: tuple[str, str, float]) -> dict[int, float]:
    """Return the mean error by the number of steps."""
    errors: dict[int, list[float]] = {}
    for point in scored.curves:
        if (point["target"], point["arm"], point["fraction"]) == place:
            errors.setdefault(point["steps"], []).append(point["error_mm"])
    return {steps: float(np.mean(values)) for steps, values in errors.items()}


def _labels(plan: Plan, scored: Scored, target: str, arm: str) -> dict[float, tuple[int, float]]:
    """Return (number of labelled images, mean error) by the fraction of the labels."""
    tested, found = plan.protocols[0], {}
    for fraction in plan.fractions:
        places = [(target, arm, fraction, seed) for seed in plan.seeds]
        there = [place for place in places if tested in scored.cells.get(place, {})]
        if there:
            errors = [scored.cells[p][tested].averages.mpjpe_mm["single"] for p in there]
            found[fraction] = (scored.results[there[0]]["train_images"], float(np.mean(errors)))
    return found
