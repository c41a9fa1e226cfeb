"""Taking a version out of use: demotion, and going back to the last one that is clean."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.model_rules import ancestry, rules_of
from lazaretto.dataset.commit import ATTEMPTS
from lazaretto.dataset.models import ModelKey, named_model
from lazaretto.errors import (
    NotFoundError,
    OvertakenError,
    PromotionRefusedError,
    SystemFaultError,
    UsageError,
)
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelAliased
from lazaretto.models.examine import Examination, examine
from lazaretto.models.mlflow_aliases import require_registry
from lazaretto.models.promote import Promoted, check_length, settle, told
from lazaretto.models.taint import read_doubts
from lazaretto.names import registry_name
from lazaretto.stages.alias_model import find_alias, move
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace

_MOST_VERSIONS = 1_000


def demote(
    workspace: Workspace,
    model: str,
    *,
    alias: str = "production",
    registry: str | None = None,
    reason: str,
    mlflow: str | None = None,
    expected: str | None = None,
) -> Promoted:
    """Takes a name away from the version that it stands for: nothing is in use by it any more.

    Args:
        workspace: catalog and store; whoever acts through it demotes.
        model: name of the model.
        alias: the name.
        registry: of the model; None: of the only one where the name stands for a version.
        reason: why; stays on record.
        mlflow: as of `promote`.
        expected: version that the name stood for when somebody decided; None: any.

    Raises:
        UsageError: no reason, or the name stands for versions in several registries.
        NotFoundError: the name stands for no version of the model.
        OvertakenError: it stands for another one than expected.
        PromotionRefusedError: who acts is not among those who may promote.

    Examples:
        >>> from lazaretto import incidents
        >>> from lazaretto.models import promote
        >>> _ = incidents.close(workspace, incident, "false alarm")
        >>> promote(workspace, "net", "1").changed
        True
        >>> demote(workspace, "net", reason="it drifts").previous
        '1'
    """
    _check_reason(reason)
    with workspace.catalog.transaction() as connection:
        key = _in_use(connection, model, alias, registry)
        _require_expected(key, alias, expected)
        datasets = {dataset for dataset, _ in ancestry(connection, key).snapshots()}
        for one in rules_of(connection, datasets):
            if one.rules.promoters is not None and workspace.actor.id not in one.rules.promoters:
                text = f"{workspace.actor.id} is not among those who may promote and demote"
                raise PromotionRefusedError(
                    f"{text} by the policy of {one.dataset!r} (model.promoters)",
                    reasons=[("not_listed", text)],
                )
        if mlflow is not None:
            require_registry(mlflow, key.registry)
        seq = move(workspace, connection, key, alias, None, reason=reason)
    done = Promoted(key.registry, key.model, None, alias, key.version, changed=True, seq=seq)
    return told(mlflow, done)


def last_clean(
    workspace: Workspace,
    model: str,
    *,
    alias: str = "production",
    registry: str | None = None,
) -> tuple[Examination | None, dict[str, list[str]]]:
    """The newest version of a model, before the one in use, that nothing speaks against.

    Versions that the name stood for come first, the last one first of all; then all others that
    were registered before the one in use, the newest first.

    Args:
        workspace: catalog and store; only read. Who acts through it would roll back.
        model: name of the model.
        alias: the name.
        registry: of the model; None: of the only one where the name stands for a version.

    Returns:
        The version as `examine` sees it, None where there is none; and the reasons against each
        that was skipped.

    Raises:
        NotFoundError: the name stands for no version of the model.
        UsageError: it stands for versions in several registries.

    Examples:
        >>> from lazaretto import incidents
        >>> from lazaretto.models import promote
        >>> _ = incidents.close(workspace, incident, "false alarm")
        >>> promote(workspace, "net", "1").changed
        True
        >>> last_clean(workspace, "net")  # there is no version before
        (None, {})
    """
    with workspace.catalog.read() as connection:
        key = _in_use(connection, model, alias, registry)
        candidates = list(_before(connection, key, alias))
    doubts = read_doubts(workspace)
    skipped: dict[str, list[str]] = {}
    for version in candidates:
        found = examine(workspace, model, version, alias, registry=key.registry, doubts=doubts)
        if found.clean:
            return found, skipped
        skipped[version] = [one.text for one in found.reasons]
    return None, skipped


def rollback(
    workspace: Workspace,
    model: str,
    *,
    alias: str = "production",
    registry: str | None = None,
    reason: str,
    mlflow: str | None = None,
    expected: str | None = None,
) -> Promoted:
    """Goes back to the last version that nothing speaks against; see `last_clean`.

    Args:
        workspace: catalog and store; whoever acts through it rolls back.
        model: name of the model.
        alias: the name.
        registry: of the model; None: of the only one where the name stands for a version.
        reason: why; stays on record.
        mlflow: as of `promote`.
        expected: version that the name stood for when somebody decided; None: any.

    Raises:
        UsageError: no reason, or the name stands for versions in several registries.
        OvertakenError: it stands for another one than expected.
        NotFoundError: the name stands for no version, or no version before may be in use.

    Examples:
        >>> from lazaretto import incidents
        >>> from lazaretto.models import promote
        >>> _ = incidents.close(workspace, incident, "false alarm")
        >>> promote(workspace, "net", "1").changed
        True
        >>> rollback(workspace, "net", reason="complaints")
        Traceback (most recent call last):
        ...
        lazaretto.errors.NotFoundError: no version of 'net' before 1 may be in use
    """
    _check_reason(reason)
    for _ in range(ATTEMPTS):
        with workspace.catalog.read() as connection:
            used = _in_use(connection, model, alias, registry)
        _require_expected(used, alias, expected)
        found, skipped = last_clean(workspace, model, alias=alias, registry=registry)
        if found is None:
            raise NotFoundError(f"no version of {model!r} before {used.version} may be in use")
        if mlflow is not None:
            require_registry(mlflow, found.registry)
        done = settle(workspace, found, reason)
        if done is not None:
            return told(mlflow, replace(done, skipped=skipped))
    raise SystemFaultError(f"the ledger changed {ATTEMPTS} times while {model!r} was read")


def _in_use(connection: Connection, model: str, alias: str, registry: str | None) -> ModelKey:
    """The version that a name stands for.

    Raises:
        NotFoundError: it stands for none.
        UsageError: it stands for versions in several registries.
    """
    table = tables.model_alias.c
    query = sa.select(table.registry, table.version).where(
        table.model == model, table.alias == alias, table.version.is_not(None)
    )
    if registry is not None:
        query = query.where(table.registry == registry_name(registry))
    rows = connection.execute(query).all()
    if not rows:
        raise NotFoundError(f"{alias!r} stands for no version of model {model!r}")
    if len(rows) > 1:
        places = ", ".join(sorted(row.registry for row in rows))
        raise UsageError(f"{alias!r} of {model!r} is in more than one registry: name one: {places}")
    key = named_model(connection, model, rows[0].version, rows[0].registry)
    find_alias(connection, key, alias)  # the row says what the ledger says
    return key


def _require_expected(used: ModelKey, alias: str, expected: str | None) -> None:
    if expected not in (None, used.version):
        raise OvertakenError(
            f"{alias!r} of {used.model!r} stands for version {used.version} by now, not for "
            f"{expected}: look again"
        )


def _before(connection: Connection, used: ModelKey, alias: str) -> Iterator[str]:
    """Versions to go back to: those that the name stood for, then all older ones."""
    table = tables.model_version.c
    mine = (table.registry == used.registry) & (table.model == used.model)
    rows = connection.execute(sa.select(table.version, table.seq).where(mine)).all()
    seqs = {row.version: row.seq for row in rows}
    stood = [
        entry.event.version
        for entry in entries(
            connection,
            subject=f"model:{used.model}",
            kinds=[ModelAliased.kind],
            newest_first=True,
        )
        if isinstance(entry.event, ModelAliased)
        and entry.event.alias == alias
        and registry_name(entry.event.registry) == used.registry
    ]
    older = sorted(seqs, key=lambda version: -seqs[version])
    wanted = dict.fromkeys([*(one for one in stood if one is not None), *older])
    found = [one for one in wanted if one in seqs and seqs[one] < seqs[used.version]]
    yield from found[:_MOST_VERSIONS]


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError("say why: the reason stays on record")
    check_length(reason)
