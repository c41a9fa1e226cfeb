"""Pieces of a screening: what scoring gives of some records, put together in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.batch._lists import as_lists, as_matrix
from lazaretto.detect.base import Chunk
from lazaretto.screen._sample import Oddest, Sample
from lazaretto.screen._scan import MOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.reference import Reference


@dataclass(slots=True)
class Piece:
    """What scoring gives of records that lie behind each other. Positions are among these alone.

    Attributes:
        sample: of the scored records.
        oddest: of them.
        ids: as the next ones, a chunk behind the other: of every judged record.
        label: label texts, null where there is none.
        numbers: float64 (m, 3 + J): score, p-value, group of calibration rows, p-values.
        problems: why a record could not be scored, by position.
        reasons: what the driving detectors say, by position.
        apart: what each detector says that is judged by itself, by name and position.
        groups: text of each judged record's group, by column, a chunk behind the other.
    """

    sample: Sample
    oddest: Oddest
    ids: list[pa.Array] = field(default_factory=list)
    label: list[pa.Array] = field(default_factory=list)
    numbers: list[npt.NDArray[np.float64]] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, list[str]] = field(default_factory=dict)
    apart: dict[str, dict[int, str]] = field(default_factory=dict)
    groups: dict[str, list[pa.Array]] = field(default_factory=dict)

    @classmethod
    def empty(cls, reference: Reference) -> Piece:
        """Of no records."""
        width, labelled = reference.encoder.dimensions, reference.label is not None
        return cls(Sample.empty(width, labelled=labelled), Oddest.empty(width, labelled=labelled))

    @property
    def judged(self) -> int:
        """How many records it has."""
        return sum(map(len, self.numbers))

    def add(self, after: Piece) -> None:
        """Puts the records that come next behind the others."""
        judged = self.judged
        self.ids += after.ids
        self.label += after.label
        self.numbers += after.numbers
        self.problems |= {judged + row: text for row, text in after.problems.items()}
        self.reasons |= {judged + row: said for row, said in after.reasons.items()}
        for name, told in after.apart.items():
            mine = self.apart.setdefault(name, {})
            mine |= {judged + row: text for row, text in told.items()}
        for name, texts in after.groups.items():
            self.groups[name] = [*self.groups.get(name, []), *texts]
        few, odd = after.sample, after.oddest
        chunk = Chunk(embedding=few.embedding, label=few.label)
        self.sample = self.sample.add(chunk, judged + few.position, few.key)
        chunk = Chunk(embedding=odd.embedding, label=odd.label)
        self.oddest = self.oddest.add(chunk, judged + odd.position, odd.p_value, most=MOST)

    def tables(self) -> dict[str, pa.Table]:
        """The same as tables, for a machine that gathers pieces of several others."""
        place = range(self.judged)
        numbers = np.concatenate(self.numbers)
        records = {
            "record_id": pa.chunked_array(self.ids, pa.string()),
            "label": pa.chunked_array(self.label, pa.string()),
            "numbers": as_lists(numbers),
            "problem": pa.array([self.problems.get(row) for row in place], pa.string()),
            "reasons": pa.array([self.reasons.get(row) for row in place], pa.list_(pa.string())),
        }
        few, odd = self.sample, self.oddest
        tables = {
            "records": pa.table(records),
            "apart": _said(self.apart),
            "sample": _kept(few.embedding, few.label, few.position, few.key),
            "oddest": _kept(odd.embedding, odd.label, odd.position, odd.p_value),
        }
        if self.groups:
            texts = {name: pa.chunked_array(s, pa.string()) for name, s in self.groups.items()}
            tables["groups"] = pa.table(texts)
        return tables

    @classmethod
    def of_tables(cls, tables: Mapping[str, Iterable[pa.RecordBatch | pa.Table]]) -> Piece:
        """A piece from its tables, each of which may come in several chunks."""
        records = whole(tables["records"])
        sample, oddest = Sample(*_taken(tables["sample"])), Oddest(*_taken(tables["oddest"]))
        place = range(records.num_rows)
        problems, reasons = records["problem"].to_pylist(), records["reasons"].to_pylist()
        groups = whole(tables["groups"]) if "groups" in tables else None
        return cls(
            sample,
            oddest,
            ids=records["record_id"].chunks,
            label=records["label"].chunks,
            numbers=[as_matrix(records["numbers"])],
            problems={row: problems[row] for row in place if problems[row] is not None},
            reasons={row: reasons[row] for row in place if reasons[row] is not None},
            apart=_heard(whole(tables["apart"])),
            groups={} if groups is None else {n: groups[n].chunks for n in groups.column_names},
        )


def _said(apart: dict[str, dict[int, str]]) -> pa.Table:
    rows = [(name, row, text) for name, told in apart.items() for row, text in told.items()]
    names, positions, texts = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "detector": pa.array(names, pa.string()),
            "position": pa.array(positions, pa.int64()),
            "said": pa.array(texts, pa.string()),
        }
    )


def _heard(said: pa.Table) -> dict[str, dict[int, str]]:
    apart: dict[str, dict[int, str]] = {}
    for name, row, text in zip(*(column.to_pylist() for column in said.columns), strict=True):
        apart.setdefault(name, {})[row] = text
    return apart


def _kept(
    vectors: Floats, label: Ints | None, position: Ints, number: npt.NDArray[np.float64]
) -> pa.Table:
    rows = len(position)
    return pa.table(
        {
            "embedding": as_lists(vectors),
            "label": pa.nulls(rows, pa.int64()) if label is None else pa.array(label),
            "position": pa.array(position),
            "number": pa.array(number),
        }
    ).replace_schema_metadata({"labelled": "" if label is None else "yes"})


def _taken(
    chunks: Iterable[pa.RecordBatch | pa.Table],
) -> tuple[Floats, Ints | None, Ints, npt.NDArray[np.float64]]:
    table = whole(chunks)
    labelled = bool((table.schema.metadata or {}).get(b"labelled"))
    return (
        as_matrix(table["embedding"]),
        table["label"].to_numpy() if labelled else None,
        table["position"].to_numpy(),
        table["number"].to_numpy(),
    )


def whole(chunks: Iterable[pa.RecordBatch | pa.Table]) -> pa.Table:
    """A table of chunks, of which there is at least one."""
    return pa.concat_tables(
        chunk if isinstance(chunk, pa.Table) else pa.Table.from_batches([chunk]) for chunk in chunks
    )
