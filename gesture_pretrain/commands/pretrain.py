"""Pretrain a backbone on gesture labels and register its weights.

    %(prog)s hrnet_w32_interhand --data data/interhand26m
    %(prog)s CONFIG --data INDEX --out DIR --name TAG optimizer.lr=3e-4 schedule.epochs=2
    %(prog)s CONFIG --out DIR --resume

CONFIG is the name of a shipped config or the path of a file. The run folder gets `config.py`
(resolved), `run.json` (commit, versions, command), `metrics.jsonl`, `tensorboard/`, `checkpoints/`
and `log/`. At the end the weights are registered as `<architecture>.<tag>`. To use several GPUs,
start `tools/pretrain_backbone.py` with torchrun.

Exit status: 0 done, 1 wrong input, 3 stopped early and resumable, 130 interrupted.
"""

import argparse

from gesture_pretrain.commands.options import (
    add_data,
    add_device,
    add_out,
    add_overrides,
    add_resume,
    add_seed,
)

RESUMABLE = True
EXISTS_HINT = "See --name, --overwrite, --resume and --out."
EXAMPLES = "optimizer.lr=3e-4 data.label_variant=shuffled schedule.epochs=2"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("config", help="name of a shipped config of configs/pretrain, or a file")
    run = parser.add_argument_group("run")
    add_data(run, "the config's")
    run.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="random, imagenet, timm, a file of weights, or a registered backbone by name "
        "(<architecture>.<tag>) or folder (default: the config's)",
    )
    add_seed(run)
    add_device(run)
    results = parser.add_argument_group("results")
    add_out(results, "run folder (default: runs/<config>_<tag>)")
    results.add_argument(
        "--name",
        metavar="TAG",
        help="register the weights as <architecture>.TAG (default: the config's tag, else the "
        "name of its file)",
    )
    add_resume(results)
    results.add_argument(
        "--overwrite", action="store_true", help="replace registered weights of the same name"
    )
    add_overrides(parser, EXAMPLES)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from gesture_pretrain.pretraining.stage import pretrain

    pretrain(**vars(options))
