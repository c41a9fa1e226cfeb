"""Models with all that they learned from: inputs that add up, registries, aliases, recalls."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pages
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from typer.testing import CliRunner
from yard import Yard, blobs

import lazaretto as lz
from lazaretto import stages
from lazaretto.cli.app import app
from lazaretto.dataset.recall import recall
from lazaretto.dataset.state import changes
from lazaretto.errors import ChangedStateError, NotFoundError, UsageError
from lazaretto.health import check, rebuild
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelRegistered, RecordsRecalled
from lazaretto.ledger.state import record
from lazaretto.stages.alias_model import alias_model, list_aliases
from lazaretto.stages.model_inputs import read_inputs
from lazaretto.stages.models import list_models, show_model
from lazaretto.storage import catalog as catalog_module
from lazaretto.storage import tables
from lazaretto.values import InputKind, InputRole, ModelInput

if TYPE_CHECKING:
    from lazaretto.stages import ModelVersion

pytestmark = pytest.mark.alike

EU, US = "mlflow://eu", "mlflow://us"


def _registered(yard: Yard) -> list[ModelRegistered]:
    with yard.workspace.catalog.read() as connection:
        found = [e.event for e in entries(connection, kinds=[ModelRegistered.kind])]
    return [event for event in found if isinstance(event, ModelRegistered)]


def _words(model: ModelVersion) -> list[str]:
    return [f"{one.kind} {one.name}@{one.version} {one.role}" for one in model.inputs]


def test_inputs_add_up_and_the_same_again_changes_nothing(yard: Yard) -> None:
    workspace = yard.workspace
    yard.admit("monday", blobs(30, seed=5, prefix="m"))
    first = stages.snapshot(workspace, "blobs")
    yard.admit("tuesday", blobs(30, seed=6, prefix="t"), source="vendor-b")
    second = stages.snapshot(workspace, "blobs")

    def again() -> ModelVersion:
        lz.register_model(
            "net",
            "1",
            snapshots=[f"blobs@{first.version}", f"blobs@{second.version}"],
            tables=["S3://Lake vendor/prices@7", "s3://lake names"],
            base=["bert@1"],
            predictions_of=[f"{EU}/ teacher@2"],
            registry="local/",
            workspace=workspace,
        )
        return lz.register_model(
            "net", "1", snapshots=[f"blobs@0{first.version}"], role="eval", workspace=workspace
        )

    made = again()
    assert _words(made) == [
        "SNAPSHOT blobs@1 TRAIN",
        "SNAPSHOT blobs@2 TRAIN",
        "TABLE vendor/prices@7 TRAIN",
        "TABLE names@None TRAIN",
        "MODEL bert@1 FINETUNE",
        "MODEL teacher@2 TRAIN",
        "SNAPSHOT blobs@1 EVAL",
    ]
    assert [one.namespace for one in made.inputs] == [
        "",
        "",
        "s3://lake",
        "s3://lake",
        "local",
        EU,
        "",
    ]
    assert [one.rows for one in made.inputs] == [30, 60, None, None, None, None, 30]
    assert (made.dataset, made.snapshot, made.rows) == ("blobs", first.version, 30)
    assert again() == made
    assert len(_registered(yard)) == 2
    assert check(workspace).sound


def test_two_registries_have_models_of_one_name_and_a_recall_tells_them_apart(yard: Yard) -> None:
    workspace = yard.workspace
    one = yard.admit("monday", blobs(30, seed=5, prefix="m"))
    first = stages.snapshot(workspace, "blobs").version
    two = yard.admit("tuesday", blobs(30, seed=6, prefix="t"), source="vendor-b")
    second = stages.snapshot(workspace, "blobs").version
    stages.register_model(workspace, "net", "1", "blobs", first, registry="MLflow://EU/")
    stages.register_model(workspace, "net", "1", "blobs", second, registry=US)
    # The vendor of tuesday reaches this one only by an input that came later.
    stages.register_model(workspace, "late", "1", "blobs", first)
    learned = ModelInput(InputKind.SNAPSHOT, "", "blobs", str(second))
    stages.register_model(workspace, "late", "1", inputs=[learned])
    stages.register_model(workspace, "judge", "1", inputs=[replace(learned, role=InputRole.EVAL)])
    done = recall(workspace, "blobs", batch=two.batch, reason="hacked")
    assert done.models == ["late@1", f"{US}/net@1"]
    with workspace.catalog.read() as connection:
        (event,) = [e.event for e in entries(connection, kinds=[RecordsRecalled.kind])]
    assert isinstance(event, RecordsRecalled)
    assert list(zip(event.models, event.registries, strict=True)) == [
        ("net@1", US),
        ("late@1", "local"),
    ]
    shown = {(row["registry"], row["model"]): row["recalls"] for row in list_models(workspace).rows}
    assert shown == {
        (EU, "net"): [],
        (US, "net"): [done.id],
        ("local", "late"): [done.id],
        ("local", "judge"): [],
    }
    # Registered with the snapshot only after the recall: it saw the records all the same.
    found = stages.register_model(workspace, "net", "1", inputs=[learned], registry=EU)
    assert found.recalls == [done.id]
    assert recall(workspace, "blobs", batch=two.batch, reason="hacked").models == [
        "late@1",
        f"{EU}/net@1",
        f"{US}/net@1",
    ]
    assert show_model(workspace, "net", "1", registry=EU)["recalls"] == [done.id]
    with pytest.raises(UsageError, match="in more than one registry: name one of mlflow://us, mlf"):
        show_model(workspace, "net", "1")
    everything = recall(workspace, "blobs", batch=one.batch, reason="hacked, too")
    assert everything.models == ["late@1", f"{EU}/net@1", f"{US}/net@1"]
    assert check(workspace, deep=True).sound


def test_an_older_recall_means_the_registry_that_had_the_name_first(yard: Yard) -> None:
    workspace = yard.workspace
    done = yard.admit("monday", blobs(30, seed=5, prefix="m"))
    version = stages.snapshot(workspace, "blobs").version
    stages.register_model(workspace, "net", "1", "blobs", version, registry=EU)
    recall(workspace, "blobs", ids=[f"{done.batch}#m0"], reason="found late")
    stages.register_model(workspace, "net", "1", inputs=read_inputs(tables=["x y"]), registry=US)
    with workspace.catalog.transaction() as connection:
        (entry,) = entries(connection, kinds=[RecordsRecalled.kind])
        assert isinstance(entry.event, RecordsRecalled)
        older = replace(entry.event, recall="recall-older", registries=[])
        record(connection, older, changes, actor=workspace.actor)
    assert show_model(workspace, "net", "1", registry=EU)["recalls"][-1] == "recall-older"
    assert show_model(workspace, "net", "1", registry=US)["recalls"] == []
    # Made anew from the ledger it is the same, though all models are there at once by then.
    assert not [one for one in rebuild(workspace, write=False).differences if "model" in one.table]


def test_other_weights_of_the_same_version_are_refused_and_unknown_ones_filled_in(
    yard: Yard,
) -> None:
    workspace, weights = yard.workspace, yard.folder / "net.bin"
    weights.write_bytes(b"weights")
    inputs = read_inputs(tables=["s3://lake prices"])
    assert stages.register_model(workspace, "net", "1", inputs=inputs).artifact_digest is None
    known = stages.register_model(workspace, "net", "1", inputs=inputs, artifact=weights)
    assert known.artifact_digest is not None
    later = stages.register_model(workspace, "net", "1", inputs=read_inputs(tables=["s3://lake b"]))
    assert later.artifact_digest == known.artifact_digest
    weights.write_bytes(b"others")
    with pytest.raises(UsageError, match="on record with other weights"):
        stages.register_model(workspace, "net", "1", inputs=inputs, artifact=weights)
    assert len(_registered(yard)) == 3
    assert check(workspace).sound


def test_a_model_needs_an_origin_unless_it_is_said_to_be_unknown(yard: Yard) -> None:
    workspace = yard.workspace
    with pytest.raises(UsageError, match="names nothing that it learned from"):
        stages.register_model(workspace, "net", "1")
    with pytest.raises(UsageError, match="learned from itself"):
        lz.register_model("net", "1", base=["local net@1"], workspace=workspace)
    assert _registered(yard) == []
    unknown = stages.register_model(workspace, "net", "1", origin_known=False)
    assert unknown.inputs == []
    assert lz.register_model("net", "1", base=["bert@1"], workspace=workspace).inputs


@pytest.mark.parametrize(
    ("model", "version", "named"),
    [
        ("a\x1b[31m", "1", {}),
        ("net", "1@2", {}),
        ("net", " ", {}),
        ("n" * 256, "1", {}),
        ("net", "1", {"registry": "r" * 300}),
        ("net", "1", {"snapshots": ["blobs@one"]}),
        ("net", "1", {"snapshots": ["../blobs@1"]}),
        ("net", "1", {"tables": ["prices"]}),
        ("net", "1", {"tables": ["s3://lake " + "p" * 3000]}),
        ("net", "1", {"base": ["bert"]}),
        ("net", "1", {"tables": ["a b"], "role": "TEACHER"}),
        ("net", "1", {"tables": [f"a b{number}" for number in range(10_001)]}),
    ],
)
def test_what_cannot_be_a_name_is_refused(
    sqlite_yard: Yard, model: str, version: str, named: dict[str, object]
) -> None:
    what = {"tables": ["s3://lake prices"]} | named
    with pytest.raises(UsageError):
        lz.register_model(model, version, workspace=sqlite_yard.workspace, **what)  # type: ignore[arg-type]
    assert _registered(sqlite_yard) == []


def test_an_alias_is_moved_and_taken_away(yard: Yard) -> None:
    workspace = yard.workspace
    inputs = read_inputs(tables=["s3://lake prices"])
    for version in ("1", "2"):
        stages.register_model(workspace, "net", version, inputs=inputs, registry=EU)
    assert alias_model(workspace, "net", "1", "live", reason="first")
    assert not alias_model(workspace, "net", "1", "live")
    assert alias_model(workspace, "net", "2", "live", registry="mlflow://EU/")
    assert [(a.alias, a.version) for a in list_aliases(workspace, EU, "net")] == [("live", "2")]
    with pytest.raises(UsageError, match="stands for net@2, not for net@1"):
        alias_model(workspace, "net", "1", "live", remove=True)
    assert alias_model(workspace, "net", "2", "live", remove=True)
    assert list_aliases(workspace, EU, "net") == []
    with pytest.raises(NotFoundError, match=r"no model version net@3 .* mlflow://eu net@2"):
        alias_model(workspace, "net", "3", "live")
    with pytest.raises(UsageError, match="cannot be an alias"):
        alias_model(workspace, "net", "1", "a@b")
    assert check(workspace).sound


def test_an_input_that_somebody_deleted_from_the_catalog_is_missed(yard: Yard) -> None:
    workspace = yard.workspace
    stages.register_model(workspace, "net", "1", inputs=read_inputs(tables=["s3://lake a"]))
    with workspace.catalog.transaction() as connection:
        connection.execute(tables.model_input.delete())
    with pytest.raises(ChangedStateError, match="0 inputs, the ledger 1"):
        show_model(workspace, "net", "1")
    assert rebuild(workspace, write=True).rows == {"model_input": {"missing": 1}}
    assert show_model(workspace, "net", "1")["inputs"][0]["name"] == "a"


def test_models_of_an_older_catalog_are_carried_over(yard: Yard) -> None:
    workspace = yard.workspace
    done = yard.admit("monday", blobs(30, seed=5, prefix="m"))
    version = stages.snapshot(workspace, "blobs").version
    stages.register_model(workspace, "net", "1", "blobs", version, registry=EU)
    stages.register_model(workspace, "net", "2", "blobs", version, purpose="EVAL", registry=EU)
    recall(workspace, "blobs", ids=[f"{done.batch}#m0"], reason="found late")
    config = Config()
    folder = Path(catalog_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    with workspace.catalog.transaction() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
        changed = sa.text("UPDATE model_version SET registry = 'MLFLOW://Eu/'")
        connection.execute(changed)  # as it was put on record then
        assert connection.execute(sa.text("SELECT count(*) FROM recalled_model")).scalar() == 1
        command.upgrade(config, "head")
    assert check(workspace).sound
    assert [row["recalls"] != [] for row in list_models(workspace).rows] == [False, True]


def test_by_the_command_line(yard: Yard, catalog_url: str) -> None:
    yard.admit("monday", blobs(30, seed=5, prefix="m"))
    stages.snapshot(yard.workspace, "blobs")
    place = {"LAZARETTO_CATALOG_URL": catalog_url, "LAZARETTO_STORE": yard.workspace.store.root}

    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["model", *words], env=place | {"COLUMNS": "80"})
        assert result.exit_code == code, result.output
        return result.stdout if code < 2 else result.stderr

    said = run("register", "net@1", "--snapshot", "blobs@1", "--table", "s3://lake prices@7")
    assert "s3://lake prices@7" in said
    run("register", "net@1", "--base", f"{EU} bert@1", "--registry", "local")
    run("register", "net@1", "--snapshot", "blobs@1", "--registry", US, "--role", "validation")
    assert "more than one registry" in run("alias", "net@1", "live", code=2)
    run("alias", "net@1", "live", "--registry", US)
    told = json.loads(run("show", "net@1", "--registry", US, "--json"))
    assert [one["role"] for one in told["inputs"]] == ["VALIDATION"]
    assert [one["alias"] for one in told["aliases"]] == ["live"]
    listed = json.loads(run("list", "--json"))
    assert [(m["registry"], m["aliases"], m["inputs"]) for m in listed] == [
        (US, ["live"], 1),
        ("local", [], 3),
    ]
    page = run("list", "--limit", "1")
    assert f"--after '{US} net@1'" in page
    assert json.loads(run("list", "--after", f"{US} net@1", "--json"))[0]["registry"] == "local"
    run("alias", "net@1", "live", "--registry", US, "--remove")
    assert json.loads(run("show", "net@1", "--registry", US, "--json"))["aliases"] == []
    assert "names nothing that it learned from" in run("register", "net@2", code=2)


def test_code_outside_airflow_finds_the_workspace_in_its_environment(
    sqlite_yard: Yard, sqlite_catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAZARETTO_CATALOG_URL", sqlite_catalog)
    monkeypatch.setenv("LAZARETTO_STORE", sqlite_yard.workspace.store.root)
    made = lz.register_model("net", "1", tables=["s3://lake prices"], purpose="FINE_TUNING")
    assert [one.role for one in made.inputs] == [InputRole.FINETUNE]
    (event,) = _registered(sqlite_yard)
    assert event.learned_from == made.inputs


def test_the_code_of_the_page_works(
    sqlite_yard: Yard, sqlite_catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_yard.admit("monday", blobs(30, seed=5, prefix="m"))
    version = stages.snapshot(sqlite_yard.workspace, "blobs").version
    monkeypatch.setenv("LAZARETTO_CATALOG_URL", sqlite_catalog)
    monkeypatch.setenv("LAZARETTO_STORE", sqlite_yard.workspace.store.root)
    monkeypatch.chdir(sqlite_yard.folder)
    Path("net.safetensors").write_bytes(b"weights")
    page = "docs/how-to/register-a-model.md"
    (block,) = [b for b in pages.blocks(pages.ROOT / page) if b.language == "python"]
    names: dict[str, object] = {}
    text = block.text.replace('"digits", "3"', f'"blobs", "{version}"')
    exec(compile(text, page, "exec"), names)  # noqa: S102  it is our own page
    told = show_model(sqlite_yard.workspace, "digits-net", "5")
    assert [one["name"] for one in told["inputs"]] == ["blobs", "digits-base"]
    assert getattr(names["rows"], "num_rows", 0) == 30
