"""Index InterHand2.6M: a release in its folder, or one split by its files."""

import argparse
from pathlib import Path

from gesture_pretrain.commands.data.index_summary import load_taxonomy, report_index
from gesture_pretrain.commands.data.options import add_index_options
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.data.interhand.build import build_index_from_files, build_interhand_index
from gesture_pretrain.data.interhand.files import SUBSETS, AnnotationFiles
from gesture_pretrain.data.interhand.published_counts import RELEASES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
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
    parser.add_argument(
        "--name", help="name of a dataset of your own in this layout (default: InterHand2.6M)"
    )
    parser.add_argument(
        "--licence",
        metavar="TEXT",
        help="licence of that dataset, for the cards of trained weights (default: with "
        "--name 'not stated')",
    )
    parser.add_argument(
        "--drop-invalid",
        action="store_true",
        help="leave out images with invalid annotations (default: stop and name them)",
    )
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
    add_index_options(parser, taxonomy="interhand26m")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    _check_combination(arguments)
    taxonomy = load_taxonomy(arguments.taxonomy)
    common = {
        "progress": not arguments.quiet,
        "expect_release": arguments.expect_release,
        "data_name": arguments.name,
        "licence": arguments.licence,
        "on_invalid": "drop" if arguments.drop_invalid else "error",
    }
    if arguments.data_json is not None:
        out = build_index_from_files(
            [_named_files(arguments)],
            arguments.root or arguments.images,
            arguments.out,
            **common,
        )
    else:
        if arguments.root is None:
            raise DataError("give --root ROOT, or one split by its files (see --help)")
        out = build_interhand_index(
            arguments.root,
            arguments.out,
            arguments.splits,
            subset=arguments.subset,
            annotations=arguments.annotations,
            images=arguments.images,
            **common,
        )
    return report_index(out, taxonomy)


def _check_combination(arguments: argparse.Namespace) -> None:
    """Raise for options that the other way of naming the data would silently ignore."""
    ways = {
        "a dataset in its folder": ("splits", "subset", "annotations"),
        "one split by its files": ("split", "camera_json", "joints_json", "mano_json"),
    }
    by_files = arguments.data_json is not None
    way = "a dataset in its folder" if by_files else "one split by its files"
    given = [name for name in ways[way] if getattr(arguments, name) is not None]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        instead = "--split names the split" if by_files else "--splits chooses splits of --root"
        raise DataError(
            f"{names}: only for {way}, {'without' if by_files else 'with'} --data-json; {instead}"
        )
    if arguments.images is not None and not arguments.images.is_dir():
        raise DataError(f"--images: {arguments.images} is not a folder")


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
