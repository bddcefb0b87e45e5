"""The command line `gesture-pretrain`: one command per step of the workflow."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from gesture_pretrain.commands.failure import exit_status_of, interrupted
from gesture_pretrain.commands.grammar_cache import import_yapf_in_turn
from gesture_pretrain.names import did_you_mean

USAGE_ERROR = 2


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        module: Module in this package. It has `add_options(parser)` and `run(options)`, or
            `main(arguments, prog)` if it reads its command line itself.
        summary: One line for the overview.
    """

    module: str
    summary: str


COMMANDS = {
    "data synthetic": Command("data.synthetic", "render the embedded dataset and index it"),
    "data interhand": Command("data.interhand", "index InterHand2.6M"),
    "data folders": Command("data.folders", "index photographs sorted into one folder per class"),
    "data miniature": Command(
        "data.miniature", "render a miniature with the shape of InterHand2.6M"
    ),
    "data verify": Command("data.verify", "decode all images, list missing and broken ones"),
    "data show": Command("data.show", "draw the annotation on some images"),
    "data shards": Command("data.shards", "decode all images once, for faster loading"),
    "data landmarks": Command(
        "data.landmarks", "find hands with MediaPipe's networks, a system to compare with"
    ),
    "pretrain": Command("pretrain", "pretrain a backbone on gesture labels and register it"),
    "sweep": Command("sweep", "train with every combination of hyper-parameters and compare"),
    "features": Command("features", "evaluate the frozen features of a backbone"),
    "pose train": Command("pose.train", "train a pose network on top of a backbone"),
    "pose evaluate": Command("pose.evaluate", "score predicted poses under several protocols"),
    "predict": Command("predict", "predict hands in images and videos"),
    "swap": Command("swap", "put a backbone into another network; compare with baselines"),
    "export": Command("export", "write a backbone for another library"),
    "transfer": Command("transfer", "run and report a transfer study"),
    "doctor": Command("doctor", "check the installation"),
    "benchmark": Command("benchmark", "measure speed and memory"),
}


def main() -> None:
    """Run the command line of this process and exit with its status."""
    sys.exit(run_commands(sys.argv[1:]))


def run_commands(
    arguments: Sequence[str],
    commands: Mapping[str, Command] = COMMANDS,
    prog: str = "gesture-pretrain",
) -> int:
    """Run a command line.

    Args:
        arguments: Words after the name of the program.
        commands: Commands by the words that select them. The key "" is a program with one command.
        prog: Name of the program in help texts.

    Returns:
        Exit status.
    """
    rest, name = list(arguments), ""
    while name not in commands:
        choices = _next_words(commands, name)
        if not rest or rest[0] in ("-h", "--help"):
            print(overview(commands, name, prog))
            return 0 if rest else USAGE_ERROR
        word = rest.pop(0)
        if word not in choices:
            near = did_you_mean(word, choices)
            print(
                f"{f'{prog} {name}'.strip()}: unknown command {word!r}.{near} "
                f"Available: {', '.join(choices)}.",
                file=sys.stderr,
            )
            return USAGE_ERROR
        name = f"{name} {word}".strip()
    return run_command(commands[name], rest, f"{prog} {name}".strip())


def run_command(command: Command, arguments: Sequence[str], prog: str) -> int:
    """Run one command; errors that a user can fix become one message and an exit status."""
    module = None
    try:
        import_yapf_in_turn()
        module = import_module(f"gesture_pretrain.commands.{command.module}")
        if hasattr(module, "main"):
            return module.main(list(arguments), prog) or 0
        options = build_parser(module, prog).parse_intermixed_args(arguments)
        _silence_library_warnings()
        return module.run(options) or 0
    except KeyboardInterrupt:
        return interrupted(module)
    except Exception as error:
        return exit_status_of(error, module)
    finally:
        _leave_process_group()


def build_parser(module: ModuleType, prog: str) -> argparse.ArgumentParser:
    """Build the parser of a command from its docstring and its options."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_options(parser)
    return parser


def overview(commands: Mapping[str, Command], name: str, prog: str) -> str:
    """List the commands below `name`, one line each."""
    below = {key: c for key, c in commands.items() if key.startswith(f"{name} ".lstrip())}
    width = max(map(len, below))
    lines = [f"  {key:{width}}  {command.summary}" for key, command in below.items()]
    usage = f"usage: {f'{prog} {name}'.strip()} COMMAND [options]"
    return "\n".join([usage, "", *lines, "", f"{prog} COMMAND --help lists the options."])


def _next_words(commands: Mapping[str, Command], name: str) -> list[str]:
    below = [key.removeprefix(name).split() for key in commands if f"{key} ".startswith(name)]
    return list(dict.fromkeys(words[0] for words in below if words))


def _silence_library_warnings() -> None:
    """Silence future warnings of timm, mmengine and torch, which users cannot fix."""
    import warnings

    for kind in (FutureWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=kind)


def _leave_process_group() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
