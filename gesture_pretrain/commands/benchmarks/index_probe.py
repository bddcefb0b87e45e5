"""One measurement of `index.py`, in a process of its own: `python index_probe.py CANDIDATE ROOT`.

Prints one JSON object: seconds, resident memory before (after the imports), after (with the result
alive) and at the peak, and what else the candidate measures.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import random
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

_ROWS = 100_000
_READER_ROWS = 20_000
_WORKERS = (0, 4, 8, 32)
_BATCH = 64


def _memory_mib(field: str, file: str = "status") -> float:
    for line in Path(f"/proc/self/{file}").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def _annotation_file(root: Path, kind: str) -> str:
    return str(root / "annotations" / "train" / f"InterHand2.6M_train_{kind}.json")


def _measured(load: Callable[[], object]) -> dict:
    before = _memory_mib("VmRSS")
    start = time.perf_counter()
    result = load()
    seconds = time.perf_counter() - start
    after = _memory_mib("VmRSS")
    del result
    return {
        "seconds": seconds,
        "before_mib": before,
        "after_mib": after,
        "peak_mib": _memory_mib("VmHWM"),
    }


def _ours_build(root: Path) -> dict:
    from gesture_pretrain.data.interhand.build import build_interhand_index

    return _measured(lambda: build_interhand_index(root, progress=False))


def _ours_open(root: Path) -> dict:
    from gesture_pretrain.data.index.index import HandIndex

    measured = _measured(lambda: HandIndex.open(root))
    index = HandIndex.open(root)
    rows = _random_rows(len(index), 0)
    measured["row_us"] = _microseconds_each(index.row, rows)
    measured["record_us"] = _microseconds_each(index.record, rows)
    measured["after_access_mib"] = _memory_mib("VmRSS")
    measured["after_access_private_mib"] = _private_mib()
    measured["index_mib"] = sum(p.stat().st_size for p in index.path.iterdir()) / 2**20
    return measured


def _private_mib() -> float:
    """What this process alone holds: its pages less those shared through the page cache."""
    return _memory_mib("Private_Clean", "smaps_rollup") + _memory_mib(
        "Private_Dirty", "smaps_rollup"
    )


def _random_rows(count: int, seed: int, rows: int = _ROWS) -> Sequence[int]:
    """A compact array: a list of numbers would count as memory of the index."""
    draw = random.Random(seed)
    return array("q", (draw.randrange(count) for _ in range(rows)))


def _microseconds_each(access: Callable[[int], object], rows: Sequence[int]) -> float:
    start = time.perf_counter()
    for row in rows:
        access(row)
    return (time.perf_counter() - start) / len(rows) * 1e6


def _reader(path: str, barrier, results) -> None:
    from gesture_pretrain.data.index.index import HandIndex

    index = HandIndex.open(path)
    for row in _random_rows(len(index), 1, _READER_ROWS):
        index.record(row)
    barrier.wait()  # all have touched the index before anyone measures
    results.put((_memory_mib("VmRSS"), _memory_mib("Pss", "smaps_rollup"), _private_mib()))
    barrier.wait()


def _ours_epoch(root: Path) -> dict:
    """One shuffled pass over what a loader reads of the index, without images."""
    from gesture_pretrain.data.index.index import HandIndex
    from gesture_pretrain.data.samples.hand_annotations import AnnotationReader
    from gesture_pretrain.data.samples.sampling import EpochBatchSampler

    resident, private = _memory_mib("VmRSS"), _private_mib()
    start = time.perf_counter()
    index = HandIndex.open(root)
    opened = time.perf_counter() - start
    reader = AnnotationReader(index, box_ratio=1.25)
    rows = index.select()
    sampler = EpochBatchSampler(len(rows), batch_size=_BATCH)
    start = time.perf_counter()
    batches = iter(sampler)
    for _ in range(sampler.iterations_per_epoch):
        reader.read(rows[[position for _, position in next(batches)]])
    seconds = time.perf_counter() - start
    return {
        "open_s": opened,
        "seconds": seconds,
        "row_us": seconds / (sampler.iterations_per_epoch * _BATCH) * 1e6,
        "private_mib": _private_mib() - private,
        "resident_mib": _memory_mib("VmRSS") - resident,
    }


def _reading_workers(root: Path, count: int) -> dict:
    """Memory of `count` processes that have read the index, and of this one."""
    from gesture_pretrain.data.index.index import HandIndex

    context = multiprocessing.get_context("spawn")
    index = HandIndex.open(root)
    for row in _random_rows(len(index), 1, _READER_ROWS):
        index.record(row)
    barrier, results = context.Barrier(count + 1), context.Queue()
    workers = [
        context.Process(target=_reader, args=(str(root), barrier, results)) for _ in range(count)
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    own = _memory_mib("VmRSS"), _memory_mib("Pss", "smaps_rollup"), _private_mib()
    memory = [own, *(results.get() for _ in workers)]
    barrier.wait()
    for worker in workers:
        worker.join()
    rss, pss, private = zip(*memory, strict=True)
    return {
        f"{count}_workers_pss_sum_mib": sum(pss),
        f"{count}_workers_rss_largest_mib": max(rss),
        f"{count}_workers_private_largest_mib": max(private),
    }


def _ours_workers(root: Path) -> dict:
    """With 0 workers there is this process alone; the sum over processes counts each page once."""
    start = time.perf_counter()
    measured: dict[str, object] = {}
    for count in _WORKERS:
        measured |= _reading_workers(root, count)
    return {"seconds": time.perf_counter() - start, **measured}


def _json_load(root: Path) -> dict:
    def load() -> object:
        with open(_annotation_file(root, "data")) as file:
            return json.load(file)

    return _measured(load)


def _json_load_without_gc(root: Path) -> dict:
    gc.disable()
    return _json_load(root)


def _pycocotools(root: Path) -> dict:
    from pycocotools.coco import COCO

    return _measured(lambda: COCO(_annotation_file(root, "data")))


def _xtcocotools(root: Path) -> dict:
    from xtcocotools.coco import COCO

    return _measured(lambda: COCO(_annotation_file(root, "data")))


def _mmpose(root: Path) -> dict:
    from mmengine.registry import init_default_scope
    from mmpose.datasets.datasets.hand3d import InterHand3DDataset

    init_default_scope("mmpose")
    return _measured(
        lambda: InterHand3DDataset(
            ann_file=_annotation_file(root, "data"),
            camera_param_file=_annotation_file(root, "camera"),
            joint_file=_annotation_file(root, "joint_3d"),
            use_gt_root_depth=True,
            rootnet_result_file=None,
            data_mode="topdown",
            data_root=str(root),
            data_prefix={"img": "images/train"},
            pipeline=[],
        )
    )


CANDIDATES = {
    "ours: build": _ours_build,
    "ours: open": _ours_open,
    "ours: workers": _ours_workers,
    "ours: epoch": _ours_epoch,
    "json.load": _json_load,
    "json.load without gc": _json_load_without_gc,
    "pycocotools": _pycocotools,
    "xtcocotools": _xtcocotools,
    "mmpose": _mmpose,
}


def probe(candidate: str, root: str) -> None:
    """Measure one candidate and prints the result as the last line."""
    print("\n" + json.dumps(CANDIDATES[candidate](Path(root))))


if __name__ == "__main__":
    probe(*sys.argv[1:])
