"""Convert errors of a command to a message and an exit status."""

import sys
from types import ModuleType

from gesture_pretrain.config.kind import WrongKind
from gesture_pretrain.extras import missing_extra
from gesture_pretrain.files import named

WRONG_INPUT, STOPPED, INTERRUPTED = 1, 3, 130

# what reads a config of a kind
_READERS = {
    "pretrain": "gesture-pretrain pretrain",
    "pose": "gesture-pretrain pose train",
    "experiments": "gesture-pretrain transfer",
}


def exit_status_of(error: Exception, module: ModuleType | None) -> int:
    """Print what went wrong and what to do, and return the exit status.

    Args:
        error: Exception raised by the command.
        module: The command. Its `MANO_HINT`, if any, explains how to name a hand model.

    Raises:
        Exception: `error` itself, if it is a defect of the program.
    """
    if isinstance(error, ModuleNotFoundError):
        return _report(missing_extra(error) or error)
    if isinstance(error, OSError):
        error = named(error)
    if isinstance(error, ValueError | OSError | ImportError):
        return _report(error, _advice(error, module))
    from gesture_pretrain.training.stopped import TrainingStopped

    if isinstance(error, TrainingStopped):
        note = _resume_note(module) + getattr(module, "AFTER_INTERRUPTION", "")
        print(f"\nStopped: {error}{note}", file=sys.stderr)
        return STOPPED
    if isinstance(error, _other_wrong_input()):
        return _report(error)
    raise error


def interrupted(module: ModuleType | None) -> int:
    """Print how to continue after Ctrl-C, and return the exit status."""
    note = _resume_note(module) + getattr(module, "AFTER_INTERRUPTION", "")
    print(f"\nInterrupted.{note}", file=sys.stderr)
    return INTERRUPTED


def _resume_note(module: ModuleType | None) -> str:
    resumable = getattr(module, "RESUMABLE", False)
    return " The same command with --resume continues." if resumable else ""


def _report(error: object, advice: str = "") -> int:
    print(f"\nError: {error}" + (f"\n{advice}" if advice else ""), file=sys.stderr)
    return WRONG_INPUT


def _advice(error: Exception, module: ModuleType | None) -> str:
    if isinstance(error, WrongKind):
        return f"That config is read by: {_READERS[error.kind]}"
    if isinstance(error, FileExistsError):
        return getattr(module, "EXISTS_HINT", "")
    hint = getattr(module, "MANO_HINT", "")
    if hint and isinstance(error, FileNotFoundError):
        from gesture_pretrain.hand.mano_file import MissingManoFile

        return hint if isinstance(error, MissingManoFile) else ""
    return ""


def _other_wrong_input() -> tuple[type[Exception], ...]:
    from adapters.targets import UnknownTarget
    from gesture_pretrain.weights.initial_weights import WeightsUnavailableError
    from gesture_pretrain.weights.registry import UnknownBackbone

    return UnknownTarget, UnknownBackbone, WeightsUnavailableError
