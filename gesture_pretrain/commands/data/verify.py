"""Decode every image of a dataset; name those that are missing, broken or black.

    %(prog)s --data INDEX --report findings.json

Exit status: 0 all images are sound, 1 some are not.
"""

import argparse
from pathlib import Path

from gesture_pretrain.commands.options import add_data, add_number, add_quiet, add_split
from gesture_pretrain.data.images.verify import verify_index
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.files import write_bytes_atomically


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_data(parser)
    add_split(parser)
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write all findings here, as JSON"
    )
    add_number(parser, "--workers", 4, "decoding threads")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    index = HandIndex.open(arguments.data)
    report = verify_index(
        index,
        index.select(arguments.split),
        workers=arguments.workers,
        progress=not arguments.quiet,
    )
    print(report.describe())
    if arguments.report is not None:
        write_bytes_atomically(arguments.report, report.to_json().encode())
        print(f"report: {arguments.report}")
    return 0 if report.ok else 1
