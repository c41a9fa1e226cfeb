"""Reads registered model versions from an MLflow server: their data, aliases and runs.

What the server says is a claim of somebody else's: names are checked and bounded, a dataset is
known by its address alone, and its digest, which anybody can write there, is only noted.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lazaretto.dataset.models import ModelKey
from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.lineage.openlineage.naming import dataset_name
from lazaretto.names import registry_name
from lazaretto.redact import carries_credentials, error_line, safe_uri
from lazaretto.stages.alias_model import list_aliases, observe_alias
from lazaretto.stages.register_model import register_model
from lazaretto.text import excerpt
from lazaretto.values import InputKind, InputRole, ModelInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.storage.workspace import Workspace

MOST_VERSIONS = 100_000
_PAGE = 100
_LONGEST_SOURCE = 100_000
_CONTEXT = "mlflow.data.context"
_ADDRESSES = ("uri", "url", "path")
_VERSIONS = ("delta_table_version", "version")
_ROLES = {
    "valid": InputRole.VALIDATION,
    "test": InputRole.TEST,
    "eval": InputRole.EVAL,
    "calib": InputRole.CALIBRATION,
}


@dataclass(slots=True)
class Imported:
    """What was read from a server.

    Attributes:
        registry: under which the models are on record.
        versions: model versions that the server has.
        without_inputs: those of them whose run names no data, as NAME@VERSION: their origin is not
            known.
        aliases: how many aliases were set, moved or taken away.
        skipped: what could not be taken, and why.
        seqs: newest ledger entry of each model version.
    """

    registry: str
    versions: int = 0
    without_inputs: list[str] = field(default_factory=list)
    aliases: int = 0
    skipped: list[str] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)


def import_mlflow(workspace: Workspace, uri: str, *, name: str | None = None) -> Imported:
    """Registers the model versions of an MLflow server; the same again adds what is new.

    A version of the server's is a version here, in the registry ``mlflow://HOST:PORT``. It learned
    from the datasets that its run logged, in the role of their context, and where that is not known
    in the role ``TRAIN``. Aliases stand for what they stand for there.

    Args:
        workspace: catalog and store.
        uri: ``http://`` or ``https://`` address of the tracking server. Credentials come from
            MLflow's own environment variables, such as ``MLFLOW_TRACKING_TOKEN``.
        name: only this registered model.

    Raises:
        UsageError: the address cannot be one of a server, or holds credentials.
        SystemFaultError: the server cannot be reached, or answers with an error.
        ModuleNotFoundError: MLflow is not installed: ``pip install 'lazaretto[mlflow]'``.
    """
    registry = registry_of(uri)
    # MLflow would tell its makers of each call.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = Imported(registry)
    try:
        for model in _models(client, name):
            _take(workspace, client, model, found)
    except MlflowException as error:
        raise SystemFaultError(
            f"the MLflow server at {safe_uri(uri)} cannot be read: {error_line(error)}"
        ) from error
    return found


def registry_of(uri: str) -> str:
    """The registry that an MLflow server's models are of here, ``mlflow://HOST:PORT``.

    Raises:
        UsageError: the address cannot be one of a server, or holds credentials.

    Examples:
        >>> registry_of("http://Tracking.example:5000/")
        'mlflow://tracking.example:5000'
    """
    scheme, separator, rest = uri.strip().partition("://")
    if scheme.lower() not in ("http", "https") or not separator or not rest.strip("/"):
        raise UsageError(
            f"{safe_uri(uri)} is no address of an MLflow server: write http://HOST:PORT"
        )
    if carries_credentials(uri):
        raise UsageError(
            "an address with credentials would be seen by others: give them in MLflow's own "
            "variables, such as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return registry_name(f"mlflow://{rest}")


def _models(client: Any, name: str | None) -> Iterator[Any]:
    """Registered models, page by page."""
    if name is not None:
        yield client.get_registered_model(name)
        return
    token = None
    while True:
        page = client.search_registered_models(max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _versions(client: Any, name: str) -> Iterator[Any]:
    """Versions of a model, the oldest first."""
    quote = '"' if "'" in name else "'"
    if quote in name or "\\" in name:
        raise UsageError("the server cannot be asked for a name with such quotes")
    asked = f"name={quote}{name}{quote}"
    token, found = None, []
    while True:
        page = client.search_model_versions(asked, max_results=_PAGE, page_token=token)
        found += [one for one in page if one.name == name]
        token = page.token
        if not token or len(found) > MOST_VERSIONS:
            break
    return iter(sorted(found, key=lambda one: (int(one.creation_timestamp or 0), one.version)))


def _take(workspace: Workspace, client: Any, model: Any, found: Imported) -> None:
    """Registers the versions of one model, and brings its aliases up to date."""
    taken: set[str] = set()
    try:
        for version in _versions(client, model.name):
            if found.versions >= MOST_VERSIONS:
                raise UsageError(f"more than {MOST_VERSIONS:,} versions: give --name")
            _register(workspace, client, version, found)
            taken.add(str(version.version))
    except UsageError as error:
        found.skipped.append(f"{excerpt(model.name, 100)}: {error}")
        return
    said = {str(alias): str(version) for alias, version in dict(model.aliases or {}).items()}
    for alias, version in said.items():
        if version in taken:
            found.aliases += _alias(workspace, model.name, version, alias, found)
    for one in list_aliases(workspace, found.registry, model.name):
        if one.alias not in said and one.version is not None:
            found.aliases += _alias(
                workspace, model.name, one.version, one.alias, found, remove=True
            )


def _alias(
    workspace: Workspace,
    model: str,
    version: str,
    alias: str,
    found: Imported,
    *,
    remove: bool = False,
) -> bool:
    """Moves an alias; whether that changed anything."""
    try:
        return observe_alias(
            workspace,
            ModelKey(found.registry, model, version),
            None if remove else version,
            alias,
            reason="the MLflow server says so",
        )
    except UsageError as error:
        found.skipped.append(f"alias {excerpt(alias, 100)}: {error}")
        return False


def _register(workspace: Workspace, client: Any, version: Any, found: Imported) -> None:
    """Registers one version with what its run logged."""
    inputs: list[ModelInput] = []
    noted = {"mlflow.source": excerpt(safe_uri(str(version.source or "")), 500)}
    if version.run_id:
        for logged in client.get_run(version.run_id).inputs.dataset_inputs:
            one = _input(logged, found.registry)
            inputs.append(one)
            digest = excerpt(str(logged.dataset.digest or ""), 200)
            noted[f"mlflow.digest {excerpt(one.name, 200)}"] = digest
    made = register_model(
        workspace,
        version.name,
        str(version.version),
        inputs=inputs,
        origin_known=False,
        registry=found.registry,
        external_run_id=excerpt(version.run_id, 200) if version.run_id else None,
        params=noted,
    )
    found.versions += 1
    found.seqs.append(made.seq)
    if not made.inputs:
        found.without_inputs.append(f"{made.model}@{made.version}")


def _input(logged: Any, registry: str) -> ModelInput:
    """A dataset that a run logged, by its address; without one, by its name on the server."""
    tags = {str(tag.key): str(tag.value).lower() for tag in logged.tags or []}
    context = tags.get(_CONTEXT, "")
    role = next((r for start, r in _ROLES.items() if context.startswith(start)), InputRole.TRAIN)
    source = _source(str(logged.dataset.source or ""))
    address = next((str(source[key]) for key in _ADDRESSES if source.get(key)), None)
    version = next((str(source[key]) for key in _VERSIONS if source.get(key) is not None), None)
    namespace, name = registry, f"datasets/{logged.dataset.name}"
    if address is not None:
        namespace, name = dataset_name(address)
    return ModelInput(InputKind.TABLE, namespace, excerpt(name, 2_000), version, role)


def _source(text: str) -> dict[str, Any]:
    """What a run says of where a dataset lies; nothing where that cannot be read."""
    if len(text) > _LONGEST_SOURCE:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
