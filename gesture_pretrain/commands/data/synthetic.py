"""Render the embedded dataset and index it.

    %(prog)s --root data/synthetic
    %(prog)s --root data/small --train 400 --val 80 --test 80 --size 128
    %(prog)s --root data/takes --edition 2 --backgrounds PHOTOS

docs/embedded_dataset.md describes the dataset and its two editions.
"""

import argparse
from pathlib import Path

from gesture_pretrain.commands.data.index_summary import report_index
from gesture_pretrain.commands.options import add_number, add_out_of_index, add_quiet
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.synthetic.background import PACKAGE_PHOTOGRAPHS as PACKAGES
from gesture_pretrain.synthetic.plan import CONTINUOUS, FRAMES_PER_TAKE
from gesture_pretrain.taxonomy import Taxonomy


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--root", type=Path, required=True, help="folder to make")
    for split, images, persons in (("train", 8640, 24), ("val", 1440, 6), ("test", 1440, 6)):
        add_number(parser, f"--{split}", images, f"images of {split}; 0 leaves it out", least=0)
        add_number(parser, f"--{split}-subjects", persons, f"persons of {split}")
    add_number(parser, "--size", 256, "side of the square images, px", metavar="PX")
    add_number(parser, "--cameras", 4, "views per frame", least=1)
    parser.add_argument(
        "--view-limit",
        type=float,
        metavar="DEG",
        help="largest angle between the view and the normal of palm or back, 15 to 90 degrees "
        "(default: no limit)",
    )
    parser.add_argument(
        "--roll-limit",
        type=float,
        metavar="DEG",
        help="largest angle between the fingers and upright, degrees (default: 45 with "
        "--view-limit, else no limit)",
    )
    sides = ("both", "palm", "back")
    parser.add_argument(
        "--view-side", choices=sides, default="both", help="visible side (default: both)"
    )
    add_number(parser, "--grey-cameras", 0, "monochrome cameras of each person", least=0)
    parser.add_argument(
        "--gestures", nargs="+", metavar="NAME", help="only these gestures (default: all 90)"
    )
    _add_second_edition(parser)
    add_number(parser, "--seed", 0, "random seed")
    add_number(parser, "--workers", 2, "processes", least=1)
    add_out_of_index(parser)
    add_quiet(parser)


def _add_second_edition(parser: argparse.ArgumentParser) -> None:
    """Add the edition, and the options of edition 2."""
    parser.add_argument(
        "--edition",
        type=int,
        choices=(1, 2),
        default=1,
        help="1: bare hands, one gesture per frame; 2: takes in varied surroundings, see "
        "docs/embedded_dataset.md. The following options need 2 (default: 1)",
    )
    for split in SPLITS:
        text = f"fraction of the takes of {split} without a gesture"
        add_number(parser, f"--{split}-continuous", CONTINUOUS, text, metavar="F", least=0)
    add_number(parser, "--frames-per-take", FRAMES_PER_TAKE, "frames of a take", least=1)
    parser.add_argument(
        "--steady", action="store_true", help="keep scene, light and cameras during a take"
    )
    parser.add_argument(
        "--backgrounds", type=Path, metavar="FOLDER", help="photographs to put behind the hands"
    )
    parser.add_argument(
        "--package-backgrounds",
        nargs="+",
        choices=PACKAGES,
        default=[],
        help="also use the photographs of these installed packages",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    # renders through torch; the other subcommands do without
    from gesture_pretrain.synthetic.build import write_synthetic

    per_split = {split: getattr(arguments, split) for split in SPLITS}
    per_split = {split: count for split, count in per_split.items() if count > 0}
    root = write_synthetic(
        arguments.root,
        images_per_split=per_split,
        size_px=arguments.size,
        cameras_per_frame=arguments.cameras,
        view_limit_deg=arguments.view_limit,
        roll_limit_deg=arguments.roll_limit,
        view_side=arguments.view_side,
        grey_cameras=arguments.grey_cameras,
        subjects={split: getattr(arguments, f"{split}_subjects") for split in per_split},
        seed=arguments.seed,
        workers=arguments.workers,
        gestures=arguments.gestures,
        edition=arguments.edition,
        continuous={split: getattr(arguments, f"{split}_continuous") for split in SPLITS},
        frames_per_take=arguments.frames_per_take,
        steady=arguments.steady,
        backgrounds=arguments.backgrounds,
        package_backgrounds=arguments.package_backgrounds,
        progress=not arguments.quiet,
    )
    out = build_interhand_index(root, arguments.out, progress=not arguments.quiet)
    return report_index(out, Taxonomy.load("interhand26m"))
