"""What the pages show of real cases, and what they do not let a record do."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.testclient import TestClient

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.airflow
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}'


@pytest.fixture
def client(workspace: Workspace, token: Callable[[str], dict[str, str]]) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    app = SecureHeaders(create_app(lambda: workspace))
    return TestClient(app, follow_redirects=False, headers=token("VIEWER"))


@pytest.fixture
def hold(workspace: Workspace, tmp_path: Path) -> Callable[..., Any]:
    """Delivers records without the label column that the policy asks for, and judges them."""
    from lazaretto.policy import Policy
    from lazaretto.sources.registry import add_source
    from lazaretto.stages.gate import gate
    from lazaretto.stages.receive import receive
    from lazaretto.stages.validate import validate
    from lazaretto.values import TrustTier

    add_source(workspace, "vendor", trust_tier=TrustTier.UNTRUSTED)
    policy = Policy.model_validate(
        {
            "version": 1,
            "dataset": "texts",
            "columns": {"record_id": "id", "label": "label", "embedding": "vector"},
            "sources": {"require_signature": False},
        }
    )

    def judge(columns: dict[str, Any]) -> Any:
        file = tmp_path / "delivery.parquet"
        pq.write_table(pa.table(columns), file)
        batch = receive(workspace, file, "vendor", policy=policy).id
        validate(workspace, batch, policy)
        return gate(workspace, batch, policy)

    return judge


class Markup(HTMLParser):
    """Tags and attributes that a browser would act on."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_a_case_shows_counts_reasons_and_all_its_records_by_pages(
    client: TestClient, hold: Callable[..., Any]
) -> None:
    judged = hold({"id": [f"r{n}" for n in range(60)], "text": [f"text {n}" for n in range(60)]})
    listed = client.get("/").text
    assert judged.batch in listed
    assert f"/cases/{judged.case}" in listed
    page = client.get(f"/cases/{judged.case}").text
    assert "HOLD_BATCH" in page
    assert "60 of 60 records" in page
    assert "text 49" in page
    assert "text 50" not in page
    (following,) = re.findall(r'rel="next" href="([^"]*)"', page)
    second = client.get(f"/cases/{judged.case}{unescape(following)}").text
    assert "text 49" not in second
    assert "text 59" in second
    assert 'rel="next"' not in second
    assert any(note.split()[0] in unescape(page) for note in judged.notes)


def test_nothing_in_a_record_becomes_markup(client: TestClient, hold: Callable[..., Any]) -> None:
    judged = hold({"id": [EVIL, "2"], EVIL: ["x", "y"], "text": [EVIL, "javascript:alert(3)"]})
    for path in ("/", f"/cases/{judged.case}", "/?state=all"):
        page = client.get(path).text
        markup = Markup(page)
        assert not {"img", "iframe", "object", "embed", "style"} & set(markup.tags)
        scripts = [value for name, value in markup.attributes if name == "src"]
        assert len(scripts) == markup.tags.count("script")
        assert all(value and value.startswith("/static/") for value in scripts)
        assert not [name for name, _ in markup.attributes if name.startswith("on")]
        assert "49" not in re.sub(r"\d{4}-\d\d-\d\d.*|[0-9a-f]{12,}", "", page)
    assert EVIL in unescape(client.get(f"/cases/{judged.case}").text)  # shown, as text


def test_pages_need_nothing_from_elsewhere(client: TestClient, hold: Callable[..., Any]) -> None:
    judged = hold({"id": ["1"], "text": ["see https://evil.example/x.js"]})
    for path in ("/", f"/cases/{judged.case}"):
        for name, value in Markup(client.get(path).text).attributes:
            if name in ("src", "href"):
                assert value is not None
                assert value.startswith(("/", "#", "?"))
            assert name != "style"  # the content security policy would drop it
    assert "url(" not in client.get("/static/review.css").text


def test_huge_records_are_cut_to_what_fits(client: TestClient, hold: Callable[..., Any]) -> None:
    wide = {f"column{n}": ["v"] for n in range(300)}
    judged = hold({"id": ["1" * 5000], "text": ["A" * 1_000_000], **wide})
    page = client.get(f"/cases/{judged.case}").text
    assert len(page) < 20_000
    assert "\N{HORIZONTAL ELLIPSIS}" in page


