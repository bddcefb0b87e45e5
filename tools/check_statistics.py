"""Coverage of the 95 % interval and false positives of the transfer statistics, on known truth.

    python tools/check_statistics.py [--repetitions 4000]

Differences between two systems are drawn as cluster + seed + cluster-and-seed effects with a true
mean of zero; the table tells how often the interval holds the truth. One minus that is the rate of
false positives, as p-value and interval are of one test. Numbers: docs/experiments.md.
"""

import argparse
import itertools

import numpy as np

from gesture_pretrain.evaluation.statistics.two_level_interval import interval

SEEDS, CLUSTERS, SEED_SD = (1, 2, 3, 5), (6, 10, 40, 200), (0.0, 0.1, 0.3, 1.0, 3.0)
INTERACTION_SD = (0.3, 1.0)
SHAPES = ("normal", "normal, unequal sizes", "skewed")


def simulated_means(
    rng: np.random.Generator,
    *,
    repetitions: int,
    seeds: int,
    clusters: int,
    seed_sd: float,
    shape: str = "normal",
    both_sd: float = 0.3,
    effect: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """(R, S, C) cluster means, cluster effects of standard deviation 1, and (C,) shares."""
    sizes = rng.integers(1, 12, clusters) if "unequal" in shape else np.ones(clusters)
    size = (repetitions, 1, clusters)
    of_cluster = rng.exponential(size=size) - 1 if shape == "skewed" else rng.normal(size=size)
    of_seed = seed_sd * rng.normal(size=(repetitions, seeds, 1))
    both = both_sd * rng.normal(size=(repetitions, seeds, clusters))
    return effect + of_cluster + of_seed + both, sizes / sizes.sum()


def coverage(means: np.ndarray, shares: np.ndarray, truth: float = 0.0, **options) -> float:
    """Share of the repetitions whose 95 % interval holds the truth."""
    low, high = interval(means, shares, **options)
    return float(((low <= truth) & (truth <= high)).mean())


def main(arguments: list[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repetitions",
        type=int,
        metavar="N",
        default=4000,
        help="data sets drawn for each number (default: 4000)",
    )
    repetitions = parser.parse_args(arguments).repetitions
    rng = np.random.default_rng(0)
    print(f"Coverage in % of the 95 % interval, {repetitions} repetitions each")
    print("interaction seeds clusters shape                  ", end="")
    print("".join(f"seed sd {s:<6}" for s in SEED_SD))
    for both_sd, seeds, clusters, shape in itertools.product(
        INTERACTION_SD, SEEDS, CLUSTERS, SHAPES
    ):
        cells = []
        for seed_sd in SEED_SD if seeds > 1 else (0.0,):
            drawn = simulated_means(
                rng,
                repetitions=repetitions,
                seeds=seeds,
                clusters=clusters,
                seed_sd=seed_sd,
                shape=shape,
                both_sd=both_sd,
            )
            cells.append(f"{100 * coverage(*drawn, resamples=999):<14.1f}")
        print(f"{both_sd:<11} {seeds:<5} {clusters:<8} {shape:<23}" + "".join(cells))


if __name__ == "__main__":
    main()
