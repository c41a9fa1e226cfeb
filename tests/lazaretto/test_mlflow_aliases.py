"""A promotion sets the alias on an MLflow server; killed on either side, the two agree again."""

from __future__ import annotations

import importlib
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from mlflow_server import serving
from typer.testing import CliRunner

from lazaretto import models, stages
from lazaretto.cli.app import app
from lazaretto.errors import PromotionRefusedError, SystemFaultError, UsageError
from lazaretto.lineage import declare_external, import_mlflow
from lazaretto.models.mlflow_aliases import differing_aliases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazaretto.storage.workspace import Workspace

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Its client tries a server that is away for four minutes otherwise.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
tracking = pytest.importorskip("mlflow.tracking", reason="needs mlflow-skinny (extra `mlflow`)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server without anything in it."""
    with serving(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


def served(client: Any, name: str) -> dict[str, str]:
    return {
        str(alias): str(version)
        for alias, version in dict(client.get_registered_model(name).aliases).items()
    }


def in_child(work: Callable[[], object]) -> int:
    """Runs it in a fork; its signal, or 0."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_catalog_and_server_agree_again_after_a_kill_on_either_side(
    sqlite_workspace: Workspace, server: str, sqlite_catalog: str
) -> None:
    workspace, name = sqlite_workspace, "net"
    client = tracking.MlflowClient(server, registry_uri=server)
    client.create_registered_model(name)
    for _ in range(3):
        client.create_model_version(name, "s3://models/net", None)
    registry = import_mlflow(workspace, server).registry
    with pytest.raises(PromotionRefusedError) as refused:
        models.promote(workspace, name, "1", mlflow=server)
    assert refused.value.code == "unknown_origin"
    assert served(client, name) == {}
    for version in ("1", "2", "3"):
        declare_external(
            workspace, (registry, name), version=version, reason="made by us, elsewhere"
        )
    with pytest.raises(UsageError, match="the server is mlflow://other:5000"):
        models.promote(workspace, name, "1", mlflow="http://other:5000")
    models.promote(workspace, name, "1", mlflow=server)
    assert served(client, name) == {"production": "1"}
    assert differing_aliases(workspace, server) == []

    # Killed after the ledger has it and before the server was told.
    workspace.catalog.engine.dispose()

    def dies() -> None:
        promotion = importlib.import_module("lazaretto.models.promote")

        def killed(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        vars(promotion)["tell_server"] = killed
        models.promote(workspace, name, "2", mlflow=server)

    assert in_child(dies) == -signal.SIGKILL
    (left,) = differing_aliases(workspace, server)
    assert (left.here, left.there, left.promoted) == ("2", "1", True)
    assert models.promote(workspace, name, "2", mlflow=server).changed is False
    assert served(client, name) == {"production": "2"}
    assert differing_aliases(workspace, server) == []

    # The server is gone: the ledger says what is wanted, and the error says so.
    with pytest.raises(SystemFaultError, match="cannot be read"):
        differing_aliases(workspace, "http://127.0.0.1:9")

    # Somebody moves it on the server, around the gate.
    client.set_registered_model_alias(name, "production", "3")
    place = {"LAZARETTO_CATALOG_URL": sqlite_catalog, "LAZARETTO_STORE": workspace.store.root}
    shown = CliRunner().invoke(app, ["model", "check-mlflow", server], env=place)
    assert shown.exit_code == 1, shown.output
    import_mlflow(workspace, server)
    (alias,) = stages.list_aliases(workspace, registry, name)
    assert (alias.version, alias.promoted) == ("3", None)
    assert differing_aliases(workspace, server) == []
    models.promote(workspace, name, "2", mlflow=server)
    assert served(client, name) == {"production": "2"}
    models.demote(workspace, name, reason="nothing is served", mlflow=server)
    assert served(client, name) == {}
