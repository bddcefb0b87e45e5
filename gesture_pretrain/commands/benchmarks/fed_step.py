"""Compare a training step fed from files with the same step on a batch that is on the device.

Both are measured by wall time, because waiting takes no processor time. They alternate in blocks of
steps: if they alternated step by step, workers would load during steps of the other candidate. A
block of fed steps begins with nothing loaded ahead, and its first steps are not counted.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

from torch.utils.data import DataLoader

from gesture_pretrain.commands.benchmarks.interhand_annotations import write_images
from gesture_pretrain.data.images import write_shards
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.gesture_dataset import HandSample
from gesture_pretrain.files import temporary_folder
from gesture_pretrain.pretraining.data import build_gesture_data
from gesture_pretrain.pretraining.data_section import GestureDataSection
from gesture_pretrain.training.optimizer import Verdict

TrainStep = Callable[[HandSample], Verdict]
HERE = ""  # shards of the synthetic images, in the folder of these


def add_options(parser: argparse.ArgumentParser, *, cuda: bool) -> None:
    """Add the options of the fed step."""
    group = parser.add_argument_group("fed from files")
    group.add_argument("--workers", type=int, help="also measure the step fed by this many workers")
    group.add_argument("--data", type=Path, help="index to feed from; made up by default")
    group.add_argument(
        "--shards",
        nargs="?",
        const=HERE,
        help="feed from decoded images: a folder of tools/prepare_data.py shards, which --data "
        "needs, or without a value those of the synthetic images",
    )
    group.add_argument("--images", type=int, default=400, help="synthetic images")
    group.add_argument("--turns", type=int, default=5, help="blocks of each candidate")
    group.add_argument("--steps", type=int, default=100 if cuda else 8, help="steps of each block")


def check_options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a message if the options contradict each other."""
    data, shards = arguments.data, arguments.shards
    if arguments.workers is None and (data is not None or shards is not None):
        parser.error("--data and --shards require --workers")
    if (data is None and shards not in (None, HERE)) or (data is not None and shards == HERE):
        parser.error(
            "--shards FOLDER goes with --data INDEX (tools/prepare_data.py shards makes it), "
            "--shards alone with synthetic images"
        )


@contextmanager
def fed_batches(arguments: argparse.Namespace, *, batch: int, cuda: bool) -> Iterator[DataLoader]:
    """Yield the training loader of a run, as `tools/pretrain_backbone.py` builds it."""
    with temporary_folder() as folder:
        index, shards = arguments.data, arguments.shards
        if index is None:
            made_up = write_images(folder, arguments.images)
            index, shards = made_up.path, _shards(arguments, made_up, folder / "shards")
        section = GestureDataSection(
            index=index,
            val_split=None,
            single_hand_only=True,
            batch_size=batch,
            workers=arguments.workers,
            shards=shards,
        )
        yield build_gesture_data(section, size_px=arguments.size, seed=0, pin_memory=cuda).train


def _shards(arguments: argparse.Namespace, index: HandIndex, folder: Path) -> Path | None:
    if arguments.shards is None:
        return None
    rows = index.select(single_hand_only=True)
    return write_shards(index, rows, folder, size_px=arguments.size, progress=False)


def measure_fed(
    train: TrainStep,
    on_device: HandSample,
    loader: DataLoader,
    *,
    turns: int,
    steps: int,
    finish: Callable[[], None],
) -> dict:
    """Measure both candidates in alternating blocks.

    Args:
        train: One step on one batch, on the host or on the device.
        on_device: The batch of the step that is not fed from files.
        loader: Endless batches.
        turns: Blocks of each candidate.
        steps: Counted steps of a block.
        finish: Waits for the device.

    Returns:
        `seconds` and `waited_s` by block, `images_per_s`, and medians over the turns:
        `fed_of_ours`, the relative speed of the fed steps, and `waiting_share`, the fraction of
        their time spent waiting for data.
    """
    ahead = max(1, 2 * loader.num_workers)  # batches that a loader keeps ready
    seconds: dict[str, list[float]] = {"ours": [], "fed": []}
    waited_s = []
    for _ in range(turns):
        taken, _ = _block(train, repeat(on_device), ahead, steps, finish)
        seconds["ours"].append(taken)
        taken, waited = _block(train, loader, ahead, steps, finish)
        seconds["fed"].append(taken)
        waited_s.append(waited)
    images = steps * len(on_device.row)
    pairs = list(zip(seconds["ours"], seconds["fed"], waited_s, strict=True))
    return {
        "workers": loader.num_workers,
        "steps": steps,
        "seconds": seconds,
        "waited_s": waited_s,
        "images_per_s": {n: images / statistics.median(each) for n, each in seconds.items()},
        "fed_of_ours": statistics.median(ours / fed for ours, fed, _ in pairs),
        "waiting_share": statistics.median(waited / fed for _, fed, waited in pairs),
    }


def _block(
    train: TrainStep,
    source: Iterable[HandSample],
    uncounted: int,
    steps: int,
    finish: Callable[[], None],
) -> tuple[float, float]:
    """Return the seconds of `steps` steps after `uncounted` ones, and those spent waiting for data.

    As in a run, the verdict on a step is read after the next step was started.
    """
    batches, unread, waited = iter(source), Verdict(None), 0.0
    for number in range(-uncounted, steps):
        if number == 0:
            finish()
            start, waited = time.perf_counter(), 0.0
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        unread, done = train(batch), unread
        done.read()
    finish()
    return time.perf_counter() - start, waited
