"""What was looked at before the writer lock still holds inside it: the ledger tells.

All state is what the ledger says. So what was checked in a read view stays true until an entry
changes it, and the lock need not be held while it is read once more. Only entries that certainly
change nothing are passed over: what stages put on record of other batches. A kind of entry that is
not named here counts as a change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.events import (
    BatchAdmitted,
    BatchEmbedded,
    BatchJudged,
    BatchReceived,
    BatchScreened,
    BatchValidated,
    ShadowJudged,
)
from lazaretto.storage.tables import ledger

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.engine import Connection

STAGES = frozenset(
    kind.kind
    for kind in (
        BatchReceived,
        BatchValidated,
        BatchEmbedded,
        BatchScreened,
        BatchJudged,
        ShadowJudged,
    )
)
"""What stages say of one batch, on which no other batch's judgement or admission depends."""
STAGES_AND_ADMISSIONS = STAGES | {BatchAdmitted.kind}
"""The same, where it does not matter what enters a dataset, or which version it has."""


def moved_since(
    connection: Connection, seq: int, *batches: str, passing: Collection[str] = STAGES
) -> bool:
    """Whether the ledger has an entry since that may change what was looked at for some batches.

    Args:
        connection: of an open `Catalog.transaction`, so that nothing can be added meanwhile.
        seq: last entry of the ledger when it was looked at; see `lazaretto.ledger.chain.head`.
        batches: their ids: every entry about one of them counts.
        passing: kinds of entries about other batches that change nothing.
    """
    subjects = [f"batch:{batch}" for batch in batches]
    changing = ledger.c.kind.not_in(sorted(passing)) | ledger.c.subject.in_(subjects)
    query = sa.select(ledger.c.seq).where(ledger.c.seq > seq, changing).limit(1)
    return connection.execute(query).first() is not None
