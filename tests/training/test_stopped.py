"""What ends a run from outside is told apart from what is wrong in the run itself."""

from types import SimpleNamespace

import pytest

from gesture_pretrain.training import stopped
from gesture_pretrain.training.stopped import NonFiniteLoss, ProcessLost, told_to_end

RUNNER = SimpleNamespace(iter=7, checkpoint_folder="run/checkpoints")


@pytest.mark.parametrize(
    "message",
    [
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [::1]:5",
        "Timed out waiting 4000ms for recv operation to complete",
        # from the second waiting exchange on: the run ended with this as its traceback
        "Application timeout caused pair closure",
        "NCCL communicator was aborted on rank 1.",
        "Broken pipe",
    ],
)
def test_failed_exchange_is_a_lost_process(monkeypatch, message):
    monkeypatch.setattr(stopped, "rank_and_world_size", lambda: (0, 2))
    with pytest.raises(ProcessLost, match="At iteration 7; .*run/checkpoints") as caught:
        with told_to_end(RUNNER):
            raise RuntimeError(message + "\nmore lines")
    assert message in str(caught.value) and "more lines" not in str(caught.value)


@pytest.mark.parametrize(
    "error, world_size",
    [
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"), 2),
        (RuntimeError("Connection closed by peer"), 1),
        (NonFiniteLoss("after a gloo exchange"), 2),
        (ValueError("gloo"), 2),
    ],
)
def test_other_errors_stay_what_they_are(monkeypatch, error, world_size):
    monkeypatch.setattr(stopped, "rank_and_world_size", lambda: (0, world_size))
    with pytest.raises(type(error)) as caught, told_to_end(RUNNER):
        raise error
    assert caught.value is error
