"""Decode all pictures once, for faster loading."""

import argparse
from pathlib import Path

import numpy as np

from gesture_pretrain.commands.data.options import add_data, add_number, add_quiet
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.data.shards.card import ShardSettings
from gesture_pretrain.data.shards.shards import ShardPlan, write_shards

_BOX_RATIO = 1.25


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    limits = Augmentation()
    add_data(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="folder of the shards"
    )
    text = "side of the crops, px: the config's backbone.size_px"
    add_number(parser, "--size", 256, text, metavar="PX", least=1)
    parser.add_argument(
        "--target",
        metavar="NAME",
        help="pose network with crops of its own, as eanet; none for pretraining and token fusion",
    )
    text = "side of the crop over the longer side of a box, as in training; without --target"
    add_number(parser, "--box-ratio", _BOX_RATIO, text, metavar="RATIO", least=1.0)
    parser.add_argument(
        "--box-source",
        metavar="NAME",
        help="where the boxes come from: annotation or rootnet, the config's data.box_source "
        "(default: annotation); with --target eanet: joints, joints_upstream (of two hands, as "
        "EANet's quirk has them) or rootnet (default: joints)",
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
    add_number(parser, "--workers", 2, "decoding threads", least=1)
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    index = HandIndex.open(arguments.data)
    single = {"single_hand_only": arguments.single_hand_only}
    parts = [index.select(split, **single) for split in arguments.splits or [None]]
    try:
        plan = _plan(arguments, index, np.concatenate(parts))
        out = write_shards(
            index,
            plan.rows,
            arguments.out,
            plan.settings,
            boxes=plan.boxes,
            workers=arguments.workers,
            progress=not arguments.quiet,
        )
    except ValueError as error:  # a limit out of range, or an index without such boxes
        raise DataError(str(error)) from None
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"shards: {out} ({len(plan.rows):,} images, {size / 1e9:.2f} GB)")
    return 0


def _plan(arguments: argparse.Namespace, index: HandIndex, rows: np.ndarray) -> ShardPlan:
    names = ("scale", "rotation_deg", "translation")
    limits = Augmentation(**{name: getattr(arguments, name) for name in names})
    if arguments.target is not None:
        return _plan_of_target(arguments, index, rows, limits)
    box_source = arguments.box_source or "annotation"
    settings = ShardSettings(arguments.size, arguments.box_ratio, box_source, limits)
    return ShardPlan(rows, settings)


def _plan_of_target(
    arguments: argparse.Namespace, index: HandIndex, rows: np.ndarray, limits: Augmentation
) -> ShardPlan:
    from adapters.targets import UnknownTarget, find_pose_target  # torch and timm: seconds

    name = arguments.target
    try:
        target = find_pose_target(name)
    except (UnknownTarget, ImportError, TypeError) as error:
        raise DataError(str(error)) from None
    if target.shard_plan is None:
        raise DataError(
            f"target {name!r} has no crops of its own: token fusion reads what is made without "
            "--target, and a target of another package says whether it reads shards."
        )
    if arguments.box_ratio != _BOX_RATIO:
        raise DataError(f"--box-ratio is not an option of target {name!r}; leave it out")
    plan = target.shard_plan(
        index, rows, arguments.size, box_source=arguments.box_source, limits=limits
    )
    if plan.note:
        print(plan.note)
    if not len(plan.rows):
        raise DataError(f"nothing to store: target {name!r} uses none of these images")
    return plan
