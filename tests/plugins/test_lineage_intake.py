"""OpenLineage clients send their events to the plugin, with their own HTTP transport."""

from __future__ import annotations

import gzip
import json
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import dataset_type_dataset, dataset_version_dataset
from openlineage.client.transport.http import (
    ApiKeyTokenProvider,
    HttpCompression,
    HttpConfig,
    HttpTransport,
)

from lazaretto import lineage
from lazaretto.plugins.api import lineage as intake
from lazaretto.storage.tables import lineage_claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from yard import Yard

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]
PATH = "/api/v1/lineage"


def _training(version: str = "1") -> RunEvent:
    """A model learned from a table that nobody is known to have written."""
    typed = dataset_type_dataset.DatasetTypeDatasetFacet("MODEL")
    model = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(version),
        "datasetType": typed,
    }
    table = {"version": dataset_version_dataset.DatasetVersionDatasetFacet("7")}
    return RunEvent(
        eventType=RunState.COMPLETE,
        eventTime="2026-11-01T00:00:00Z",
        run=Run(str(uuid.uuid4())),
        job=Job("spark", "train"),
        producer="https://example.org/trainer",
        inputs=[InputDataset("s3://lake", "features", facets=table)],
        outputs=[OutputDataset("mlflow://models:5000", "net", facets=model)],
    )


def _event(event: RunEvent) -> dict[str, Any]:
    from openlineage.client.serde import Serde

    found: dict[str, Any] = json.loads(Serde.to_json(event))
    return found


@pytest.mark.parametrize("compression", [None, HttpCompression.GZIP])
def test_a_client_sends_here_as_to_any_backend(
    site: str,
    token: Callable[[str], dict[str, str]],
    yard: Yard,
    compression: HttpCompression | None,
) -> None:
    key = token("OP")["Authorization"].split()[1]
    config = HttpConfig(
        url=site.removesuffix("/lazaretto"),
        endpoint="lazaretto/api/v1/lineage",
        auth=ApiKeyTokenProvider({"apiKey": key}),
        compression=compression,
    )
    OpenLineageClient(transport=HttpTransport(config)).emit(_training())
    trace = lineage.trace_model(yard.workspace, "net", "1")
    assert trace.completeness.origins == ["features@7: no run is known that made it"]
    with yard.workspace.catalog.read() as connection:
        assert connection.execute(lineage_claim.select()).one().taken_from == "user:op"


def test_the_same_event_twice_is_one_claim(
    site: str, token: Callable[[str], dict[str, str]]
) -> None:
    event = _event(_training())
    first = httpx.post(site + PATH, json=event, headers=token("OP"))
    again = httpx.post(site + PATH, json=[event, event], headers=token("OP"))
    assert (first.status_code, first.json()["new"]) == (201, 1)
    assert (again.status_code, again.json()["new"]) == (201, 0)


def test_who_may_only_look_sends_nothing_nor_does_a_page_of_another_site(
    site: str, token: Callable[[str], dict[str, str]], yard: Yard
) -> None:
    event = _event(_training())
    assert httpx.post(site + PATH, json=event).status_code == 401
    assert httpx.post(site + PATH, json=event, headers=token("VIEWER")).status_code == 403
    cookie = {"_token": token("OP")["Authorization"].split()[1]}
    assert httpx.post(site + PATH, json=event, cookies=cookie).status_code in (401, 403)
    with yard.workspace.catalog.read() as connection:
        assert connection.execute(lineage_claim.select()).all() == []


def test_what_is_no_event_is_refused_or_told(
    site: str, token: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(content: bytes, **headers: str) -> httpx.Response:
        return httpx.post(site + PATH, content=content, headers=token("OP") | headers)

    assert send(b"{").status_code == 400
    assert send(b"[1]").status_code == 422
    assert send(b"[" * 100_000).status_code == 400
    assert send(b"x", **{"Content-Encoding": "gzip"}).status_code == 400
    assert send(b"x", **{"Content-Encoding": "br"}).status_code == 415
    job = json.dumps({"eventTime": "2026-11-01T00:00:00Z", "job": {}, "producer": "p"}).encode()
    told = send(job)
    assert told.status_code == 200
    assert told.json()["skipped"] == ["line 1: not a run event with an eventType"]
    monkeypatch.setattr(intake, "MOST_BYTES", 1_000)
    assert send(b" " * 1_001).status_code == 413
    bomb = gzip.compress(b" " * 1_000_000)
    assert send(bomb[:999], **{"Content-Encoding": "gzip"}).status_code in (400, 413)
    monkeypatch.setattr(intake, "MOST_EVENTS", 2)
    assert send(json.dumps([{}] * 3).encode()).status_code == 413


def _block(title: str) -> dict[str, Any]:
    """A block of the page on other tools."""
    page = (ROOT / "docs/how-to/lineage-of-other-tools.md").read_text("utf-8")
    found = re.search(rf'```yaml title="{title}"\n(.*?)```', page, re.DOTALL)
    assert found is not None
    config: dict[str, Any] = yaml.safe_load(found.group(1))
    return config


@pytest.mark.parametrize("title", ["openlineage.yml", "both.yml"])
def test_the_page_says_how_a_client_is_set_up(
    site: str, token: Callable[[str], dict[str, str]], yard: Yard, title: str
) -> None:
    """As the page has it, with this server's address and token; no Kafka is asked for it."""
    config = _block(title)
    here = config["transport"]
    if here["type"] == "composite":
        assert here["transports"]["backend"]["type"] == "kafka"
        here["transports"]["backend"] = {"type": "console"}
        here = here["transports"]["lazaretto"]
    assert here["endpoint"] == "lazaretto/api/v1/lineage"
    here["url"] = site.removesuffix("/lazaretto")
    here["auth"]["apiKey"] = token("OP")["Authorization"].split()[1]
    OpenLineageClient(config=config).emit(_training())
    assert lineage.trace_model(yard.workspace, "net", "1").complete is False
