"""Make or index a data set, and look after it.

    python tools/prepare_data.py synthetic --root DATA            render the embedded data set
    python tools/prepare_data.py interhand --root INTERHAND       index InterHand2.6M
    python tools/prepare_data.py folders --root PHOTOS            index class-per-folder photographs
    python tools/prepare_data.py verify --data INDEX              decode every image
    python tools/prepare_data.py show --data INDEX --out FILE.png draw joints and boxes on images
    python tools/prepare_data.py shards --data INDEX --out DIR --size 256   decode once, for speed

The first three end with an index (ROOT/index unless --out says otherwise). Every tool takes it, or
the folder it lies in, as --data. COMMAND --help lists the options of a command.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from gesture_pretrain.data.annotation_files import SUBSETS, AnnotationFiles
from gesture_pretrain.data.errors import DataError
from gesture_pretrain.data.folders import build_folder_index
from gesture_pretrain.data.hand_annotations import BOX_SOURCES
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.index_report import describe_index
from gesture_pretrain.data.interhand import build_index_from_files, build_interhand_index
from gesture_pretrain.data.published_counts import RELEASES
from gesture_pretrain.data.record import SPLITS
from gesture_pretrain.data.shards import ShardSettings, write_shards
from gesture_pretrain.data.transforms import Augmentation
from gesture_pretrain.data.verify import verify_index
from gesture_pretrain.taxonomy import Taxonomy


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_synthetic(commands.add_parser("synthetic", help="render the embedded data set"))
    _add_interhand(commands.add_parser("interhand", help="index InterHand2.6M"))
    _add_folders(commands.add_parser("folders", help="index class-per-folder photographs"))
    _add_verify(commands.add_parser("verify", help="find missing, broken and black images"))
    _add_shards(commands.add_parser("shards", help="decode all pictures once, for faster loading"))
    _add_show(commands.add_parser("show", help="draw the annotation on some images"))
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the index (default: ROOT/index)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_taxonomy(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--taxonomy",
        default=default,
        metavar="NAME",
        help="packaged name or CSV; the images with a gesture of it are counted (default: "
        f"{default or 'none'})",
    )


def _load_taxonomy(name: str | None) -> Taxonomy | None:
    """Asked before the work, so that a wrong name does not cost an index."""
    try:
        return None if name is None else Taxonomy.load(name)
    except (ValueError, FileNotFoundError) as error:
        raise DataError(str(error)) from None


def _report(index_folder: Path, taxonomy: Taxonomy | None = None) -> int:
    index = HandIndex.open(index_folder)
    print(describe_index(index))
    if taxonomy is not None:
        _report_gestures(index, taxonomy)
    print(f"\nindex: {index.path}")
    return 0


def _report_gestures(index: HandIndex, taxonomy: Taxonomy) -> None:
    print(f"\nimages with a gesture of the taxonomy {taxonomy.name}:")
    for split in index.meta["counts"]:
        of_split = len(index.select(split))
        labelled = len(index.select(split, labelled_by=taxonomy))
        print(f"  {split:5} {labelled:,} of {of_split:,}")


# --- synthetic ---------------------------------------------------------------------------------


def _add_synthetic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, required=True, help="folder to make")
    for split, count, persons in (("train", 8640, 24), ("val", 1440, 6), ("test", 1440, 6)):
        parser.add_argument(
            f"--{split}",
            type=int,
            metavar="N",
            default=count,
            help=f"images of {split} (default: {count})",
        )
        parser.add_argument(
            f"--{split}-subjects",
            type=int,
            metavar="N",
            help=f"persons of {split} (default: {persons})",
        )
    parser.add_argument(
        "--size",
        type=int,
        metavar="PX",
        default=256,
        help="side of the square images, px (default: 256)",
    )
    parser.add_argument(
        "--cameras", type=int, metavar="N", default=4, help="views per frame (default: 4)"
    )
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
    parser.add_argument(
        "--view-side",
        choices=["both", "palm", "back"],
        default="both",
        help="what --view-limit looks at (default: both)",
    )
    parser.add_argument(
        "--grey-cameras",
        type=int,
        metavar="N",
        default=0,
        help="monochrome cameras of each person (default: 0)",
    )
    parser.add_argument(
        "--gestures", nargs="+", metavar="NAME", help="only these gestures (default: all 90)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        default=0,
        help="of everything that is drawn at random (default: 0)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", default=2, help="processes (default: 2)"
    )
    _add_common(parser)
    parser.set_defaults(run=_run_synthetic)


def _run_synthetic(arguments: argparse.Namespace) -> int:
    # renders through torch; the other subcommands do without
    from gesture_pretrain.data.synthetic import write_synthetic

    per_split = {split: getattr(arguments, split) for split in SPLITS}
    per_split = {split: count for split, count in per_split.items() if count > 0}
    subjects = {split: getattr(arguments, f"{split}_subjects") for split in per_split}
    options = dict(
        images_per_split=per_split,
        size_px=arguments.size,
        cameras_per_frame=arguments.cameras,
        view_limit_deg=arguments.view_limit,
        roll_limit_deg=arguments.roll_limit,
        view_side=arguments.view_side,
        grey_cameras=arguments.grey_cameras,
        subjects={split: count for split, count in subjects.items() if count is not None},
        seed=arguments.seed,
        workers=arguments.workers,
        gestures=arguments.gestures,
        progress=not arguments.quiet,
    )
    try:
        root = write_synthetic(arguments.root, **options)
    except (ValueError, RuntimeError) as error:  # out of range, or limits no camera can meet
        raise DataError(str(error)) from None
    out = build_interhand_index(root, arguments.out, progress=not arguments.quiet)
    return _report(out, Taxonomy.load("interhand26m"))


# --- interhand ---------------------------------------------------------------------------------


def _add_interhand(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="folder with 'annotations' and 'images'")
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, help="splits to index (default: all there are)"
    )
    parser.add_argument(
        "--subset", choices=SUBSETS, help="subset of the v0.0 layout (default: all)"
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="DIR",
        help="folder of the annotations (default: ROOT/annotations)",
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder above the splits (default: ROOT/images)"
    )
    parser.add_argument(
        "--expect-release",
        choices=RELEASES,
        help="refuse any other release, known by its counts (default: accept any)",
    )
    _add_taxonomy(parser, default="interhand26m")
    single = parser.add_argument_group(
        "one split by its files", "instead of --root; --images is then the folder of its images"
    )
    single.add_argument("--split", choices=SPLITS, help="the split that the files are of")
    for kind, content in (
        ("data", "images and annotations"),
        ("camera", "camera parameters"),
        ("joints", "3D joints"),
        ("mano", "MANO fits; may be left out"),
    ):
        single.add_argument(f"--{kind}-json", type=Path, metavar="FILE", help=content)
    _add_common(parser)
    parser.set_defaults(run=_run_interhand)


def _run_interhand(arguments: argparse.Namespace) -> int:
    progress, taxonomy = not arguments.quiet, _load_taxonomy(arguments.taxonomy)
    if arguments.data_json is not None:
        out = build_index_from_files(
            [_named_files(arguments)],
            arguments.root or arguments.images,
            arguments.out,
            progress=progress,
            expect_release=arguments.expect_release,
        )
    else:
        if arguments.root is None:
            raise DataError("give --root ROOT, or one split by its files (see --help)")
        out = build_interhand_index(
            arguments.root,
            arguments.out,
            arguments.splits,
            progress,
            subset=arguments.subset,
            annotations=arguments.annotations,
            images=arguments.images,
            expect_release=arguments.expect_release,
        )
    return _report(out, taxonomy)


def _named_files(arguments: argparse.Namespace) -> AnnotationFiles:
    names = ("split", "data_json", "camera_json", "joints_json", "images")
    lacking = [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name) is None]
    if lacking:
        raise DataError(f"one split by its files also needs {', '.join(lacking)}")
    return AnnotationFiles(
        arguments.split,
        arguments.images,
        arguments.data_json,
        arguments.camera_json,
        arguments.joints_json,
        arguments.mano_json,
    )


# --- folders -----------------------------------------------------------------------------------


def _add_folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, required=True, help="[SPLIT/]<class>/<image> below it")
    parser.add_argument("--name", help="name of the data set (default: the folder's)")
    parser.add_argument(
        "--licence",
        metavar="TEXT",
        default="not stated",
        help="of the photographs, for the index (default: 'not stated')",
    )
    parser.add_argument("--skip-unreadable", action="store_true", help="leave broken files out")
    _add_taxonomy(parser, default=None)
    _add_common(parser)
    parser.set_defaults(run=_run_folders)


def _run_folders(arguments: argparse.Namespace) -> int:
    taxonomy = _load_taxonomy(arguments.taxonomy)
    out = build_folder_index(
        arguments.root,
        arguments.out,
        data_name=arguments.name,
        licence=arguments.licence,
        skip_unreadable=arguments.skip_unreadable,
        progress=not arguments.quiet,
    )
    return _report(out, taxonomy)


# --- verify ------------------------------------------------------------------------------------


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="INDEX", type=Path, required=True, help="index, or data set with one"
    )
    parser.add_argument("--split", choices=SPLITS, help="only this split (default: all)")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write all findings here, as JSON"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", default=4, help="decoding threads (default: 4)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_run_verify)


def _run_verify(arguments: argparse.Namespace) -> int:
    index = HandIndex.open(arguments.data)
    report = verify_index(
        index,
        index.select(arguments.split),
        workers=arguments.workers,
        progress=not arguments.quiet,
    )
    print(report.describe())
    if arguments.report is not None:
        arguments.report.write_text(report.to_json(), encoding="utf-8")
        print(f"report: {arguments.report}")
    return 0 if report.ok else 1


# --- shards ------------------------------------------------------------------------------------


def _add_shards(parser: argparse.ArgumentParser) -> None:
    limits = Augmentation()
    parser.add_argument(
        "--data", metavar="INDEX", type=Path, required=True, help="index, or data set with one"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="folder of the shards"
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="PX",
        default=256,
        help="side of the crops, px: the config's backbone.size_px (default: 256)",
    )
    parser.add_argument(
        "--box-ratio",
        type=float,
        default=1.25,
        help="side of the crop over the longer side of a box (default: 1.25, as in training)",
    )
    parser.add_argument(
        "--box-source",
        choices=BOX_SOURCES,
        default="annotation",
        help="where the boxes come from: the config's data.box_source (default: annotation)",
    )
    for name, what in (
        ("scale", "scale the crop, as a share of its side"),
        ("rotation_deg", "turn the crop, degrees"),
        ("translation", "shift the crop, as a share of its side"),
    ):
        value = getattr(limits, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=float,
            default=value,
            help=f"most that the augmentation may {what} (default: {value})",
        )
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, help="splits to store (default: all there are)"
    )
    parser.add_argument(
        "--single-hand-only", action="store_true", help="leave out images of two hands"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", default=2, help="decoding threads (default: 2)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_run_shards)


def _run_shards(arguments: argparse.Namespace) -> int:
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


# --- show --------------------------------------------------------------------------------------


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="INDEX", type=Path, required=True, help="index, or data set with one"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="PNG to write")
    parser.add_argument("--split", choices=SPLITS, help="only this split (default: all)")
    parser.add_argument("--count", type=int, metavar="N", default=12, help="images (default: 12)")
    parser.set_defaults(run=_run_show)


def _run_show(arguments: argparse.Namespace) -> int:
    # draws with matplotlib; the other subcommands do without
    from gesture_pretrain.report.annotated_images import annotated_images

    index = HandIndex.open(arguments.data)
    rows = index.select(arguments.split)
    if not len(rows):
        raise DataError(f"{arguments.data} has no image of split {arguments.split}")
    spread = rows[:: max(1, len(rows) // arguments.count)][: arguments.count]
    picture = annotated_images(index, spread, title=index.meta["data_name"])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_bytes(picture)
    print(f"picture: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
