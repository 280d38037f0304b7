"""Print the level of each look at the claims that keeps the error of all planned looks at 5 %.

    python -m prismlab.experiments.bench.look_levels

Under the null hypothesis a look at n seeds gives the p value of a t test of n differences, and the looks of a
plan share their first seeds. A claim is a false alarm if any of its p values is below the level, so the level
is the 5 % quantile of the smallest p of a plan. The output is `look_levels.LEVELS`.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from scipy import stats

SEEDS = (2, 3, 4, 5, 6, 8, 10)
MOST_LOOKS = 4


def levels(worlds: int, *, seed: int = 0) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield each plan of looks with its level.

    Args:
        worlds: number of simulated sequences of seeds.
        seed: of the simulation.
    """
    x = np.random.default_rng(seed).normal(size=(worlds, max(SEEDS)))
    p = {}
    for n in SEEDS:
        t = x[:, :n].mean(axis=1) / (x[:, :n].std(axis=1, ddof=1) / np.sqrt(n))
        p[n] = 2 * stats.t.sf(np.abs(t), n - 1)
    for count in range(2, MOST_LOOKS + 1):
        for looks in itertools.combinations(SEEDS, count):
            smallest = np.min([p[n] for n in looks], axis=0)
            yield looks, float(np.quantile(smallest, 0.05))


if __name__ == "__main__":
    for looks, level in levels(2_000_000):
        print(f"    {looks}: {level:.4f},")
