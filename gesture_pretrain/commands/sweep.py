"""Train once for every combination of hyper-parameters, and compare them in one table.

    %(prog)s hrnet_w32_interhand --data data/interhand26m --out runs/sweep \\
        optimizer.lr=1e-4,3e-4,1e-3 seed=0,1,2 schedule.epochs=5

CONFIG is one of `pretrain` or of `pose train`. A key with several values, separated by commas, is
swept; a list in brackets is one value. Runs that differ only in the seed form one row, and
differences are paired by seed. The same command continues an interrupted sweep and repeats no
finished run. Each run folder contains its weights.

Exit status: 0 done, 1 wrong input, 3 stopped early and resumable, 130 interrupted.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from gesture_pretrain.commands.options import add_data, add_device, add_out
from gesture_pretrain.config.kind import WrongKind

AFTER_INTERRUPTION = " The same command continues."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("config", help="name of a shipped config of pretrain or pose, or a file")
    add_data(parser, "the config's")
    add_device(parser)
    add_out(parser, "folder of the runs", required=True)
    parser.add_argument(
        "changes", nargs="+", metavar="key=value[,value…]", help="keys to sweep or set"
    )


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from gesture_pretrain.sweep import sweep, sweep_table

    grid, overrides = sort_changes(options.changes)
    train, resolve = stage_of(options.config, data=options.data, device=options.device)
    print(f"\n{sweep_table(sweep(train, resolve, grid, out=options.out, overrides=overrides))}")


def stage_of(config: str, *, data: str | None, device: str) -> tuple[Callable, Callable]:
    """Choose the functions that train and resolve a config, by its kind.

    Raises:
        WrongKind: The config is a plan.
    """
    from gesture_pretrain.config.file import read_config

    try:
        read_config(config, kind="pretrain")
    except WrongKind as error:
        if error.kind != "pose":
            raise
        from adapters.pose import stage

        train = partial(stage.train, config, data=data, device=device)
        return train, partial(stage.resolve_config, config, given={"data.index": data})
    from gesture_pretrain.pretraining import stage

    def train(out: Any, **options: Any) -> Any:
        return stage.pretrain(config, data=data, device=device, out=out, export_to=out, **options)

    return train, partial(stage.resolve_config, config, given={"data.index": data})


def sort_changes(changes: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Separate swept keys with their values from overrides of all runs.

    Raises:
        ValueError: A change is not of the form key=value, or no key has several values.
    """
    grid, overrides = {}, []
    for change in changes:
        key, sign, text = change.partition("=")
        values = split_values(text)
        if not (key and sign and all(values)):
            raise ValueError(f"'{change}' is not of the form key=value or key=value,value.")
        if len(values) > 1:
            grid[key] = values
        else:
            overrides.append(change)
    if not grid:
        raise ValueError("No key has several values. Separate values by commas: seed=0,1.")
    return grid, overrides


def split_values(text: str) -> list[str]:
    """Split at commas outside brackets: `1,[2,3]` gives `1` and `[2,3]`."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
