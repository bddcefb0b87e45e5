"""Make or index a data set, and look after it.

    python tools/prepare_data.py synthetic --root DATA            render the embedded data set
    python tools/prepare_data.py interhand --root INTERHAND       index InterHand2.6M
    python tools/prepare_data.py folders --root PHOTOS            index class-per-folder photographs
    python tools/prepare_data.py miniature --out DIR              render a miniature of that
    python tools/prepare_data.py verify --data INDEX              decode every image
    python tools/prepare_data.py show --data INDEX --out FILE.png draw joints and boxes on images
    python tools/prepare_data.py shards --data INDEX --out DIR --size 256   decode once, for speed
    python tools/prepare_data.py shards --data INDEX --out DIR --size 256 --target eanet   for EANet

The first four end with an index (ROOT/index unless --out says otherwise). Every tool takes it, or
the folder it lies in, as --data. COMMAND --help lists the options of a command.
"""

import argparse
import sys

from data_commands import folders, interhand, miniature, shards, show, synthetic, verify

from gesture_pretrain.data.index.errors import DataError

COMMANDS = {
    "synthetic": (synthetic, "render the embedded data set"),
    "interhand": (interhand, "index InterHand2.6M"),
    "folders": (folders, "index class-per-folder photographs"),
    "miniature": (miniature, "render a miniature with the shape of InterHand2.6M"),
    "verify": (verify, "find missing, broken and black images"),
    "shards": (shards, "decode all pictures once, for faster loading"),
    "show": (show, "draw the annotation on some images"),
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (command, text) in COMMANDS.items():
        own = commands.add_parser(name, help=text, description=command.__doc__)
        command.add_options(own)
        own.set_defaults(run=command.run)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
