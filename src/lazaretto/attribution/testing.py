"""Three tests of whether a source stands out: p-values over all tested classes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lazaretto.attribution.units import Statistic, as_they_are, spread_of
from lazaretto.attribution.usual import batch_units, noise_of_others, source_units

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from lazaretto.attribution.contrast import Contrast, Tested
    from lazaretto.attribution.inputs import Checked

    Floats = npt.NDArray[np.float64]
    Progress = Callable[[str, int, int], None]

TESTS = 3
"""That many tests may accuse a source: each p-value counts that often."""
MOST = 0.5
"""A source is accused of a pull beyond the usual only if more than this share of it is its own."""


class Tests(NamedTuple):
    """p-values over all tested classes, (sources,) or (batches,): the first `TESTS` may accuse.

    Attributes:
        beyond: of sources: what the wrong predictions take of records beyond their reach.
        spreads: of sources: how far their batches differ.
        sources: of sources: what the wrong predictions take of all their records.
        batches: of batches within their source.
    """

    beyond: Floats
    spreads: Floats
    sources: Floats
    batches: Floats


def run_tests(
    given: Checked, compared: Contrast, shuffles: int, seed: int, tell: Progress
) -> Tests:
    """Tests sources and batches, class by class.

    In all of them records of one label change places, between sources or within one. That is
    exact where they are alike (a permutation test). Where they differ without being at fault,
    right predictions draw on some of them more than on others, too:

    * *beyond*: only what exceeds the reach of right predictions counts, squared, so that few
      records with much weigh more than many with little. The source must take more of it than
      any does in a group of right predictions that was left out, and more than all others.
    * *spreads*, *sources*, *batches*: the seen sums are divided by how much more than chance the
      right predictions make those of the other sources vary, as genomic control does (Devlin and
      Roeder, 1999).

    Args:
        given: the checked input.
        compared: wrong and right predictions.
        shuffles: how often records change places.
        seed: of the shuffling.
        tell: called with what is done, steps done and steps in all.
    """
    n, batches = len(given.source_names), len(given.batch_names)
    smallest = Tests(np.ones(n), np.ones(n), np.ones(n), np.ones(batches))
    for label, tested in compared.tested.items():
        name = given.classes[label]
        found = _of_class(
            given,
            tested,
            shuffles,
            seed,
            partial(tell, f"testing sources for class {name}"),
            partial(tell, f"testing batches for class {name}"),
        )
        smallest = Tests(*(np.minimum(*pair) for pair in zip(smallest, found, strict=True)))
    many = max(1, len(compared.tested))
    return Tests(*(np.minimum(1.0, many * each) for each in smallest))


def _of_class(
    given: Checked,
    tested: Tested,
    shuffles: int,
    seed: int,
    at_sources: Callable[[int, int], None],
    at_batches: Callable[[int, int], None],
) -> Tests:
    n, owners = len(given.source_names), given.batch_source
    rows, usual = tested.rows, tested.usual
    excess, beyond = tested.share - usual.share, usual.beyond(tested.share)
    noise = noise_of_others(usual.source_noise, np.arange(n), n)
    far, alone = source_units(given, rows).p_values(
        np.stack([beyond**2, excess], axis=1),
        shuffles,
        seed,
        [Statistic(as_they_are, 0), Statistic(as_they_are, 1, noise)],
        at_sources,
    )
    far[~_may_be_beyond(given, tested, beyond)] = 1.0
    noise = noise_of_others(usual.batch_noise, owners, n)
    spread, each = batch_units(given, rows).p_values(
        excess[:, None],
        shuffles,
        seed,
        [
            Statistic(partial(spread_of, owners, n), 0, noise),
            Statistic(as_they_are, 0, noise[owners]),
        ],
        at_batches,
    )
    return Tests(far, spread, alone, each)


def _may_be_beyond(given: Checked, tested: Tested, beyond: Floats) -> npt.NDArray[np.bool_]:
    """Sources with most of what is beyond the usual, and more than any left-out group took."""
    sources, n = given.sources[tested.rows], len(given.source_names)
    sums, squares = np.bincount(sources, beyond, n), np.bincount(sources, beyond**2, n)
    most = squares > MOST * squares.sum()
    groups = tested.usual.left_out
    return np.asarray(most & (sums > groups.max()) if len(groups) else np.zeros(n, bool))
