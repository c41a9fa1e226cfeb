"""The whole ledger, for who deletes what nothing needs: read to its end, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import LedgerError
from lazaretto.ledger.chain import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry


def every_entry(connection: Connection) -> Iterator[Entry]:
    """All entries, each checked against the one before.

    Args:
        connection: of the catalog, in one view.

    Raises:
        LedgerError: the ledger does not hold, so that nobody can say what is needed.
    """
    try:
        yield from whole(connection)
    except LedgerError as error:
        raise LedgerError(
            f"the ledger does not hold, so that nobody can say what is needed: {error}. "
            "Restore the catalog from a backup"
        ) from error
