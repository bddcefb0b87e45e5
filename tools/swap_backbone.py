r"""Puts a registered backbone into another network or another library's file.

    python tools/swap_backbone.py --list
    python tools/swap_backbone.py --target eanet --backbone NAME --dry-run
    python tools/swap_backbone.py --target timm --backbone NAME --export FILE.safetensors
    python tools/swap_backbone.py --target eanet --backbone NAME --baseline random \
        --data INDEX --size tiny --steps 1000 --out DIR [key=value …]
    python tools/swap_backbone.py --target eanet --backbone NAME --eanet-root CHECKOUT \
        --entry 'train.py --gpu 0-3' --out DIR [layout=author_fork …]

A dry run prints the ledger (every tensor: matched, fresh, dropped by name) and parameter counts.
With `--export` it writes the file that other people's code reads. With `--data` it trains the
target around the backbone and around each baseline, on the same samples in the same order for the
same number of steps, predicts the held-out split and prints both with the paired difference;
`--out` gets `comparison.md`, `comparison.json` and a run folder per arm. With `--eanet-root`
EANet's own code runs, in a process of its own, with this backbone in the place of its own.

Exit status: 0 done, 1 wrong input, 3 stopped early, 130 interrupted.
"""

import argparse
import shlex
import sys
import warnings
from pathlib import Path

from adapters.eanet.checkout.driver import CheckoutError, run_checkout
from adapters.export.backbone_export import export_weights
from adapters.pose.sections import model_options
from adapters.swap.dry_run import try_export, try_swap
from adapters.targets import (
    ExportTarget,
    PoseTarget,
    UnknownTarget,
    describe_targets,
    find_target,
)
from adapters.transfer.baseline_comparison import compare_with_baselines, comparison_sections
from adapters.transfer.comparison_table import PROTOCOL_NAMES, Comparison
from gesture_pretrain.config.file import read_config
from gesture_pretrain.config.override import apply_override
from gesture_pretrain.config.sections import check_section
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS
from gesture_pretrain.hand.mano_file import MissingManoFile
from gesture_pretrain.training.stopped import TrainingStopped
from gesture_pretrain.weights.initial_weights import WeightsUnavailableError
from gesture_pretrain.weights.registry import UnknownBackbone, load_network

WRONG_INPUT, STOPPED, INTERRUPTED = 1, 3, 130
MANO_HINT = (
    "On this command line: --mano PATH, or, for data rendered with the open hand, --mano open "
    "hand_model.tip_convention=smplx"
)


def main(arguments: list[str] | None = None) -> None:
    """Does what the command line asks for; see the module's docstring.

    Raises:
        ValueError, LookupError, OSError, ImportError: wrong input.
        TrainingStopped: a run ended early.
    """
    options = parse_arguments(arguments)
    if options.list:
        print(describe_targets())
        return
    target = find_target(options.target)
    check_request(options, target)
    if options.eanet_root is not None:
        drive_checkout(options)
        return
    if options.dry_run:
        print(dry_run(target, options))
        return
    if options.export is not None:
        settings = export_options(options)
        print(export_weights(target, options.backbone, options.export, settings).describe())
    if options.data is not None:
        comparison = compare(target, options)
        print("\n" + comparison.markdown())
        print(f"Written to {options.out}")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="section.key=value sets one key of the run, e.g. optimizer.lr=3e-4 "
        "data.fraction=0.05\nmodel.width=128; a --config sets many. With --export, key=value is an "
        "option of the file,\ne.g. num_classes=10 (torchvision) or layout=author_fork (eanet).",
    )
    parser.add_argument("--list", action="store_true", help="show the targets")
    parser.add_argument("--target", metavar="NAME", help="name of a target, see --list")
    parser.add_argument("--backbone", metavar="NAME", help="registry name or path of weights")
    parser.add_argument("--dry-run", action="store_true", help="print the ledger, write nothing")
    parser.add_argument("--export", metavar="PATH", help="write the file for other people's code")
    parser.add_argument(
        "--allow-projection",
        action="store_true",
        help="let a 1x1 convolution, named in every table, fit maps of other widths",
    )
    parser.add_argument("--size", help="preset of the target: full, tiny, … (default: full)")
    _add_training_arguments(parser.add_argument_group("training and comparing"))
    _add_checkout_arguments(parser.add_argument_group("EANet's own code"))
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="see below")
    options = parser.parse_intermixed_args(arguments)
    if not options.list and None in (options.target, options.backbone):
        parser.error("--target and --backbone are needed; --list shows the targets")
    return options


def _add_training_arguments(training: argparse._ArgumentGroup) -> None:
    training.add_argument("--data", metavar="INDEX", help="index, or data set with one")
    training.add_argument(
        "--baseline",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="random, imagenet, or a registry name; may be several",
    )
    training.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a file of configs/pose, for the sections of the runs (default: none)",
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
        default=list(PROTOCOL_NAMES),
        metavar="NAME",
        help=f"any of {', '.join(PROTOCOLS)} (default: {' '.join(PROTOCOL_NAMES)})",
    )
    training.add_argument(
        "--mano",
        metavar="PATH",
        help="MANO file or folder, or 'open' for the hand that ships (default: the config's "
        "hand_model.path; else 'open' for rendered data, and $MANO_DIR)",
    )
    training.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the runs and the table"
    )
    training.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:0 … (default: auto, which is cuda where there is one)",
    )


