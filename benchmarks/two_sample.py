"""How often `mmd` and `energy` fire on clean batches, and how far their p-values hang on the seed.

    python benchmarks/two_sample.py [--splits 2000] [--seeds 30] [--tests mmd,energy]

The data are scikit-learn's digits. Clean batches: random splits, so that batch and reference are
exchangeable and the share of p-values up to any level is at most that level. The seed: one batch of
400 records, once against 1,000 records like it, and once against these and 400 darker ones, of
which it is no sample. Prints one JSON line for each.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from lazaretto.screen.batch_tests.base import Pair
from lazaretto.screen.batch_tests.two_sample import energy, mmd

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.screen.batch_tests.base import Outcome

    Floats = npt.NDArray[np.float32]

TESTS: dict[str, Callable[[Pair], Outcome]] = {"mmd": mmd, "energy": energy}
LEVELS = (0.005, 0.01, 0.05, 0.1, 0.5)
RESOLUTION = 0.001 / 6
"""What a test is asked for where six run at the default `screen.batch.alpha`."""


def p_value(
    test: Callable[[Pair], Outcome], batch: Floats, known: Floats, seed: int, resolution: float
) -> float:
    """Of rows in a random order, as a screening draws it."""
    rng = np.random.default_rng([seed, 1])
    sides = rng.permutation(batch), rng.permutation(known)[:2000]
    return test(Pair(*sides, None, None, (), resolution, seed)).p_value


def clean(name: str, rows: Floats, splits: int) -> dict[str, Any]:
    """Random splits into 150 trusted records and a batch of 100."""
    found = []
    for seed in range(splits):
        order = np.random.default_rng([seed, 2]).permutation(len(rows))
        batch, known = rows[order[:100]], rows[order[100:250]]
        found.append(p_value(TESTS[name], batch, known, seed, LEVELS[0]))
    shares = {str(level): float(np.mean(np.array(found) <= level)) for level in LEVELS}
    return {"test": name, "batch": "clean", "splits": splits, "at_most": shares}


def seeds(name: str, batch: Floats, known: Floats, what: str, count: int) -> dict[str, Any]:
    """One batch, many seeds."""
    found = [p_value(TESTS[name], batch, known, seed, RESOLUTION) for seed in range(count)]
    small, middle, large = np.quantile(found, [0, 0.5, 1]).tolist()
    told = {"smallest": small, "median": middle, "largest": large}
    fires = float(np.mean(np.array(found) <= RESOLUTION))
    return {"test": name, "batch": what, "seeds": count, **told, "fires": fires}


def main() -> None:
    """Prints the lines."""
    asked = argparse.ArgumentParser(description="See the module's docstring.")
    asked.add_argument("--splits", type=int, default=2000)
    asked.add_argument("--seeds", type=int, default=30)
    asked.add_argument("--tests", default="mmd,energy")
    options = asked.parse_args()
    rows = (load_digits().data / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(rows))
    known, batch = rows[order[:1000]], rows[order[1000:1400]]
    mixed = np.concatenate([known, 0.8 * batch]).astype(np.float32)
    for name in options.tests.split(","):
        print(json.dumps(clean(name, rows, options.splits)), flush=True)
        print(json.dumps(seeds(name, batch, known, "like it", options.seeds)), flush=True)
        print(json.dumps(seeds(name, batch, mixed, "no sample", options.seeds)), flush=True)


if __name__ == "__main__":
    main()
