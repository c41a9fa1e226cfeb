"""Drift of a batch against the reference, per column and for the embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.errors import ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

BINS = 10
MOST_CATEGORIES = 50
PSI_BANDS = ((0.25, "major"), (0.2, "significant"), (0.1, "moderate"))


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """How far one column's distribution is from the reference's.

    Attributes:
        column: its name; ``embedding[i]`` for the i-th principal axis of the embedding.
        kind: ``numeric`` or ``categorical``.
        psi: population stability index over the reference's deciles (or categories).
        kl: Kullback-Leibler divergence of the batch from the reference, nats.
        js: Jensen-Shannon distance (base 2), 0 to 1.
        ks: Kolmogorov-Smirnov distance; None for categories.
        p_value: of Kolmogorov-Smirnov (numeric) or chi-squared (categories, and nulls).
        adjusted: p-value after Benjamini-Hochberg over the columns.
        band: ``none``, ``moderate`` (PSI .1), ``significant`` (.2) or ``major`` (.25).
        nulls: share of nulls in the batch, minus that in the reference.
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


def column_drift(
    reference: pa.Table, batch: pa.Table, columns: Sequence[str] | None = None
) -> list[ColumnDrift]:
    """Compares columns of two tables.

    Args:
        reference: trusted rows.
        batch: rows to compare.
        columns: default: all flat columns of the reference.

    Raises:
        ReferenceMismatchError: a column is missing in the batch, or is nested.
    """
    names = columns or [f.name for f in reference.schema if not pa.types.is_nested(f.type)]
    found = []
    for name in names:
        if name not in batch.schema.names:
            raise ReferenceMismatchError(f"the batch has no column {name!r} to compare")
        found.append(_one(name, reference[name], batch[name]))
    return _adjusted(found)


def vector_drift(reference: Floats, batch: Floats, *, axes: int = 10) -> list[ColumnDrift]:
    """Compares two sets of vectors (n, d) and (m, d) along the reference's principal axes."""
    center = reference.mean(0)
    _, _, directions = np.linalg.svd(reference - center, full_matrices=False)
    directions = directions[:axes]
    a, b = (reference - center) @ directions.T, (batch - center) @ directions.T
    return _adjusted(
        [_numeric(f"embedding[{i}]", a[:, i], b[:, i], 0.0) for i in range(len(directions))]
    )


def psi_band(psi: float) -> str:
    """The band of practice that a population stability index lies in."""
    return next((name for bound, name in PSI_BANDS if psi >= bound), "none")


def divergences(reference: Floats, batch: Floats) -> tuple[float, float, float]:
    """PSI, KL of the batch from the reference (nats), JS distance (base 2) of two count vectors.

    Half a count is added to every cell, so that an empty one gives a large number and not infinity.
    """
    p = (reference + 0.5) / (reference + 0.5).sum()
    q = (batch + 0.5) / (batch + 0.5).sum()
    mean = (p + q) / 2
    js = (float((p * np.log2(p / mean)).sum()) + float((q * np.log2(q / mean)).sum())) / 2
    psi = float(((q - p) * np.log(q / p)).sum())
    return psi, float((q * np.log(q / p)).sum()), max(0.0, js) ** 0.5


def _one(name: str, reference: pa.ChunkedArray, batch: pa.ChunkedArray) -> ColumnDrift:
    kind = reference.type
    if pa.types.is_nested(kind):
        raise ReferenceMismatchError(f"column {name!r} is nested and cannot be compared")
    nulls = _null_share(batch) - _null_share(reference)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _numeric(name, _floats(reference), _floats(batch), nulls)
    return _categorical(name, reference, batch, nulls)


def _numeric(name: str, reference: Floats, batch: Floats, nulls: float) -> ColumnDrift:
    from scipy.stats import ks_2samp

    reference, batch = reference[np.isfinite(reference)], batch[np.isfinite(batch)]
    if not len(reference) or not len(batch):
        same = len(reference) == len(batch)
        return ColumnDrift(
            name, "numeric", 0.0, 0.0, 0.0, None, 1.0 if same else 0.0, 1.0, "none", nulls
        )
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1).astype(np.float64)
        for values in (reference, batch)
    ]
    psi, kl, js = divergences(counts[0], counts[1])
    test = ks_2samp(reference, batch)
    return ColumnDrift(
        name,
        "numeric",
        psi,
        kl,
        js,
        float(test.statistic),
        float(test.pvalue),
        1.0,
        psi_band(psi),
        nulls,
    )


def _categorical(
    name: str, reference: pa.ChunkedArray, batch: pa.ChunkedArray, nulls: float
) -> ColumnDrift:
    from scipy.stats import chi2_contingency

    first, second = _counts(reference), _counts(batch)
    kept = sorted(first, key=lambda value: -first[value])[:MOST_CATEGORIES]
    table = np.array(
        [
            [side.get(value, 0) for value in kept]
            + [sum(count for value, count in side.items() if value not in set(kept))]
            for side in (first, second)
        ],
        dtype=np.float64,
    )
    table = table[:, table.sum(0) > 0]
    psi, kl, js = divergences(table[0], table[1])
    p_value = 1.0
    if table.shape[1] > 1 and (table.sum(1) > 0).all():
        p_value = float(chi2_contingency(table, correction=False).pvalue)
    return ColumnDrift(name, "categorical", psi, kl, js, None, p_value, 1.0, psi_band(psi), nulls)


def _adjusted(found: list[ColumnDrift]) -> list[ColumnDrift]:
    from dataclasses import replace

    from scipy.stats import false_discovery_control

    if not found:
        return []
    adjusted = false_discovery_control([drift.p_value for drift in found])
    return [replace(d, adjusted=float(p)) for d, p in zip(found, adjusted, strict=True)]


def _counts(column: pa.ChunkedArray) -> dict[str | None, int]:
    counted = pc.value_counts(pc.cast(column, pa.string()).combine_chunks())
    return {entry["values"]: entry["counts"] for entry in counted.to_pylist()}


def _floats(column: pa.ChunkedArray) -> Floats:
    values = pc.cast(column, pa.float64(), safe=False).to_numpy()
    return np.asarray(values, dtype=np.float64)


def _null_share(column: pa.ChunkedArray) -> float:
    return float(column.null_count / max(1, len(column)))
