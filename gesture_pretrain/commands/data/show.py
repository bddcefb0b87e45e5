"""Draw joints and boxes on some images.

    %(prog)s --data INDEX --out joints.png --split test --count 20

The drawing shows whether the joints lie on the hands.
"""

import argparse
from pathlib import Path

from gesture_pretrain.commands.options import add_data, add_number, add_split
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.splits.select import spread
from gesture_pretrain.files import write_bytes_atomically


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_data(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="PNG to write")
    add_split(parser)
    add_number(parser, "--count", 12, "images", least=1)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    # draws with matplotlib; the other subcommands do without
    from gesture_pretrain.report.annotated_images import annotated_images

    if arguments.out.suffix.lower() != ".png":
        raise DataError(f"--out {arguments.out}: the image is a PNG; give a name ending in .png")
    index = HandIndex.open(arguments.data)
    rows = index.select(arguments.split)
    if not len(rows):
        raise DataError(f"{arguments.data} has no image of split {arguments.split}")
    shown = spread(rows, arguments.count)
    image = annotated_images(index, shown, title=index.meta["data_name"])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(arguments.out, image)
    print(f"image: {arguments.out}")
    return 0
