"""Decode all images once, for faster loading.

    %(prog)s --data INDEX --out SHARDS

Training reads them with `data.shards=SHARDS`.
"""

import argparse
from pathlib import Path

import numpy as np

from gesture_pretrain.commands.options import add_data, add_number, add_quiet
from gesture_pretrain.data.images import write_shards
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import SPLITS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_data(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="folder of the shards"
    )
    text = "side of the largest crops to train on, px: the config's backbone.size_px"
    add_number(parser, "--size", 256, text, metavar="PX", least=1)
    text = "side of the stored region over the longer side of the annotated box"
    add_number(parser, "--ratio", 3.0, text, metavar="RATIO", least=1.0)
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, help="splits to store (default: all there are)"
    )
    parser.add_argument(
        "--single-hand-only", action="store_true", help="leave out images of two hands"
    )
    add_number(parser, "--workers", 2, "decoding threads", least=1)
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    index = HandIndex.open(arguments.data)
    single = {"single_hand_only": arguments.single_hand_only}
    rows = np.concatenate([index.select(s, **single) for s in arguments.splits or [None]])
    out = write_shards(
        index,
        rows,
        arguments.out,
        size_px=arguments.size,
        ratio=arguments.ratio,
        workers=arguments.workers,
        progress=not arguments.quiet,
    )
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"shards: {out} ({len(rows):,} images, {size / 1e9:.2f} GB)")
    return 0
