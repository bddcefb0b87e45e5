"""What a pretraining is worth in steps and labels."""

from types import SimpleNamespace

import pandas as pd
import pytest

from adapters.transfer.plan.plan import Comparison
from adapters.transfer.score.equivalents import amount_for, equivalents
from adapters.transfer.score.scoring import Scored

PROTOCOL = "interhand_wrist"


@pytest.mark.parametrize(
    ("level", "amount"), [(30, 100), (20, 100), (15, 200), (10, 400), (9, None)]
)
def test_the_amount_is_interpolated_over_its_logarithm(level, amount):
    found = amount_for({400: 10.0, 100: 20.0}, level)
    assert found == (None if amount is None else pytest.approx(amount))


def score(error_mm):
    averages = SimpleNamespace(mpjpe_mm={"single": error_mm})
    return {PROTOCOL: SimpleNamespace(averages=averages)}


def test_steps_and_labels_of_a_plan():
    """Means over two seeds; gestures need a quarter of the steps, and a tenth of the labels."""
    targets = {"net": None}
    plan = SimpleNamespace(
        comparisons=[Comparison("gesture", "random")],
        targets=targets,
        fractions=(0.1, 1.0),
        seeds=(0, 1),
        protocols=(PROTOCOL,),
        arms_of=lambda name: ("gesture", "random"),
    )
    scored = Scored()
    errors = {"gesture": {0.1: 20.0, 1.0: 10.0}, "random": {0.1: 40.0, 1.0: 20.0}}
    for arm, by_fraction in errors.items():
        for fraction, error in by_fraction.items():
            for seed, offset in ((0, 1.0), (1, -1.0)):
                place = ("net", arm, fraction, seed)
                scored.cells[place] = score(error + offset)
                scored.results[place] = {"train_images": round(1000 * fraction)}
                for steps, factor in ((100, 2.0), (400, 1.0)):
                    point = dict(zip(("target", "arm", "fraction", "seed"), place, strict=True))
                    point |= {"steps": steps, "error_mm": factor * error + offset}
                    scored.curves.append(point)
    found = equivalents(plan, scored)
    assert {tuple(row) for row in found[["target", "arm", "reference"]].to_numpy()} == {
        ("net", "gesture", "random")
    }
    expected = [
        ("steps", 0.1, 40.0, 100.0, 400),
        ("steps", 1.0, 20.0, 100.0, 400),
        ("labels", 0.1, 20.0, 100, 1000.0),
        ("labels", 1.0, 10.0, 1000, None),
    ]
    columns = ["kind", "fraction", "error_mm", "arm_amount", "reference_amount"]
    for row, other in zip(found[columns].to_dict("records"), expected, strict=True):
        values = [None if pd.isna(value) else value for value in row.values()]
        assert values == pytest.approx(list(other))
