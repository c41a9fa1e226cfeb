"""References in the store: versions frozen under ``references/<name>/<version>``, one promoted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import ChangedFileError, NotFoundError, SystemFaultError, UsageError
from lazaretto.ledger.chain import newest
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import ReferencePromoted, ReferenceSaved
from lazaretto.ledger.state import Put, Update, entry_columns, record
from lazaretto.registry.stored import StoredReference
from lazaretto.storage.tables import reference as table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.drift import Profile
    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.reference import Reference
    from lazaretto.registry.trusted import TrustedRows
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor, PromotionChange, StoredFile

    Kept = tuple[StoredFile | None, StoredFile | None]


def save_reference(
    workspace: Workspace,
    reference: Reference,
    *,
    profile: Profile | None = None,
    trusted: TrustedRows | None = None,
    promote: bool | None = None,
) -> StoredReference:
    """Freezes a reference in the store; saving the same again changes nothing but `promote`.

    Args:
        workspace: catalog and store.
        reference: fitted.
        profile: made of the same rows, to measure the drift of batches by; without it screening
            measures none.
        trusted: the same rows, to tell reviewers what a held record lies near; without them a
            neighbour has a label and a place, but no id and no content.
        promote: make it the version that policies mean which name no version; default: only where
            there is none yet. A later version waits for `promote_reference`, after a comparison.

    Raises:
        UsageError: another reference has this name and version.

    Examples:
        >>> from lazaretto.reference import Reference
        >>> reference = Reference.fit("trusted.parquet", policy, name="other")
        >>> save_reference(workspace, reference).version
        '1'
    """
    name, version = reference.name, str(reference.version)
    with workspace.catalog.read() as connection:
        known = _select(connection, name, version)
    if known is not None and known.digest != reference.digest:
        raise UsageError(
            f"reference {name}/{version} exists with another content: give this one another version"
        )
    event = None if known is not None else _write(workspace, reference, profile, trusted)
    with workspace.catalog.transaction() as connection:
        if event is not None and _select(connection, name, version) is None:
            record(connection, event, changes, actor=workspace.actor)
        saved = _selected(connection, name, version)
        if promote or (promote is None and _select(connection, name, None) is None):
            _promote(connection, saved, None, workspace.actor)
        return _selected(connection, name, version)


def promote_reference(
    workspace: Workspace,
    name: str,
    version: str,
    *,
    change: PromotionChange | None = None,
) -> StoredReference:
    """Makes a version the one that the bare name means; promoting the old one takes it back.

    Args:
        workspace: catalog and store.
        name: of the reference.
        version: of it.
        change: what the comparison on past batches found; None where none was made.

    Raises:
        NotFoundError: no such version.

    Examples:
        >>> promote_reference(workspace, "reviews", "1").promoted
        True
    """
    with workspace.catalog.transaction() as connection:
        known = _select(connection, name, version)
        if known is None:
            raise NotFoundError(f"no reference '{name}/{version}': see `lazaretto reference list`")
        _promote(connection, known, change, workspace.actor)
        return _selected(connection, name, version)


def find_reference(workspace: Workspace, name: str) -> StoredReference:
    """What the ledger says of ``name`` (the promoted version) or ``name/version``.

    Raises:
        NotFoundError: there is none.
        ChangedStateError: its row in the catalog says something else.
    """
    with workspace.catalog.read() as connection:
        return read_reference(connection, name)


def read_reference(connection: Connection, name: str) -> StoredReference:
    """The same within the caller's view of the catalog."""
    wanted, _, version = name.partition("/")
    known = _select(connection, wanted, version or None)
    if known is None:
        raise NotFoundError(f"no reference {name!r} is stored: `lazaretto reference fit` makes one")
    return known


def load_reference(workspace: Workspace, name: str) -> Reference:
    """Loads a reference, ``name`` (the promoted version) or ``name/version``; checks its files.

    Raises:
        NotFoundError: there is none.
        ChangedFileError: what lies in the store is not what was saved.

    Examples:
        >>> load_reference(workspace, "reviews").classes
        ('0', '1', '2')
    """
    return load_stored(workspace, find_reference(workspace, name))


def load_stored(workspace: Workspace, known: StoredReference) -> Reference:
    """Loads the reference that the ledger means; see `load_reference`."""
    from lazaretto.reference import Reference

    reference = Reference.from_files(*(workspace.store.read(file) for file in known.files))
    if reference.digest != known.digest:
        raise SystemFaultError(
            f"reference {known.name}/{known.version} is not the one that was saved: restore it, or "
            "fit a new version"
        )
    return reference


