"""The last batches of a dataset as they were judged, with what their stages found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.judgements import Judged, standing_judgement
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import BatchScreened, BatchValidated
from lazaretto.names import check_dataset_name
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.events import BatchJudged


@dataclass(frozen=True, slots=True)
class JudgedBatch:
    """A batch, and the judgement that stands for it.

    Attributes:
        arrived: when it was received, UTC.
        judged: the judgement.
        validated: what the contract found.
        screened: what screening found; None where the contract is broken as a whole.
    """

    arrived: datetime
    judged: Judged
    validated: BatchValidated
    screened: BatchScreened | None

    @property
    def id(self) -> str:
        """Of the batch."""
        return self.judged.event.batch

    @property
    def verdict(self) -> BatchJudged:
        """What the gate put on record."""
        return self.judged.event


def require_name(dataset: str) -> None:
    """Refuses what can be no dataset's name, nor a text that a database would take.

    Raises:
        NotFoundError: there is no such dataset.
    """
    try:
        check_dataset_name(dataset)
    except UsageError as error:
        raise NotFoundError(f"there is no such dataset: {error}") from error


def last_judged(connection: Connection, dataset: str, limit: int) -> list[JudgedBatch]:
    """The batches that came last and whose newest judgement is for a dataset, newest first.

    The catalog says which they are, and the ledger what was found.

    Args:
        connection: of `Catalog.read`.
        dataset: its name.
        limit: at most so many.

    Raises:
        ChangedStateError: the catalog's row of one is not of its newest judgement.
    """
    return list(_last_judged(connection, dataset, limit))


def _last_judged(connection: Connection, dataset: str, limit: int) -> Iterator[JudgedBatch]:
    batch = tables.batch.c
    query = sa.select(batch.id, batch.received_at).where(batch.dataset == dataset)
    for row in connection.execute(query.order_by(batch.seq.desc()).limit(limit)).all():
        judged = standing_judgement(connection, row.id, dataset)
        if judged is None or judged.event.validated is None:
            continue
        validated = entry(connection, judged.event.validated).event
        screened = None
        if judged.event.screened is not None:
            screened = entry(connection, judged.event.screened).event
        if isinstance(validated, BatchValidated):
            found = screened if isinstance(screened, BatchScreened) else None
            yield JudgedBatch(row.received_at, judged, validated, found)
