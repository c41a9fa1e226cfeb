"""Training views: a snapshot without some of its batches, by an id of its own."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.state import view_columns
from lazaretto.errors import UsageError
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import ViewTaken
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry

_ID = re.compile(r"([0-9]{1,18})(-[0-9a-f]{16})?")


def view_id(version: int, excluded: Collection[str]) -> str:
    """Id of the view of a version without some batches: the same for the same batches."""
    digest = hashlib.sha256("\n".join(sorted(excluded)).encode()).hexdigest()
    return f"{version}-{digest[:16]}"


def is_view(text: str) -> bool:
    """Whether the id of a snapshot is that of a view, which leaves out batches of its version."""
    return "-" in text


def version_of(text: str) -> int:
    """The version of the dataset that the id of a snapshot names, such as ``12`` or ``12-5e…``.

    Raises:
        UsageError: it is no such id.
    """
    return int(snapshot_id(text).partition("-")[0])


def snapshot_id(text: str) -> str:
    """The id of a snapshot, or of a view of one, in its one spelling: 012 and 12 are one version.

    Raises:
        UsageError: it is no such id.
    """
    found = _ID.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{text[:80]!r} names no snapshot: it is a version such as 12, or what `lazaretto "
            "dataset snapshot --exclude` gave, such as 12-5e1c0a9b2f3d4e5f"
        )
    return f"{int(found[1])}{found[2] or ''}"


def find_view(connection: Connection, dataset: str, view: str) -> tuple[Entry, ViewTaken] | None:
    """A view that is on record, and its ledger entry; None where it is not.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    table = tables.training_view
    query = sa.select(table).where(table.c.dataset == dataset, table.c.view == view)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    key = f"{dataset}@{view}"
    entry, event = event_of(connection, table.name, key, row, ViewTaken)
    agree(table.name, key, row, view_columns(event))
    return entry, event
