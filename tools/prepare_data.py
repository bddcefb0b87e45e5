"""The commands `gesture-pretrain data …` as a script of the checkout."""

import sys

from gesture_pretrain.commands.main import COMMANDS, run_commands

if __name__ == "__main__":
    commands = {n.removeprefix("data "): c for n, c in COMMANDS.items() if n.startswith("data ")}
    sys.exit(run_commands(sys.argv[1:], commands, "prepare_data.py"))
