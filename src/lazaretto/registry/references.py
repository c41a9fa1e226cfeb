"""References in the store: versions frozen under ``references/<name>/<version>``, one promoted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import NotFoundError, SystemFaultError, UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import ReferencePromoted, ReferenceSaved
from lazaretto.registry.stored import StoredReference
from lazaretto.storage.tables import reference as table
from lazaretto.values import Actor, ActorType, PromotionChange

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.drift import Profile
    from lazaretto.reference import Reference
    from lazaretto.storage.workspace import Workspace

SERVICE = Actor(ActorType.SERVICE, "service:lazaretto")


def save_reference(
    workspace: Workspace,
    reference: Reference,
    *,
    profile: Profile | None = None,
    promote: bool | None = None,
    actor: Actor = SERVICE,
) -> StoredReference:
    """Freezes a reference in the store; saving the same again changes nothing but `promote`.

    Args:
        workspace: catalog and store.
        reference: fitted.
        profile: made of the same rows, to measure the drift of batches by; without it screening
            measures none.
        promote: make it the version that policies mean which name no version; default: only where
            there is none yet. A later version waits for `promote_reference`, after a comparison.
        actor: who saves it, for the ledger.

    Raises:
        UsageError: another reference has this name and version.
    """
    from lazaretto.registry.profiles import write_profile

    name, version = reference.name, str(reference.version)
    known = _find(workspace, name, version)
    if known is not None and known.digest != reference.digest:
        raise UsageError(
            f"reference {name}/{version} exists with another content: give this one another version"
        )
    if known is None:
        uri = reference.save(workspace.store.uri("references"))
        kept: tuple[str | None, str | None] = (None, None)
        if profile is not None:
            kept = write_profile(workspace.store, f"references/{name}/{version}", profile)
        known = StoredReference(
            name, version, reference.digest, uri, False, datetime.now(UTC), *kept
        )
    with workspace.catalog.transaction() as connection:
        if _select(connection, name, version) is None:
            _insert(connection, known, reference, actor)
        if promote or (promote is None and _select(connection, name, None) is None):
            _promote(connection, known, None, actor)
        saved = _select(connection, name, version)
    assert saved is not None  # noqa: S101  written above
    return saved


def promote_reference(
    workspace: Workspace,
    name: str,
    version: str,
    *,
    actor: Actor,
    change: PromotionChange | None = None,
) -> StoredReference:
    """Makes a version the one that the bare name means; promoting the old one takes it back.

    Args:
        workspace: catalog and store.
        name: of the reference.
        version: of it.
        actor: who decides.
        change: what the comparison on past batches found; None where none was made.

    Raises:
        NotFoundError: no such version.
    """
    with workspace.catalog.transaction() as connection:
        known = _select(connection, name, version)
        if known is None:
            raise NotFoundError(f"no reference '{name}/{version}': see `lazaretto reference list`")
        _promote(connection, known, change, actor)
        promoted = _select(connection, name, version)
    assert promoted is not None  # noqa: S101  found above
    return promoted


def find_reference(workspace: Workspace, name: str) -> StoredReference:
    """What the catalog knows of ``name`` (the promoted version) or ``name/version``.

    Raises:
        NotFoundError: there is none.
    """
    wanted, _, version = name.partition("/")
    known = _find(workspace, wanted, version or None)
    if known is None:
        raise NotFoundError(f"no reference {name!r} is stored: `lazaretto reference fit` makes one")
    return known


def load_reference(workspace: Workspace, name: str) -> Reference:
    """Loads a reference, ``name`` (the promoted version) or ``name/version``; checks its digest.

    Raises:
        NotFoundError: there is none.
        SystemFaultError: what lies in the store is not what was saved.
    """
    return load_stored(find_reference(workspace, name))


def load_stored(known: StoredReference) -> Reference:
    """Loads the reference that the catalog means; see `load_reference`."""
    from lazaretto.reference import Reference

    reference = Reference.load(known.uri)
    if reference.digest != known.digest:
        raise SystemFaultError(
            f"reference {known.name}/{known.version} in {known.uri} was changed after it was "
            "saved: restore it, or fit a new version"
        )
    return reference


def list_references(workspace: Workspace, name: str | None = None) -> list[StoredReference]:
    """All stored references, or all versions of one; newest first."""
    query = sa.select(table).order_by(table.c.created_at.desc(), table.c.name)
    if name is not None:
        query = query.where(table.c.name == name)
    with workspace.catalog.read() as connection:
        return [StoredReference(*row) for row in connection.execute(query)]


def _insert(
    connection: Connection, known: StoredReference, reference: Reference, actor: Actor
) -> None:
    values = {field: getattr(known, field) for field in StoredReference.__dataclass_fields__}
    connection.execute(table.insert().values(values))
    event = ReferenceSaved(
        reference=known.name,
        version=known.version,
        digest=known.digest,
        uri=known.uri,
        rows=reference.rows,
        encoder=reference.encoder.name,
        encoder_digest=reference.encoder.digest,
        profile_digest=known.profile_digest,
        actor=actor,
    )
    append(connection, event)


def _promote(
    connection: Connection, known: StoredReference, change: PromotionChange | None, actor: Actor
) -> None:
    """Moves the name to a version and puts that on record; nothing where it is there already."""
    before = _select(connection, known.name, None)
    if before is not None and before.version == known.version:
        return
    mine = table.c.version == known.version
    connection.execute(table.update().where(table.c.name == known.name).values(promoted=mine))
    event = ReferencePromoted(
        reference=known.name,
        version=known.version,
        digest=known.digest,
        previous=None if before is None else before.version,
        previous_digest=None if before is None else before.digest,
        change=change,
        actor=actor,
    )
    append(connection, event)


def _find(workspace: Workspace, name: str, version: str | None) -> StoredReference | None:
    with workspace.catalog.read() as connection:
        return _select(connection, name, version)


def _select(connection: Connection, name: str, version: str | None) -> StoredReference | None:
    query = sa.select(table).where(table.c.name == name)
    query = query.where(table.c.promoted if version is None else table.c.version == version)
    row = connection.execute(query).one_or_none()
    return None if row is None else StoredReference(*row)
