"""Pretrains a backbone on gesture classes and puts it into the registry.

    python tools/pretrain_backbone.py CONFIG [--data INDEX] [--out DIR] [key=value …]
    python tools/pretrain_backbone.py CONFIG … --resume
    torchrun --nproc-per-node 4 tools/pretrain_backbone.py CONFIG …

The run folder gets `config.py` (resolved), `run.json` (commit, versions, command), `metrics.jsonl`,
`tensorboard/`, `checkpoints/` and mmengine's own log under `log/`. At the end the weights are
exported to the registry under `<architecture>.<tag>`.

Exit status: 0 done, 1 wrong input, 3 stopped early and resumable, 130 interrupted.
"""

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path

import torch.distributed

from gesture_pretrain.config.file import read_config
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.device import choose_device
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.placement import evaluated_model
from gesture_pretrain.training.run_folder import current_commit, write_run_folder
from gesture_pretrain.training.run_lock import run_lock
from gesture_pretrain.training.runner import TrainingRunner
from gesture_pretrain.training.stopped import TrainingStopped
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.record import DataRecord, backbone_name
from gesture_pretrain.weights.registry import registry_home
from gesture_pretrain.weights.reservation import reserved_name

WRONG_INPUT, STOPPED, INTERRUPTED = 1, 3, 130


def main(arguments: list[str] | None = None) -> Path:
    """Trains and exports; returns the folder of the registered weights (the run folder elsewhere).

    Raises:
        ValueError, OSError: wrong input.
        TrainingStopped: the run ended early and can be resumed.
    """
    options = parse_arguments(arguments)
    config = resolved_config(options)
    out = options.out or Path("runs") / f"{options.config.stem}_{config['tag']}"
    sections = {key: value for key, value in config.items() if key != "tag"}
    runner = build_runner(out=out, resume=options.resume, device=options.device, **sections)
    with run_lock(out, resume=options.resume):
        return train(runner, config, out, options)


def train(runner: TrainingRunner, config: dict, out: Path, options: argparse.Namespace) -> Path:
    """`main` once everything is built and the run folder is this run's alone."""
    if rank_and_world_size()[0] > 0:
        runner.train()
        return out
    name = backbone_name(network_of(runner).backbone.arch, config["tag"])
    require_writable(registry_home())
    with reserved_name(registry_home(), name, out, overwrite=options.overwrite) as check_name:
        changed = write_run_folder(
            out, config, name=name, device=str(choose_device(options.device))
        )
        if changed:
            print("Resuming with changed settings: " + "; ".join(changed))
        write_ledger(runner, out)
        print(f"Run folder {out}")
        runner.train()
        check_name()
        return export(runner, config)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="key=value sets one key of a config section, e.g. optimizer.lr=3e-4\n"
        "data.label_variant=shuffled schedule.epochs=2",
    )
    parser.add_argument("config", type=Path, help="a file of configs/pretrain")
    parser.add_argument(
        "--data", metavar="INDEX", help="index, or data set with one (default: the config's)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder (default: runs/<config>_<tag>)"
    )
    parser.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="random, timm (ImageNet), a file of weights, or a backbone of the registry by name "
        "(<architecture>.<tag>) or folder (default: the config's)",
    )
    parser.add_argument(
        "--name",
        metavar="TAG",
        help="the weights are registered as <architecture>.TAG (default: the config's tag, else "
        "its name)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="default: the config's, else 0")
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:0 … (default: auto, which is cuda where there is one)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint of --out"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace registered weights of the same name"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="see below")
    return parser.parse_intermixed_args(arguments)


def resolved_config(options: argparse.Namespace) -> dict:
    """The config file with everything the command line says on top."""
    overrides = list(options.overrides)
    for key, value in (
        ("data.index", options.data),
        ("backbone.init", options.init),
        ("seed", options.seed),
        ("tag", options.name),
    ):
        if value is not None:
            overrides.append(f"{key}={value!r}")
    config = read_config(options.config, overrides, tool="tools/pretrain_backbone.py")
    config.setdefault("tag", options.config.stem)
    config.setdefault("seed", 0)
    return config


def write_ledger(runner: TrainingRunner, out: Path) -> None:
    """Records what became of the initial weights, and prints the table."""
    ledger = network_of(runner).backbone.ledger
    if ledger is None:
        return
    content = ledger.to_json()
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    write_bytes_atomically(out / "initial_weights.json", text.encode())
    print(ledger.table())


def network_of(runner: TrainingRunner):
    """The network that is validated and exported."""
    return evaluated_model(runner).network


def require_writable(home: Path) -> None:
    """Raises before training where nothing could be registered after it."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise type(error)(
            f"The registry {home} cannot be written ({error.strerror}), so that the weights could "
            "not be stored at the end. Set GESTURE_PRETRAIN_HOME to a folder of yours."
        ) from error


def export(runner: TrainingRunner, config: dict) -> Path:
    """Register the weights under the name that the run has reserved; print name and place."""
    data = runner.data
    stored = export_backbone(
        network_of(runner),
        tag=config["tag"],
        taxonomy=data.taxonomy,
        data=DataRecord.from_index_meta(
            data.summary["source"],
            index_fingerprint=HandIndex.open(config["data"]["index"]).fingerprint,
            validated_on=data.summary["validated_on"],
        ),
        metrics={
            "iterations": runner.iter,
            "train_images": data.summary["train_images"],
            "train_moments": data.summary["train_moments"],
            "val_images": data.summary["val_images"],
            **{f"val_{name}": value for name, value in runner.last_metrics.items()},
        },
        config=config,
        commit=current_commit(),
        overwrite=True,
    )
    print(f"Registered {stored.name} in {stored.path}")
    return stored.path


def run(arguments: list[str] | None = None) -> int:
    """`main` with errors as one message and an exit status."""
    # timm and mmengine warn about their own future; a user of this tool can do nothing about it.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        main(arguments)
    except TrainingStopped as error:
        print(f"\nStopped: {error}", file=sys.stderr)
        return STOPPED
    except FileExistsError as error:
        print(f"\nError: {error} See --name, --overwrite, --resume, --out.", file=sys.stderr)
        return WRONG_INPUT
    except (ValueError, OSError) as error:
        print(f"\nError: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("\nInterrupted. The same command with --resume goes on.", file=sys.stderr)
        return INTERRUPTED
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(run())
