"""The source registry: who may deliver, how far each is trusted, and with which keys they sign."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.sources.keys import SourceKey
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from lazaretto.storage.workspace import Workspace

# A source's name is a folder in the store and the first part of its batches' ids.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Source:
    """Who delivers.

    Attributes:
        name: identity, never a path.
        trust_tier: how far it is trusted.
        created_at: when it was registered, UTC.
        revoked_at: when it was revoked; None: not.
        keys: all keys ever pinned, oldest first.
    """

    name: str
    trust_tier: TrustTier
    created_at: datetime
    revoked_at: datetime | None
    keys: tuple[SourceKey, ...]


def add_source(
    workspace: Workspace,
    name: str,
    *,
    trust_tier: TrustTier,
    now: datetime | None = None,
) -> Source:
    """Registers a source, or changes the trust tier of one; the same again changes nothing.

    The tier ``REVOKED`` refuses all further deliveries; another tier later lifts that.

    Args:
        workspace: catalog and store.
        name: letters, digits, ``.``, ``_`` and ``-``, at most 128.
        trust_tier: how far it is trusted.
        now: aware time of the change; default now.

    Raises:
        UsageError: the name cannot be one.
    """
    import sqlalchemy as sa

    from lazaretto.ledger import chain as ledger
    from lazaretto.ledger.events import SourceRegistered
    from lazaretto.storage.tables import source as table

    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a source: letters, digits, '.', '_' and '-', at most 128"
        )
    moment = _moment(now)
    revoked = moment if trust_tier is TrustTier.REVOKED else None
    with workspace.catalog.transaction() as connection:
        known = next(iter(_sources(connection, name)), None)
        if known is None or known.trust_tier is not trust_tier:
            event = SourceRegistered(name, trust_tier)
            written = ledger.append(connection, event, actor=workspace.actor, at=moment)
            values = {
                "trust_tier": trust_tier.value,
                "revoked_at": revoked,
                "seq": written.seq,
                "entry": written.hash,
            }
            if known is None:
                values |= {"name": name, "created_at": moment}
                connection.execute(sa.insert(table).values(values))
            else:
                connection.execute(sa.update(table).where(table.c.name == name).values(values))
        return _read(connection, name)


def add_key(
    workspace: Workspace,
    source: str,
    public_pem: bytes | str,
    *,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    now: datetime | None = None,
) -> SourceKey:
    """Pins a public key for a source; the same key and times again change nothing.

    Args:
        workspace: catalog and store.
        source: name of a registered source.
        public_pem: Ed25519 or ECDSA P-256 public key.
        valid_from: aware time from which it is accepted; default now.
        valid_to: aware time from which it is no longer accepted; default no end.
        now: aware time of the change; default now.

    Raises:
        NotFoundError: no such source.
        UsageError: no usable key, times out of order, or the key is there with other times.
    """
    import sqlalchemy as sa

    from lazaretto.ledger import chain as ledger
    from lazaretto.ledger.events import KeyAdded
    from lazaretto.sources.manifest import key_identity
    from lazaretto.storage.tables import source_key as table

    key_id, scheme = key_identity(public_pem)
    pem = public_pem.decode() if isinstance(public_pem, bytes) else public_pem
    moment = _moment(now)
    start = moment if valid_from is None else _moment(valid_from)
    end = None if valid_to is None else _moment(valid_to)
    if end is not None and end <= start:
        raise UsageError(
            f"valid_to ({end.isoformat()}) is not after valid_from ({start.isoformat()})"
        )
    with workspace.catalog.transaction() as connection:
        known = {key.key_id: key for key in _read(connection, source).keys}
        if key_id in known:
            same = valid_from is None or known[key_id].valid_from == start
            if same and known[key_id].valid_to == end:
                return known[key_id]
            raise UsageError(
                f"key {key_id[:16]}… is pinned for {source} with other times; revoke it and pin "
                "another"
            )
        key = SourceKey(source, key_id, scheme, pem, start, end)
        event = KeyAdded(source, key_id, scheme, pem, start, end)
        written = ledger.append(connection, event, actor=workspace.actor, at=moment)
        connection.execute(
            sa.insert(table).values(
                source=source,
                key_id=key_id,
                scheme=scheme,
                public_key=pem,
                valid_from=start,
                valid_to=end,
                seq=written.seq,
                entry=written.hash,
            )
        )
    return key


def revoke_key(
    workspace: Workspace,
    source: str,
    key_id: str,
    *,
    at: datetime | None = None,
    reason: str,
    now: datetime | None = None,
) -> SourceKey:
    """Revokes a key: from `at` on, nothing that it signed is accepted.

    Revoking again can only move the moment back: what was found compromised stays so.

    Args:
        workspace: catalog and store.
        source: name of a registered source.
        key_id: the key's id, or its first 8 or more characters.
        at: aware time of the compromise; default now.
        reason: for the record.
        now: aware time of the change; default now.

    Raises:
        NotFoundError: no such source or key.
        UsageError: no reason, or a prefix of several keys.
    """
    import sqlalchemy as sa

    from lazaretto.ledger import chain as ledger
    from lazaretto.ledger.events import KeyRevoked
    from lazaretto.storage.tables import source_key as table

    if not reason.strip():
        raise UsageError("say why the key is revoked: the reason is kept for the record")
    moment = _moment(now)
    revoked = moment if at is None else _moment(at)
    with workspace.catalog.transaction() as connection:
        key = _find_key(_read(connection, source), key_id)
        if key.revoked_at is not None and key.revoked_at <= revoked:
            return key
        event = KeyRevoked(source, key.key_id, revoked, reason)
        written = ledger.append(connection, event, actor=workspace.actor, at=moment)
        connection.execute(
            sa.update(table)
            .where(table.c.source == source, table.c.key_id == key.key_id)
            .values(revoked_at=revoked, seq=written.seq, entry=written.hash)
        )
        return _find_key(_read(connection, source), key.key_id)


def get_source(workspace: Workspace, name: str) -> Source:
    """One source with its keys.

    Raises:
        NotFoundError: no such source.
    """
    with workspace.catalog.read() as connection:
        return _read(connection, name)


def list_sources(workspace: Workspace) -> list[Source]:
    """All sources with their keys, by name."""
    with workspace.catalog.read() as connection:
        return list(_sources(connection))


def _read(connection: Connection, name: str) -> Source:
    found = list(_sources(connection, name))
    if not found:
        raise NotFoundError(f"there is no source {name!r}; add it with `lazaretto source add`")
    return found[0]


def read_source(connection: Connection, name: str) -> Source:
    """`get_source` within the caller's view of the catalog."""
    return _read(connection, name)


