"""Decode all pictures once, for faster loading."""

import argparse
from pathlib import Path

import numpy as np

from data_commands.options import add_data, add_number, add_quiet
from gesture_pretrain.data.errors import DataError
from gesture_pretrain.data.hand_annotations import BOX_SOURCES
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.record import SPLITS
from gesture_pretrain.data.shard_card import ShardSettings
from gesture_pretrain.data.shards import write_shards
from gesture_pretrain.data.transforms import Augmentation


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    limits = Augmentation()
    add_data(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="folder of the shards"
    )
    text = "side of the crops, px: the config's backbone.size_px"
    add_number(parser, "--size", 256, text, metavar="PX")
    text = "side of the crop over the longer side of a box, as in training"
    add_number(parser, "--box-ratio", 1.25, text, metavar="RATIO")
    parser.add_argument(
        "--box-source",
        choices=BOX_SOURCES,
        default="annotation",
        help="where the boxes come from: the config's data.box_source (default: annotation)",
    )
    most = "most that the augmentation may"
    share = {"metavar": "SHARE"}
    add_number(
        parser, "--scale", limits.scale, f"{most} scale the crop, share of its side", **share
    )
    text = f"{most} turn the crop, degrees"
    add_number(parser, "--rotation-deg", limits.rotation_deg, text, metavar="DEG")
    text = f"{most} shift the crop, share of its side"
    add_number(parser, "--translation", limits.translation, text, **share)
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, help="splits to store (default: all there are)"
    )
    parser.add_argument(
        "--single-hand-only", action="store_true", help="leave out images of two hands"
    )
    add_number(parser, "--workers", 2, "decoding threads")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs it; returns the exit code."""
    index = HandIndex.open(arguments.data)
    single = {"single_hand_only": arguments.single_hand_only}
    parts = [index.select(split, **single) for split in arguments.splits or [None]]
    limits = {name: getattr(arguments, name) for name in ("scale", "rotation_deg", "translation")}
    try:
        settings = ShardSettings(
            arguments.size, arguments.box_ratio, arguments.box_source, Augmentation(**limits)
        )
        out = write_shards(
            index,
            np.concatenate(parts),
            arguments.out,
            settings,
            workers=arguments.workers,
            progress=not arguments.quiet,
        )
    except ValueError as error:  # a limit out of range, or an index without such boxes
        raise DataError(str(error)) from None
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"shards: {out} ({sum(map(len, parts)):,} images, {size / 1e9:.2f} GB)")
    return 0
