"""Options shared by several commands."""

import argparse
from pathlib import Path

from gesture_pretrain.data.index.record import SPLITS


def add_number(
    parser,
    name: str,
    default: float,
    text: str,
    *,
    metavar: str = "N",
    least: float | None = None,
) -> None:
    """Add a numeric option whose type is that of its default; values below `least` are errors."""

    def number(text: str) -> float:
        value = type(default)(text)
        if least is not None and not value >= least:
            raise argparse.ArgumentTypeError(f"{text} is not at least {least}")
        return value

    number.__name__ = type(default).__name__  # argparse names it where the text is no number
    parser.add_argument(
        name,
        type=number,
        default=default,
        metavar=metavar,
        help=f"{text} (default: {default})",
    )


def positive_number(text: str) -> int:
    """Parse a whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add --data."""
    parser.add_argument(
        "--data", metavar="INDEX", type=Path, required=True, help="index, or dataset with one"
    )


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add --split."""
    parser.add_argument("--split", choices=SPLITS, help="only this split (default: all)")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add --quiet."""
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_index_options(parser: argparse.ArgumentParser, *, taxonomy: str | None) -> None:
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


def add_out_of_index(parser: argparse.ArgumentParser) -> None:
    """Add --out of an index."""
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the index (default: ROOT/index)"
    )
