"""The command `gesture-pretrain pretrain` as a script of the checkout."""

import sys

from gesture_pretrain.commands.main import COMMANDS, run_commands

if __name__ == "__main__":
    sys.exit(run_commands(sys.argv[1:], {"": COMMANDS["pretrain"]}, "pretrain_backbone.py"))
