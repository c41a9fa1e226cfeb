"""Model versions as they are shown: a list of them, and one with all that it learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.dataset.models import ModelKey, find_model, named_model
from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelEvaluated
from lazaretto.names import registry_name
from lazaretto.stages.alias_model import aliases_of
from lazaretto.stages.listing import Page
from lazaretto.storage import tables
from lazaretto.values import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace

_model = tables.model_version
_NAMED = ("model", "version", "registry", "dataset", "snapshot", "rows", "purpose", "at")
_SHOWN = (*_NAMED, "artifact_uri", "artifact_digest")


def list_models(
    workspace: Workspace,
    model: str | None = None,
    *,
    limit: int = 100,
    after: tuple[str, ...] | None = None,
) -> Page:
    """Model versions, newest first, each with its aliases and what of its data was recalled.

    Args:
        workspace: catalog and store.
        model: only versions of this one.
        limit: at most so many.
        after: go on behind this model version: name and version, with the registry before them
            where it is not the only one that has it.

    Raises:
        NotFoundError: there is no such model version as in `after`.
        UsageError: the one in `after` is in more than one registry.

    Examples:
        >>> [(row["registry"], row["model"]) for row in list_models(workspace).rows]
        [('local', 'net')]
    """
    query = sa.select(_model).order_by(_model.c.seq.desc()).limit(limit + 1)
    if model is not None:
        query = query.where(_model.c.model == model)
    with workspace.catalog.read() as connection:
        if after is not None:
            registry = after[0] if len(after) > 2 else None
            key = named_model(connection, after[-2], after[-1], registry)
            mine = [_model.c[name] == value for name, value in key._asdict().items()]
            behind = sa.select(_model.c.seq).where(*mine).scalar_subquery()
            query = query.where(_model.c.seq < behind)
        rows = connection.execute(query).all()
        keys = [ModelKey(row.registry, row.model, row.version) for row in rows]
        marks = _beside(connection, tables.recalled_model, keys, "recall")
        names = _beside(connection, tables.model_alias, keys, "alias")
        inputs = _counted(connection, keys)
    found = [
        {name: getattr(row, name) for name in _SHOWN}
        | {
            "inputs": inputs.get(key, 0),
            "aliases": sorted(names.get(key, [])),
            "recalls": sorted(marks.get(key, [])),
        }
        for row, key in zip(rows, keys, strict=True)
    ]
    return Page(found[:limit], len(found) > limit)


def show_model(
    workspace: Workspace, model: str, version: str, *, registry: str | None = None
) -> dict[str, Any]:
    """One model version: all that it learned from, its aliases, evaluations, weights and recalls.

    Args:
        workspace: catalog and store.
        model: its name.
        version: its version.
        registry: of which it is; None: of the only one that has it.

    Raises:
        NotFoundError: no such model version is registered.
        UsageError: more than one registry has it.

    Examples:
        >>> [one["name"] for one in show_model(workspace, "net", "1")["inputs"]]
        ['reviews']
    """
    with workspace.catalog.read() as connection:
        key = named_model(connection, model, version, registry)
        known = find_model(connection, key)
        if known is None:
            raise NotFoundError(f"no model version {key.name} is registered")
        aliases = aliases_of(connection, key.registry, model)
        mine = [_model.c[name] == value for name, value in key._asdict().items()]
        row = connection.execute(sa.select(_model).where(*mine)).one()
        evaluations = list(_evaluations(connection, key))
    first = known.first
    return {
        **{name: getattr(row, name) for name in _SHOWN},
        "inputs": [to_json(one) for one in known.inputs],
        "aliases": [to_json(one) for one in aliases if one.version == version],
        "evaluations": evaluations,
        "recalls": known.recalls,
        "ignored_weights": known.ignored_weights,
        "params": dict(first.params),
        "seed": first.seed,
        "external_run_id": first.external_run_id,
        "seqs": known.seqs,
    }


def _evaluations(connection: Connection, key: ModelKey) -> Iterator[dict[str, Any]]:
    """The evaluations of a model version, newest first."""
    kinds, subject = [ModelEvaluated.kind], f"model:{key.model}"
    for entry in entries(connection, kinds=kinds, subject=subject, newest_first=True):
        event = entry.event
        if (
            isinstance(event, ModelEvaluated)
            and event.version == key.version
            and registry_name(event.registry) == key.registry
        ):
            told: dict[str, Any] = to_json(event)
            yield {"seq": entry.seq, "at": to_json(entry.at), "by": entry.actor.id} | told


def _beside(
    connection: Connection, table: sa.Table, keys: Iterable[ModelKey], column: str
) -> dict[ModelKey, list[str]]:
    """What another table has of some model versions."""
    names = sorted({key.model for key in keys})
    found: dict[ModelKey, list[str]] = {}
    for row in connection.execute(sa.select(table).where(table.c.model.in_(names))).all():
        key = ModelKey(row.registry, row.model, row.version)
        found.setdefault(key, []).append(getattr(row, column))
    return found


def _counted(connection: Connection, keys: Iterable[ModelKey]) -> dict[ModelKey, int]:
    """How many inputs some model versions have."""
    table = tables.model_input
    by = (table.c.registry, table.c.model, table.c.version)
    names = sorted({key.model for key in keys})
    query = sa.select(*by, sa.func.count()).where(table.c.model.in_(names)).group_by(*by)
    return {ModelKey(*row[:3]): row[3] for row in connection.execute(query).all()}
