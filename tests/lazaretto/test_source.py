"""The source registry, on SQLite and PostgreSQL: each change is one ledger entry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import KeyAdded, KeyRevoked, SourceRegistered
from lazaretto.sources.manifest import key_identity, keygen
from lazaretto.sources.registry import add_key, add_source, get_source, list_sources, revoke_key
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from lazaretto.ledger.events import Event
    from lazaretto.storage.workspace import Workspace

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def log(workspace: Workspace) -> list[Event]:
    with workspace.catalog.read() as connection:
        return [entry.event for entry in entries(connection)]


def test_a_source_its_keys_and_a_revocation_are_kept_and_logged(workspace: Workspace) -> None:
    _, public = keygen()
    key_id, scheme = key_identity(public)
    add_source(workspace, "vendor-a", trust_tier=TrustTier.REVIEWED, now=NOW)
    added = add_key(workspace, "vendor-a", public, valid_to=NOW + 90 * DAY, now=NOW)
    assert (added.key_id, added.scheme, added.valid_from) == (key_id, "ed25519", NOW)
    source = get_source(workspace, "vendor-a")
    assert (source.name, source.trust_tier, source.created_at) == (
        "vendor-a",
        TrustTier.REVIEWED,
        NOW,
    )
    assert source.keys == (added,)
    revoked = revoke_key(
        workspace,
        "vendor-a",
        key_id[:12],
        at=NOW - DAY,
        reason="laptop stolen",
        now=NOW,
    )
    assert revoked.revoked_at == NOW - DAY
    assert get_source(workspace, "vendor-a").keys == (revoked,)
    assert log(workspace) == [
        SourceRegistered("vendor-a", TrustTier.REVIEWED),
        KeyAdded("vendor-a", key_id, scheme, public.decode(), NOW, NOW + 90 * DAY),
        KeyRevoked("vendor-a", key_id, NOW - DAY, "laptop stolen"),
    ]


def test_the_same_again_changes_and_logs_nothing(sqlite_workspace: Workspace) -> None:
    _, public = keygen()
    key_id, _ = key_identity(public)
    for moment in (NOW, NOW + DAY):
        add_source(sqlite_workspace, "a", trust_tier=TrustTier.TRUSTED, now=moment)
        add_key(sqlite_workspace, "a", public, now=moment)
        revoke_key(sqlite_workspace, "a", key_id, at=NOW, reason="x", now=moment)
    assert len(log(sqlite_workspace)) == 3


def test_a_source_can_be_revoked_and_taken_back(sqlite_workspace: Workspace) -> None:
    for tier in (TrustTier.TRUSTED, TrustTier.REVOKED):
        source = add_source(sqlite_workspace, "a", trust_tier=tier, now=NOW + DAY)
    assert (source.trust_tier, source.revoked_at) == (TrustTier.REVOKED, NOW + DAY)
    source = add_source(sqlite_workspace, "a", trust_tier=TrustTier.UNTRUSTED)
    assert (source.trust_tier, source.revoked_at) == (TrustTier.UNTRUSTED, None)
    assert len(log(sqlite_workspace)) == 3


def test_a_revocation_moves_only_back(sqlite_workspace: Workspace) -> None:
    _, public = keygen()
    key_id, _ = key_identity(public)
    add_source(sqlite_workspace, "a", trust_tier=TrustTier.TRUSTED)
    add_key(sqlite_workspace, "a", public)
    moments = [NOW, NOW + DAY, NOW - DAY]
    found = [
        revoke_key(sqlite_workspace, "a", key_id, at=at, reason="x").revoked_at for at in moments
    ]
    assert found == [NOW, NOW, NOW - DAY]


def test_sources_are_listed_by_name(sqlite_workspace: Workspace) -> None:
    assert list_sources(sqlite_workspace) == []
    for name in ("b", "a"):
        add_source(sqlite_workspace, name, trust_tier=TrustTier.TRUSTED)
        add_key(sqlite_workspace, name, keygen()[1])
    found = list_sources(sqlite_workspace)
    assert [(s.name, [k.source for k in s.keys]) for s in found] == [("a", ["a"]), ("b", ["b"])]


@pytest.mark.parametrize("name", ["", "..", "a/b", "../a", "a b", "-a", "a\n", "ä", "x" * 129])
def test_a_name_that_could_not_be_a_folder_is_refused(
    sqlite_workspace: Workspace, name: str
) -> None:
    with pytest.raises(UsageError, match="cannot name a source"):
        add_source(sqlite_workspace, name, trust_tier=TrustTier.TRUSTED)
    assert log(sqlite_workspace) == []


def test_mistakes_say_what_is_wrong_and_change_nothing(sqlite_workspace: Workspace) -> None:
    _, public = keygen()
    key_id, _ = key_identity(public)
    with pytest.raises(NotFoundError, match="there is no source 'a'; add it"):
        add_key(sqlite_workspace, "a", public)
    add_source(sqlite_workspace, "a", trust_tier=TrustTier.TRUSTED)
    with pytest.raises(NotFoundError, match="source 'a' has no key 'feedfeed'"):
        revoke_key(sqlite_workspace, "a", "feedfeed", reason="x")
    with pytest.raises(UsageError, match="no public key in PEM"):
        add_key(sqlite_workspace, "a", b"ssh-ed25519 AAAA")
    with pytest.raises(UsageError, match="is not after valid_from"):
        add_key(sqlite_workspace, "a", public, valid_from=NOW, valid_to=NOW)
    with pytest.raises(UsageError, match="has no time zone"):
        add_key(sqlite_workspace, "a", public, valid_from=datetime(2026, 1, 1))
    add_key(sqlite_workspace, "a", public, valid_from=NOW)
    with pytest.raises(UsageError, match="is pinned for a with other times"):
        add_key(sqlite_workspace, "a", public, valid_from=NOW + DAY)
    with pytest.raises(UsageError, match="say why the key is revoked"):
        revoke_key(sqlite_workspace, "a", key_id, reason=" ")
    assert len(log(sqlite_workspace)) == 2
