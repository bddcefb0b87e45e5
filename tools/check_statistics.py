"""Coverage and false-positive rate of the transfer statistics on simulated data of known truth.

    python tools/check_statistics.py [--repetitions 4000]

Paired differences are drawn as cluster + pretraining + seed + interaction effects with a true mean
of zero. The table shows how often the 95 % interval contains the truth. One minus that is the
false-positive rate, since the p-value and the interval belong to one test. The last column is the
false-positive rate of the sign-flip permutation test. Results: docs/lab/statistics.md.
"""

import argparse
import itertools

import numpy as np

from gesture_pretrain.evaluation.statistics.crossed import crossed_interval, variance_components
from gesture_pretrain.evaluation.statistics.sign_flip import sign_flip_p_value

RUNS = ((1, 1), (1, 3), (1, 5), (2, 3), (3, 3))  # pretrainings, seeds of each
CLUSTERS = (6, 10, 24, 100)
RUN_SD = (0.0, 0.1, 0.3, 1.0, 3.0)
SHAPES = ("normal", "normal, unequal sizes", "skewed")


def simulated_means(
    rng: np.random.Generator,
    *,
    repetitions: int,
    seeds: int,
    clusters: int,
    seed_sd: float,
    pretrainings: int = 1,
    pretraining_sd: float = 0.0,
    shape: str = "normal",
    interaction_sd: float = 0.3,
    effect: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw cluster means whose cluster effects have a standard deviation of 1.

    Returns:
        (N, R, C) means of R = pretrainings x seeds runs, (C,) shares, and (R,) pretrainings.
    """
    sizes = rng.integers(1, 12, clusters) if "unequal" in shape else np.ones(clusters)
    size = (repetitions, 1, clusters)
    of_cluster = rng.exponential(size=size) - 1 if shape == "skewed" else rng.normal(size=size)
    number = np.repeat(np.arange(pretrainings), seeds)
    of_pretraining = pretraining_sd * rng.normal(size=(repetitions, pretrainings, 1))[:, number]
    of_run = seed_sd * rng.normal(size=(repetitions, len(number), 1)) + of_pretraining
    both = interaction_sd * rng.normal(size=(repetitions, len(number), clusters))
    return effect + of_cluster + of_run + both, sizes / sizes.sum(), number


def coverage(means, shares, pretrainings, truth: float = 0.0) -> float:
    """Return the fraction of the repetitions whose 95 % interval contains the truth."""
    low, high = crossed_interval(variance_components(means, shares, pretrainings))
    return float(((low <= truth) & (truth <= high)).mean())


def sign_flip_rejections(means, shares) -> float:
    """Return the fraction of (at most 500) repetitions with a sign-flip p-value of at most 5 %."""
    some = means[:500].mean(1)
    return float(np.mean([sign_flip_p_value(row, shares) <= 0.05 for row in some]))


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repetitions",
        type=int,
        metavar="N",
        default=4000,
        help="datasets drawn for each number (default: 4000)",
    )
    repetitions = parser.parse_args(arguments).repetitions
    rng = np.random.default_rng(0)
    print(f"Coverage in % of the 95 % interval, {repetitions} repetitions each; the standard")
    print("deviation over clusters is 1, the interaction 0.3")
    print("pretrainings seeds clusters shape                  ", end="")
    print("".join(f"run sd {s:<6}" for s in RUN_SD) + "sign-flip at sd 0")
    for (pretrainings, seeds), clusters, shape in itertools.product(RUNS, CLUSTERS, SHAPES):
        settings = {"repetitions": repetitions, "clusters": clusters, "shape": shape}
        settings |= {"pretrainings": pretrainings, "seeds": seeds}
        cells = []
        for sd in RUN_SD if seeds > 1 else (0.0,):
            drawn = simulated_means(
                rng, **settings, seed_sd=sd, pretraining_sd=sd if pretrainings > 1 else 0.0
            )
            cells.append(f"{100 * coverage(*drawn):<13.1f}")
        still = simulated_means(rng, **settings, seed_sd=0.0, interaction_sd=0.0)
        row = f"{pretrainings:<12} {seeds:<5} {clusters:<8} {shape:<23}" + "".join(cells)
        print(row + f"{100 * sign_flip_rejections(*still[:2]):.1f}")


if __name__ == "__main__":
    main()
