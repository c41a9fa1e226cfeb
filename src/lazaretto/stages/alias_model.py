"""Aliases: a name such as ``production`` stands for one version of a model, until it is moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.holds import require_no_hold
from lazaretto.authority.model_rules import guarded_by
from lazaretto.dataset.models import ModelKey, named_model
from lazaretto.dataset.state import alias_columns, changes
from lazaretto.errors import UsageError
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import ModelAliased
from lazaretto.ledger.state import record
from lazaretto.stages.model_inputs import check_alias
from lazaretto.storage import tables
from lazaretto.values import HoldKind

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import PromotionBasis

_alias = tables.model_alias


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that stands for a version of a model.

    Attributes:
        registry: namespace of the registry.
        model: name of the model.
        alias: the name.
        version: that it stands for; None: it was taken away.
        at: since when, UTC.
        seq: ledger entry.
        promoted: what its promotion rests on; None: it was set without one.
    """

    registry: str
    model: str
    alias: str
    version: str | None
    at: datetime
    seq: int
    promoted: PromotionBasis | None = None


def alias_model(
    workspace: Workspace,
    model: str,
    version: str,
    alias: str,
    *,
    registry: str | None = None,
    remove: bool = False,
    reason: str = "",
) -> bool:
    """Makes a name stand for a model version; what it stood for before, it stands for no more.

    Names that a policy guards (`model.aliases`, by default ``production``) are moved by
    `lazaretto.models.promote` alone, which first looks whether the version may be in use.

    Args:
        workspace: catalog and store; whoever acts through it moved the alias.
        model: name of the model.
        version: its version.
        alias: such as ``candidate``.
        registry: of the model; None: of the only one that has it.
        remove: take the alias away from this version instead.
        reason: why; stays on record.

    Returns:
        Whether it changed anything.

    Raises:
        NotFoundError: no such model version is registered.
        UsageError: no name that can be an alias, a name that is guarded, the model is in several
            registries, or the alias to take away stands for another version.
        OnHoldError: an incident stops new versions of the model; to go back to an older one stays
            possible.

    Examples:
        >>> alias_model(workspace, "net", "1", "candidate")
        True
    """
    check_alias(alias)
    with workspace.catalog.transaction() as connection:
        key = named_model(connection, model, version, registry)
        guard = guarded_by(connection, key, alias)
        if guard is not None:
            way = (
                f"`lazaretto model demote {key.model} --alias {alias}`"
                if remove
                else f"`lazaretto model promote {key.name} --alias {alias}`"
            )
            by = f"the policy of dataset {guard.dataset!r}" if guard.dataset else "default"
            raise UsageError(f"only a promotion moves {alias!r} (model.aliases, by {by}): {way}")
        wanted = None if remove else version
        before = find_alias(connection, key, alias)
        stands_for = None if before is None else before.version
        if remove and stands_for not in (None, version):
            raise UsageError(f"{alias!r} stands for {model}@{stands_for}, not for {key.name}")
        if stands_for == wanted:
            return False
        if wanted is not None and not goes_back(connection, key, stands_for):
            require_no_hold(connection, HoldKind.PROMOTION, model)
        move(workspace, connection, key, alias, wanted, reason=reason)
        return True


def observe_alias(
    workspace: Workspace,
    key: ModelKey,
    version: str | None,
    alias: str,
    *,
    reason: str,
) -> bool:
    """Puts on record for what a name stands in a registry elsewhere; that is no promotion.

    Nothing here decides it, so nothing is refused: who asks what is in use must be told.

    Args:
        workspace: catalog and store.
        key: a version of the model.
        version: that the name stands for there; None: for none any more.
        alias: the name.
        reason: who says so; stays on record.

    Returns:
        Whether it is news.

    Raises:
        UsageError: no name that can be an alias.
        NotFoundError: no such version is registered.
    """
    check_alias(alias)
    with workspace.catalog.transaction() as connection:
        if version is not None:
            key = named_model(connection, key.model, version, key.registry)
        before = find_alias(connection, key, alias)
        if (None if before is None else before.version) == version:
            return False
        move(workspace, connection, key, alias, version, reason=reason)
        return True


def move(
    workspace: Workspace,
    connection: Connection,
    key: ModelKey,
    alias: str,
    version: str | None,
    *,
    reason: str,
    promoted: PromotionBasis | None = None,
) -> int:
    """Moves an alias inside the caller's transaction; its ledger entry. It checks nothing."""
    event = ModelAliased(key.model, alias, version, key.registry, reason, promoted)
    return record(connection, event, changes, actor=workspace.actor).seq


def goes_back(connection: Connection, key: ModelKey, stands_for: str | None) -> bool:
    """Whether a version was registered before the one that an alias stands for."""
    table = tables.model_version.c
    mine = (table.registry == key.registry) & (table.model == key.model)
    query = sa.select(table.version, table.seq).where(
        mine, table.version.in_([key.version, stands_for])
    )
    seqs = {row.version: row.seq for row in connection.execute(query)}
    return stands_for in seqs and seqs[key.version] < seqs[stands_for]


def find_alias(connection: Connection, key: ModelKey, alias: str) -> Alias | None:
    """What an alias of a model stands for; None where there never was one of that name."""
    named = (_alias.c.registry == key.registry) & (_alias.c.model == key.model)
    query = sa.select(_alias).where(named, _alias.c.alias == alias)
    row = connection.execute(query).one_or_none()
    return None if row is None else _checked(connection, row)


def list_aliases(workspace: Workspace, registry: str, model: str) -> list[Alias]:
    """The aliases of a model that stand for a version, by name.

    Args:
        workspace: catalog and store.
        registry: namespace of the registry.
        model: name of the model.

    Examples:
        >>> from lazaretto.stages import alias_model
        >>> alias_model(workspace, "net", "1", "candidate")
        True
        >>> [(one.alias, one.version) for one in list_aliases(workspace, "local", "net")]
        [('candidate', '1')]
    """
    with workspace.catalog.read() as connection:
        return aliases_of(connection, registry, model)


def aliases_of(connection: Connection, registry: str, model: str) -> list[Alias]:
    """The same within a view of the catalog.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    mine = (_alias.c.registry == registry) & (_alias.c.model == model)
    query = sa.select(_alias).where(mine, _alias.c.version.is_not(None)).order_by(_alias.c.alias)
    return [_checked(connection, row) for row in connection.execute(query).all()]


def _checked(connection: Connection, row: sa.Row[tuple[object, ...]]) -> Alias:
    entry, event = event_of(connection, _alias.name, row.alias, row, ModelAliased)
    agree(_alias.name, row.alias, row, alias_columns(event))
    return Alias(
        row.registry,
        event.model,
        event.alias,
        event.version,
        entry.at,
        entry.seq,
        event.promoted,
    )
