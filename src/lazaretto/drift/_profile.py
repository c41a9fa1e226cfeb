"""A profile: what is kept of a reference, frozen at its fit, to measure the drift of batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.drift._compare import compare
from lazaretto.drift._golden import Golden
from lazaretto.drift._signs_rows import Repeats
from lazaretto.drift._sketch import Axes, Sketch, flat_columns, principal_axes, sketch
from lazaretto.drift.faults import Fault, find_faults

if TYPE_CHECKING:
    from collections.abc import Sequence
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
            where there is nothing to replay.
        faults: faults that its columns and rows look like, the surest first.
    """

    columns: list[ColumnDrift]
    rows: int
    unknown: int
    golden_mismatch: float | None
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Profile:
    """What is kept of a reference's rows.

    Attributes:
        columns: sketches of the flat columns, without the record id, at most `MOST_COLUMNS`.
        names: every column that the trusted rows have.
        axes: principal axes of the vectors.
        coordinates: sketches of the vectors' coordinates on them.
        golden: a few trusted rows with their vectors; None where nothing can encode them again.
        repeats: how often whole rows are the same; None where it was fitted without.
    """

    columns: tuple[Sketch, ...]
    names: tuple[str, ...]
    axes: Axes
    coordinates: tuple[Sketch, ...]
    golden: Golden | None
    repeats: Repeats | None = None

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
        from lazaretto.batch import as_chunks
        from lazaretto.embed.reader import opened

        data = opened(trusted, policy.columns)
        names = tuple(compared(data.schema, policy.columns))
        kinds = pa.schema([data.schema.field(name) for name in names])
        positions = _positions(data.num_rows, KNOWN_ROWS, reference.seed)
        sample = Sample(kinds, data.schema.names, names, None, positions)
        for chunk in as_chunks(data, columns=names) if names else ():
            sample.take(chunk)
        rows = sample.table()
        vectors = reference.sample.embedding[:KNOWN_ROWS]
        axes = principal_axes(vectors, AXES)
        return cls(
            columns=tuple(sketch(name, rows[name]) for name in names),
            names=tuple(data.schema.names),
            axes=axes,
            coordinates=tuple(axes.sketches(vectors)),
            golden=Golden.take(data, policy, reference.encoder_state),
            repeats=Repeats.of(names, rows) if names else None,
        )

    def sample(self, schema: pa.Schema, policy: Policy, *, rows: int, seed: int = 0) -> Sample:
        """Says which records of a batch are compared; whoever reads the batch gives them to it.

        Args:
            schema: of the batch.
            policy: as at the fit.
            rows: how many records the batch has.
            seed: of the sample of a large batch.
        """
        names = [known.name for known in self.columns if known.name in schema.names]
        own = policy.columns.embedding if policy.embed.encoder == "column" else None
        own = own if own in schema.names else None
        kinds = pa.schema([schema.field(name) for name in dict.fromkeys([*names, own]) if name])
        positions = _positions(rows, BATCH_ROWS, seed)
        return Sample(kinds, schema.names, tuple(names), own, positions)

    def measure(
        self,
        sample: Sample,
        policy: Policy,
        *,
        embeddings: pa.Table | None = None,
        state: bytes | None = None,
        level: float | None = 0.001,
    ) -> Measured:
        """Compares a batch with the profile.

        Args:
            sample: its records, those that the contract fails included.
            policy: as at the fit.
            embeddings: vectors of the sample's records in their order, for another encoder than
                ``column``.
            state: of the encoder, where the reference fitted it.
            level: largest chance that a batch like the reference shows a signature of a fault;
                None: nobody looks for any.
        """
        table = sample.table()
        columns = {name: table[name] for name in sample.names}
        flat = dict(columns)
        vectors = None
        if sample.vectors is not None:
            vectors = table[sample.vectors]
        elif embeddings is not None:
            vectors = embeddings["embedding"]
        sketches = list(self.columns)
        if vectors is not None:
            columns |= self.axes.project(_usable(vectors, self.axes.center.shape[0]))
            sketches += self.coordinates
        moved = compare(sketches, columns)
        own = list(self.columns)
        return Measured(
            columns=moved,
            rows=len(sample.positions),
            unknown=len(set(sample.all_names) - set(self.names)),
            golden_mismatch=None if self.golden is None else self.golden.replay(policy, state),
            faults=[]
            if level is None
            else find_faults(own, flat, moved[: len(own)], self.repeats, level=level),
        )


@dataclass(slots=True)
class Sample:
    """Records of a batch, taken out of its chunks while they stream by.

    Attributes:
        schema: of the columns that are taken.
        all_names: of all columns of the batch.
        names: flat columns among those that are taken.
        vectors: column of vectors among them, if any.
        positions: of the records that are taken, ascending, int64.
    """

    schema: pa.Schema
    all_names: Sequence[str]
    names: tuple[str, ...]
    vectors: str | None
    positions: npt.NDArray[np.int64]
    _parts: list[pa.RecordBatch] = field(default_factory=list)
    _seen: int = 0

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns that chunks must have."""
        return list(self.schema.names)

    def take(self, chunk: pa.RecordBatch) -> None:
        """Takes what it needs of the next chunk."""
        edges = [self._seen, self._seen + chunk.num_rows]
        low, high = np.searchsorted(self.positions, edges)
        if high > low:
            rows = pa.array(self.positions[low:high] - self._seen)
            self._parts.append(chunk.select(self.columns).take(rows))
        self._seen += chunk.num_rows

    def within(self, offset: int, rows: int) -> Sample:
        """The same of some records that lie behind each other, to be taken from those alone.

        Args:
            offset: position of the first of them.
            rows: how many they are.
        """
        low, high = np.searchsorted(self.positions, [offset, offset + rows])
        return replace(self, positions=self.positions[low:high] - offset, _parts=[], _seen=0)

    def put(self, taken: pa.Table) -> None:
        """Puts what was taken of the next records behind the rest."""
        self._parts += taken.to_batches()

    def table(self) -> pa.Table:
        """What was taken so far."""
        return pa.Table.from_batches(self._parts, schema=self.schema)


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


def _positions(rows: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