def test_a_batch_leads_to_its_case(client: TestClient, hold: Callable[..., Any]) -> None:
    judged = hold({"id": ["1"], "text": ["a"]})
    response = client.get(f"/batches/{judged.batch}")
    assert response.status_code == 303
    assert response.headers["location"] == f"/cases/{judged.case}"
    assert client.get("/batches/vendor/0123456789abcdef").status_code == 404
    assert client.get("/cases/no-such-case").status_code == 404
    assert client.get("/static/app.py").status_code == 404
    assert client.get("/?state=everything").status_code == 422


def test_the_list_goes_by_pages(
    client: TestClient, hold: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lazaretto.plugins.pages.inbox._PAGE_SIZE", 2)
    batches = [hold({"id": [str(n)], "text": ["a"]}).batch for n in range(3)]
    first = client.get("/").text
    assert batches[2] in first
    assert batches[0] not in first
    (older,) = re.findall(r'href="([^"]*after=[^"]+)"', first)
    second = client.get(unescape(older)).text
    assert batches[0] in second
    assert batches[2] not in second
    assert "No closed cases" in client.get("/?state=closed").text


def test_refused_deliveries_are_a_page_and_harmless(
    client: TestClient, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lazaretto.errors import DeliveryError
    from lazaretto.stages.receive import receive

    assert "No delivery was refused" in client.get("/refused").text
    monkeypatch.setattr("lazaretto.plugins.pages.refused._PAGE_SIZE", 2)
    file = tmp_path / "a.csv"
    file.write_text("id\n1\n")
    for number in range(3):
        with pytest.raises(DeliveryError):
            receive(workspace, file, f"source-{number}{EVIL}")
    page = client.get("/refused").text
    assert "unknown_source" in page
    assert "source-2" in page
    assert "source-0" not in page
    assert "<script>" not in page
    (older,) = re.findall(r'href="([^"]*before=\d+)"', page)
    assert "source-0" in client.get(unescape(older)).text
    assert 'href="/refused"' in client.get("/").text


def test_under_airflow_links_keep_the_prefix(
    workspace: Workspace, token: Callable[[str], dict[str, str]], hold: Callable[..., Any]
) -> None:
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.lazaretto_plugin import PREFIX

    judged = hold({"id": ["1"], "text": ["a"]})
    airflow = FastAPI()
    airflow.mount(PREFIX, create_app(lambda: workspace))
    client = TestClient(airflow, follow_redirects=False, headers=token("VIEWER"))
    page = client.get(f"{PREFIX}/").text
    assert f'href="{PREFIX}/static/review.css"' in page
    location = client.get(f"{PREFIX}/batches/{judged.batch}").headers["location"]
    assert location == f"{PREFIX}/cases/{judged.case}"
    assert client.get(location).status_code == 200


def test_a_case_says_its_triage_and_that_this_releases_nothing(
    client: TestClient, workspace: Workspace, tmp_path: Path
) -> None:
    from dataclasses import replace

    from yard import blobs, make_policy, make_yard

    from lazaretto.quarantine.triage import triage_of_case
    from lazaretto.reference import Reference

    rows = blobs(300, 1)
    rows = rows.set_column(1, "label", rows["label"].cast(pa.string()))
    policy = make_policy()
    saved = Reference.fit(rows, policy, name="blobs").save(tmp_path / "reference")
    yard = replace(make_yard(workspace, saved, tmp_path), policy=policy)
    labels = rows["label"].to_pylist()
    labels[:20] = [EVIL] * 20
    judged = yard.judge("evil", rows.set_column(1, "label", pa.array(labels)))
    page = client.get(f"/cases/{judged.case}").text
    triage = triage_of_case(workspace, str(judged.case))
    assert triage is not None
    assert triage.category == "POISONING"
    assert EVIL[:40] in triage.evidence[0]
    assert "POISONING" in page
    assert "never releases" in page
    assert unescape(page).count(EVIL[:40]) > 20
    assert not {"img"} & set(Markup(page).tags)
    assert page.count("<script") == page.count('src="/static/')
