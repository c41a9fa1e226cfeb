"""Sources and their keys as the ledger tells them, compared with the catalog's rows."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from lazaretto.errors import NotFoundError
from lazaretto.sources.source_key import SourceKey
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change


@dataclass(frozen=True, slots=True)
class Source:
    """Who delivers.

    Attributes:
        name: identity, never a path.
        trust_tier: how far it is trusted.
        created_at: when it was registered, UTC.
        revoked_at: when it was revoked; None: not.
        keys: all keys ever pinned, oldest first.
        aliases: names that it was given later, the newest last; all lead to it.
    """

    name: str
    trust_tier: TrustTier
    created_at: datetime
    revoked_at: datetime | None
    keys: tuple[SourceKey, ...]
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that leads to it, its first one first."""
        return (self.name, *(name for name in self.aliases if name != self.name))

    @property
    def shown_name(self) -> str:
        """The name that it goes by."""
        return self.aliases[-1] if self.aliases else self.name


def read_source(connection: Connection, name: str) -> Source:
    """A source with its keys, within the caller's view of the catalog.

    Raises:
        NotFoundError: no such source.
        ChangedStateError: as `read_sources`.
    """
    found = list(read_sources(connection, name))
    if not found:
        raise NotFoundError(f"there is no source {name!r}; add it with `lazaretto source add`")
    return found[0]


def read_sources(connection: Connection, name: str | None = None) -> list[Source]:
    """The sources as the ledger tells them; the catalog's rows must say the same.

    Args:
        connection: of the catalog.
        name: only the one that goes, or went, by this name.

    Raises:
        ChangedStateError: a row of a source or a key was changed, added or removed by hand.
    """
    import sqlalchemy as sa

    from lazaretto.errors import ChangedStateError
    from lazaretto.ledger.cover import agree
    from lazaretto.ledger.source_names import later_names, source_identity
    from lazaretto.storage.tables import source, source_key

    if name is not None:
        name = source_identity(connection, name)
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
        values.pop("aliases", None)
        agree(table, words, rows[place], values)
    later = later_names(connection, name)
    return [_with_names(one, tuple(later.get(one.name, ()))) for one in told]


def _with_names(source: Source, aliases: tuple[str, ...]) -> Source:
    if not aliases:
        return source
    keys = tuple(replace(key, aliases=aliases) for key in source.keys)
    return replace(source, keys=keys, aliases=aliases)


def changes(entry: Entry) -> Iterator[Change]:
    """What an entry about a source or a key does to their tables."""
    from lazaretto.ledger.events import KeyAdded, KeyRevoked, SourceRegistered
    from lazaretto.ledger.state import Put, Update, entry_columns
    from lazaretto.storage.tables import source, source_key

    match entry.event:
        case SourceRegistered(name, tier):
            revoked = entry.at if tier is TrustTier.REVOKED else None
            values = {"name": name, "trust_tier": tier.value, "revoked_at": revoked}
            yield Put(source, values | entry_columns(entry), first={"created_at": entry.at})
        case KeyAdded(name, key_id, scheme, pem, start, end):
            values = {
                "source": name,
                "key_id": key_id,
                "scheme": scheme,
                "public_key": pem,
                "valid_from": start,
                "valid_to": end,
                "revoked_at": None,
            }
            yield Put(source_key, values | entry_columns(entry))
        case KeyRevoked(name, key_id, moment):
            where = {"source": name, "key_id": key_id}
            yield Update(source_key, where, {"revoked_at": moment} | entry_columns(entry))


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
