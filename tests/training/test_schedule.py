import math

import pytest

from gesture_pretrain.training.schedule import Schedule


def test_warm_up_rises_linearly_to_the_peak():
    schedule = Schedule(iterations=100, warmup_iterations=10)
    ratios = [schedule.lr_ratio(k, 100) for k in range(10)]
    assert ratios == pytest.approx([(k + 1) / 10 for k in range(10)])


def test_cosine_by_hand_at_start_middle_and_end():
    schedule = Schedule(iterations=110, warmup_iterations=10, final_lr_ratio=0.2)
    assert schedule.lr_ratio(10, 110) == 1.0
    assert schedule.lr_ratio(60, 110) == pytest.approx(0.6)  # half way: (1 + 0.2) / 2
    # One step before the end the phase is 99 % of pi
    expected = 0.2 + 0.8 * 0.5 * (1 + math.cos(0.99 * math.pi))
    assert schedule.lr_ratio(109, 110) == pytest.approx(expected)


def test_epochs_become_iterations_and_explicit_iterations_win():
    assert Schedule(epochs=2.5).total_iterations(10) == 25
    assert Schedule(epochs=2.5, iterations=7).total_iterations(10) == 7


def test_warm_up_longer_than_the_run_still_ends():
    schedule = Schedule(iterations=3, warmup_iterations=100)
    assert [schedule.lr_ratio(k, 3) for k in range(3)] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    "wrong", [{"iterations": 0}, {"epochs": 0}, {"warmup_iterations": -1}, {"final_lr_ratio": 2}]
)
def test_impossible_values_are_named(wrong):
    with pytest.raises(ValueError, match=f"schedule.*{next(iter(wrong))}|{next(iter(wrong))}"):
        Schedule(**wrong)
