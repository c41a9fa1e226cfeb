"""What people publish starts what is scheduled on it: told by the page, or over Airflow's API."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import airflow_environment
import listening
import pytest
import uvicorn
from typer.testing import CliRunner
from yard import Yard, blobs

from lazaretto.cli.application import application
from lazaretto.dataset.announce import announce_once, unannounced
from lazaretto.dataset.announce_http import AirflowApi, announce_over_http
from lazaretto.errors import NotFoundError, SystemFaultError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, VersionAnnounced
from lazaretto.quarantine import review
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.testclient import TestClient

    from lazaretto.dataset.admission import Admission

pytestmark = pytest.mark.airflow
HERE = {"X-Lazaretto-Request": "1"}
TRAINING = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from lazaretto.operators import admitted
with DAG("training", schedule=[admitted({dataset!r})], is_paused_upon_creation=False):
    EmptyOperator(task_id="train")
"""


@pytest.fixture
def case(yard: Yard) -> str:
    """A case whose records are all released."""
    case = str(yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="looked at it")
    return case


@pytest.fixture
def client(yard: Yard) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app

    return TestClient(create_app(lambda: yard.workspace))


@pytest.fixture
def training(request: pytest.FixtureRequest) -> Iterator[None]:
    """A DAG that is scheduled on a dataset's asset is known to Airflow; then it is not."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.asset import AssetModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    airflow_environment.prepare_database()
    file = airflow_environment.use() / "dags" / "training.py"
    file.write_text(TRAINING.format(dataset=getattr(request, "param", "blobs")))
    with create_session() as session:
        session.merge(DagBundleModel(name="dags-folder"))
    bag = DagBag(dag_folder=str(file))
    assert bag.import_errors == {}
    sync_bag_to_db(bag, "dags-folder", None)
    yield
    file.unlink()
    with create_session() as session:
        session.execute(delete(AssetModel))


@pytest.fixture
def server(training: None, token: Callable[[str], dict[str, str]]) -> Iterator[int]:
    """Airflow's own API, as it is served; the port."""
    from airflow.api_fastapi.app import create_app

    app = create_app(apps="core")
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        thread.join(0.05)
    yield running.servers[0].sockets[0].getsockname()[1]
    running.should_exit = True
    thread.join()


def airflow_heard() -> list[dict[str, Any]]:
    """The asset events that Airflow has, and how many runs wait to start by them."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(AssetEvent.extra).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
    with create_session() as session:
        of_ours = query.where(AssetModel.uri == "lazaretto://blobs").order_by(AssetEvent.id)
        return [dict(extra) for extra in session.scalars(of_ours)]


def queued() -> list[str]:
    from airflow.models.asset import AssetDagRunQueue
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return list(session.scalars(select(AssetDagRunQueue.target_dag_id)))


def told(yard: Yard) -> list[tuple[int, str]]:
    with yard.workspace.catalog.read() as connection:
        found = list(entries(connection, kinds=[VersionAnnounced.kind]))
    return [(entry.event.version, entry.actor.id) for entry in found]  # type: ignore[attr-defined]


def published(yard: Yard, case: str) -> Admission:
    admission = review.publish(yard.workspace, case)
    assert admission is not None
    return admission


def test_what_is_published_on_the_page_starts_training_once(
    client: TestClient,
    token: Callable[[str], dict[str, str]],
    yard: Yard,
    case: str,
    training: None,
) -> None:
    at, headers = f"/api/v1/cases/{case}/publish", token("OP") | HERE
    first = client.post(at, headers=headers, json={}).json()
    assert first["announcement"] == {"announced": True, "note": ""}
    version = first["admission"]["version"]
    assert airflow_heard() == [
        {
            "dataset": "blobs",
            "version": version,
            "what": "published",
            "batch": first["admission"]["batch"],
            "rows": 4,
        }
    ]
    assert queued() == ["training"]
    assert told(yard) == [(version, "user:op")]
    again = client.post(at, headers=headers, json={}).json()
    assert again["announcement"] == {"announced": True, "note": ""}
    assert len(airflow_heard()) == 1


@pytest.fixture
def full() -> Iterator[None]:
    """Airflow's database takes no asset event."""
    from airflow.utils.session import create_session
    from sqlalchemy import text

    refuse = "BEFORE INSERT ON asset_event BEGIN SELECT RAISE(ABORT, 'full hush-word'); END"
    with create_session() as session:
        session.execute(text(f"CREATE TRIGGER full {refuse}"))
    yield
    with create_session() as session:
        session.execute(text("DROP TRIGGER full"))


