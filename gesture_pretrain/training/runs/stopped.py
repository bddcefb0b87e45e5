"""Reasons for which a run stops early, each with what to do about it."""


class TrainingStopped(RuntimeError):
    """A run that ended before its last iteration and can be resumed from its last checkpoint."""


class NonFiniteLoss(TrainingStopped):
    """A loss or gradient became NaN or infinite; the optimiser step was not taken."""


class NoRoomForRun(TrainingStopped):
    """A file of the run could not be written because the disk or the quota is used up."""


class NoIntactCheckpoint(TrainingStopped):
    """Checkpoints are there, but none of them can be read whole."""


class ProcessLost(TrainingStopped):
    """Another process of the run ended, or could not be reached in time."""


class ToldToEnd(TrainingStopped):
    """The system asked the run to end (SIGTERM: a cluster's time limit, or torchrun)."""
