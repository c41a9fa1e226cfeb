"""What differs from its class as found records do, and more than any trusted record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.arrays import about_group_means
from lazaretto.detect.covariance import ledoit_wolf
from lazaretto.detect.mahalanobis import LEAST_WITHIN
from lazaretto.screen._measured import class_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.detect.base import Chunk
    from lazaretto.reference import Reference
    from lazaretto.screen._matching import Question
    from lazaretto.screen._score import Scored

FEWEST_FOUND = 3
"""So many records, at least, say in which direction they differ."""
FEWEST_TRUSTED = 100
"""Of a class so many must be trusted, or as many as the batch has: one clean record of t + 1 lies
beyond the furthest of t."""
FEWEST_LEFT = 20
"""No class with fewer trusted records is asked: its parts would have hardly any."""
PARTS = 5
"""Of the trusted records."""
COVARIANCE_ROWS = 20_000
"""About so many trusted records, at most, give the covariance: memory is bounded by it."""
_ROUNDING = 1e-9
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Beyond:
    """Does a record lie further out, in the direction of its class, than any trusted one?

    There are several directions, of which each was computed without a part of the trusted records,
    and it has to be further out than all of that part.

    Attributes:
        number: int64 (k,), the classes that are asked.
        direction: float64 (k, parts, d).
        bar: float64 (k, parts), how far the furthest trusted record of the part is.
    """

    number: Ints
    direction: Floats
    bar: Floats

    def holds_for(self, chunk: Chunk) -> npt.NDArray[np.bool_]:
        """See `lazaretto.screen._matching.Question`."""
        holds = np.zeros(len(chunk), dtype=bool)
        for number, direction, bar in zip(self.number, self.direction, self.bar, strict=True):
            rows = slice(None) if chunk.label is None else np.flatnonzero(chunk.label == number)
            holds[rows] = (_reach(chunk.embedding[rows], direction.T) > bar).all(1)
        return holds


def find_beyond(
    vector: Floats,
    label: Ints,
    level: Floats,
    scored: Scored,
    reference: Reference,
    matching: Callable[[Question], Ints],
) -> tuple[Ints, Floats]:
    """Records of a batch that differ from their class as found records do.

    Poison of one kind has one cause, such as a trigger, which moves all of it the same way. The
    records in the inner half of a neighbourhood are the ones that stand out most; others of the
    kind may look ordinary by themselves. The direction in which the found ones differ is that of
    Fisher's discriminant (1936): the difference of their mean from the mean of their class, by the
    inverse of the covariance within classes. No trusted record of the class lies further out that
    way than those that are named here. So of m clean records of the class about ``m / (t + 1)`` are
    named with it, where t are trusted: one at most, or one of `FEWEST_TRUSTED`. None is where
    nothing was found.

    Per class the direction is that of the records that are found at the lowest level, so that it is
    the same at any level that a policy asks for.

    Args:
        vector: float32 (m, d), of records that were found.
        label: int64 (m,), class of each.
        level: float64 (m,), from which on each is found; `lazaretto.screen._scan.Scan.level`.
        scored: the batch.
        reference: that it was scored against.
        matching: tells the positions of the batch's records for which a question holds.

    Returns:
        Positions, int64 (n,), and the level from which on each is named, float64 (n,).
    """
    lowest = {number: level[label == number].min() for number in np.unique(label).tolist()}
    found = {number: vector[(label == number) & (level <= low)] for number, low in lowest.items()}
    found = {number: rows for number, rows in found.items() if len(rows) >= FEWEST_FOUND}
    if found:
        enough = _enough_trusted(scored, reference)
        found = {number: rows for number, rows in found.items() if enough[number]}
    if not found:
        return np.empty(0, dtype=np.int64), np.empty(0)
    position = matching(_question(found, reference))
    number = class_numbers(scored.label.take(position), reference.classes)
    return position, np.array([lowest[one] for one in number.tolist()], dtype=np.float64)


def _enough_trusted(scored: Scored, reference: Reference) -> npt.NDArray[np.bool_]:
    """Of which classes enough records are trusted, bool (c,)."""
    classes = max(1, len(reference.classes))
    trusted = np.bincount(_classes_of(reference), minlength=classes)
    there = np.bincount(class_numbers(scored.label, reference.classes), minlength=classes)
    return (trusted >= FEWEST_TRUSTED) | (trusted >= np.maximum(there, FEWEST_LEFT))


def _question(found: dict[int, Floats], reference: Reference) -> Beyond:
    """In which directions records of some classes differ, and how far trusted ones go that way.

    A covariance is smaller along any direction for the records that it was computed of than for
    others, the more so the more dimensions there are. So trusted records are compared by a
    direction that has not seen them, as it has not seen those of the batch (cross-conformal: Vovk,
    2015, section 3).
    """
    trusted, of = reference.sample.embedding, _classes_of(reference)
    place = np.empty(len(of), dtype=np.int64)  # within the class: records may be sorted by it
    for number in np.unique(of).tolist():
        mine = of == number
        place[mine] = np.arange(mine.sum())
    part = place % PARTS
    # A large reference is thinned out for the covariance; its furthest records are those of all.
    known = np.flatnonzero(place // PARTS % -(-len(of) // COVARIANCE_ROWS) == 0)
    rows, label, fold = trusted[known].astype(np.float64), of[known], part[known]
    direction = np.empty((len(found), PARTS, trusted.shape[1]))
    bar = np.empty((len(found), PARTS))
    for left_out in range(PARTS):
        seen = fold != left_out
        inside = about_group_means(rows[seen], label[seen])
        spread = ledoit_wolf(inside)
        spread[np.diag_indices_from(spread)] += LEAST_WITHIN * float(np.square(inside).mean())
        for column, (number, vectors) in enumerate(found.items()):
            apart = vectors.astype(np.float64).mean(0) - rows[seen & (label == number)].mean(0)
            own = direction[column, left_out] = np.linalg.solve(spread, apart)
            reach = _reach(trusted[(of == number) & (part == left_out)], own)
            bar[column, left_out] = reach.max() + _ROUNDING * np.abs(reach).max()
    return Beyond(np.array(list(found), dtype=np.int64), direction, bar)


def _classes_of(reference: Reference) -> Ints:
    """Class of each trusted record, int64 (t,); all of one without labels."""
    label = reference.sample.label
    return np.zeros(len(reference.sample.embedding), dtype=np.int64) if label is None else label


def _reach(vectors: Floats, direction: Floats) -> Floats:
    """How far each vector is, float64; by blocks, since a reference may have a million."""
    blocks = range(0, max(1, len(vectors)), _BLOCK)
    reach = [vectors[start : start + _BLOCK].astype(np.float64) @ direction for start in blocks]
    return np.concatenate(reach)
