"""What the ledger says of the batches in question: who signed them, and where their records are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.batch._ids import ids_digest
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, BatchReceived, RecordsRecalled
from lazaretto.quarantine.counts import UNDECIDED
from lazaretto.sources.recorded import read_sources
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.values import Question

_AT_ONCE = 500
"""Batches of one query."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signed batches in question.

    Attributes:
        source: who delivered them.
        key_id: of the key; None: these batches came without a verified signature.
        batches: how many.
        records: in them.
        revoked_at: from when on the key is revoked; None: it is not.
    """

    source: str
    key_id: str | None
    batches: int
    records: int
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class InDataset:
    """Records in question that entered a dataset.

    Attributes:
        dataset: its name.
        batches: how many batches they are of.
        admitted: records that entered.
        recalled: records that were taken back.
        batches_left: ids of the batches that it still has records of.
    """

    dataset: str
    batches: int
    admitted: int
    recalled: int
    batches_left: list[str]

    @property
    def left(self) -> int:
        """Records that are still in it."""
        return max(self.admitted - self.recalled, 0)


@dataclass(frozen=True, slots=True)
class StillHeld:
    """A case with records in question that nobody has decided on.

    Attributes:
        case: its id.
        batch: its batch.
        dataset: where released records would go.
        records: that nobody has decided on.
    """

    case: str
    batch: str
    dataset: str
    records: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is of the batches in question.

    Attributes:
        records: in all of them.
        keys: that signed them, those with the most batches first.
        datasets: that their records entered, by name.
        held: open cases, the oldest first.
    """

    records: int
    keys: list[SigningKey]
    datasets: list[InDataset]
    held: list[StillHeld]

    @property
    def sources(self) -> list[str]:
        """Who delivered the batches, by name."""
        return sorted({key.source for key in self.keys})


def evidence_of(
    connection: Connection, batches: Sequence[str], question: Question | None = None
) -> Evidence:
    """Puts together what the ledger says of some batches.

    Args:
        connection: of the catalog.
        batches: their ids.
        question: that they are the answer to; None: all of them is in question. Of a decision only
            the records count that it let in.

    Raises:
        LedgerError: an entry was edited.
        ChangedStateError: the catalog's rows of the sources are not what the ledger says.
    """
    decision = question.subject if question and question.kind == "decision" else None
    signed: dict[tuple[str, str | None], list[int]] = {}
    released: dict[tuple[str, str], int] = {}
    admitted: dict[str, dict[str, int]] = {}
    kinds = (BatchReceived.kind, BatchAdmitted.kind)
    for some in _chunks(batches):
        subjects = [f"batch:{batch}" for batch in some]
        for entry in entries(connection, subjects=subjects, kinds=kinds):
            match entry.event:
                case BatchReceived() as event:
                    key = event.source, event.signature.key_id
                    signed.setdefault(key, []).append(event.rows)
                case BatchAdmitted() as event:
                    of = admitted.setdefault(event.dataset, {})
                    of[event.batch] = of.get(event.batch, 0) + event.rows
                    rows = sum(one.records for one in event.releases if one.decision == decision)
                    place = event.dataset, event.batch
                    released[place] = released.get(place, 0) + rows
    datasets = _datasets(connection, admitted, question) if admitted else []
    records = sum(map(sum, signed.values()))
    if question is not None and question.kind == "record":
        records = len(batches)
    if decision is not None:
        records = sum(released.values())
        datasets = [_only_released(one, released) for one in datasets]
    return Evidence(
        records=records,
        keys=_keys(connection, signed),
        datasets=[one for one in datasets if one.admitted],
        # What is held is in no version of a dataset.
        held=[]
        if question is not None and question.kind == "dataset"
        else [one for some in _chunks(batches) for one in _held(connection, some)],
    )


def still_in(evidence: Evidence, question: Question) -> list[str]:
    """For each dataset that it entered, what of it is still there, in words."""
    if question.kind == "record":
        return [
            f"{one.dataset} may hold it" if one.left else f"taken back from {one.dataset}"
            for one in evidence.datasets
        ]
    return [f"{one.left:,} of {one.admitted:,} still in {one.dataset}" for one in evidence.datasets]


def _keys(
    connection: Connection, signed: dict[tuple[str, str | None], list[int]]
) -> list[SigningKey]:
    known = {
        (key.source, key.key_id): key.revoked_at
        for name in sorted({source for source, _ in signed})
        for one in read_sources(connection, name)
        for key in one.keys
    }
    found = [
        SigningKey(source, key, len(rows), sum(rows), known.get((source, str(key))))
        for (source, key), rows in signed.items()
    ]
    return sorted(found, key=lambda one: (-one.batches, one.source, one.key_id or ""))


def _datasets(
    connection: Connection, admitted: dict[str, dict[str, int]], question: Question | None
) -> list[InDataset]:
    left = {name: dict(of) for name, of in admitted.items()}
    one = ids_digest([question.subject]) if question and question.kind == "record" else None
    for entry in entries(connection, kinds=[RecordsRecalled.kind]):
        if isinstance(event := entry.event, RecordsRecalled) and event.dataset in left:
            mine = left[event.dataset]
            if one is not None and event.ids_digest == one:
                mine.clear()
            for member in event.members:
                if member.batch in mine:
                    mine[member.batch] -= member.rows
    return [
        InDataset(
            name,
            len(of),
            sum(of.values()),
            sum(of.values()) - sum(left[name].values()),
            sorted(batch for batch, rows in left[name].items() if rows > 0),
        )
        for name, of in sorted(admitted.items())
    ]


def _only_released(one: InDataset, released: dict[tuple[str, str], int]) -> InDataset:
    """The same of the records alone that a decision let in; at most what is left of their batch."""
    mine = {batch: rows for (name, batch), rows in released.items() if name == one.dataset and rows}
    rows = sum(mine.values())
    left = [batch for batch in one.batches_left if batch in mine]
    gone = rows - min(sum(mine[batch] for batch in left), one.left)
    return InDataset(one.dataset, len(mine), rows, gone, left)


def _held(connection: Connection, batches: Sequence[str]) -> Iterator[StillHeld]:
    case, count = tables.case.c, tables.case_count.c
    query = (
        sa.select(case.id, case.batch, case.dataset, sa.func.sum(count.records).label("records"))
        .join(tables.case_count, count.case_id == case.id)
        .where(case.state == "OPEN", count.action == UNDECIDED, case.batch.in_(batches))
        .group_by(case.id, case.batch, case.dataset, case.seq)
        .order_by(case.seq)
    )
    for row in connection.execute(query).all():
        yield StillHeld(row.id, row.batch, row.dataset, int(row.records))


def _chunks(batches: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(batches), _AT_ONCE):
        yield batches[start : start + _AT_ONCE]
