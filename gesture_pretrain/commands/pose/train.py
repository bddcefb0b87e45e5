"""Train a pose network (token fusion, EANet, …) on top of a backbone.

    %(prog)s eanet_hrnet_w32_interhand --data data/interhand26m --backbone NAME
    %(prog)s CONFIG --data INDEX --predict test --out DIR schedule.iterations=2000
    %(prog)s token_fusion_lite0_synthetic --data INDEX --init token_fusion_lite0
    %(prog)s DIR/config.py --out DIR --resume

CONFIG is the name of a shipped config or the path of a file. The run folder gets `config.py`
(resolved), `run.json` (commit, versions, command), `ledger.json` (every tensor of the swap),
`metrics.jsonl`, `tensorboard/`, `checkpoints/` and `log/`. At the end the network is stored in
`model/`, and `--predict SPLIT` writes `predictions_SPLIT.npz`, which `pose evaluate` scores. To use
several GPUs, start `tools/train.py` with torchrun.

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
from gesture_pretrain.data.index.record import SPLITS

RESUMABLE = True
EXISTS_HINT = "See --resume and --out."
EXAMPLES = "optimizer.lr=3e-4 model.guidance=none data.fraction=0.05 backbone.frozen=true"
MANO_HINT = (
    "On this command line: --mano PATH, or, for data rendered with the bundled hand model, "
    "--mano open hand_model.tip_convention=smplx"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("config", help="name of a shipped config of configs/pose, or a file")
    run = parser.add_argument_group("run")
    add_data(run, "the config's")
    run.add_argument(
        "--backbone",
        metavar="NAME",
        help="name or path of weights (default: the config's)",
    )
    run.add_argument(
        "--init",
        metavar="MODEL",
        help="stored pose network to continue: a folder, or a released name such as "
        "token_fusion_lite0 (default: none)",
    )
    run.add_argument(
        "--mano",
        metavar="PATH",
        help="MANO file or folder, or 'open' for the bundled hand model (default: the config's "
        "hand_model.path, else $MANO_DIR)",
    )
    add_seed(run)
    add_device(run)
    results = parser.add_argument_group("results")
    add_out(results, "run folder (default: runs/<name>)")
    results.add_argument(
        "--name", metavar="TAG", help="name of the run (default: the config's tag, else its name)"
    )
    add_resume(results)
    results.add_argument(
        "--predict",
        action="append",
        choices=SPLITS,
        default=[],
        metavar="SPLIT",
        help="predict a split after training; may be repeated (default: none)",
    )
    results.add_argument(
        "--box-source",
        metavar="SOURCE",
        help="boxes that --predict crops to: 'rootnet' for detected ones (default: those of "
        "training)",
    )
    add_overrides(parser, EXAMPLES)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from adapters.pose.stage import train

    if options.box_source is not None and not options.predict:
        raise ValueError("--box-source concerns predictions. Add --predict SPLIT.")
    train(**vars(options))
