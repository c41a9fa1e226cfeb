"""A source's keys and trust over time: who pinned, revoked or changed what, when, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import KeyAdded, KeyRevoked, SourceRegistered
from lazaretto.sources.recorded import read_source

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.sources.recorded import Source
    from lazaretto.sources.source_key import SourceKey
    from lazaretto.values import Actor, TrustTier


class KeyState(StrEnum):
    """Whether what a key signs now is accepted."""

    VALID = "VALID"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True)
class Revocation:
    """Why a key is refused.

    Attributes:
        at: from when on nothing that it signed is accepted, UTC.
        recorded: when that was put on record.
        by: who did it.
        reason: why.
    """

    at: datetime
    recorded: datetime
    by: Actor
    reason: str


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """A key, and what became of it.

    Attributes:
        key: with its times.
        state: at the moment that was asked for.
        pinned: when it was put on record.
        by: who did it.
        revocation: the one that counts; None: it was not revoked.
    """

    key: SourceKey
    state: KeyState
    pinned: datetime
    by: Actor
    revocation: Revocation | None


@dataclass(frozen=True, slots=True)
class TierChange:
    """A trust tier that a source was given.

    Attributes:
        tier: how far it is trusted since.
        at: when, UTC.
        by: who gave it.
    """

    tier: TrustTier
    at: datetime
    by: Actor


@dataclass(frozen=True, slots=True)
class SourceHistory:
    """A source, its keys and its trust.

    Attributes:
        source: as it is now.
        keys: every key ever pinned, oldest first.
        tiers: every trust tier that it had, newest first.
    """

    source: Source
    keys: list[KeyHistory]
    tiers: list[TierChange]


def key_state(key: SourceKey, now: datetime) -> KeyState:
    """Whether what a key signs at a moment is accepted.

    Args:
        key: the key.
        now: aware time.
    """
    if key.revoked_at is not None and key.revoked_at <= now:
        return KeyState.REVOKED
    if now < key.valid_from:
        return KeyState.NOT_YET_VALID
    if key.valid_to is not None and key.valid_to <= now:
        return KeyState.EXPIRED
    return KeyState.VALID


def source_history(connection: Connection, name: str, now: datetime) -> SourceHistory:
    """A source as the ledger tells it, within the caller's view of the catalog.

    Args:
        connection: of the catalog.
        name: of the source.
        now: aware time at which the state of its keys is told.

    Raises:
        NotFoundError: no such source.
        ChangedStateError: the catalog's rows do not say what the ledger says.
    """
    source = read_source(connection, name)
    name = source.name
    known = {key.key_id: key for key in source.keys}
    keys, tiers = dict[str, KeyHistory](), list[TierChange]()
    kinds = (SourceRegistered.kind, KeyAdded.kind, KeyRevoked.kind)
    for entry in entries(connection, kinds=kinds, subject=f"source:{name}"):
        match entry.event:
            case SourceRegistered(trust_tier=tier):
                tiers.insert(0, TierChange(tier, entry.at, entry.actor))
            case KeyAdded(key_id=key_id):
                key = known[key_id]
                keys[key_id] = KeyHistory(key, key_state(key, now), entry.at, entry.actor, None)
            case KeyRevoked(key_id=key_id, revoked_at=at, reason=reason):
                revocation = Revocation(at, entry.at, entry.actor, reason)
                keys[key_id] = replace(keys[key_id], revocation=revocation)
            case _:
                pass
    return SourceHistory(source, [keys[key.key_id] for key in source.keys], tiers)
