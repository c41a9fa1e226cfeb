"""Names on an MLflow server: set by a promotion, and read back to find where the two differ.

The ledger comes first. Where a promotion is cut off before the server was told, the same promotion
again tells it; until then `differing_aliases` names the difference.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

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
    """

    model: str
    alias: str
    here: str | None
    there: str | None
    promoted: bool


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
            and the same call again tells the server.
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
            f"{safe_uri(uri)} could not be told: {error_line(error)}. Do the same again"
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
                found.append(AliasDifference(model, alias, version, other, promoted))
    return found


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