def _sources(connection: Connection, name: str | None = None) -> list[Source]:
    """The sources as the ledger tells them; the catalog's rows must say the same.

    Raises:
        ChangedStateError: a row of a source or a key was changed, added or removed by hand.
    """
    import sqlalchemy as sa

    from lazaretto.errors import ChangedStateError
    from lazaretto.ledger.cover import agree
    from lazaretto.storage.tables import source, source_key

    told = _told(connection, name)
    sources, keys = sa.select(source), sa.select(source_key)
    if name is not None:
        sources = sources.where(source.c.name == name)
        keys = keys.where(source_key.c.source == name)
    rows: dict[tuple[str, str | None], Row[Any]] = {
        (row.name, None): row for row in connection.execute(sources)
    }
    rows |= {(row.source, row.key_id): row for row in connection.execute(keys)}
    said: dict[tuple[str, str | None], Source | SourceKey] = {(one.name, None): one for one in told}
    said |= {(one.name, key.key_id): key for one in told for key in one.keys}
    for place in rows.keys() | said.keys():
        table = "source" if place[1] is None else "source_key"
        words = " ".join(filter(None, place))
        if place not in rows or place not in said:
            missing = "the catalog" if place in said else "the ledger"
            raise ChangedStateError(table, words, f"{missing} does not have it")
        values = {field.name: getattr(said[place], field.name) for field in fields(said[place])}
        values.pop("keys", None)
        agree(table, words, rows[place], values)
    return told


def _told(connection: Connection, name: str | None) -> list[Source]:
    """Folds what the ledger says of sources and keys."""
    from lazaretto.ledger.chain import entries
    from lazaretto.ledger.events import KeyAdded, KeyRevoked, SourceRegistered

    told: dict[str, Source] = {}
    kinds = (SourceRegistered.kind, KeyAdded.kind, KeyRevoked.kind)
    subject = None if name is None else f"source:{name}"
    for entry in entries(connection, kinds=kinds, subject=subject):
        match entry.event:
            case SourceRegistered(one, tier):
                created = told[one].created_at if one in told else entry.at
                revoked = entry.at if tier is TrustTier.REVOKED else None
                keys = told[one].keys if one in told else ()
                told[one] = Source(one, tier, created, revoked, keys)
            case KeyAdded(one, key_id, scheme, pem, start, end):
                key = SourceKey(one, key_id, scheme, pem, start, end)
                told[one] = replace(told[one], keys=(*told[one].keys, key))
            case KeyRevoked(one, key_id, moment):
                keys = tuple(
                    replace(key, revoked_at=moment) if key.key_id == key_id else key
                    for key in told[one].keys
                )
                told[one] = replace(told[one], keys=keys)
            case _:
                pass
    return [
        replace(one, keys=tuple(sorted(one.keys, key=lambda key: (key.valid_from, key.key_id))))
        for _, one in sorted(told.items())
    ]


def _find_key(source: Source, key_id: str) -> SourceKey:
    found = [
        key
        for key in source.keys
        if key.key_id == key_id or (len(key_id) >= 8 and key.key_id.startswith(key_id))
    ]
    if not found:
        raise NotFoundError(f"source {source.name!r} has no key {key_id!r}")
    if len(found) > 1:
        raise UsageError(f"{key_id!r} begins several keys of {source.name!r}; give more of it")
    return found[0]


def _moment(given: datetime | None) -> datetime:
    if given is None:
        return datetime.now(UTC)
    if given.tzinfo is None:
        raise UsageError(f"time {given.isoformat()} has no time zone; write it with one")
    return given.astimezone(UTC)
