"""Index InterHand2.6M, or a dataset in its layout.

    %(prog)s --root INTERHAND
    %(prog)s --root MY_POSES --name "my poses" --licence CC-BY-4.0

Every `--data INTERHAND` finds the index, which is written to `INTERHAND/index`.
"""

import argparse
from pathlib import Path

from gesture_pretrain.commands.data.index_summary import load_taxonomy, report_index
from gesture_pretrain.commands.options import add_index_options
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.interhand.files import SUBSETS
from gesture_pretrain.data.interhand.published_counts import RELEASES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--root", type=Path, required=True, help="folder with 'annotations' and 'images'"
    )
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
        "--images",
        type=Path,
        metavar="DIR",
        help="folder with a folder of images per split (default: ROOT/images)",
    )
    parser.add_argument(
        "--expect-release",
        choices=RELEASES,
        help="stop unless the numbers of images are those of this release (default: accept any)",
    )
    parser.add_argument(
        "--name", help="name of a dataset of your own in this layout (default: InterHand2.6M)"
    )
    parser.add_argument(
        "--licence",
        metavar="TEXT",
        help="licence of the dataset of --name, for the cards of trained weights (default: not "
        "stated)",
    )
    parser.add_argument(
        "--drop-invalid",
        action="store_true",
        help="leave out images with invalid annotations (default: stop and name them)",
    )
    add_index_options(parser, taxonomy="interhand26m")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    taxonomy = load_taxonomy(arguments.taxonomy)
    out = build_interhand_index(
        arguments.root,
        arguments.out,
        arguments.splits,
        progress=not arguments.quiet,
        subset=arguments.subset,
        annotations=arguments.annotations,
        images=arguments.images,
        expect_release=arguments.expect_release,
        data_name=arguments.name,
        licence=arguments.licence,
        on_invalid="drop" if arguments.drop_invalid else "error",
    )
    return report_index(out, taxonomy)
