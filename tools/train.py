"""Trains a pose network (token fusion, EANet, …) on top of a backbone.

    python tools/train.py CONFIG [--data INDEX] [--backbone NAME] [--out DIR] [key=value …]
    python tools/train.py CONFIG … --resume
    torchrun --nproc-per-node 4 tools/train.py CONFIG …

The run folder gets `config.py` (resolved), `run.json` (commit, versions, command), `ledger.json`
(what became of every tensor), `metrics.jsonl`, `tensorboard/`, `checkpoints/` and mmengine's own
log under `log/`. At the end the network is stored under `model/`, and with `--predict SPLIT` its
predictions as `predictions_SPLIT.npz`, which tools/evaluate.py scores. `--box-source rootnet`
predicts from RootNet's detected boxes, as published numbers on InterHand2.6M's test split do.

Exit status: 0 done, 1 wrong input, 3 stopped early and resumable, 130 interrupted.
"""

import argparse
import sys
import warnings
from pathlib import Path

import torch.distributed
from torch.utils.data import Dataset

from adapters.pose.checkpoint import save_pose_run
from adapters.pose.prediction import predict_split
from adapters.pose.run import PoseRun
from adapters.pose.training import build_pose_runner, check_pose_config
from adapters.targets import UnknownTarget
from gesture_pretrain.config.file import read_config
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.device import choose_device
from gesture_pretrain.hand.mano_file import MissingManoFile
from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.run_folder import current_commit, write_run_folder
from gesture_pretrain.training.run_lock import run_lock
from gesture_pretrain.training.stopped import TrainingStopped
from gesture_pretrain.weights.initial_weights import WeightsUnavailableError
from gesture_pretrain.weights.registry import UnknownBackbone

WRONG_INPUT, STOPPED, INTERRUPTED = 1, 3, 130
MANO_HINT = (
    "On this command line: --mano PATH, or, for data rendered with the open hand, --mano open "
    "hand_model.tip_convention=smplx"
)


def main(arguments: list[str] | None = None) -> Path:
    """Trains and stores; returns the run folder.

    Raises:
        ValueError, OSError: wrong input.
        TrainingStopped: the run ended early and can be resumed.
    """
    options = parse_arguments(arguments)
    config = resolved_config(options)
    out = options.out or Path("runs") / config["tag"]
    sections = {key: value for key, value in config.items() if key != "tag"}
    run = build_pose_runner(out=out, resume=options.resume, device=options.device, **sections)
    # before the training, so that a split or a kind of box that is not there costs no run
    predicted = {split: dataset_of(run, split, options.box_source) for split in options.predict}
    with run_lock(out, resume=options.resume):
        return train(run, config, out, options, predicted)


def train(
    run: PoseRun,
    config: dict,
    out: Path,
    options: argparse.Namespace,
    predicted: dict[str, Dataset],
) -> Path:
    """`main` once everything is built and the run folder is this run's alone."""
    is_main = rank_and_world_size()[0] == 0
    if is_main:
        changed = write_run_folder(
            out,
            config,
            name=config["tag"],
            device=str(choose_device(options.device)),
        )
        if changed:
            print("Resuming with changed settings: " + "; ".join(changed))
        if not options.resume:
            run.ledger.save(out)
        print(run.ledger.table())
        print(f"Run folder {out}")
    run.train()
    if is_main:
        print(f"Stored {config['target']} in {save_pose_run(run, out / 'model', config=config)}")
    for split, dataset in predicted.items():
        predict(run, split, dataset, out, config)
    return out


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="key=value sets one key of a config section, e.g. optimizer.lr=3e-4\n"
        "model.guidance=none data.fraction=0.05 schedule.iterations=2000 backbone.frozen=true",
    )
    parser.add_argument("config", type=Path, help="a file of configs/pose")
    parser.add_argument(
        "--data", metavar="INDEX", help="index, or data set with one (default: the config's)"
    )
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="registry name or path of weights (default: the config's)",
    )
    parser.add_argument(
        "--mano",
        metavar="PATH",
        help="MANO file or folder, or 'open' for the hand that ships (default: the config's "
        "hand_model.path, else $MANO_DIR)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/<tag>)")
    parser.add_argument(
        "--name", metavar="TAG", help="name of the run (default: the config's tag, else its name)"
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
        "--predict",
        action="append",
        choices=SPLITS,
        default=[],
        metavar="SPLIT",
        help="write predictions of a split at the end; may be repeated (default: none)",
    )
    parser.add_argument(
        "--box-source",
        metavar="SOURCE",
        help="boxes that --predict crops to: 'rootnet' for detected ones (default: those of the "
        "training)",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="see below")
    options = parser.parse_intermixed_args(arguments)
    if options.box_source is not None and not options.predict:
        parser.error("--box-source is about predictions; say which with --predict SPLIT")
    return options


def resolved_config(options: argparse.Namespace) -> dict:
    """The config file with everything the command line says on top."""
    overrides = list(options.overrides)
    if options.backbone is not None:
        # a name brings architecture, weights and heads of its own
        overrides += [f"backbone.{key}=none" for key in ("arch", "heads")]
        overrides += ["backbone.init='random'"]
    for key, value in (
        ("data.index", options.data),
        ("backbone.name", options.backbone),
        ("hand_model.path", options.mano),
        ("seed", options.seed),
        ("tag", options.name),
    ):
        if value is not None:
            overrides.append(f"{key}={value!r}")
    config = read_config(options.config, overrides, check=check_pose_config, tool="tools/train.py")
    config.setdefault("tag", options.config.stem)
    config.setdefault("seed", 0)
    return config


def dataset_of(run: PoseRun, split: str, box_source: str | None) -> Dataset:
    """All single hands of a split that the target can use, without augmentation.

    Raises:
        ValueError: there is none, or the target has no such boxes.
    """
    rows = run.data.index.select(split=split, hands=("right", "left"))
    if len(rows) == 0:
        raise ValueError(f"--predict {split}: {run.data.index.root} has no single hand in it")
    return run.dataset(rows, box_source=box_source)


def predict(run: PoseRun, split: str, dataset: Dataset, out: Path, config: dict) -> Path:
    """Predicts a split, all processes together, and writes the file."""
    predictions = predict_split(
        run.model,
        dataset,
        system=config["tag"],
        provenance={
            "target": run.target.name,
            "backbone": run.ledger.backbone_name,
            "split": split,
            "seed": run.seed,
            "iterations": run.runner.iter,
            "commit": current_commit(),
        },
        workers=config["data"].get("workers", 0),
        shared=True,
    )
    path = out / f"predictions_{split}.npz"
    if rank_and_world_size()[0] > 0:
        return path
    predictions.save(path)
    print(f"Predicted {len(predictions)} hands of split {split}: {path}")
    return path


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
    except MissingManoFile as error:
        print(f"\nError: {error}\n{MANO_HINT}", file=sys.stderr)
        return WRONG_INPUT
    except (
        ValueError,
        OSError,
        UnknownBackbone,
        UnknownTarget,
        WeightsUnavailableError,
    ) as error:
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
