"""Which scorers look at a record: those that look at the calibration rows of one fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.scorer import take

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.detect.base import Chunk
    from lazaretto.reference._state import ReferenceState


def fold_by_chance(chunk: Chunk, reference: ReferenceState) -> Ints:
    """The fold that each row is scored with, int64 (n,), by its vector alone.

    A record that were a trusted row would be in some fold, and be scored by the scorers that have
    not seen that fold. So each record is given one: by a hash of its vector, so that it gets the
    same score in any batch and at any time.
    """
    if len(reference.folds) == 1:
        return np.zeros(len(chunk), dtype=np.int64)
    width = chunk.embedding.shape[1]
    odd = np.random.default_rng([reference.seed, width]).integers(0, 2**62, width, np.uint64)
    bits = np.ascontiguousarray(chunk.embedding, dtype=np.float32).view(np.uint32)
    mixed = (bits.astype(np.uint64) * (2 * odd + np.uint64(1))).sum(1, dtype=np.uint64)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    fold = (mixed >> np.uint64(40)) % np.uint64(len(reference.folds))
    return np.asarray(fold, dtype=np.int64)


def unseen_ranks(chunk: Chunk, reference: ReferenceState, fold: Ints) -> Floats:
    """Ranks by the scorers that have not seen a row's fold, float64 (n, scorers, J).

    Args:
        chunk: n rows.
        reference: with one scorer, or one for each pair of folds.
        fold: int64 (n,), of each row.
    """
    scorers = max(1, len(reference.folds) - 1)
    ranks = np.empty((len(chunk), scorers, len(reference.detectors)))
    for number in np.unique(fold).tolist():
        rows = np.flatnonzero(fold == number)
        # One chunk for all scorers of a fold: what one of them searched for, the next ones know.
        part = chunk if len(rows) == len(chunk) else take(chunk, rows)
        sides = [
            (scorer, place)
            for scorer in reference.scorers
            for place, side in enumerate(scorer.sides)
            if side.fold == number
        ]
        for column, (scorer, place) in enumerate(sides):
            ranks[rows, column] = scorer.rank(part, place)
    return ranks
