"""The page of a source: its deliveries, keys, evidence, refusals, and what it reached."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from markup import Markup
from yard import Yard, blobs, make_policy, make_yard

from lazaretto import lineage, stages
from lazaretto.errors import DeliveryError
from lazaretto.sources.keys import keygen
from lazaretto.sources.registry import add_key, add_source, revoke_key
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.testclient import TestClient

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.airflow
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\u202e'
NOW = datetime.now(UTC)


@pytest.fixture
def yard(workspace: Workspace, fitted_reference: str, tmp_path: Path) -> Yard:
    return make_yard(workspace, fitted_reference, tmp_path)


@pytest.fixture
def client(workspace: Workspace, token: Callable[[str], dict[str, str]]) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    app = SecureHeaders(create_app(lambda: workspace))
    return TestClient(app, follow_redirects=False, headers=token("VIEWER"))


def _page(client: TestClient, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, response.text
    markup = Markup(response.text)
    markup.require_harmless()
    scripts = markup.tags.count("script")
    assert scripts == Markup(client.get("/").text).tags.count("script")
    return unescape(response.text)


def _refuse(yard: Yard, name: str, source: str) -> None:
    file = yard.folder / f"{name}.csv"
    file.write_text("id\n1\n")
    with pytest.raises(DeliveryError):
        stages.receive(yard.workspace, file, source, policy=make_policy(sources={}))


def test_the_list_of_sources_counts_and_goes_by_pages(
    client: TestClient, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = yard.judge("monday", blobs(60, 5, flips=6))
    _refuse(yard, "unsigned", "vendor-a")
    page = _page(client, "/sources")
    assert re.search(r'href="/sources/vendor-a"', page)
    row = page.split('href="/sources/vendor-a"')[1].split("</tr>")[0]
    figures = re.findall(r'class="number">([^<]*)<', row)
    assert figures == ["1", "60", str(judged.held), "10.00 %", "1", "1"]
    monkeypatch.setattr("lazaretto.plugins.pages.source._PAGE_SIZE", 1)
    first = _page(client, "/sources")
    assert "vendor-b" not in first
    (following,) = re.findall(r'rel="next" href="([^"]*)"', first)
    second = _page(client, following)
    assert "vendor-b" in second
    assert "vendor-a" not in second
    assert 'rel="next"' not in second
    told = client.get("/api/v1/sources", params={"limit": 1}).json()
    assert (told["after"], told["sources"][0]["counts"]["refused"]) == ("vendor-a", 1)
    assert client.get("/api/v1/sources", params={"after": "vendor-b"}).json()["sources"] == []


def test_a_source_shows_deliveries_share_held_evidence_cases_and_refusals(
    client: TestClient, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = ("monday", "tuesday", "wednesday")
    judged = [
        yard.judge(day, blobs(60, 5 + n, prefix=day, flips=6 * (n == 2)))
        for n, day in enumerate(days)
    ]
    _refuse(yard, EVIL[-20:].replace("/", ""), "vendor-a")
    page = _page(client, "/sources/vendor-a")
    assert "3 deliveries with 180 records; 6 of them were held, and 1 delivery was refused." in page
    assert "1 case waits for review." in page
    assert f'href="/cases/{judged[2].case}"' in page
    assert page.count("<rect") == 3
    assert page.count("<circle") == 3
    assert "It starts at 1." in page
    assert "unsigned" in page
    assert all(f'href="/batches/{one.batch}"' in page for one in judged)
    monkeypatch.setattr("lazaretto.plugins.pages.source._PAGE_SIZE", 2)
    seen, path = [], "/sources/vendor-a"
    while path:
        part = _page(client, path).split('id="deliveries"')[1]
        seen += re.findall(r'href="/batches/([^"]*)"', part) + ["refused"] * part.count("REFUSED")
        path = next(iter(re.findall(r'rel="next" href="([^"]*)#deliveries"', part)), "")
    assert sorted(seen) == sorted(["refused", *(one.batch for one in judged)])
    told = client.get("/api/v1/sources/vendor-a").json()
    assert [share["held"] for share in told["shares"]] == [0, 0, 6]
    assert told["drift"]["batches"] == 3
    assert told["counts"]["open_cases"] == 1
    deliveries = client.get("/api/v1/sources/vendor-a/deliveries", params={"limit": 3}).json()
    behind = client.get(
        "/api/v1/sources/vendor-a/deliveries", params={"after": deliveries["after"]}
    ).json()
    assert [row["id"] for row in behind["deliveries"]] == [judged[0].batch]
    assert behind["after"] is None


def test_a_source_shows_its_keys_with_dates_and_reasons_and_its_trust(
    client: TestClient, yard: Yard
) -> None:
    workspace = yard.workspace
    keys = [keygen()[1] for _ in range(4)]
    day = timedelta(days=1)
    add_key(workspace, "vendor-a", keys[0])
    add_key(workspace, "vendor-a", keys[1], valid_from=NOW + day)
    add_key(workspace, "vendor-a", keys[2], valid_from=NOW - 2 * day, valid_to=NOW - day)
    stolen = add_key(workspace, "vendor-a", keys[3])
    revoke_key(workspace, "vendor-a", stolen.key_id, at=NOW - day, reason=EVIL)
    page = _page(client, "/sources/vendor-a")
    for word in (">valid<", ">not yet valid<", ">expired<", ">revoked<", EVIL[:40], "user:ann"):
        assert word in page
    assert "Its trust tier is reviewed." in page
    add_source(workspace, "vendor-a", trust_tier=TrustTier.REVOKED)
    page = _page(client, "/sources/vendor-a")
    assert "Revoked" in page.split("</p>")[0]
    assert "nothing that it delivers is taken" in page
    states = [
        key["state"] for key in client.get("/api/v1/sources/vendor-a").json()["history"]["keys"]
    ]
    assert sorted(states) == ["EXPIRED", "NOT_YET_VALID", "REVOKED", "VALID"]


def test_one_click_tells_what_a_source_reached_and_how_complete_that_is(
    client: TestClient, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.admit("monday", blobs(60, 5))
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", "1", "blobs", taken.version)
    stages.alias_model(yard.workspace, "net", "1", "live")
    page = _page(client, "/sources/vendor-a")
    (path,) = re.findall(r'<a href="(/sources/vendor-a/trace)">', page)
    traced = _page(client, path)
    in_use = traced.partition("In use now")[2].partition("</table>")[0]
    assert "live" in in_use
    assert "affected" in in_use
    assert "1 model version learned from 1 batch of vendor-a: net@1." in traced
    assert "net@1" in traced
    assert "without a verified signature" in traced
    assert "lazaretto trace source vendor-a" in traced
    assert "complete, as far as the records say" in traced
    window = "since=2020-01-01&until=2020-02-01"
    none = _page(client, f"{path}?{window}")
    assert "not complete" in none  # later batches do not say when they were collected
    assert "Cannot say:" in none
    command = "lazaretto trace source vendor-a --since 2020-01-01T00:00:00+00:00"
    assert command in none
    told = client.get(f"/api/v1{path}?{window}").json()
    assert told["trace"]["models"] == []
    assert told["trace"]["completeness"]["complete"] is False
    monkeypatch.setattr("lazaretto.lineage.trace.bounded.MOST_ENTRIES", 1)
    refused = _page(client, f"{path}?{window}")
    assert "Not answered here." in refused
    assert command in refused
    told = client.get(f"/api/v1{path}").json()
    assert told["trace"] is None
    assert "entries" in told["why_not"]
    assert told["command"] == "lazaretto trace source vendor-a"


def test_what_may_be_affected_is_named_with_the_reason(
    client: TestClient, yard: Yard, tmp_path: Path
) -> None:
    yard.admit("monday", blobs(60, 5))
    table = {"namespace": "s3://lake", "name": "t", "facets": {"version": {"datasetVersion": "7"}}}
    facets = {"version": {"datasetVersion": "3"}, "datasetType": {"datasetType": "MODEL"}}
    event = {
        "eventType": "COMPLETE",
        "eventTime": (NOW + timedelta(days=1)).isoformat(),
        "run": {"runId": "0196d3a0-0000-7000-8000-000000000001"},
        "job": {"namespace": "spark", "name": "train"},
        "inputs": [table],
        "outputs": [{"namespace": "mlflow://models", "name": f"net{EVIL}", "facets": facets}],
        "producer": "https://example.org",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }
    (tmp_path / "events.jsonl").write_text(json.dumps(event))
    assert lineage.ingest(yard.workspace, tmp_path / "events.jsonl").new == 1
    traced = _page(client, "/sources/vendor-a/trace")
    assert "No model version is known to have learned from 1 batch" in traced
    assert "Cannot say:" in traced
    assert "1 may be affected, which is not known: net" in traced
    assert "May be affected: not known" in traced
    assert "t@7: no run is known that made it" in traced


def test_what_is_not_there_or_makes_no_sense_is_said_in_words(
    client: TestClient, yard: Yard
) -> None:
    yard.judge("monday", blobs(30, 5))
    for path, status, words in [
        ("/sources/nobody", 404, "no source"),
        ("/sources/%22%3E%3Cscript%3E", 404, "no source"),
        ("/sources/a%00b", 404, "no source"),
        ("/sources/vendor-a?after=nothing", 404, "no batch"),
        ("/sources/vendor-a?after=a%00b", 404, "nothing is called"),
        ("/sources/vendor-a?after=99999", 404, "no delivery"),
        ("/sources?after=%00", 404, "nothing is called"),
        ("/sources/nobody/trace", 404, "no source"),
        ("/sources/vendor-a/trace?since=last+week", 422, "is not a date or time"),
        ("/sources/vendor-a/trace?since=2026-01-02&until=2026-01-01", 422, "window is empty"),
    ]:
        response = client.get(path)
        assert response.status_code == status, (path, response.text)
        assert words in unescape(response.text)
        assert response.headers["content-type"].startswith("text/html")
        Markup(response.text).require_harmless()
        told: Any = client.get(f"/api/v1{path.replace('?after', '/deliveries?after')}")
        if path != "/sources?after=%00":
            assert told.status_code == status
            assert "error" in told.json()


def test_a_row_that_the_ledger_does_not_know_is_not_shown(client: TestClient, yard: Yard) -> None:
    yard.judge("monday", blobs(60, 5, flips=6))
    with yard.workspace.catalog.transaction() as connection:
        connection.exec_driver_sql("UPDATE batch SET held = 0, verdict = 'PASS'")
    response = client.get("/sources/vendor-a")
    assert response.status_code == 503
    assert "batch" in response.text
