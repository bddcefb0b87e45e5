"""Fuzz every reader: `python -m tests.fuzz [--files 300] [--hours 1] [--only NAME]`.

Exit status 1 where a damaged file led to a traceback, a hang, a signal, an error that does not name
the file, or an accepted NaN.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import torch

from tests.fuzz.formats import formats
from tests.fuzz.fuzzing import FAULTS, OUTCOMES, deadline, fuzz_apart, table, without_fsync


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300, help="per format and seed")
    parser.add_argument(
        "--hours", type=float, default=0.0, help="repeat with new seeds for so long"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="these formats")
    options = parser.parse_args()
    torch.set_num_threads(1)  # threads of this process do not exist in its children
    cv2.setNumThreads(1)
    end, seed, results = deadline(options.hours), options.seed, {}
    with tempfile.TemporaryDirectory() as folder, without_fsync():
        names = options.only or list(formats(Path(folder)))
    while True:
        for name in names:
            counts, shown = fuzz_apart(name, formats, files=options.files, seed=seed)
            results[name] = results.get(name, Counter()) + counts
            print("\n".join([f"{name}: {dict(counts)}", *shown]), flush=True)
        seed += 1
        if time.monotonic() >= end:
            break
    files = {name: counts + Counter(files=counts.total()) for name, counts in results.items()}
    print(table("format", files, ("files", *OUTCOMES)))
    return int(any(counts[kind] for counts in results.values() for kind in FAULTS))


if __name__ == "__main__":
    sys.exit(main())
