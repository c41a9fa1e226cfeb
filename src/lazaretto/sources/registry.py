"""Registry of sources: names, trust and keys. Long: everything that changes one is here."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.sources.recorded import Source, changes, read_source, read_sources
from lazaretto.sources.source_key import SourceKey
from lazaretto.text import excerpt
from lazaretto.times import in_utc

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import TrustTier

# A source's name is a folder in the store and the first part of its batches' ids.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


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

    Examples:
        >>> from lazaretto.values import TrustTier
        >>> add_source(workspace, "crawl", trust_tier=TrustTier.UNTRUSTED).trust_tier.name
        'UNTRUSTED'
    """
    from lazaretto.ledger.events import SourceRegistered
    from lazaretto.ledger.source_names import source_identity
    from lazaretto.ledger.state import record

    _check_name(name)
    moment = _moment(now)
    with workspace.catalog.transaction() as connection:
        name = source_identity(connection, name)
        known = next(iter(read_sources(connection, name)), None)
        if known is None or known.trust_tier is not trust_tier:
            event = SourceRegistered(name, trust_tier)
            record(connection, event, changes, actor=workspace.actor, at=moment)
        return read_source(connection, name)


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

    Examples:
        >>> from lazaretto.sources.keys import keygen
        >>> private, public = keygen()
        >>> key = add_key(workspace, "vendor", public)
        >>> len(key.key_id)
        64
    """
    from lazaretto.ledger.events import KeyAdded
    from lazaretto.ledger.state import record
    from lazaretto.sources.manifest import key_identity

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
        found = read_source(connection, source)
        source, known = found.name, {key.key_id: key for key in found.keys}
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
        record(connection, event, changes, actor=workspace.actor, at=moment)
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

    That goes for what was received before the revocation was put on record, too: the signature of
    a batch that arrived from `at` on counts no more.

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

    Examples:
        >>> [key] = get_source(workspace, "vendor").keys
        >>> revoked = revoke_key(workspace, "vendor", key.key_id, reason="laptop stolen")
        >>> revoked.revoked_at is None
        False
    """
    from lazaretto.ledger.events import KeyRevoked
    from lazaretto.ledger.state import record
    from lazaretto.sources.standing import signed_since

    _require_reason(reason, "key")
    moment = _moment(now)
    revoked = moment if at is None else _moment(at)
    with workspace.catalog.transaction() as connection:
        found = read_source(connection, source)
        source, key = found.name, _find_key(found, key_id)
        if key.revoked_at is not None and key.revoked_at <= revoked:
            return key
        touched = signed_since(connection, source, key.key_id, revoked)
        event = KeyRevoked(source, key.key_id, revoked, reason, touched)
        record(connection, event, changes, actor=workspace.actor, at=moment)
        return _find_key(read_source(connection, source), key.key_id)


def revoke_source(
    workspace: Workspace,
    name: str,
    *,
    at: datetime | None = None,
    reason: str,
    now: datetime | None = None,
) -> Source:
    """Revokes a source: all its keys from a moment on, and whatever it delivers is refused.

    Args:
        workspace: catalog and store.
        name: of a registered source.
        at: aware time from which nothing that it signed is accepted; default now.
        reason: for the record.
        now: aware time of the change; default now.

    Raises:
        NotFoundError: no such source.
        UsageError: no reason.

    Examples:
        >>> revoke_source(workspace, "vendor", reason="it was sold").trust_tier.name
        'REVOKED'
    """
    from lazaretto.values import TrustTier

    _require_reason(reason, "source")
    moment = _moment(now)
    keys = get_source(workspace, name).keys
    # Refused first: nothing of it arrives while its keys are revoked.
    add_source(workspace, name, trust_tier=TrustTier.REVOKED, now=moment)
    for key in keys:
        revoke_key(workspace, name, key.key_id, at=at or moment, reason=reason, now=moment)
    return get_source(workspace, name)


def rename_source(
    workspace: Workspace, old: str, new: str, *, reason: str, now: datetime | None = None
) -> Source:
    """Gives a source another name to go by; its history goes on.

    It stays known by its first name in ids of batches and on the ledger. Every name that it ever
    had leads to it, for deliveries, manifests, policies and questions alike, and nobody else can
    be given one.

    Args:
        workspace: catalog and store.
        old: any name of the source.
        new: letters, digits, ``.``, ``_`` and ``-``, at most 128.
        reason: for the record.
        now: aware time of the change; default now.

    Raises:
        NotFoundError: no such source.
        UsageError: no reason, the name cannot be one, or another source has or had it.

    Examples:
        >>> found = rename_source(workspace, "vendor", "acme", reason="they were bought")
        >>> found.name, found.shown_name, get_source(workspace, "acme") == found
        ('vendor', 'acme', True)
    """
    from lazaretto.ledger.events import SourceRenamed
    from lazaretto.ledger.source_names import source_identity
    from lazaretto.ledger.state import record

    if not reason.strip():
        raise UsageError("say why the source is renamed: the reason is kept for the record")
    _check_name(new)
    moment = _moment(now)
    with workspace.catalog.transaction() as connection:
        found = read_source(connection, old)
        if found.shown_name == new:
            return found
        taken = source_identity(connection, new)
        if taken != found.name and (taken != new or list(read_sources(connection, new))):
            raise UsageError(f"{new!r} is, or was, the name of source {taken!r}: take another")
        event = SourceRenamed(found.name, new, reason)
        record(connection, event, changes, actor=workspace.actor, at=moment)
        return read_source(connection, new)


def get_source(workspace: Workspace, name: str) -> Source:
    """One source with its keys.

    Raises:
        NotFoundError: no such source.

    Examples:
        >>> get_source(workspace, "vendor").trust_tier.name
        'REVIEWED'
    """
    if not _NAME.fullmatch(name):  # nor a text that a database would not take
        raise NotFoundError(f"there is no source {excerpt(name, 80)!r}: that can be no name of one")
    with workspace.catalog.read() as connection:
        return read_source(connection, name)


def list_sources(workspace: Workspace) -> list[Source]:
    """All sources with their keys, by name.

    Examples:
        >>> [source.name for source in list_sources(workspace)]
        ['vendor']
    """
    with workspace.catalog.read() as connection:
        return list(read_sources(connection))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a source: letters, digits, '.', '_' and '-', at most 128"
        )


def _require_reason(reason: str, what: str) -> None:
    if not reason.strip():
        raise UsageError(f"say why the {what} is revoked: the reason is kept for the record")


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
    return datetime.now(UTC) if given is None else in_utc(given)
