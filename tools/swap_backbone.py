"""The commands `gesture-pretrain swap` and, with --export PATH, `export` as a script."""

import sys

from gesture_pretrain.commands.main import COMMANDS, run_commands

if __name__ == "__main__":
    exports = any(word.partition("=")[0] == "--export" for word in sys.argv[1:])
    command = COMMANDS["export" if exports else "swap"]
    sys.exit(run_commands(sys.argv[1:], {"": command}, "swap_backbone.py"))
