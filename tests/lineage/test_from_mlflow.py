"""Model versions of a real MLflow server are registered with their data, runs and aliases."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pages
import pytest
from mlflow_server import serving
from typer.testing import CliRunner

from lazaretto.cli.app import app
from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.health import check
from lazaretto.ledger.chain import head
from lazaretto.lineage import import_mlflow
from lazaretto.lineage.from_mlflow import registry_of
from lazaretto.stages.models import list_models, show_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.storage.workspace import Workspace

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
tracking = pytest.importorskip("mlflow.tracking", reason="needs mlflow-skinny (extra `mlflow`)")
LAKE = '{"uri": "s3a://lake/prices/"}'
DELTA = '{"path": "s3://lake/names", "delta_table_version": 7}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server without anything in it."""
    with serving(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture(scope="module")
def client(server: str) -> Any:
    return tracking.MlflowClient(server, registry_uri=server)


def _run(client: Any, *logged: tuple[str, str, str]) -> str:
    """A run that read datasets, each a name, a source and a context."""
    run: str = client.create_run("0").info.run_id
    _log(client, run, *logged)
    return run


def _log(client: Any, run: str, *logged: tuple[str, str, str]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    found = [
        DatasetInput(
            Dataset(name, "d1g35t", "some", source),
            [InputTag("mlflow.data.context", context)] if context else [],
        )
        for name, source, context in logged
    ]
    client.log_inputs(run, found)


def _words(workspace: Workspace, model: str, version: str) -> list[str]:
    return [
        f"{one['namespace']} {one['name']}@{one['version']} {one['role']}"
        for one in show_model(workspace, model, version)["inputs"]
    ]


def test_versions_aliases_and_data_are_read_and_read_again(
    workspace: Workspace, server: str, client: Any, request: pytest.FixtureRequest
) -> None:
    name = f"net {request.node.callspec.id}"
    registry = registry_of(server)
    client.create_registered_model(name)
    logged = (("train", LAKE, "training"), ("names", DELTA, "eval"), ("frame", "code", ""))
    run = _run(client, *logged)
    client.create_model_version(name, "s3://models/net?token=hunter2", run)
    client.create_model_version(name, "s3://models/net", None)
    client.set_registered_model_alias(name, "production", "1")
    found = import_mlflow(workspace, server, name=name)
    assert (found.registry, found.versions, found.aliases) == (registry, 2, 1)
    assert found.without_inputs == [f"{name}@2"]
    assert found.skipped == []
    assert sorted(_words(workspace, name, "1")) == [
        f"{registry} datasets/frame@None TRAIN",
        "s3://lake names@7 EVAL",
        "s3://lake prices@None TRAIN",
    ]
    told = show_model(workspace, name, "1")
    assert told["external_run_id"] == run
    assert told["params"]["mlflow.digest prices"] == "d1g35t"
    assert "hunter2" not in json.dumps(told["params"])
    assert [one["alias"] for one in told["aliases"]] == ["production"]

    with workspace.catalog.read() as connection:
        before = head(connection)
    assert import_mlflow(workspace, server, name=name).aliases == 0
    with workspace.catalog.read() as connection:
        assert head(connection) == before  # the same again is on record

    client.delete_registered_model_alias(name, "production")
    client.set_registered_model_alias(name, "canary", "2")
    _log(client, run, ("more", '{"uri": "s3://lake/more"}', "validation"))
    assert import_mlflow(workspace, server, name=name).aliases == 2
    assert "s3://lake more@None VALIDATION" in _words(workspace, name, "1")
    rows = {row["version"]: row for row in list_models(workspace, name).rows}
    assert (rows["1"]["aliases"], rows["2"]["aliases"]) == ([], ["canary"])
    assert check(workspace).sound


def test_what_a_server_says_is_checked(
    sqlite_workspace: Workspace, sqlite_catalog: str, server: str, client: Any
) -> None:
    client.create_registered_model('it\'s "so"')
    client.create_registered_model("odd's")
    run = _run(client, ("a", "[" * 60_000, "train"), ("b\x1b[31m", '{"uri": 3}', "test"))
    client.create_model_version("odd's", "s3://models/odd", run)
    place = {"LAZARETTO_CATALOG_URL": sqlite_catalog}
    place["LAZARETTO_STORE"] = sqlite_workspace.store.root
    result = CliRunner().invoke(app, ["model", "import-mlflow", server, "--json"], env=place)
    assert result.exit_code == 4, result.output
    said = json.loads(result.stdout)
    assert [one.partition(":")[0] for one in said["skipped"]] == ['it\'s "so"']
    words = _words(sqlite_workspace, "odd's", "1")
    assert len(words) == 2
    assert "\x1b" not in "".join(words)
    assert check(sqlite_workspace).sound


@pytest.mark.parametrize(
    "uri", ["sqlite:///mlflow.db", "mlruns", "http://", "http://bob:hush@mlflow:5000"]
)
def test_an_address_of_no_server_is_refused(sqlite_workspace: Workspace, uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        import_mlflow(sqlite_workspace, uri)
    assert "hush" not in str(caught.value)


def test_a_server_that_does_not_know_the_model_is_a_fault(
    sqlite_workspace: Workspace, server: str
) -> None:
    with pytest.raises(SystemFaultError, match="cannot be read"):
        import_mlflow(sqlite_workspace, server, name="nobody")


def test_the_command_of_the_page_works(
    sqlite_workspace: Workspace, sqlite_catalog: str, server: str
) -> None:
    page = pages.ROOT / "docs/how-to/register-a-model.md"
    (block,) = [b for b in pages.blocks(page) if b.language == "bash"]
    words = block.text.strip().replace("http://mlflow.example:5000", server).split()
    place = {"LAZARETTO_CATALOG_URL": sqlite_catalog}
    place["LAZARETTO_STORE"] = sqlite_workspace.store.root
    result = CliRunner().invoke(app, words[1:], env=place)
    assert result.exit_code in (0, 4), result.output
    assert registry_of(server) in result.stdout
