"""What a DAG's parameters name is read from the policy's places alone, and logs obey nothing."""

from __future__ import annotations

import os
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from lazaretto.errors import DeliveryError, SystemFaultError, UsageError
from lazaretto.ledger.events import BatchAdmitted, DeliveryRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.airflow, pytest.mark.long]
EVIL = "x\x1b[31mRED\x1b]8;;http://evil/\x1b\\l\x9b5n\u202e.parquet"
HUSH = "Hush-Hush"


@pytest.fixture
def inner() -> Iterator[tuple[str, list[str]]]:
    """Host and port of a service on this machine, and the requests that it saw."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()
    thread.join()


def test_parameters_of_a_run_reach_nothing_but_the_places(
    world: Any, run_dag: Callable[..., Any], inner: tuple[str, list[str]], tmp_path: Path
) -> None:
    """The table of the issue: each is refused, on record; some by the DAG that users copy."""
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.operators import ReceiveBatchOperator

    good = world.deliver("monday", world.part(0, 60))
    host, requests = inner
    (tmp_path / "shadow.parquet").write_bytes(Path(good["uri"]).read_bytes())
    (world.folder / "link.parquet").symlink_to(tmp_path / "shadow.parquet")
    os.mkfifo(world.folder / "pipe.json")
    refused: list[str] = []
    in_a_dag = {"chained_address", "not_a_regular_file"}
    for changed, code in (
        ({"uri": f"reference://x::file://{good['uri']}"}, "chained_address"),
        ({"uri": f"http://{host}/day.parquet"}, "outside_places"),
        ({"uri": str(tmp_path / "shadow.parquet")}, "outside_places"),
        ({"uri": str(world.folder / "../shadow.parquet")}, "outside_places"),
        ({"uri": str(world.folder / "link.parquet")}, "link"),
        ({"uri": "/dev/zero"}, "outside_places"),
        ({"manifest": f"webhdfs://{host}/inner.json"}, "outside_places"),
        ({"manifest": str(world.folder / "pipe.json")}, "not_a_regular_file"),
        ({"manifest": world.policy}, "outside_places"),
    ):
        if code in in_a_dag:
            run = run_dag("lazaretto_ingest", good | changed)
            assert run.tasks["receive"] == "failed"
        else:
            conf = good | changed
            receive = ReceiveBatchOperator(task_id="receive", **conf, policy=world.policy)
            with pytest.raises(AirflowFailException):
                receive.execute({"ti": None})
        refused.append(world.ledger(DeliveryRefused)[-1].code)
        assert refused[-1] == code
    assert len(world.ledger(DeliveryRefused)) == len(refused)
    assert requests == []
    assert world.ledger(BatchAdmitted) == []
    assert world.workspace.store.list("batches") == []


def test_the_log_of_a_task_obeys_nothing_and_tells_no_password(
    world: Any, run_dag: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    good = world.deliver("monday", world.part(0, 60))
    for changed in (
        {"uri": f"{world.folder}/{EVIL}"},
        {"uri": f"ftp://bob:{HUSH}@127.0.0.1:1/{EVIL}"},
        {"source": EVIL},
    ):
        assert run_dag("lazaretto_ingest", good | changed).tasks["receive"] == "failed"
    log = "".join(capfd.readouterr())
    assert "AirflowFailException" in log
    assert "RED" in log
    assert not {character for character in log if not character.isprintable()} - {"\n"}
    assert HUSH not in log
    for refused in world.ledger(DeliveryRefused):
        assert refused.reason.isprintable()
        assert HUSH not in refused.reason + refused.uri


def test_a_policy_without_places_is_no_policy_for_an_operator(world: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.operators import ReceiveBatchOperator

    good = world.deliver("monday", world.part(0, 60))
    plain = {"version": 1, "dataset": "handwriting", "columns": {"record_id": "id"}}
    receive = ReceiveBatchOperator(task_id="receive", **good, policy=plain)
    with pytest.raises(AirflowFailException, match=r"add `places: \[/srv/drop/\{source\}\]`"):
        receive.execute({"ti": None})
    assert world.ledger(DeliveryRefused) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DeliveryError(f"{EVIL} https://bob:{HUSH}@host/x", code="unreadable"), "fail"),
        (UsageError(EVIL), "fail"),
        (SystemFaultError(EVIL), "retry"),
        (OSError(f"{EVIL} s3://KEY:{HUSH}@bucket/x"), "retry"),
        (KeyError(EVIL), "retry"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_leaves_a_task_can_be_printed(
    caplog: pytest.LogCaptureFixture, error: Exception, kind: str
) -> None:
    """Airflow prints an error, and all that are behind it, as they are."""
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    from lazaretto.operators import ReceiveBatchOperator

    receive = ReceiveBatchOperator(task_id="r", uri="x", source="y", policy="z")

    def perform(*_: object) -> None:
        try:
            raise ValueError(f"{EVIL} ftp://bob:{HUSH}@host/")
        except ValueError as cause:
            raise error from cause

    with pytest.raises(AirflowException) as caught, receive.speaking_plainly({}):
        perform()
    assert isinstance(caught.value, AirflowFailException) is (kind == "fail")
    for text in ("".join(traceback.format_exception(caught.value)), caplog.text):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert HUSH not in text


def test_what_airflow_raises_itself_passes() -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from lazaretto.operators import ReceiveBatchOperator

    receive = ReceiveBatchOperator(task_id="r", uri="x", source="y", policy="z")
    with pytest.raises(AirflowSkipException), receive.speaking_plainly({}):
        raise AirflowSkipException("nothing to do")