def reference_width(workspace: Workspace, known: StoredReference) -> int:
    """How many numbers the vectors of a reference have, from its metadata alone.

    Raises:
        ChangedFileError: what lies in the store is not what was saved.
    """
    return int(json.loads(workspace.store.read(known.files[0]))["encoder"]["dimensions"])


def load_encoder_state(workspace: Workspace, known: StoredReference) -> bytes | None:
    """What the encoder of a reference learned, where the reference fitted it; else None.

    Raises:
        ChangedFileError: what lies in the store is not what was saved.
    """
    return workspace.store.read(known.files[2]) if len(known.files) > 2 else None


def list_references(workspace: Workspace, name: str | None = None) -> list[StoredReference]:
    """All stored references, or all versions of one; newest first.

    Examples:
        >>> [(stored.name, stored.version) for stored in list_references(workspace)]
        [('reviews', '1')]
    """
    query = sa.select(table.c.name, table.c.version).order_by(
        table.c.created_at.desc(), table.c.name
    )
    if name is not None:
        query = query.where(table.c.name == name)
    with workspace.catalog.read() as connection:
        return [_selected(connection, *row) for row in connection.execute(query).all()]


def _write(
    workspace: Workspace,
    reference: Reference,
    profile: Profile | None,
    trusted: TrustedRows | None,
) -> ReferenceSaved:
    """Writes the files of a version; nothing names them until the ledger does."""
    from lazaretto.registry.profiles import write_profile
    from lazaretto.registry.trusted import write_trusted

    folder = f"references/{reference.name}/{reference.version}"
    try:
        files = [
            workspace.store.put(f"{folder}/{name}", [data])
            for name, data in reference.files().items()
        ]
    except ChangedFileError as error:
        raise UsageError(
            f"{folder} in the store holds another reference: give this one another version"
        ) from error
    kept: Kept = (None, None)
    if profile is not None:
        kept = write_profile(workspace.store, folder, profile)
    rows = None
    if trusted is not None:
        rows = write_trusted(workspace.store, folder, reference, trusted)
    return ReferenceSaved(
        reference=reference.name,
        version=str(reference.version),
        digest=reference.digest,
        files=files,
        rows=reference.rows,
        encoder=reference.encoder.name,
        encoder_digest=reference.encoder.digest,
        profile=kept[0],
        golden=kept[1],
        trusted=rows,
    )


def changes(entry: Entry) -> Iterator[Change]:
    """What an entry about a reference does to the catalog."""
    match entry.event:
        case ReferenceSaved() as event:
            values = {
                "name": event.reference,
                "version": event.version,
                "digest": event.digest,
                "promoted": False,
                "created_at": entry.at,
            }
            yield Put(table, values | entry_columns(entry))
        case ReferencePromoted() as event:
            name, version = {"name": event.reference}, {"version": event.version}
            yield Update(table, name, {"promoted": False})
            yield Update(table, name | version, {"promoted": True})


def _promote(
    connection: Connection, known: StoredReference, change: PromotionChange | None, actor: Actor
) -> None:
    """Moves the name to a version and puts that on record; nothing where it is there already."""
    before = _select(connection, known.name, None)
    if before is not None and before.version == known.version:
        return
    event = ReferencePromoted(
        reference=known.name,
        version=known.version,
        digest=known.digest,
        previous=None if before is None else before.version,
        previous_digest=None if before is None else before.digest,
        change=change,
    )
    record(connection, event, changes, actor=actor)


def _selected(connection: Connection, name: str, version: str) -> StoredReference:
    known = _select(connection, name, version)
    assert known is not None  # noqa: S101  the caller has just seen or written it
    return known


def _select(connection: Connection, name: str, version: str | None) -> StoredReference | None:
    """A version; the promoted one where none is named. The ledger says which that is."""
    moved = newest(connection, f"reference:{name}", [ReferencePromoted.kind])
    promoted = moved.event.version if moved and isinstance(moved.event, ReferencePromoted) else None
    wanted = version or promoted
    query = sa.select(table).where(table.c.name == name, table.c.version == wanted)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    words = f"{name}/{wanted}"
    entry, event = event_of(connection, "reference", words, row, ReferenceSaved)
    said = {"name": event.reference, "version": event.version, "digest": event.digest}
    agree("reference", words, row, said | {"promoted": event.version == promoted})
    return StoredReference(
        name=event.reference,
        version=event.version,
        digest=event.digest,
        promoted=event.version == promoted,
        created_at=entry.at,
        seq=entry.seq,
        encoder=event.encoder,
        encoder_digest=event.encoder_digest,
        files=tuple(event.files),
        profile=event.profile,
        golden=event.golden,
        trusted=event.trusted,
    )
