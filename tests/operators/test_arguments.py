"""What operators take: ids and upstream results, policies, snapshots, connections, templates."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from lazaretto.errors import NotFoundError, PolicyError, UsageError
from lazaretto.storage.catalog import Catalog

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import BaseOperator

pytestmark = pytest.mark.airflow
BATCH = "vendor-a/0123456789abcdef0123456789abcdef"


def operators() -> list[type[BaseOperator]]:
    import lazaretto.operators as room

    return [getattr(room, name) for name in room.__all__ if name.endswith("Operator")]


def test_all_twenty_one_are_there() -> None:
    assert len(operators()) == 21


@pytest.mark.parametrize("cls", operators(), ids=lambda cls: cls.__name__)
def test_each_is_templated_linked_and_reports_lineage(cls: type[BaseOperator]) -> None:
    assert "lazaretto_conn_id" in cls.template_fields
    assert [link.name for link in cls.operator_extra_links] == ["Quarantine case"]
    assert callable(cls.get_openlineage_facets_on_complete)
    assert callable(cls.get_openlineage_facets_on_failure)
    # One class per file, and the file is named after it.
    words = "".join(word.capitalize() for word in cls.__module__.rsplit(".", 1)[1].split("_"))
    assert cls.__name__ == f"{words}Operator"


@pytest.mark.parametrize("given", [BATCH, {"id": BATCH}, {"batch": BATCH, "id": 3}])
def test_a_batch_is_an_id_or_what_an_operator_returned(given: object) -> None:
    from lazaretto.operators.base import batch_id

    assert batch_id(given) == BATCH  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given", ["", "vendor-a", str({"id": BATCH}), {}, {"batch": None}, {"id": 7}]
)
def test_anything_else_is_refused_with_a_way_out(given: object) -> None:
    from lazaretto.operators.base import batch_id

    with pytest.raises(UsageError, match=r"\.output"):
        batch_id(given)  # type: ignore[arg-type]


def test_snapshots_are_named_by_version_or_by_the_upstream_result() -> None:
    from lazaretto.operators.base import snapshot_of

    assert snapshot_of("reviews@12") == ("reviews", 12)
    assert snapshot_of({"dataset": "reviews", "version": 0, "rows": 5}) == ("reviews", 0)
    for wrong in ("reviews", "reviews@new", "@3", {"version": 1}, {"dataset": "reviews"}):
        with pytest.raises(UsageError, match="not a snapshot"):
            snapshot_of(wrong)  # type: ignore[arg-type]


def test_a_view_is_a_snapshot_too() -> None:
    from lazaretto.operators.base import snapshot_name, snapshot_of

    view = "12-5e1c0a9b2f3d4e5f"
    taken = {"dataset": "reviews", "version": 12, "view": view}
    assert snapshot_name(taken) == snapshot_name(f"reviews@{view}") == ("reviews", view)
    assert snapshot_of(taken) == ("reviews", 12)
    with pytest.raises(UsageError, match="names no snapshot"):
        snapshot_of("reviews@12-or-so")


def test_a_policy_is_a_file_or_a_mapping(tmp_path: Path) -> None:
    from lazaretto.operators.base import load_policy

    content = {"version": 1, "dataset": "reviews", "columns": {"label": "stars"}}
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps(content))
    assert load_policy(content).model_dump() == load_policy(str(file)).model_dump()
    with pytest.raises(PolicyError):
        load_policy({**content, "colums": {}})


def test_templates_are_rendered() -> None:
    from lazaretto.operators import ReceiveBatchOperator

    operator = ReceiveBatchOperator(
        task_id="receive",
        uri="s3://in/{{ ds }}.parquet",
        source="{{ params.who }}",
        manifest="{{ params.m or '' }}",
        policy="policies/{{ params.who }}.yaml",
    )
    operator.render_template_fields({"ds": "2026-01-02", "params": {"who": "vendor-a", "m": None}})
    assert (operator.uri, operator.source, operator.manifest, operator.policy) == (
        "s3://in/2026-01-02.parquet",
        "vendor-a",
        "",
        "policies/vendor-a.yaml",
    )


def test_a_gate_takes_no_outlets() -> None:
    from lazaretto.operators import QuarantineGateOperator, admitted

    with pytest.raises(ValueError, match="AdmitBatchOperator"):
        QuarantineGateOperator(
            task_id="gate", batch=BATCH, policy="p.yaml", outlets=[admitted("reviews")]
        )


def test_only_the_admission_announces_the_asset() -> None:
    from lazaretto.operators import AdmitBatchOperator, ScreenBatchOperator, admitted

    assert AdmitBatchOperator(task_id="admit", batch=BATCH, dataset="reviews").outlets == [
        admitted("reviews")
    ]
    assert ScreenBatchOperator(task_id="screen", batch=BATCH, policy="p.yaml").outlets == []


@pytest.mark.parametrize("name", [".", "a/b", "../x", ""])
def test_a_dag_that_admits_to_an_odd_name_is_not_loaded(name: str) -> None:
    from lazaretto.operators import AdmitBatchOperator, admitted

    for make in (
        lambda: AdmitBatchOperator(task_id="admit", batch=BATCH, dataset=name),
        lambda: AdmitBatchOperator(task_id="admit", batch=BATCH, dataset=name, outlets=[]),
        lambda: admitted(name),
    ):
        with pytest.raises(UsageError, match="cannot name a dataset"):
            make()


def test_asset_uris_name_a_dataset_and_nothing_else() -> None:
    from urllib.parse import urlsplit

    from lazaretto.operators.assets import sanitize_uri

    assert sanitize_uri(urlsplit("lazaretto://reviews/")).geturl() == "lazaretto://reviews"
    for wrong in ("lazaretto:///reviews", "lazaretto://reviews/2", "lazaretto://reviews?v=2"):
        with pytest.raises(ValueError, match="lazaretto://<dataset>"):
            sanitize_uri(urlsplit(wrong))


def test_the_link_leads_to_the_batch_in_airflows_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    from lazaretto.operators.links import review_url

    assert review_url(BATCH) == f"/plugin/quarantine/lazaretto/batches/{BATCH}"
    assert review_url("a b/x?y#z").endswith("/batches/a%20b/x%3Fy%23z")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.org/airflow/")
    assert review_url() == "/airflow/plugin/quarantine/lazaretto/"


def test_a_connection_says_where_things_are_and_keeps_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import Connection

    from lazaretto.operators import LazarettoHook
    from lazaretto.storage.settings import settings_of_connection

    extra = {"catalog_url": "postgresql+psycopg://lz@db/lz", "store": "s3://bucket", "unknown": "x"}
    secret = "p@ss:word"  # noqa: S105
    found = settings_of_connection(
        Connection(conn_id="c", conn_type="lazaretto", password=secret, extra=json.dumps(extra))
    )
    assert found == {
        "catalog_url": "postgresql+psycopg://lz:p%40ss%3Aword@db/lz",
        "store": "s3://bucket",
    }

    here = {"catalog_url": f"sqlite:///{tmp_path / 'c.db'}", "store": str(tmp_path / "store")}
    monkeypatch.setenv(
        "AIRFLOW_CONN_ELSEWHERE", json.dumps({"conn_type": "lazaretto", "extra": here})
    )
    with pytest.raises(NotFoundError, match="catalog upgrade"):
        LazarettoHook("elsewhere").workspace()
    assert not LazarettoHook("elsewhere").test_connection()[0]
    assert list(tmp_path.iterdir()) == []  # a slip in the address makes nothing
    Catalog.open(here["catalog_url"])
    assert LazarettoHook("elsewhere").workspace().store.root == here["store"]
    assert LazarettoHook("elsewhere").test_connection()[0]


@pytest.mark.parametrize(
    ("extra", "missing"),
    [
        ({}, "'catalog_url' and 'store'"),
        ({"catalog_url": "sqlite:///c.db"}, "'store'"),
        ({"store": "s3://bucket"}, "'catalog_url'"),
    ],
)
def test_a_connection_without_catalog_or_store_says_which_is_missing(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, str], missing: str
) -> None:
    from lazaretto.operators import LazarettoHook

    connection = {"conn_type": "lazaretto", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_HALF", json.dumps(connection))
    with pytest.raises(UsageError, match=f"'half' lacks {missing} in its extra"):
        LazarettoHook("half").workspace()
    with pytest.raises(UsageError, match="no connection 'nowhere'"):
        LazarettoHook("nowhere").workspace()


@pytest.mark.parametrize("given", ["nothing", "catalog", "connection"])
def test_nothing_is_made_at_home_where_nothing_says_where_things_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.operators import ValidateBatchOperator

    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("LAZARETTO_CATALOG_URL", "LAZARETTO_STORE"):
        monkeypatch.delenv(name, raising=False)
    missing = "catalog_url and store is"
    if given == "catalog":
        monkeypatch.setenv("LAZARETTO_CATALOG_URL", f"sqlite:///{tmp_path}/c.db")
        missing = "store is.*LAZARETTO_STORE"
    if given == "connection":
        connection = {"conn_type": "lazaretto", "extra": {"store": str(tmp_path / "s")}}
        monkeypatch.setenv("AIRFLOW_CONN_LAZARETTO_DEFAULT", json.dumps(connection))
        missing = "catalog_url is.*LAZARETTO_CATALOG_URL"
    validate = ValidateBatchOperator(task_id="validate", batch=BATCH, policy="policy.yaml")
    with pytest.raises(AirflowFailException, match=f"nothing says where Lazaretto's {missing}"):
        validate.execute({})
    assert list(tmp_path.iterdir()) == []


def _all_tasks() -> list[BaseOperator]:
    import lazaretto.operators as room

    batch: dict[str, Any] = {"batch": BATCH}
    policy: dict[str, Any] = {"policy": "policy.yaml"}
    delivery = {"uri": "/srv/drop/x.parquet", "source": "vendor-a", **policy}
    given: dict[str, dict[str, Any]] = {
        "AdmitBatchOperator": {**batch, "dataset": "reviews"},
        "AskForReviewOperator": batch,
        "AwaitReviewOperator": {**batch, "deferrable": False, "mode": "poke"},
        "DrillOperator": policy,
        "EmbedBatchOperator": {**batch, **policy},
        "EvaluateModelOperator": {
            "model": "m",
            "version": "1",
            "on": "test.parquet",
            "predictions": "answers.parquet",
        },
        "FlushLineageOperator": {"deferrable": False},
        "IngestBatchOperator": {**delivery, "dataset": "reviews"},
        "PromoteModelOperator": {"model": "m", "version": "1"},
        "QuarantineGateOperator": {**batch, **policy},
        "ReceiveBatchOperator": delivery,
        "RegisterModelOperator": {"model": "m", "version": "1", "snapshot": "reviews@1"},
        "SanitizeTrainingOperator": {
            "snapshot": "reviews@1",
            "load_model": "x:y",
            "weights": "w",
            **policy,
        },
        "ScreenBatchOperator": {**batch, **policy},
        "ScreenedOperator": {
            "python_callable": list,
            "source": "vendor-a",
            "dataset": "reviews",
            **policy,
        },
        "SnapshotTrainingOperator": {"dataset": "reviews"},
        "MaintainDatasetOperator": {"dataset": "reviews"},
        "OpenIncidentOperator": {"source": "vendor-a", "why": "an open bucket"},
        "TraceIncidentOperator": {"source": "vendor-a"},
        "ValidateBatchOperator": {**batch, **policy},
    }
    without = {"AwaitDeliveryOperator"}  # it needs neither catalog nor store
    assert set(given) | without == {cls.__name__ for cls in operators()}
    return [getattr(room, name)(task_id="t", **options) for name, options in given.items()]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing may be made, and nothing that says where catalog and store are."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("LAZARETTO_CATALOG_URL", "LAZARETTO_STORE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_no_operator_keeps_anything_of_its_own_without_a_connection(nowhere: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    context = {"ti": MagicMock(), "run_id": "r", "task": MagicMock()}
    context["task"].get_flat_relatives.return_value = []
    for task in _all_tasks():
        with pytest.raises(AirflowFailException, match="connections add lazaretto_default"):
            task.execute(context)
        task.lazaretto_conn_id = "elsewhere"
        with pytest.raises(AirflowFailException, match="no connection 'elsewhere'"):
            task.execute(context)
    assert list(nowhere.iterdir()) == []


def test_no_trigger_page_or_asset_does_either(nowhere: Path) -> None:
    from airflow.sdk.exceptions import AirflowException

    from lazaretto.operators import admitted
    from lazaretto.operators.assets import to_openlineage
    from lazaretto.operators.triggers import (
        BatchJudgedTrigger,
        CaseClosedTrigger,
        DatasetVersionTrigger,
        LineageFlushedTrigger,
    )
    from lazaretto.plugins.site import workspace_of_airflow

    for conn_id, said in (
        ("lazaretto_default", "connections add lazaretto_default"),
        ("elsewhere", "no connection 'elsewhere'"),
    ):
        for trigger in (
            BatchJudgedTrigger(BATCH, conn_id),
            CaseClosedTrigger(BATCH, conn_id),
            DatasetVersionTrigger("reviews", conn_id),
            LineageFlushedTrigger(conn_id),
        ):
            with pytest.raises(AirflowException, match=said):
                asyncio.run(anext(trigger.run()))
    with pytest.raises(UsageError, match="connections add lazaretto_default"):
        workspace_of_airflow()
    with pytest.raises(UsageError, match="store"):
        to_openlineage(admitted("reviews"), None)
    assert list(nowhere.iterdir()) == []


def test_an_unreachable_catalog_is_reported_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lazaretto.operators import LazarettoHook

    connection = {
        "conn_type": "lazaretto",
        "password": "hunter2",
        "extra": {"catalog_url": "postgresql+psycopg://lz@127.0.0.1:1/lz", "store": "memory://lz"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_DOWN", json.dumps(connection))
    ok, message = LazarettoHook("down").test_connection()
    assert not ok
    assert "hunter2" not in message
