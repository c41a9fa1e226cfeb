"""Figures that operators send by Airflow's own metrics, as OpenTelemetry; and the board of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lazaretto.operators.metrics import METRICS, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[2]
BOARD = ROOT / "docker" / "grafana" / "lazaretto.json"
PAGE = ROOT / "docs" / "how-to" / "run-in-production.md"
PROGRAM = """
import json, sys
from contextlib import suppress
from unittest.mock import MagicMock
from airflow.sdk._shared.observability.metrics import stats
from airflow.sdk.observability.metrics import stats_utils
# As Airflow's task runner does before it runs a task.
stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
from airflow.sdk.exceptions import AirflowException
from lazaretto.operators import IngestBatchOperator
for conf in json.loads(sys.argv[1]):
    context = {"ti": MagicMock(try_number=1), "outlet_events": MagicMock()}
    with suppress(AirflowException):
        IngestBatchOperator(task_id="i", dataset="handwriting", **conf).execute(context)
from opentelemetry import metrics
metrics.get_meter_provider().force_flush()
"""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Address of an OTLP receiver, and what it got."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            import gzip

            body = self.rfile.read(int(self.headers["content-length"]))
            zipped = self.headers.get("content-encoding") == "gzip"
            got.append(gzip.decompress(body) if zipped else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()
    thread.join()


def points(bodies: list[bytes]) -> dict[tuple[str, ...], Any]:
    """The last value of each figure, by its name and its tags in the order of their names."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    found: dict[tuple[str, ...], Any] = {}
    for body in bodies:
        request = ExportMetricsServiceRequest.FromString(body)
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = metric.WhichOneof("data")
                    for point in getattr(metric, kind).data_points:
                        tags = sorted((tag.key, tag.value.string_value) for tag in point.attributes)
                        if "histogram" in kind:
                            value: Any = point.count
                        else:
                            value = getattr(point, point.WhichOneof("value"))
                        found[metric.name, *(value for _, value in tags)] = value
    return found


def test_figures_reach_an_opentelemetry_collector(
    world: Any, collector: tuple[str, list[bytes]]
) -> None:
    from lazaretto.demo.digits import poison
    from lazaretto.ledger.events import BatchAdmitted, BatchJudged
    from lazaretto.sources.manifest import keygen

    stranger, _ = keygen()
    odd = poison(world.part(0, 120), 0.1, np.random.default_rng(1))
    conf = world.deliver("odd", odd)
    deliveries = [
        conf,
        conf,  # a retry counts nothing twice
        world.deliver("good", world.part(200, 320)),
        world.deliver("forged", world.part(400, 450), private_key=stranger),
    ]
    address, got = collector
    environment = os.environ | {
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL": "600000",
    }
    arguments = json.dumps([one | {"policy": world.policy} for one in deliveries])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = points(got)

    def value(metric: Metric, *tags: str) -> Any:
        return found[f"airflow.{metric.name}", *tags]

    by_name = {metric.name.removeprefix("lazaretto."): metric for metric in METRICS}
    judged = world.ledger(BatchJudged)
    of_source = ("handwriting", "vendor-a")
    for verdict in {event.verdict for event in judged}:
        count = sum(event.verdict is verdict for event in judged)
        assert value(by_name["verdicts"], *of_source, verdict.value) == count
    assert value(by_name["records"], *of_source) == 240
    assert value(by_name["records_held"], *of_source) == sum(event.held for event in judged)
    share = judged[-1].held / judged[-1].rows
    assert value(by_name["held_share"], *of_source) == pytest.approx(share)
    admitted = sum(event.rows for event in world.ledger(BatchAdmitted))
    assert value(by_name["records_admitted"], "handwriting") == admitted
    assert value(by_name["refusals"], "unknown_key") == 1
    assert value(by_name["open_cases"]) == sum(event.held > 0 for event in judged)
    assert value(by_name["queue_age"]) > 0
    for stage in ("receive", "validate", "embed", "screen", "gate", "admit", "ingest"):
        assert value(by_name["stage.duration"], stage) >= 3
    sent = {name.removeprefix("airflow.") for name, *_ in found if "lazaretto" in name}
    assert sent == {metric.name for metric in METRICS} - {"lazaretto.shadow_verdicts"}


def test_metrics_that_cannot_be_sent_stop_nothing(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.observability import stats

    from lazaretto.operators import metrics

    def broken(*_: object, **__: object) -> None:
        raise OSError("no collector")

    for name in ("incr", "gauge", "timing"):
        monkeypatch.setattr(stats, name, broken)
    with metrics.timed("gate"):
        metrics.count_refusal("unsigned")
        metrics.tell_queue(world.workspace)


def in_prometheus(metric: Metric) -> str:
    """The name under which Prometheus has a figure of Airflow's that came by OTLP."""
    name = f"airflow_{metric.name.replace('.', '_')}"
    return f"{name}_total" if metric.kind == "counter" else name


def test_the_board_shows_every_figure_and_none_that_does_not_exist() -> None:
    board = json.loads(BOARD.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    used = set(re.findall(r"\bairflow_lazaretto_\w+", "\n".join(queries)))
    assert used == {in_prometheus(metric) for metric in METRICS}
    for metric in METRICS:
        for query in queries:
            for labels in re.findall(rf"by \(([^)]*)\)[^)]*\b{in_prometheus(metric)}\b", query):
                assert {label.strip() for label in labels.split(",")} <= set(metric.tags), query
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"${datasource}"}
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource"]


def test_the_page_names_every_figure_with_its_tags() -> None:
    rows = dict(
        re.findall(r"^\| `(lazaretto\.[\w.]+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    )
    assert set(rows) == {metric.name for metric in METRICS}
    for metric in METRICS:
        kind, tags, words = rows[metric.name].split(" | ")
        assert kind == metric.kind
        assert tags.replace("`", "") == (", ".join(metric.tags) or "none")
        assert words == metric.words
