"""The ledger: an append-only log, each entry chained to the one before. Long: one form of entry.

It is written, read and checked here, so that nothing else knows how an entry is hashed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

import rfc8785
import sqlalchemy as sa

from lazaretto.errors import LedgerError, UsageError
from lazaretto.ledger.canonical import is_canonical
from lazaretto.ledger.clock import warn_when_behind
from lazaretto.ledger.events import Event, from_payload, subject_of, to_payload
from lazaretto.redact import error_line
from lazaretto.storage.tables import ledger, ledger_head
from lazaretto.values import Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy.engine import Connection, Row

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        seq: position, from 1, without gaps.
        at: UTC time of writing.
        kind: the event's kind.
        actor: who did it.
        event: what happened.
        prev: hash (hex) of the entry before; 64 zeros for the first.
        hash: ``sha256(0x00 || JCS({seq, at, kind, actor, payload, prev}))`` in hex, JCS as in RFC
            8785: the leaf hash of RFC 6962 of that text.
    """

    seq: int
    at: datetime
    kind: str
    actor: Actor
    event: Event
    prev: str
    hash: str


def append(
    connection: Connection, event: Event, *, actor: Actor, at: datetime | None = None
) -> Entry:
    """Adds an entry inside the caller's `Catalog.transaction`, which serialises writers.

    Args:
        connection: of an open `Catalog.transaction`.
        event: what happened.
        actor: who did it.
        at: aware time of the entry; now by default.

    Returns:
        The entry; the rows of the catalog that it makes name its number and hash.

    Raises:
        UsageError: a value of the event has no canonical JSON form (NaN, an integer beyond 2**53).
    """
    end = connection.execute(_end()).one_or_none()
    last, prev, before = end if end is not None else (0, GENESIS, None)
    seq = int(last) + 1
    when = (at or datetime.now(UTC)).astimezone(UTC)
    if at is None and before is not None:
        warn_when_behind(seq, when, before)
    moment = as_written(when)
    payload = to_payload(event)
    try:
        text = rfc8785.dumps(payload).decode()  # type: ignore[arg-type]
    except rfc8785.CanonicalizationError as error:
        raise UsageError(f"{event.kind} cannot be put on record: {error_line(error)}") from error
    digest = entry_hash(seq, moment, event.kind, actor, payload, prev)
    row = {
        "seq": seq,
        "at": moment,
        "kind": event.kind,
        "actor_type": actor.type.value,
        "actor_id": actor.id,
        "subject": subject_of(event),
        "payload": text,
        "prev": prev,
        "hash": digest,
    }
    connection.execute(ledger.insert(), row)
    if end is None:
        connection.execute(ledger_head.insert(), {"id": 1, "seq": seq, "hash": digest})
    else:
        connection.execute(ledger_head.update(), {"seq": seq, "hash": digest})
    return Entry(seq, when, event.kind, actor, event, prev, digest)


@cache
def _end() -> sa.Select[Any]:
    """The ledger's head, and when its entry was written."""
    return sa.select(ledger_head.c.seq, ledger_head.c.hash, ledger.c.at).outerjoin(
        ledger, ledger.c.seq == ledger_head.c.seq
    )


