"""The inbox and what people share: filters in the address, counts, assignment, comments, expiry."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from yard import Yard, blobs, make_policy

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import CaseAssigned, CaseCommented
from lazaretto.quarantine import review
from lazaretto.quarantine.handling import assign
from lazaretto.quarantine.inbox import facets
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

pytestmark = pytest.mark.airflow
HERE = {"X-Lazaretto-Request": "1"}


@pytest.fixture
def cases(yard: Yard) -> list[str]:
    """Two cases of different sources; the first one is assigned."""
    first = yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4), "vendor-a")
    second = yard.judge("tuesday", blobs(60, seed=6, prefix="t", flips=4), "vendor-b")
    assign(yard.workspace, str(first.case), "user:ann")
    return [str(first.case), str(second.case)]


@pytest.fixture
def client(yard: Yard) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    return TestClient(SecureHeaders(create_app(lambda: yard.workspace)))


def _shown(client: TestClient, headers: dict[str, str], query: str, cases: list[str]) -> list[int]:
    page = client.get(f"/?{query}", headers=headers)
    assert page.status_code == 200, page.text
    return [number for number, case in enumerate(cases) if f"/cases/{case}" in page.text]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", [0, 1]),
        ("source=vendor-a", [0]),
        ("source=vendor-b&dataset=blobs", [1]),
        ("dataset=other", []),
        ("verdict=HOLD_RECORDS", [0, 1]),
        ("verdict=HOLD_BATCH", []),
        ("assignee=user:ann", [0]),
        ("assignee=nobody", [1]),
        ("older_than_days=1", []),
        ("older_than_days=", [0, 1]),
        ("state=closed", []),
        ("state=all", [0, 1]),
        ("reason=contract:none", []),
        ("reason=%27%22%3Cscript%3E", []),
    ],
)
def test_filters_are_in_the_address(
    client: TestClient,
    token: Callable[[str], dict[str, str]],
    cases: list[str],
    query: str,
    shown: list[int],
) -> None:
    assert _shown(client, token("VIEWER"), query, cases) == shown


def test_every_reason_is_a_filter(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, cases: list[str]
) -> None:
    for number, case in enumerate(cases):
        for reason in review.show_case(yard.workspace, case).reasons:
            assert number in _shown(client, token("VIEWER"), f"reason={quote(reason)}", cases)


@pytest.mark.parametrize("query", ["state=x", "older_than_days=-1", "after=" + "x" * 65])
def test_what_cannot_be_asked_for_is_told(
    client: TestClient, token: Callable[[str], dict[str, str]], query: str
) -> None:
    assert client.get(f"/?{query}", headers=token("VIEWER")).status_code == 422


def test_counts_are_of_the_whole_state(yard: Yard, cases: list[str]) -> None:
    found = facets(yard.workspace)
    assert (found.cases, found.sources) == (2, {"vendor-a": 1, "vendor-b": 1})
    assert found.assignees == {"user:ann": 1, "nobody": 1}
    assert found.oldest == review.show_case(yard.workspace, cases[0]).opened_at
    wanted = {reason for case in cases for reason in review.show_case(yard.workspace, case).reasons}
    assert set(found.reasons) == wanted
    assert facets(yard.workspace, "CLOSED").cases == 0


def test_an_open_case_says_when_it_expires(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, cases: list[str]
) -> None:
    days = make_policy().review.expire_days
    assert f"in {days - 1} days" in client.get("/", headers=token("VIEWER")).text
    ends = review.show_case(yard.workspace, cases[0]).opened_at
    page = client.get(f"/cases/{cases[0]}", headers=token("VIEWER")).text
    assert "what nobody decides on by " in page
    assert str(ends.year) in page
    review.decide(yard.workspace, cases[0], Action.REJECT, all=True, reason="no")
    assert (
        "what nobody decides on by "
        not in client.get(f"/cases/{cases[0]}", headers=token("VIEWER")).text
    )


def test_people_take_cases_and_remark_on_them(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, cases: list[str]
) -> None:
    ann, case = token("OP") | HERE, cases[1]
    assert 'data-assign="user:op"' in client.get(f"/cases/{case}", headers=ann).text
    at = f"/api/v1/cases/{case}"
    assert client.post(f"{at}/assignee", headers=ann, json={"assignee": "user:op"}).is_success
    again = client.post(f"{at}/assignee", headers=ann, json={"assignee": "user:op"})
    assert again.json()["changed"] is False
    text = "see <script>alert(1)</script>\nsecond line"
    assert client.post(f"{at}/comments", headers=ann, json={"text": text}).status_code == 201
    page = client.get(f"/cases/{case}", headers=token("VIEWER")).text
    assert text in unescape(page)
    assert "<script>alert" not in page
    listed = client.get(f"{at}/comments", headers=token("VIEWER")).json()["comments"]
    assert [(c["text"], c["by"]["id"]) for c in listed] == [(text, "user:op")]
    assert _shown(client, ann, "assignee=user:op", cases) == [1]
    client.post(f"{at}/assignee", headers=ann, json={"assignee": None})
    assert _shown(client, ann, "assignee=nobody", cases) == [1]
    with yard.workspace.catalog.read() as connection:
        told = entries(connection, kinds=[CaseAssigned.kind, CaseCommented.kind])
        assert [entry.actor.id for entry in told][1:] == ["user:op"] * 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("assignee", {"assignee": ""}),
        ("assignee", {"assignee": "x" * 256}),
        ("assignee", {}),
        ("comments", {"text": ""}),
        ("comments", {"text": "  "}),
        ("comments", {"text": "x" * 4001}),
        ("comments", {"text": "a", "by": "user:bob"}),
    ],
)
def test_empty_and_endless_words_are_refused(
    client: TestClient,
    token: Callable[[str], dict[str, str]],
    cases: list[str],
    path: str,
    body: dict[str, Any],
) -> None:
    made = client.post(f"/api/v1/cases/{cases[0]}/{path}", headers=token("OP") | HERE, json=body)
    assert made.status_code == 422


def test_who_may_only_look_shares_nothing(
    client: TestClient, token: Callable[[str], dict[str, str]], cases: list[str]
) -> None:
    viewer = token("VIEWER") | HERE
    page = client.get(f"/cases/{cases[0]}", headers=viewer).text
    assert "data-assign" not in page
    assert '<form id="remark"' not in page
    for path, body in [("assignee", {"assignee": "user:bob"}), ("comments", {"text": "hi"})]:
        made = client.post(f"/api/v1/cases/{cases[0]}/{path}", headers=viewer, json=body)
        assert made.status_code == 403


def test_a_case_begins_with_its_conclusion(
    client: TestClient, token: Callable[[str], dict[str, str]], cases: list[str]
) -> None:
    page = unescape(client.get(f"/cases/{cases[0]}", headers=token("VIEWER")).text)
    assert "4 of 60 records are held" in page
    assert "the delivery is not signed" in page or "the signature is valid" in page
    assert "4 wait for a decision" in page
    assert "small_p_values" in page  # a test of the batch, with its p-value


def test_the_api_describes_itself(
    client: TestClient, token: Callable[[str], dict[str, str]]
) -> None:
    described = client.get("/api/v1/openapi.json", headers=token("VIEWER")).json()
    assert described["openapi"].startswith("3.")
    assert "/api/v1/cases/{case}/decisions" in described["paths"]
    assert all(path.startswith("/api/v1/") for path in described["paths"])
    assert client.get("/api/v1/openapi.json").status_code == 401
