"""Put a registered backbone into another network, and compare it with baselines.

    %(prog)s --list
    %(prog)s --target eanet --backbone NAME
    %(prog)s --target eanet --backbone NAME --baseline random --data INDEX --size tiny \\
        --steps 1000 --out DIR [key=value …]

Without `--data` it prints the ledger (every tensor: matched, fresh, dropped by name). With `--data`
it runs a transfer study of one target: an arm for the backbone and one for each baseline, which
must share its architecture. Finished runs are never repeated, so the same command continues after
an interruption. The report is in `DIR/reports`. `export` writes files for other libraries. EANet's
own code takes a backbone through `adapters.eanet.eanet_checkout_backbone`.

Exit status: 0 done, 1 wrong input or a leak, 2 some runs failed, 3 stopped early and resumable,
130 interrupted.
"""

import argparse
from pathlib import Path

from adapters.targets import PoseTarget, describe_targets, find_pose_target
from gesture_pretrain.commands.options import add_overrides
from gesture_pretrain.commands.transfer import print_outcome
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS
from gesture_pretrain.weights.registry import list_backbones
from gesture_pretrain.weights.released import released_pose_networks

AFTER_INTERRUPTION = " The same command continues."
PLAN_KEYS = ("allowed_leaks", "diagnostics", "planning", "test")
MANO_HINT = (
    "On this command line: --mano PATH, or, for data rendered with the bundled hand model, "
    "--mano open hand_model.tip_convention=smplx"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--list", action="store_true", help="show the targets and the weights")
    parser.add_argument("--target", metavar="NAME", help="name of a target, see --list")
    parser.add_argument("--backbone", metavar="NAME", help="name or path of weights")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the ledger and write nothing, as without --data",
    )
    parser.add_argument(
        "--allow-projection",
        action="store_true",
        help="let a 1x1 convolution, named in every table, fit maps of other widths",
    )
    parser.add_argument("--size", help="preset of the target: full, tiny, … (default: full)")
    _add_training_arguments(parser.add_argument_group("training and comparing"))
    add_overrides(parser, "optimizer.lr=3e-4 data.fraction=0.05 model.width=128 test.images=500")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    if options.list:
        print(targets_and_weights())
        return 0
    if None in (options.target, options.backbone):
        raise ValueError("--target and --backbone are required; --list shows the targets.")
    target = find_pose_target(options.target)
    check_request(options)
    if options.data is None or options.dry_run:
        print(dry_run(target, options))
        return 0
    return compare(target, options)


def targets_and_weights() -> str:
    """List the targets, the backbones that have a name, and the released pose networks."""
    backbones, networks = list_backbones(), sorted(released_pose_networks())
    return "\n".join(
        [
            describe_targets(),
            "",
            f"backbones: {', '.join(backbones) or 'none'}",
            f"released pose networks: {', '.join(networks) or 'none'}",
        ]
    )


def _add_training_arguments(training: argparse._ArgumentGroup) -> None:
    training.add_argument("--data", metavar="INDEX", help="index, or dataset with one")
    training.add_argument(
        "--baseline",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="random, imagenet, timm, or a registry name; several are allowed",
    )
    training.add_argument(
        "--config",
        metavar="CONFIG",
        help="config of configs/pose for the sections of the runs, name or file (default: none)",
    )
    training.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="steps of the optimiser in every run (default: the config's)",
    )
    training.add_argument(
        "--epochs",
        type=float,
        metavar="N",
        help="passes over the training images, instead of --steps (default: the config's)",
    )
    training.add_argument(
        "--seed",
        type=int,
        nargs="+",
        metavar="N",
        default=[0],
        help="one run of each network per seed (default: 0)",
    )
    training.add_argument(
        "--split", choices=SPLITS, default="test", help="held-out split (default: test)"
    )
    training.add_argument(
        "--protocol",
        nargs="+",
        choices=sorted(PROTOCOLS),
        metavar="NAME",
        help=f"any of {', '.join(PROTOCOLS)}; the first one is tested (default: interhand_wrist "
        "eanet_corrected eanet_upstream)",
    )
    training.add_argument(
        "--mano",
        metavar="PATH",
        help="MANO file or folder, or 'open' for the bundled hand model (default: the config's "
        "hand_model.path; else 'open' for rendered data, and $MANO_DIR)",
    )
    training.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the runs and the report"
    )


def check_request(options: argparse.Namespace) -> None:
    """Raise ValueError for options that cannot be combined."""
    if options.data and options.out is None:
        raise ValueError("--data requires --out DIR for the runs and the report.")
    if options.data and not options.baseline:
        raise ValueError(
            "--data requires at least one --baseline to compare with, such as --baseline random. "
            "A single network is trained by `gesture-pretrain pose train`."
        )
    if options.steps is not None and options.epochs is not None:
        raise ValueError("--steps and --epochs both set the length. Give one of them.")


def dry_run(target: PoseTarget, options: argparse.Namespace) -> str:
    """Format what would happen to every tensor."""
    from adapters.swap.dry_run import try_swap

    model = run_sections(options, target).get("model") or {}
    return try_swap(target, options.backbone, seed=options.seed[0], **model).table()


def compare(target: PoseTarget, options: argparse.Namespace) -> int:
    """Run and report the study of the backbone and its baselines; returns the exit status."""
    from adapters.transfer.plan.one_target import PROTOCOL_NAMES, one_target_plan
    from adapters.transfer.run.execution import quiet_warnings
    from adapters.transfer.study import open_study

    quiet_warnings()
    plan = one_target_plan(
        target,
        options.backbone,
        options.baseline,
        sections=run_sections(options, target),
        seeds=options.seed,
        split=options.split,
        protocols=options.protocol or PROTOCOL_NAMES,
    )
    changes = [text for text in options.overrides if _is_of_plan(text)]
    study = open_study(plan, out=options.out, overrides=changes)
    status = print_outcome(study.run())
    page = study.report()
    print(page.with_name("verdict.txt").read_text())
    print(f"Report {page}")
    return status


def run_sections(options: argparse.Namespace, target: PoseTarget) -> dict:
    """Return the config with the options of the command line; see `pose_sections`."""
    from adapters.transfer.plan.one_target import pose_sections
    from gesture_pretrain.config.file import read_config

    config = {} if options.config is None else read_config(options.config, kind="pose")
    chosen = {
        "data.index": options.data,
        "hand_model.path": None if options.data is None else options.mano,
        "model.size": options.size,
        "model.allow_projection": options.allow_projection or None,
        "schedule.iterations": options.steps,
        "schedule.epochs": options.epochs,
    }
    overrides = [text for text in options.overrides if not _is_of_plan(text)]
    return pose_sections(target, config, chosen, overrides)


def _is_of_plan(override: str) -> bool:
    return override.partition("=")[0].partition(".")[0] in PLAN_KEYS
