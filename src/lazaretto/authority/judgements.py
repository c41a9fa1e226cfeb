"""The judgement that stands for a batch and a dataset, as the ledger tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entries, newest
from lazaretto.ledger.cover import agree
from lazaretto.ledger.events import BatchAdmitted, BatchJudged, RecordsDecided, ShadowJudged
from lazaretto.ledger.state import Update
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement under the policy that was in force when it was made.

    Attributes:
        seq: ledger entry.
        event: what the entry says.
    """

    seq: int
    event: BatchJudged


def standing_judgement(connection: Connection, batch: str, dataset: str) -> Judged | None:
    """The newest judgement of a batch for one dataset; one for another dataset never counts.

    Raises:
        ChangedStateError: the batch's row in the catalog is not of its newest judgement.
    """
    check_verdict(connection, batch)
    for entry in entries(
        connection, subject=f"batch:{batch}", kinds=[BatchJudged.kind], newest_first=True
    ):
        if isinstance(entry.event, BatchJudged) and entry.event.policy.dataset == dataset:
            return Judged(entry.seq, entry.event)
    return None


def judged_datasets(connection: Connection, batch: str) -> list[str]:
    """The datasets that a batch was judged for, by name."""
    found = entries(connection, subject=f"batch:{batch}", kinds=[BatchJudged.kind])
    return sorted({e.event.policy.dataset for e in found if isinstance(e.event, BatchJudged)})


def shadow_judgements(
    connection: Connection, batch: str, dataset: str
) -> list[tuple[int, ShadowJudged]]:
    """What policies that were not in force said of a batch, with the entries; newest first."""
    found = entries(
        connection, subject=f"batch:{batch}", kinds=[ShadowJudged.kind], newest_first=True
    )
    return [
        (entry.seq, entry.event)
        for entry in found
        if isinstance(entry.event, ShadowJudged) and entry.event.policy.dataset == dataset
    ]


def check_verdict(connection: Connection, batch: str) -> None:
    """Compares the verdict in a batch's row with its newest judgement.

    Raises:
        ChangedStateError: the row says something else.
    """
    found = newest(connection, f"batch:{batch}", [BatchJudged.kind])
    event = found.event if found is not None else None
    row = connection.execute(sa.select(tables.batch).where(tables.batch.c.id == batch)).one()
    agree("batch", batch, row, judged_columns(event if isinstance(event, BatchJudged) else None))


def judged_columns(event: BatchJudged | None) -> dict[str, object]:
    """The catalog's columns of a batch's newest judgement, by what the ledger says."""
    if event is None:
        return dict.fromkeys(("dataset", "verdict", "held", "cleared", "case_id"))
    return {
        "dataset": event.policy.dataset,
        "verdict": event.verdict.value,
        "held": event.held,
        "cleared": event.cleared,
        "case_id": event.case,
    }


def changes(entry: Entry) -> Iterator[Change]:
    """What a judgement does to its batch, and to the case of the one that it replaces."""
    if isinstance(event := entry.event, BatchJudged):
        if event.replaces is not None:
            opened = {"batch": event.batch, "seq": event.replaces}
            yield Update(tables.case, opened, {"state": "SUPERSEDED"})
        yield Update(tables.batch, {"id": event.batch}, judged_columns(event))


def acted_on(connection: Connection, judged: Judged) -> bool:
    """Whether records of a judgement were admitted, or are on their way, or decided on."""
    batch, dataset = judged.event.batch, judged.event.policy.dataset
    admitted = entries(connection, subject=f"batch:{batch}", kinds=[BatchAdmitted.kind])
    if any(isinstance(e.event, BatchAdmitted) and e.event.dataset == dataset for e in admitted):
        return True
    intended = sa.exists().where(
        tables.admission.c.batch == batch, tables.admission.c.dataset == dataset
    )
    if connection.scalar(sa.select(intended)):
        return True
    return newest(connection, f"case:{judged.event.case}", [RecordsDecided.kind]) is not None