def test_a_publication_that_cannot_be_announced_stands_and_is_left_to_the_watcher(
    client: TestClient,
    token: Callable[[str], dict[str, str]],
    yard: Yard,
    case: str,
    training: None,
    full: None,
) -> None:
    at = f"/api/v1/cases/{case}/publish"
    done = client.post(at, headers=token("OP") | HERE, json={})
    assert done.status_code == 200
    assert not done.json()["announcement"]["announced"]
    assert "is published, but Airflow could not be told" in done.json()["announcement"]["note"]
    assert "hush-word" not in done.text
    assert (airflow_heard(), told(yard)) == ([], [])
    with yard.workspace.catalog.read() as connection:
        assert len(list(entries(connection, kinds=[BatchAdmitted.kind]))) == 1
    assert [news.what for news in unannounced(yard.workspace, "blobs")] == ["published"]


def test_an_asset_that_no_dag_uses_is_said(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, case: str
) -> None:
    at = f"/api/v1/cases/{case}/publish"
    done = client.post(at, headers=token("OP") | HERE, json={}).json()
    assert "no DAG is scheduled on it" in done["announcement"]["note"]
    assert told(yard) == []


def test_nothing_published_is_nothing_announced(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, training: None
) -> None:
    case = str(yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case)
    review.decide(yard.workspace, case, Action.REJECT, all=True, reason="no")
    done = client.post(f"/api/v1/cases/{case}/publish", headers=token("OP") | HERE, json={}).json()
    assert done == {"admission": None, "announcement": None}
    assert airflow_heard() == []


# Over HTTP


def test_airflow_is_told_over_its_api_once(
    server: int, token: Callable[[str], dict[str, str]], yard: Yard, case: str
) -> None:
    admission = published(yard, case)
    made = admission.seqs[-1]
    jwt = token("OP")["Authorization"].removeprefix("Bearer ")
    airflow = AirflowApi(f"http://127.0.0.1:{server}/", jwt)
    assert announce_over_http(yard.workspace, "blobs", made, airflow)
    (heard,) = airflow_heard()
    # Airflow adds that it came over its API, and by whom.
    assert heard | {"version": admission.version, "what": "published", "rows": 4} == heard
    assert queued() == ["training"]
    assert not announce_over_http(yard.workspace, "blobs", made, airflow)
    assert len(airflow_heard()) == 1
    assert [version for version, _ in told(yard)] == [admission.version]


@pytest.mark.parametrize("role", ["VIEWER", None])
def test_a_token_that_does_not_do_is_said_and_told_nowhere(
    server: int, token: Callable[[str], dict[str, str]], yard: Yard, case: str, role: str | None
) -> None:
    made = published(yard, case).seqs[-1]
    jwt = token(role)["Authorization"].removeprefix("Bearer ") if role else "no.such.token"
    with pytest.raises(UsageError, match="give a token") as caught:
        announce_over_http(
            yard.workspace, "blobs", made, AirflowApi(f"http://127.0.0.1:{server}", jwt)
        )
    assert jwt not in str(caught.value)
    assert jwt not in repr(AirflowApi("https://airflow.example", jwt))
    assert (airflow_heard(), told(yard)) == ([], [])


@pytest.mark.parametrize("training", ["blobs-2"], indirect=True)
def test_an_airflow_without_the_asset_is_said(
    server: int, token: Callable[[str], dict[str, str]], yard: Yard, case: str
) -> None:
    made = published(yard, case).seqs[-1]
    airflow = AirflowApi(f"http://127.0.0.1:{server}", token("OP")["Authorization"][7:])
    with pytest.raises(NotFoundError, match="knows no asset lazaretto://blobs:"):
        announce_over_http(yard.workspace, "blobs", made, airflow)


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (302, b"", "answers 302"),
        (503, b"hush-word", "answers 503"),
        (200, b"<html>", "does not answer as an Airflow does"),
        (200, b"[1]", "does not answer as an Airflow does"),
        (200, b"{}", "does not answer as an Airflow does"),
        (200, b'{"assets": [{"uri": "lazaretto://blobs"}]}', "does not answer as an Airflow does"),
    ],
)
def test_a_server_that_is_no_airflow_is_said_and_gets_no_second_request(
    yard: Yard, case: str, status: int, answer: bytes, said: str
) -> None:
    made = published(yard, case).seqs[-1]
    with listening.web() as web, listening.web() as elsewhere:
        web.status, web.answer = status, answer
        web.location = f"http://127.0.0.1:{elsewhere.port}/" if status == 302 else ""
        airflow = AirflowApi(f"http://127.0.0.1:{web.port}", "T0KEN")
        with pytest.raises(SystemFaultError, match=said) as caught:
            announce_over_http(yard.workspace, "blobs", made, airflow)
    assert elsewhere.requests == []
    assert not {"T0KEN", "hush-word"} & set(str(caught.value).split())
    assert told(yard) == []


