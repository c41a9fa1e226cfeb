"""Drift of a batch against what is kept of the reference: per column, and along its axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.drift._exact import counts_p, more_p, smirnov_p
from lazaretto.drift._sketch import Sketch, sketch
from lazaretto.stats.multiple import adjusted_p_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]

BINS = 10
PSI_BANDS = ((0.25, "major"), (0.2, "significant"), (0.1, "moderate"))
KL_BANDS = ((0.1, "significant"), (0.05, "moderate"))
NEW_NULLS = 0.05
"""From this share of nulls more than in the reference a column has moved, whatever its values."""


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """How far one column's distribution is from the reference's.

    Attributes:
        column: its name; ``embedding[i]`` for the i-th principal axis of the embedding.
        kind: ``numeric``, ``categorical`` or ``text`` (compared by the length of its values).
        psi: population stability index over the reference's deciles (or categories).
        kl: Kullback-Leibler divergence D(reference || batch), nats: what it costs to take the batch
            for the reference.
        js: Jensen-Shannon distance (base 2), 0 to 1.
        ks: Kolmogorov-Smirnov distance; None for categories.
        p_value: of Kolmogorov-Smirnov, or chi-squared for categories; exact for small batches.
        adjusted: p-value after Benjamini-Hochberg over the tests of all columns.
        band: ``none``, ``moderate`` (PSI .1), ``significant`` (.2) or ``major`` (.25).
        nulls: share of nulls in the batch, minus that in the reference; values that are not of the
            column's kind, and all values of a missing column, are nulls.
        nulls_p: p-value of that there are more nulls (Fisher's exact test).
        nulls_adjusted: likewise adjusted, over the same tests.
    """

    column: str
    kind: str
    psi: float
    kl: float
    js: float
    ks: float | None
    p_value: float
    adjusted: float
    band: str
    nulls: float
    nulls_p: float
    nulls_adjusted: float

    @property
    def kl_band(self) -> str:
        """The band of its Kullback-Leibler divergence."""
        return kl_band(self.kl)

    def moved(self, level: float) -> bool:
        """Whether it moved: beyond chance, and by enough to matter; or nulls appeared."""
        matters = self.band != "none" or self.kl_band != "none"
        return (self.adjusted <= level and matters) or self.lost(level)

    def lost(self, level: float) -> bool:
        """Whether nulls appeared: more than chance brings, and enough to matter."""
        return self.nulls_adjusted <= level and self.nulls > NEW_NULLS


def column_drift(
    reference: pa.Table, batch: pa.Table, columns: Sequence[str] | None = None
) -> list[ColumnDrift]:
    """Compares columns of two tables.

    Args:
        reference: trusted rows.
        batch: rows to compare.
        columns: default: all flat columns of the reference. One that the batch lacks counts as all
            null.

    Examples:
        >>> import pyarrow as pa
        >>> before, now = pa.table({"label": [0, 1] * 50}), pa.table({"label": [0, 0, 0, 1] * 25})
        >>> [moved] = column_drift(before, now)
        >>> moved.column, moved.psi > 0.1
        ('label', True)
    """
    from lazaretto.drift._sketch import flat_columns

    names = columns if columns is not None else flat_columns(reference.schema)
    sketches = [sketch(name, reference[name]) for name in names]
    there = {name: batch[name] for name in names if name in batch.schema.names}
    return compare(sketches, there)


def compare(sketches: Sequence[Sketch], columns: dict[str, pa.ChunkedArray]) -> list[ColumnDrift]:
    """Compares a batch's columns, by name, with what was kept of the reference's."""
    found = [_one(known, sketch_like(known, columns.get(known.name))) for known in sketches]
    return adjusted(found)


def vector_drift(reference: Floats, batch: Floats, *, axes: int = 10) -> list[ColumnDrift]:
    """Compares two sets of vectors (n, d) and (m, d) along the reference's principal axes.

    Examples:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(400, 4))
        >>> [first] = vector_drift(rows[:200], rows[200:] + 3, axes=1)
        >>> first.psi > 0.25
        True
    """
    from lazaretto.drift._sketch import principal_axes

    known = principal_axes(reference, axes)
    return compare(known.sketches(reference), known.project(batch))


def psi_band(psi: float) -> str:
    """The band of practice that a population stability index lies in.

    Examples:
        >>> psi_band(0.05), psi_band(0.4)
        ('none', 'major')
    """
    return next((name for bound, name in PSI_BANDS if psi >= bound), "none")


def kl_band(kl: float) -> str:
    """The band of a Kullback-Leibler divergence D(reference || batch), in nats.

    Examples:
        >>> kl_band(0.04), kl_band(0.07), kl_band(0.3)
        ('none', 'moderate', 'significant')
    """
    return next((name for bound, name in KL_BANDS if kl >= bound), "none")


def divergences(reference: Floats, batch: Floats) -> tuple[float, float, float]:
    """PSI, KL D(reference || batch) (nats), JS distance (base 2) of two count vectors.

    Half a count is added to every cell, so that an empty one gives a large number and not infinity.

    Examples:
        >>> import numpy as np
        >>> psi, kl, js = divergences(np.array([50.0, 50.0]), np.array([50.0, 50.0]))
        >>> psi, kl, js
        (0.0, 0.0, 0.0)
    """
    p = (reference + 0.5) / (reference + 0.5).sum()
    q = (batch + 0.5) / (batch + 0.5).sum()
    mean = (p + q) / 2
    js = (float((p * np.log2(p / mean)).sum()) + float((q * np.log2(q / mean)).sum())) / 2
    psi = float(((q - p) * np.log(q / p)).sum())
    return psi, float((p * np.log(p / q)).sum()), max(0.0, js) ** 0.5


def adjusted(found: list[ColumnDrift]) -> list[ColumnDrift]:
    """The same with p-values adjusted over all of them (Benjamini and Hochberg, 1995)."""
    values = adjusted_p_values([d.p_value for d in found] + [d.nulls_p for d in found])
    pairs = zip(values[: len(found)].tolist(), values[len(found) :].tolist(), strict=True)
    return [
        replace(d, adjusted=moved, nulls_adjusted=lost)
        for d, (moved, lost) in zip(found, pairs, strict=True)
    ]


def sketch_like(known: Sketch, column: pa.ChunkedArray | None) -> Sketch:
    """A batch's column, read the way the reference's was."""
    return sketch(known.name, column, like=known)


def _one(known: Sketch, found: Sketch) -> ColumnDrift:
    nulls = found.nulls - known.nulls
    lost = 0.0 if known.rows else 1.0  # a column that is gone is no matter of chance
    if found.all_rows:
        lost = more_p(found.null_rows, found.all_rows, known.null_rows, known.all_rows)
    psi = kl = js = 0.0
    p_value, ks = 1.0, None
    if known.rows and found.rows:
        counts, p_value, ks = (_categories if known.is_categorical else _numbers)(known, found)
        psi, kl, js = divergences(counts[0], counts[1])
    return ColumnDrift(
        known.name,
        known.kind,
        psi=psi,
        kl=kl,
        js=js,
        ks=ks,
        p_value=p_value,
        adjusted=1.0,
        band=psi_band(psi),
        nulls=nulls,
        nulls_p=lost,
        nulls_adjusted=1.0,
    )


def _numbers(known: Sketch, found: Sketch) -> tuple[list[Floats], float, float | None]:
    """Counts over the reference's deciles, and Smirnov's test of two samples."""
    edges = np.unique(np.quantile(known.values, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts: list[Floats] = [
        np.bincount(np.searchsorted(edges, side.values), minlength=len(edges) + 1)
        * np.float64(side.rows / len(side.values))
        for side in (known, found)
    ]
    distance = farthest_apart(known.values, found.values)
    return counts, smirnov(known, found, distance), distance


def smirnov(known: Sketch, found: Sketch, distance: float) -> float:
    """P-value of a distance between two sketches' distributions."""
    # A thinned sketch may be off by one step; the test must not take that for drift.
    slack = sum(1 / len(side.values) for side in (known, found) if len(side.values) < side.rows)
    return smirnov_p(max(0.0, distance - slack), found.rows, known.rows)


def farthest_apart(first: Floats, second: Floats) -> float:
    """The largest difference of two empirical distributions (Smirnov's statistic)."""
    both = np.concatenate([first, second])
    shares = [np.searchsorted(np.sort(side), both, "right") / len(side) for side in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def category_counts(known: Sketch, found: Sketch) -> npt.NDArray[np.int64]:
    """Counts of the categories that the reference has, and of all others together, (2, c + 1)."""
    kept = list(known.counts)
    return np.array(
        [
            [
                *(side.counts.get(value, 0) for value in kept),
                side.rows - sum(side.counts.get(value, 0) for value in kept),
            ]
            for side in (known, found)
        ],
        dtype=np.int64,
    )


def _categories(known: Sketch, found: Sketch) -> tuple[list[Floats], float, float | None]:
    """Counts of the categories that the reference has, the others together; chi-squared."""
    table = category_counts(known, found)
    seen = table[:, table.sum(0) > 0].astype(np.float64)
    return [seen[0], seen[1]], counts_p(table[0], table[1]), None
