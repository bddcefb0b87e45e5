"""Options that several commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path

from gesture_pretrain.data.index.record import SPLITS

Parser = argparse.ArgumentParser | argparse._ArgumentGroup


def at_least(least: float | None, kind: type = int) -> Callable[[str], float]:
    """Make a type for argparse: a number of a kind that is not below `least`."""

    def number(text: str) -> float:
        value = kind(text)
        if least is not None and not value >= least:
            raise argparse.ArgumentTypeError(f"{text} is not at least {least}")
        return value

    number.__name__ = kind.__name__  # argparse names it if the text is not a number
    return number


def add_number(
    parser: Parser,
    name: str,
    default: float,
    text: str,
    *,
    metavar: str = "N",
    least: float | None = None,
) -> None:
    """Add a numeric option whose type is that of its default."""
    parser.add_argument(
        name,
        type=at_least(least, type(default)),
        default=default,
        metavar=metavar,
        help=f"{text} (default: {default})",
    )


def add_data(parser: Parser, default: str | None = None) -> None:
    """Add --data; required if its default is None."""
    text = "index, or dataset with one"
    parser.add_argument(
        "--data",
        metavar="INDEX",
        required=default is None,
        help=text if default is None else f"{text} (default: {default})",
    )


def add_split(parser: Parser) -> None:
    """Add --split."""
    parser.add_argument("--split", choices=SPLITS, help="only this split (default: all)")


def add_out(parser: Parser, text: str, **settings) -> None:
    """Add --out, a folder."""
    parser.add_argument("--out", metavar="DIR", help=text, **settings)


def add_quiet(parser: Parser) -> None:
    """Add --quiet."""
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_index_options(parser: Parser, *, taxonomy: str | None) -> None:
    """Add the options shared by commands that make an index."""
    parser.add_argument(
        "--taxonomy",
        default=taxonomy,
        metavar="NAME",
        help="packaged name or CSV; the images with a gesture of it are counted (default: "
        f"{taxonomy or 'none'})",
    )
    add_out_of_index(parser)
    add_quiet(parser)


def add_out_of_index(parser: Parser) -> None:
    """Add --out of an index."""
    add_out(parser, "folder of the index (default: ROOT/index)", type=Path)


def add_device(parser: Parser) -> None:
    """Add --device."""
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:0 … (default: auto, which is cuda if available)",
    )


def add_seed(parser: Parser) -> None:
    """Add --seed of a run with a config."""
    parser.add_argument(
        "--seed", type=int, metavar="N", help="random seed (default: the config's, else 0)"
    )


def add_resume(parser: Parser) -> None:
    """Add --resume."""
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint of --out"
    )


def add_overrides(parser: Parser, examples: str) -> None:
    """Add changes of the form section.key=value."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help=f"set a key of the config, for example {examples}",
    )
