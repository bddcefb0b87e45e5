"""Write a registered backbone as a file that another library or code base loads.

    %(prog)s --target timm --backbone NAME --out FILE.safetensors
    %(prog)s --target torchvision --backbone NAME --out FILE.pth num_classes=10
    %(prog)s --target onnx --backbone NAME --out FILE.onnx

Prints the ledger of all tensors and the lines that load the file. `--list` lists the targets and
the weights.

Exit status: 0 done, 1 wrong input, 130 interrupted.
"""

import argparse

from gesture_pretrain.commands.options import add_overrides


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--list", action="store_true", help="show the targets and the weights")
    parser.add_argument("--target", metavar="NAME", help="name of a target")
    parser.add_argument("--backbone", metavar="NAME", help="name or path of weights")
    parser.add_argument("--out", "--export", dest="out", metavar="PATH", help="file to write")
    parser.add_argument("--dry-run", action="store_true", help="print the ledger and write nothing")
    add_overrides(parser, "num_classes=10 (torchvision) or layout=author_fork (eanet)")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from adapters.export.backbone_export import export_weights
    from adapters.swap.dry_run import try_export
    from adapters.targets import ExportTarget, find_target
    from gesture_pretrain.commands.swap import targets_and_weights
    from gesture_pretrain.config.override import apply_overrides

    if options.list:
        print(targets_and_weights())
        return
    if None in (options.target, options.backbone, options.out):
        raise ValueError("--target, --backbone and --out are required; --list shows names.")
    target = find_target(options.target)
    if target.export is None:
        raise ValueError(
            f"Target {target.name!r} does not read backbone files. For other libraries use the "
            "targets timm, torchvision, mmpose or onnx."
        )
    settings = {"stand_in_ops": True} if target.name == "mmpose" else {}
    apply_overrides(settings, options.overrides)
    if options.dry_run and not isinstance(target, ExportTarget):
        raise ValueError(f"Target {target.name!r} is a network; `swap` prints its ledger.")
    if options.dry_run:
        print(try_export(target, options.backbone, options.out, settings))
    else:
        print(export_weights(target, options.backbone, options.out, settings).describe())
