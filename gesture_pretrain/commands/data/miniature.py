"""Write a small rendered dataset with the shape of the InterHand2.6M release, and index it.

    %(prog)s --out INTERHAND

It serves to try commands and configs before the real data are downloaded. Nothing can be learned
from it.
"""

import argparse
from pathlib import Path

from gesture_pretrain.commands.data.index_summary import report_index
from gesture_pretrain.commands.options import add_number, add_quiet
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.taxonomy import Taxonomy


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder to make")
    add_number(parser, "--gestures", 3, "gestures per hand, 1 to 8")
    add_number(parser, "--frames", 6, "frames per recording")
    add_number(parser, "--cameras", 3, "cameras per capture, 3 to 8")
    add_number(parser, "--size", 128, "longer side of the images, px", metavar="PX")
    add_number(parser, "--seed", 0, "random seed")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    # renders through torch; the other subcommands do without
    from gesture_pretrain.synthetic.miniature import write_miniature

    root = write_miniature(
        arguments.out,
        gestures=arguments.gestures,
        frames=arguments.frames,
        cameras=arguments.cameras,
        long_side_px=arguments.size,
        seed=arguments.seed,
    )
    index = build_interhand_index(root, progress=not arguments.quiet)
    return report_index(index, Taxonomy.load("interhand26m"))