def entries(
    connection: Connection,
    *,
    after: int = 0,
    until: int | None = None,
    kinds: Collection[str] | None = None,
    subject: str | None = None,
    subjects: Collection[str] | None = None,
    since: datetime | None = None,
    before: datetime | None = None,
    limit: int | None = None,
    newest_first: bool = False,
    checked: bool = False,
) -> Iterator[Entry]:
    """Reads entries in order.

    Args:
        connection: of `Catalog.read` or `Catalog.transaction`.
        after: sequence number to start behind.
        until: the last sequence number to read.
        kinds: only these kinds of event.
        subject: only entries about this; see `subject_of`.
        subjects: only entries about one of these.
        since: aware time of the first entries.
        before: aware time before which they were written.
        limit: at most so many.
        newest_first: from the end back.
        checked: `whole` has read these entries in the same transaction, so that their hashes need
            not be computed once more.

    Raises:
        LedgerError: an entry was edited (its hash does not match), its kind is unknown to this
            version, or its payload does not fit it.

    Examples:
        >>> with workspace.catalog.read() as connection:
        ...     [entry.kind for entry in entries(connection, limit=2)]
        ['source_registered', 'key_added']
    """
    asked = {
        "after": after,
        "until": until,
        "kinds": None if kinds is None else sorted(kinds),
        "subject": subject,
        "subjects": None if subjects is None else sorted(subjects),
        "since": None if since is None else as_written(since),
        "before": None if before is None else as_written(before),
        "limit": limit,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    query = _query(frozenset(given), newest_first)
    decode = _decoded if checked else _entry
    for row in connection.execute(query, given, execution_options={"yield_per": 1000}):
        yield decode(row)


@cache
def _query(given: frozenset[str], newest_first: bool) -> sa.Select[Any]:
    """The statement for entries with these values given, as parameters of the same names.

    To write it takes longer than to run it, and a stage asks for dozens.
    """
    column = ledger.c
    rules = {
        "seq": column.seq == sa.bindparam("seq"),
        "after": column.seq > sa.bindparam("after"),
        "until": column.seq <= sa.bindparam("until"),
        "kinds": column.kind.in_(sa.bindparam("kinds", expanding=True)),
        "subject": column.subject == sa.bindparam("subject"),
        "subjects": column.subject.in_(sa.bindparam("subjects", expanding=True)),
        "since": column.at >= sa.bindparam("since"),
        "before": column.at < sa.bindparam("before"),
    }
    wanted = [rule for name, rule in rules.items() if name in given]
    order = column.seq.desc() if newest_first else column.seq
    query = sa.select(ledger).where(*wanted).order_by(order)
    return query.limit(sa.bindparam("limit", type_=sa.Integer)) if "limit" in given else query


def as_written(moment: datetime) -> str:
    """A moment as entries have it: UTC with microseconds, so that text compares as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def whole(connection: Connection, *, kinds: Collection[str] | None = None) -> Iterator[Entry]:
    """Reads the whole ledger in order, and checks it whole: every hash, every link, and its end.

    Whoever reads only some entries cannot see that one was deleted, or made one of another kind.

    Args:
        connection: of `Catalog.read`, so that all of it is of one moment.
        kinds: give out only these kinds of event; the others are checked all the same.

    Raises:
        LedgerError: an entry was edited, dropped, inserted or reordered, or the last is not the one
            that the ledger's head names.
    """
    last, prev = 0, GENESIS
    query = sa.select(ledger).order_by(ledger.c.seq).execution_options(yield_per=1000)
    for row in connection.execute(query):
        require_link(row, last + 1, prev)
        _require_own_hash(row)
        last, prev = row.seq, row.hash
        if kinds is None or row.kind in kinds:
            yield _decoded(row)
    end = connection.execute(sa.select(ledger_head.c.seq, ledger_head.c.hash)).one_or_none()
    if ((0, GENESIS) if end is None else (end.seq, end.hash)) != (last, prev):
        raise LedgerError(f"entry {last} is not the one that the ledger's head names")


def require_link(row: Row[Any], seq: int, prev: str) -> None:
    """Checks that a row of the ledger is the one that follows.

    Raises:
        LedgerError: it has another number than `seq`, or does not name the entry before, `prev`.
    """
    if row.seq != seq:
        raise LedgerError(f"entry {seq} is missing")
    if row.prev != prev:
        raise LedgerError(
            f"entry {seq} does not follow the one before it: reordered, inserted or replaced"
        )


def entry(connection: Connection, seq: int) -> Entry:
    """Reads one entry.

    Raises:
        LedgerError: there is none with this number, or it was edited.
    """
    given = {"seq": seq}
    row = connection.execute(_query(frozenset(given), False), given).one_or_none()
    if row is None:
        raise LedgerError(f"the ledger has no entry {seq}")
    return _entry(row)


def entries_at(connection: Connection, seqs: Collection[int]) -> dict[int, Entry]:
    """Reads some entries at once, by sequence number; those that are not there are left out.

    Raises:
        LedgerError: one was edited.
    """
    query = sa.select(ledger).where(ledger.c.seq.in_(list(seqs)))
    return {row.seq: _entry(row) for row in connection.execute(query)}


def head(connection: Connection) -> int:
    """Sequence number of the last entry; 0 when there is none."""
    return connection.scalar(sa.select(ledger_head.c.seq)) or 0


def newest(connection: Connection, subject: str, kinds: Collection[str]) -> Entry | None:
    """The newest entry of some kinds about a subject; None where there is none.

    Raises:
        LedgerError: it was edited.
    """
    given = {"subject": subject, "kinds": sorted(kinds), "limit": 1}
    row = connection.execute(_query(frozenset(given), True), given).one_or_none()
    return None if row is None else _entry(row)


def entry_hash(
    seq: int, at: str, kind: str, actor: Actor, payload: dict[str, object], prev: str
) -> str:
    """Hash of an entry, in hex; ``0x00`` makes it the leaf hash of RFC 6962, section 2.1."""
    body = {
        "seq": seq,
        "at": at,
        "kind": kind,
        "actor": {"type": actor.type.value, "id": actor.id},
        "payload": payload,
        "prev": prev,
    }
    return hashlib.sha256(b"\x00" + rfc8785.dumps(body)).hexdigest()  # type: ignore[arg-type]


def row_hash(row: Row[Any]) -> str:
    """Hash of an entry as it lies in the catalog, computed anew.

    Raises:
        LedgerError: its payload is no canonical JSON, or nobody of a known kind acted.
    """
    try:
        ActorType(row.actor_type)
        if not is_canonical(row.payload):
            raise ValueError("not canonical")
    except (
        ValueError,
        rfc8785.CanonicalizationError,
        AttributeError,
        TypeError,
        RecursionError,
    ) as error:
        raise LedgerError(
            f"entry {row.seq} was edited: its payload is not canonical JSON"
        ) from error
    return _text_hash(row)


def _entry(row: Row[Any]) -> Entry:
    _require_own_hash(row)
    return _decoded(row)


def _require_own_hash(row: Row[Any]) -> None:
    """Hashes the text as it lies there; what has the hash of a canonical text is that text."""
    if _text_hash(row) != row.hash:
        raise LedgerError(f"entry {row.seq} was edited: its hash does not match")


def _text_hash(row: Row[Any]) -> str:
    """`entry_hash` of a row whose payload is canonical, in a tenth of writing its values anew.

    Keys are sorted in RFC 8785, and its texts are those that `json` writes without escapes for what
    is not ASCII.
    """
    texts = (row.actor_id, row.actor_type, row.at, row.kind, row.prev)
    try:
        actor, its_type, at, kind, prev = map(encode_basestring, texts)
        body = (
            f'{{"actor":{{"id":{actor},"type":{its_type}}},"at":{at},"kind":{kind},'
            f'"payload":{row.payload},"prev":{prev},"seq":{row.seq}}}'
        )
        return hashlib.sha256(b"\x00" + body.encode()).hexdigest()
    except (UnicodeEncodeError, TypeError) as error:
        raise LedgerError(f"entry {row.seq} was edited: it cannot be read") from error


def _decoded(row: Row[Any]) -> Entry:
    event = from_payload(row.kind, row.payload)
    if subject_of(event) != row.subject:
        raise LedgerError(f"entry {row.seq} was edited: it is about {subject_of(event)}")
    return Entry(
        seq=row.seq,
        at=datetime.fromisoformat(row.at),
        kind=row.kind,
        actor=Actor(ActorType(row.actor_type), row.actor_id),
        event=event,
        prev=row.prev,
        hash=row.hash,
    )
