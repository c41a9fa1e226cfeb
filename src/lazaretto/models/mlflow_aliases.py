"""Names on an MLflow server: set by a promotion, and read back to find where the two differ.

The ledger comes first. Where a promotion, demotion or rollback is cut off before the server was
told, `differing_aliases` names the difference, and `repair_aliases` tells the server.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.authority.model_rules import guarded_by
from lazaretto.dataset.models import ModelKey
from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.lineage.from_mlflow import registry_of
from lazaretto.names import registry_name
from lazaretto.redact import error_line, safe_uri
from lazaretto.stages.alias_model import find_alias
from lazaretto.storage import tables
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.stages.alias_model import Alias
    from lazaretto.storage.workspace import Workspace

_PAGE = 100
MOST_MODELS = 10_000


@dataclass(frozen=True, slots=True)
class AliasDifference:
    """A name that stands for one version here and for another on the server.

    Attributes:
        model: name of the model.
        alias: the name.
        here: version by the ledger; None: none.
        there: version by the server; None: none.
        promoted: whether the version here was promoted.
        follows: whether the server has to follow: the version here was promoted, or only promotions
            move the name, and it was taken away here.
    """

    model: str
    alias: str
    here: str | None
    there: str | None
    promoted: bool
    follows: bool


def require_registry(uri: str, registry: str) -> None:
    """Refuses a server that is not the registry of the model.

    Raises:
        UsageError: the model is of another registry.
    """
    if registry_name(registry) != registry_of(uri):
        raise UsageError(
            f"the model is of the registry {registry}, and the server is {registry_of(uri)}: "
            "`lazaretto model import-mlflow` registers the versions of a server"
        )


def tell_server(uri: str, model: str, alias: str, version: str | None) -> None:
    """Makes a name on a server stand for a version, or for none; what is so already stays.

    Args:
        uri: ``http://`` or ``https://`` address of the server.
        model: name of the registered model.
        alias: the name.
        version: that it stands for; None: for none any more.

    Raises:
        SystemFaultError: the server cannot be reached, or refuses; the ledger says what is wanted,
            and `repair_aliases` tells the server.
    """
    client, fault = _client(uri)
    try:
        there = _aliases(client.get_registered_model(model)).get(alias)
        if there == version:
            return
        if version is None:
            client.delete_registered_model_alias(model, alias)
        else:
            client.set_registered_model_alias(model, alias, version)
    except fault as error:
        raise SystemFaultError(
            f"the ledger says what {alias!r} of {model!r} stands for, and the MLflow server at "
            f"{safe_uri(uri)} could not be told: {error_line(error)}. Once it answers, "
            f"`lazaretto model check-mlflow {safe_uri(uri)} --repair` tells it"
        ) from error


def differing_aliases(
    workspace: Workspace, uri: str, *, name: str | None = None
) -> list[AliasDifference]:
    """Names that stand for other versions on an MLflow server than by the ledger.

    Args:
        workspace: catalog and store; only read.
        uri: address of the server.
        name: only this registered model.

    Raises:
        UsageError: the address cannot be one of a server, or holds credentials.
        SystemFaultError: the server cannot be reached.
    """
    registry = registry_of(uri)
    client, fault = _client(uri)
    try:
        there = {one.name: _aliases(one) for one in _models(client, name)}
    except fault as error:
        raise SystemFaultError(
            f"the MLflow server at {safe_uri(uri)} cannot be read: {error_line(error)}"
        ) from error
    table = tables.model_alias.c
    found = []
    with workspace.catalog.read() as connection:
        query = sa.select(table.model, table.alias).where(table.registry == registry)
        ours = {(row.model, row.alias) for row in connection.execute(query)}
        named = {(model, alias) for model, aliases in there.items() for alias in aliases}
        for model, alias in sorted(ours | named):
            if name is not None and model != name:
                continue
            here = find_alias(connection, ModelKey(registry, model, ""), alias)
            version = None if here is None else here.version
            other = there.get(model, {}).get(alias)
            if version != other:
                promoted = here is not None and here.promoted is not None
                follows = promoted or (
                    here is not None and version is None and _guarded(connection, here)
                )
                found.append(AliasDifference(model, alias, version, other, promoted, follows))
    return found


def repair_aliases(
    workspace: Workspace, uri: str, *, name: str | None = None
) -> list[AliasDifference]:
    """Sets on an MLflow server what promotions, demotions and rollbacks on the ledger say.

    A name that nobody moved here, or that was only read from the server, stays what it is there.

    Args:
        workspace: catalog and store; only read.
        uri: address of the server.
        name: only this registered model.

    Returns:
        What differs afterwards.

    Raises:
        UsageError: as of `differing_aliases`.
        SystemFaultError: the server cannot be reached, or refuses.
    """
    for one in differing_aliases(workspace, uri, name=name):
        if one.follows:
            tell_server(uri, one.model, one.alias, one.here)
    return differing_aliases(workspace, uri, name=name)


def _guarded(connection: Connection, alias: Alias) -> bool:
    """Whether only a promotion moves a name, by the policies of any version of the model."""
    table = tables.model_version.c
    query = sa.select(table.version).where(
        table.registry == alias.registry, table.model == alias.model
    )
    return any(
        guarded_by(connection, ModelKey(alias.registry, alias.model, row.version), alias.alias)
        for row in connection.execute(query)
    )


def _client(uri: str) -> tuple[Any, type[Exception]]:
    registry_of(uri)
    # MLflow would tell its makers of each call.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri), MlflowException


def _models(client: Any, name: str | None) -> Iterator[Any]:
    if name is not None:
        yield client.get_registered_model(name)
        return
    token, count = None, 0
    while count < MOST_MODELS:
        page = client.search_registered_models(max_results=_PAGE, page_token=token)
        yield from page
        token, count = page.token, count + len(page)
        if not token:
            return


def _aliases(model: Any) -> dict[str, str]:
    """Names of a model on the server; what a server says is bounded."""
    said = dict(model.aliases or {})
    return {excerpt(str(alias), 255): str(version) for alias, version in said.items()}
