"""Scores of one training run after several numbers of steps.

With a constant learning rate after the warm-up, neither a step nor the moving average of the
weights depends on the length of the run. The averaged weights after k steps therefore equal those
of a run of k steps, bit for bit.
"""

from collections.abc import Callable, Sequence

from mmengine.hooks import Hook


class CurveHook(Hook):
    """Calls a function after given numbers of steps.

    It runs before checkpoints are saved, so a run that resumes after step k already has point k.

    Args:
        steps: Numbers of steps.
        make_point: Called with the number of steps.
    """

    priority = "NORMAL"

    def __init__(self, steps: Sequence[int], make_point: Callable[[int], None]):
        self.steps, self.make_point = tuple(steps), make_point

    def after_step(self, runner):
        if runner.iter in self.steps:
            self.make_point(runner.iter)
