"""Options that several commands share."""

import argparse

Parser = argparse.ArgumentParser | argparse._ArgumentGroup


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


def add_data(parser: Parser) -> None:
    """Add a required --data."""
    parser.add_argument("--data", metavar="INDEX", required=True, help="index, or dataset with one")


def add_out(parser: Parser, text: str, **settings) -> None:
    """Add --out, a folder."""
    parser.add_argument("--out", metavar="DIR", help=text, **settings)


def add_overrides(parser: Parser, examples: str) -> None:
    """Add changes of the form section.key=value."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help=f"set a key of the config, for example {examples}",
    )
