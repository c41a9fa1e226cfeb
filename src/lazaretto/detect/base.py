"""What a detector is, and the rows that it sees: `Chunk` to score, `Split` to fit on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints, State
    from lazaretto.detect.neighbours import NeighbourIndex, Neighbours


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows to score. Rows that cannot be scored (NaN, Inf, zero norm, unseen label) never get here.

    Attributes:
        embedding: float32 (n, d), finite.
        label: int64 (n,), index into the reference's classes; None when the policy names no label.
        values: float32 (n, c), the raw numeric columns; NaN where null. None when there are none.
        memo: neighbours found so far, shared by the detectors that look at the same index.
    """

    embedding: Floats
    label: Ints | None = None
    values: Floats | None = None
    memo: dict[NeighbourIndex, Neighbours] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.embedding.shape[0])


@dataclass(frozen=True, slots=True)
class Split:
    """The part of a reference that detectors are fitted on.

    Attributes:
        rows: the rows; every label is at least 0.
        classes: class names, by index.
        columns: names of the raw numeric columns, by position in `Chunk.values`.
        index: nearest-neighbour index over the rows, shared by all detectors.
        seed: of every random choice while fitting.
    """

    rows: Chunk
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    index: NeighbourIndex
    seed: int = 0


@runtime_checkable
class Detector(Protocol):
    """Scores each record from the record and the reference alone; higher means more anomalous.

    An instance is made by its registered class with the policy's options as keyword arguments, then
    fitted or restored. `score` may return one column, or several *views* (two directions, say),
    which are ranked apart.

    Attributes:
        name: registered name.
        requires: of ``embedding``, ``label`` and ``values``.
        weights: of each view in the fused score. 1 for what speaks of the record's label, 0.5 for
            what only says where the record lies: clean records lie in odd places more often than
            they carry a wrong label, so that evidence must be twice as strong.
    """

    name: ClassVar[str]
    requires: ClassVar[frozenset[str]]
    weights: ClassVar[tuple[float, ...]]

    def fit(self, reference: Split) -> Self:
        """Fits on the FIT split of the reference, and on nothing else.

        Raises:
            UsageError: an option does not fit the rows.
        """
        ...

    def score(self, chunk: Chunk) -> Floats:
        """Floats (n,) or (n, views). The same for a record alone as within a batch."""
        ...

    def explain(self, chunk: Chunk) -> list[str]:
        """One sentence per record for the reviewer: what the detector saw in it."""
        ...

    def state(self) -> dict[str, State]:
        """Everything fitted that `restore` cannot take from the FIT split itself."""
        ...

    def restore(self, state: dict[str, State], reference: Split) -> Self:
        """Brings back what `state` gave; `reference` is the FIT split that `fit` saw."""
        ...