def test_an_address_is_one_of_a_server_without_a_password(yard: Yard, case: str) -> None:
    made = published(yard, case).seqs[-1]
    for url in ("airflow.example", "file:///etc/passwd", "https://ann:hush@airflow.example"):
        with pytest.raises(UsageError, match="is the address of Airflow") as caught:
            announce_over_http(yard.workspace, "blobs", made, AirflowApi(url, "T0KEN"))
        assert "hush" not in str(caught.value)
    with listening.web() as gone:
        nobody = gone.port
    with pytest.raises(SystemFaultError, match="cannot be reached now: ConnectionRefusedError"):
        announce_over_http(
            yard.workspace, "blobs", made, AirflowApi(f"http://127.0.0.1:{nobody}", "T0KEN")
        )


# From the command line


@pytest.fixture
def command(
    yard: Yard, token: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs a command on the catalog itself, with a token of somebody's for Airflow."""
    url = yard.workspace.catalog.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("LAZARETTO_CATALOG_URL", url)
    monkeypatch.setenv("LAZARETTO_STORE", yard.workspace.store.root)
    monkeypatch.setenv("LAZARETTO_TOKEN", token("OP")["Authorization"][7:])

    def run(*words: str, code: int = 0) -> Any:
        done = CliRunner().invoke(application(), [*words, "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    return run


def test_publishing_and_recalling_by_command_tells_airflow(
    server: int, command: Callable[..., Any], yard: Yard, case: str
) -> None:
    airflow = f"http://127.0.0.1:{server}"
    done = command("quarantine", "publish", case, "--announce-to", airflow)
    assert (done["announced"], done["note"]) == (True, "")
    recall = ("dataset", "recall", "blobs", "--record", f"{batch_of(yard)}#m0", "--reason", "x")
    taken = command(*recall, "--announce-to", airflow)
    assert taken["announced"]
    assert [(one["what"], one["version"], one["rows"]) for one in airflow_heard()] == [
        ("published", done["version"], 4),
        ("recalled", taken["version"], 1),
    ]
    assert [version for version, _ in told(yard)] == [done["version"], taken["version"]]


def batch_of(yard: Yard) -> str:
    (entry,) = review.list_cases(yard.workspace, state=None)
    return entry.batch


def test_a_command_that_cannot_tell_airflow_is_done_and_says_so(
    command: Callable[..., Any], yard: Yard, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening.web() as gone:
        nobody = f"http://127.0.0.1:{gone.port}"
    done = command("quarantine", "publish", case, "--announce-to", nobody)
    assert done["rows"] == 4
    assert not done["announced"]
    assert "cannot be reached now" in done["note"]
    assert told(yard) == []
    # What can be known before is known before anything is done.
    monkeypatch.delenv("LAZARETTO_TOKEN")
    recall = ("dataset", "recall", "blobs", "--batch", batch_of(yard), "--reason", "x", "--yes")
    error = command(*recall, "--announce-to", nobody, code=2)["error"]
    assert "--announce-to needs a token" in error["message"]
    error = command(*recall, "--announce-to", "http://airflow.example", code=2)["error"]
    assert "--announce-to must be https" in error["message"]
    assert len(yard.ids()) == 4
    assert "announced" not in command(*recall)


def test_through_the_page_the_page_tells(
    training: None,
    site: str,
    command: Callable[..., Any],
    yard: Yard,
    case: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAZARETTO_SERVER", site.removesuffix("/lazaretto"))
    done = command("quarantine", "publish", case)
    assert (done["announced"], done["note"], done["by"]) == (True, "", "user:op")
    assert [one["what"] for one in airflow_heard()] == ["published"]


# Whoever tells


def test_of_several_at_once_one_tells(yard: Yard, case: str) -> None:
    admission = published(yard, case)
    heard: list[int] = []
    both = threading.Barrier(4)

    def tell() -> None:
        both.wait()
        announce_once(
            yard.workspace, "blobs", admission.seqs[-1], lambda news: heard.append(news.version)
        )

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == [admission.version]
    assert len(told(yard)) == 1


def test_an_entry_that_made_no_version_is_refused(yard: Yard, case: str) -> None:
    with pytest.raises(UsageError, match="made no version of dataset 'blobs'"):
        announce_once(yard.workspace, "blobs", 1, lambda _: None)
