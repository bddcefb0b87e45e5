"""Index photographs that are sorted into one folder per class.

    %(prog)s --root PHOTOS
    %(prog)s --root PHOTOS --taxonomy signs.csv --licence CC-BY-4.0

Folders train, val and test above the class folders define the splits. Without them, all images are
training images.
"""

import argparse
from pathlib import Path

from gesture_pretrain.commands.data.index_summary import load_taxonomy, report_index
from gesture_pretrain.commands.options import add_index_options
from gesture_pretrain.data.folders import build_folder_index


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--root", type=Path, required=True, help="[SPLIT/]<class>/<image> below it")
    parser.add_argument("--name", help="name of the dataset (default: the folder's)")
    parser.add_argument(
        "--licence",
        metavar="TEXT",
        default="not stated",
        help="licence of the photographs, for the index (default: 'not stated')",
    )
    parser.add_argument("--skip-unreadable", action="store_true", help="leave broken files out")
    add_index_options(parser, taxonomy=None)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    taxonomy = load_taxonomy(arguments.taxonomy)
    out = build_folder_index(
        arguments.root,
        arguments.out,
        data_name=arguments.name,
        licence=arguments.licence,
        skip_unreadable=arguments.skip_unreadable,
        progress=not arguments.quiet,
    )
    return report_index(out, taxonomy)
