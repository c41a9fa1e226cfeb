"""A profile: what is kept of a reference, frozen at its fit, to measure the drift of batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.drift._compare import compare
from lazaretto.drift._golden import Golden
from lazaretto.drift._sketch import Axes, Sketch, flat_columns, principal_axes, sketch

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.drift._compare import ColumnDrift
    from lazaretto.policy import Columns, Policy
    from lazaretto.reference import Reference

MOST_COLUMNS = 100
"""Columns kept, in the order of the trusted rows' file."""
AXES = 10
KNOWN_ROWS = 50_000
"""Trusted rows that sketches are made of, at most: a random sample of more."""
BATCH_ROWS = 10_000
"""Records of a batch that are compared, at most."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Drift of one batch.

    Attributes:
        columns: of every column and axis that the profile has.
        rows: records that were compared.
        unknown: columns of the batch that the trusted rows do not have.
        golden_mismatch: share of the golden set whose vectors are no longer those of the fit; None
            where the vectors come with the batch, so that there is nothing to replay.
    """

    columns: list[ColumnDrift]
    rows: int
    unknown: int
    golden_mismatch: float | None


@dataclass(frozen=True, slots=True)
class Profile:
    """What is kept of a reference's rows.

    Attributes:
        columns: sketches of the flat columns, without the record id, at most `MOST_COLUMNS`.
        names: every column that the trusted rows have.
        axes: principal axes of the vectors.
        coordinates: sketches of the vectors' coordinates on them.
        golden: a few trusted rows with their vectors; None for the encoder ``column``.
    """

    columns: tuple[Sketch, ...]
    names: tuple[str, ...]
    axes: Axes
    coordinates: tuple[Sketch, ...]
    golden: Golden | None

    @classmethod
    def fit(
        cls, trusted: pa.Table | Batch | str | Path, reference: Reference, policy: Policy
    ) -> Profile:
        """Sketches trusted rows.

        Args:
            trusted: the rows that the reference was fitted on.
            reference: fitted on them; gives the vectors.
            policy: which column plays which part, and the encoder.

        Raises:
            DeliveryError: the file cannot be read.
        """
        from lazaretto.embed.reader import opened

        data = opened(trusted)
        names = compared(data.schema, policy.columns)
        rows = _picked(data, data.num_rows, names, KNOWN_ROWS, reference.seed)
        vectors = reference.sample.embedding[:KNOWN_ROWS].numpy()
        axes = principal_axes(vectors, AXES)
        return cls(
            columns=tuple(sketch(name, rows[name]) for name in names),
            names=tuple(data.schema.names),
            axes=axes,
            coordinates=tuple(axes.sketches(vectors)),
            golden=Golden.take(data, policy),
        )

    def measure(
        self,
        batch: pa.Table | Batch,
        policy: Policy,
        *,
        rows: int,
        embeddings: pa.Table | None = None,
        seed: int = 0,
    ) -> Measured:
        """Compares a batch with the profile, in one pass over its flat columns and vectors.

        Args:
            batch: the records, those that the contract fails included.
            policy: as at the fit.
            rows: how many records it has.
            embeddings: their vectors in the same order, for another encoder than ``column``.
            seed: of the sample of a large batch.
        """
        there = batch.schema.names
        names = [known.name for known in self.columns if known.name in there]
        own = policy.columns.embedding if policy.embed.encoder == "column" else None
        own = own if own in there else None
        wanted = names if own is None else [*names, own]
        positions = _positions(rows, BATCH_ROWS, seed)
        sample = _take(batch, wanted, positions)
        columns = {name: sample[name] for name in names}
        vectors = None
        if own is not None:
            vectors = sample[own]
        elif embeddings is not None:
            vectors = embeddings["embedding"].take(pa.array(positions))
        sketches = list(self.columns)
        if vectors is not None:
            columns |= self.axes.project(_usable(vectors, self.axes.center.shape[0]))
            sketches += self.coordinates
        return Measured(
            columns=compare(sketches, columns),
            rows=len(positions),
            unknown=len(set(there) - set(self.names)),
            golden_mismatch=None if self.golden is None else self.golden.replay(policy),
        )


def compared(schema: pa.Schema, columns: Columns) -> list[str]:
    """Flat columns whose distribution means something: not the record id, nor where from."""
    left_out = (columns.record_id, columns.reference_group, columns.reference_time)
    names = [name for name in flat_columns(schema) if name not in left_out]
    return names[:MOST_COLUMNS]


def _usable(column: pa.ChunkedArray, width: int) -> npt.NDArray[np.float32]:
    """The vectors that can be compared (m, d)."""
    from lazaretto.batch._columns import vectors

    found = vectors(column, "embedding", width)
    keep = np.ones(len(found.values), dtype=bool)
    keep[list(found.problems)] = False
    return found.values[keep]


def _picked(data: pa.Table | Batch, rows: int, names: list[str], most: int, seed: int) -> pa.Table:
    return _take(data, names, _positions(rows, most, seed))


def _positions(rows: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _take(data: pa.Table | Batch, names: list[str], positions: npt.NDArray[np.int64]) -> pa.Table:
    """Some columns of some rows, while the data streams by."""
    from lazaretto.batch import as_chunks

    kinds = pa.schema([data.schema.field(name) for name in names])
    if not names:
        return kinds.empty_table()
    parts, offset = [], 0
    for chunk in as_chunks(data, columns=names):
        low, high = np.searchsorted(positions, [offset, offset + chunk.num_rows])
        if high > low:
            parts.append(chunk.take(pa.array(positions[low:high] - offset)))
        offset += chunk.num_rows
    return pa.Table.from_batches(parts) if parts else kinds.empty_table()
