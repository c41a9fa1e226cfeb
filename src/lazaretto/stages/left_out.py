"""Earlier batches whose file cannot be used: which were deleted, which are lost, and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.ledger.deletions import deletions_of_each
from lazaretto.values import LeftOut

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.errors import ChangedFileError
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

TOLD = 5
"""Batches that were left out are named up to so many; the ledger has all of them."""


def deleted_files(connection: Connection, batches: Collection[str]) -> set[str]:
    """Paths of what retention deleted of some batches."""
    return {
        path
        for found in deletions_of_each(connection, batches).values()
        for one in found
        for path in one.event.files
    }


def unusable(
    store: Store, batch: str, seq: int, file: StoredFile, what: str, error: ChangedFileError
) -> LeftOut:
    """A batch that is left out, because its file is gone or is not the one on record.

    Args:
        store: should have it.
        batch: its id.
        seq: ledger entry of its screening.
        file: as it is on record.
        what: it holds, in words.
        error: what reading it gave.
    """
    gone = not store.exists(file.path)
    problem = "is lost" if gone else "does not match its digest on record"
    return LeftOut(batch, seq, file.sha256, f"the file of its {what} {problem} ({error.found})")


def left_out_told(left_out: Sequence[LeftOut], of: str) -> str | None:
    """Which batches were left out and why, in words; None: none was.

    Args:
        left_out: they.
        of: what they were left out of.
    """
    if not left_out:
        return None
    told = "; ".join(f"{one.batch}: {one.problem}" for one in left_out[:TOLD])
    more = len(left_out) - TOLD
    rest = f"; and {more} more" if more > 0 else ""
    return f"left out of {of}: {told}{rest}"
