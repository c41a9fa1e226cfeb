"""References in the store: versions frozen under ``references/<name>/<version>``, one promoted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import NotFoundError, SystemFaultError, UsageError
from lazaretto.quarantine.tables import reference as table

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.reference import Reference
    from lazaretto.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StoredReference:
    """One version of a reference, as the catalog knows it.

    Attributes:
        name: of the reference.
        version: of it.
        digest: sha256 (hex) of what was fitted.
        uri: its folder in the store.
        promoted: whether the bare name means this version.
        created_at: when it was saved.
    """

    name: str
    version: str
    digest: str
    uri: str
    promoted: bool
    created_at: datetime


def save_reference(
    workspace: Workspace, reference: Reference, *, promote: bool = True
) -> StoredReference:
    """Freezes a reference in the store; saving the same again changes nothing but `promote`.

    Args:
        workspace: catalog and store.
        reference: fitted.
        promote: make it the version that policies mean which name no version.

    Raises:
        UsageError: another reference has this name and version.
    """
    name, version = reference.name, str(reference.version)
    known = _find(workspace, name, version)
    if known is not None and known.digest != reference.digest:
        raise UsageError(
            f"reference {name}/{version} exists with another content: give this one another version"
        )
    uri = reference.save(workspace.store.uri("references"))
    with workspace.catalog.transaction() as connection:
        if _select(connection, name, version) is None:
            connection.execute(
                table.insert().values(
                    name=name,
                    version=version,
                    digest=reference.digest,
                    uri=uri,
                    promoted=False,
                    created_at=datetime.now(UTC),
                )
            )
        if promote:
            mine = (table.c.name == name) & (table.c.version == version)
            connection.execute(table.update().where(table.c.name == name).values(promoted=mine))
    saved = _find(workspace, name, version)
    assert saved is not None  # noqa: S101  written above
    return saved


def load_reference(workspace: Workspace, name: str) -> Reference:
    """Loads a reference, ``name`` (the promoted version) or ``name/version``; checks its digest.

    Raises:
        NotFoundError: there is none.
        SystemFaultError: what lies in the store is not what was saved.
    """
    from lazaretto.reference import Reference

    wanted, _, version = name.partition("/")
    known = _find(workspace, wanted, version or None)
    if known is None:
        raise NotFoundError(f"no reference {name!r} is stored: `lazaretto reference fit` makes one")
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


def _find(workspace: Workspace, name: str, version: str | None) -> StoredReference | None:
    with workspace.catalog.read() as connection:
        return _select(connection, name, version)


def _select(connection: Connection, name: str, version: str | None) -> StoredReference | None:
    query = sa.select(table).where(table.c.name == name)
    query = query.where(table.c.promoted if version is None else table.c.version == version)
    row = connection.execute(query).one_or_none()
    return None if row is None else StoredReference(*row)