def _add_checkout_arguments(checkout: argparse._ArgumentGroup) -> None:
    checkout.add_argument(
        "--eanet-root",
        type=Path,
        metavar="DIR",
        help="checkout of EANet or of the author's fork, run as it is with this backbone; it "
        "takes --out, --seed and key=value, nothing else of the above",
    )
    checkout.add_argument(
        "--entry",
        default="train.py",
        metavar="'FILE ARGUMENTS'",
        help="what of it runs, in quotes, e.g. 'train.py --gpu 0-3' (default: train.py)",
    )


def check_request(options: argparse.Namespace, target: PoseTarget | ExportTarget) -> None:
    """Raises ValueError for options that do not go together."""
    if options.eanet_root is not None:
        check_checkout_request(options, target)
        return
    if not (options.dry_run or options.export or options.data):
        raise ValueError("nothing to do: give --dry-run, --export PATH or --data INDEX")
    if isinstance(target, ExportTarget):
        idle = [n for n in ("data", "baseline", "size", "steps", "epochs") if getattr(options, n)]
        if idle:
            raise ValueError(
                f"target {target.name!r} writes a file and is not trained here, so --{idle[0]} "
                "has no meaning; --list shows the networks that are"
            )
    elif options.export and target.export is None:
        raise ValueError(
            f"target {target.name!r} has no code of its own that reads a backbone's file. For "
            "other code there are the targets timm, torchvision, mmpose and onnx."
        )
    if options.data and options.out is None:
        raise ValueError("--data needs --out DIR for the runs and the table")
    if options.data and not options.baseline:
        raise ValueError(
            "--data needs at least one --baseline to compare with, such as --baseline random. One "
            "network alone is trained by tools/train.py."
        )
    if options.steps is not None and options.epochs is not None:
        raise ValueError("--steps and --epochs both set the length; give one of them")


def check_checkout_request(options: argparse.Namespace, target) -> None:
    """Raises ValueError for options that mean nothing to EANet's own code."""
    if target.name != "eanet":
        raise ValueError(f"--eanet-root goes with --target eanet, not {target.name!r}")
    idle = ("data", "baseline", "size", "steps", "epochs", "export", "dry_run", "config")
    given = [name for name in idle if getattr(options, name)]
    if given:
        raise ValueError(
            f"--{given[0].replace('_', '-')} has no meaning with --eanet-root: EANet's own code "
            "reads its own data and settings. Give it its arguments with --entry 'train.py …'."
        )


def drive_checkout(options: argparse.Namespace) -> None:
    """Runs a user's checkout with the backbone, and prints and stores what became of it."""
    settings: dict = {"seed": options.seed[0]}
    for override in options.overrides:
        apply_override(settings, override)
    entry, *arguments = shlex.split(options.entry)
    given = {"entry": entry, "arguments": arguments, "allow_projection": options.allow_projection}
    check_section("checkout", run_checkout, settings, ("root", "network", *given))
    report = run_checkout(options.eanet_root, load_network(options.backbone), **given, **settings)
    print(report.describe())
    if options.out is not None:
        report.save(options.out)


def dry_run(target: PoseTarget | ExportTarget, options: argparse.Namespace) -> str:
    """What would become of every tensor."""
    if isinstance(target, ExportTarget):
        return try_export(target, options.backbone, options.export, export_options(options))
    choices = model_options(target, run_sections(options, target).get("model") or {})
    return try_swap(target, options.backbone, seed=options.seed[0], options=choices)


def export_options(options: argparse.Namespace) -> dict:
    """Overrides without a dot: options of the export."""
    settings = {"stand_in_ops": True} if options.target == "mmpose" else {}
    for override in options.overrides:
        if _is_of_the_export(override):
            apply_override(settings, override)
    return settings


def compare(target: PoseTarget, options: argparse.Namespace) -> Comparison:
    """Trains swapped and baselines alike, scores them and writes the table."""
    sections = run_sections(options, target)
    comparison = compare_with_baselines(
        target,
        options.backbone,
        options.baseline,
        sections=sections,
        out=options.out,
        seeds=options.seed,
        split=options.split,
        protocols=options.protocol,
        device=options.device,
    )
    comparison.save(options.out, sections=sections, command=sys.argv)
    return comparison


def run_sections(options: argparse.Namespace, target: PoseTarget) -> dict:
    """The config with what the command line says on top; see `comparison_sections`."""
    config = None
    if options.config is not None:
        config = read_config(options.config, check=lambda _: None, tool="tools/train.py")
    return comparison_sections(
        target,
        config=config,
        index=options.data,
        hand_model=None if options.data is None else options.mano,
        size=options.size,
        allow_projection=options.allow_projection,
        iterations=options.steps,
        epochs=options.epochs,
        overrides=[o for o in options.overrides if not (options.export and _is_of_the_export(o))],
    )


def _is_of_the_export(override: str) -> bool:
    return "." not in override.partition("=")[0]


def run(arguments: list[str] | None = None) -> int:
    """`main` with errors as one message and an exit status."""
    # timm, mmengine and torch's exporter warn about their own future
    for kind in (FutureWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=kind)
    try:
        main(arguments)
    except TrainingStopped as error:
        print(f"\nStopped: {error}", file=sys.stderr)
        return STOPPED
    except MissingManoFile as error:
        print(f"\nError: {error}\n{MANO_HINT}", file=sys.stderr)
        return WRONG_INPUT
    except (
        ValueError,
        OSError,
        ImportError,
        CheckoutError,
        UnknownBackbone,
        UnknownTarget,
        WeightsUnavailableError,
    ) as error:
        print(f"\nError: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(run())
