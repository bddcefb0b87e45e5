"""The command `gesture-pretrain doctor` as a script that runs before anything is installed."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from gesture_pretrain.commands.main import COMMANDS, run_commands

    sys.exit(run_commands(sys.argv[1:], {"": COMMANDS["doctor"]}, "doctor.py"))
