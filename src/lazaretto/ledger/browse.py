"""Looks up entries of the ledger for people: by kind, by what they are about, by who and when."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rfc8785
import sqlalchemy as sa

from lazaretto.errors import LedgerError, NotFoundError
from lazaretto.ledger.chain import as_written, row_hash
from lazaretto.storage.tables import ledger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection, Row

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are wanted: those that fit everything given here.

    A field fits wherever it stands in an event, and so does a list of its plural name that holds
    the value: a batch is found in ``{"members": [{"batch": …}]}`` and ``{"batches": […]}``, too.

    Attributes:
        kinds: kinds of event; empty: any.
        batch: id of a batch, or its start.
        source: name of a source; what is about one of its batches is about it, too.
        case: id of a review case, or its start.
        dataset: name of an admitted dataset; whatever was judged by its policy is about it, too.
        fields: any other fields, value by name.
        actor: id of who acted.
        since: aware time of the first entries.
        until: aware time before which they were made.
    """

    kinds: Collection[str] = ()
    batch: str | None = None
    source: str | None = None
    case: str | None = None
    dataset: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it lies in the catalog.

    Attributes:
        seq: its number.
        at: UTC time of writing, ISO 8601.
        kind: of the event.
        actor: ``type`` and ``id`` of who acted.
        payload: the event; None: it is no JSON any more.
        prev: hash of the entry before, hex.
        hash: its own, hex.
        intact: whether that is what its content hashes to. The chain is not looked at: that is
            what `lazaretto.ledger.verify` does.
    """

    seq: int
    at: str
    kind: str
    actor: dict[str, str]
    payload: dict[str, Any] | None
    prev: str
    hash: str
    intact: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries.

    Attributes:
        entries: the oldest first.
        more: whether others fit, too: older ones, or where reading began `after` an entry, newer.
    """

    entries: list[StoredEntry]
    more: bool


def look_up(workspace: Workspace, wanted: Wanted, *, limit: int, after: int | None = None) -> Page:
    """Finds the newest entries that are wanted, or the first ones after an entry.

    Memory holds `limit` entries and a thousand rows, however long the ledger is.

    Args:
        workspace: whose ledger; nothing in it is changed.
        wanted: which.
        limit: at most so many.
        after: number of the entry to begin behind, to read on page by page; None: the newest.

    Raises:
        SystemFaultError: the catalog cannot be read.

    Examples:
        >>> page = look_up(workspace, Wanted(kinds=("batch_judged",)), limit=10)
        >>> [entry.kind for entry in page.entries]
        ['batch_judged', 'batch_judged']
    """
    found: list[StoredEntry] = []
    with workspace.catalog.read() as connection:
        for row in _rows(connection, wanted, after):
            entry = _entry(row)
            if not _fits(entry.payload, wanted):
                continue
            if len(found) == limit:
                return Page(found if after is not None else found[::-1], more=True)
            found.append(entry)
    return Page(found if after is not None else found[::-1], more=False)


def look_at(workspace: Workspace, seq: int) -> StoredEntry:
    """One entry.

    Raises:
        NotFoundError: there is none with this number.
    """
    with workspace.catalog.read() as connection:
        row = connection.execute(sa.select(ledger).where(ledger.c.seq == seq)).one_or_none()
    if row is None:
        raise NotFoundError(f"the ledger has no entry {seq}")
    return _entry(row)


def _rows(connection: Connection, wanted: Wanted, after: int | None) -> Iterator[Row[Any]]:
    """Rows that may fit: SQL leaves out most of those that cannot."""
    query = sa.select(ledger).order_by(ledger.c.seq if after is not None else ledger.c.seq.desc())
    if after is not None:
        query = query.where(ledger.c.seq > after)
    if wanted.kinds:
        query = query.where(ledger.c.kind.in_(sorted(wanted.kinds)))
    if wanted.actor is not None:
        query = query.where(ledger.c.actor_id == wanted.actor)
    if wanted.since is not None:
        query = query.where(ledger.c.at >= as_written(wanted.since))
    if wanted.until is not None:
        query = query.where(ledger.c.at < as_written(wanted.until))
    for value in (
        wanted.batch,
        wanted.source,
        wanted.case,
        wanted.dataset,
        *wanted.fields.values(),
    ):
        if value is not None:
            inside = rfc8785.dumps(value).decode()[1:-1]  # as the payload has it, without quotes
            query = query.where(ledger.c.payload.contains(inside, autoescape=True))
    yield from connection.execute(query.execution_options(yield_per=1000))


def _entry(row: Row[Any]) -> StoredEntry:
    try:
        payload = json.loads(row.payload)
        intact = bool(row_hash(row) == row.hash)
    except (ValueError, RecursionError, LedgerError):
        payload, intact = None, False
    return StoredEntry(
        seq=row.seq,
        at=row.at,
        kind=row.kind,
        actor={"type": row.actor_type, "id": row.actor_id},
        payload=payload if isinstance(payload, dict) else None,
        prev=row.prev,
        hash=row.hash,
        intact=intact,
    )


def _fits(payload: dict[str, Any] | None, wanted: Wanted) -> bool:
    def starts(name: str, value: str) -> bool:
        return any(text.startswith(value) for text in _values(payload, name))

    tests = [value in _values(payload, name) for name, value in wanted.fields.items()]
    if wanted.batch is not None:
        tests.append(starts("batch", wanted.batch))
    if wanted.case is not None:
        tests.append(starts("case", wanted.case))
    if wanted.source is not None:
        own = wanted.source in _values(payload, "source")
        tests.append(own or starts("batch", f"{wanted.source}/"))
    if wanted.dataset is not None:
        tests.append(wanted.dataset in _values(payload, "dataset"))
    return all(tests)


def _values(part: object, name: str) -> Iterator[str]:
    """Text of each field of a name, at any depth, and of the lists of its plural name."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == name and isinstance(value, str | int):
                yield str(value)
            elif key in (f"{name}s", f"{name}es") and isinstance(value, list):
                yield from (one for one in value if isinstance(one, str))
            yield from _values(value, name)
    elif isinstance(part, list):
        for one in part:
            yield from _values(one, name)
