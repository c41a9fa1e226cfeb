"""The pages of incidents, and their API: what is told, who may act, and that it happens."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from markup import Markup
from yard import Yard, blobs, make_yard

from lazaretto import incidents, stages
from lazaretto.quarantine import review
from lazaretto.values import Action, HoldKind, Question

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.testclient import TestClient

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.airflow
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\u202e'
HERE = {"X-Lazaretto-Request": "1"}
VENDOR = {"what": "SOURCE", "name": "vendor-a", "reason": "a stolen key"}
ASKED = Question("source", "vendor-a")


@pytest.fixture
def yard(workspace: Workspace, fitted_reference: str, tmp_path: Path) -> Yard:
    """A batch of vendor-a, a model that learned from it, and a case of another."""
    made = make_yard(workspace, fitted_reference, tmp_path)
    made.admit("monday", blobs(60, seed=5, prefix="m"))
    taken = stages.snapshot(workspace, "blobs")
    stages.register_model(workspace, "net", "1", "blobs", taken.version)
    made.judge("tuesday", blobs(90, seed=6, prefix="t", flips=9))
    return made


@pytest.fixture
def client(yard: Yard) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    app = SecureHeaders(create_app(lambda: yard.workspace))
    return TestClient(app, follow_redirects=False)


@pytest.fixture
def ask(
    client: TestClient, token: Callable[[str], dict[str, str]]
) -> Callable[..., tuple[int, Any]]:
    """Posts to the API as somebody."""

    def post(path: str, body: Any, role: str = "OP", **headers: str) -> tuple[int, Any]:
        sent = token(role) | (headers or HERE)
        answered = client.post(f"/api/v1/incidents/{path}", json=body, headers=sent)
        return answered.status_code, answered.json()

    return post


@pytest.fixture
def page(client: TestClient, token: Callable[[str], dict[str, str]]) -> Callable[..., str]:
    """A page, as somebody sees it; whatever is on it is harmless."""

    def get(path: str, role: str = "OP") -> str:
        response = client.get(path, headers=token(role))
        assert response.status_code == 200, response.text
        Markup(response.text).require_harmless()
        return unescape(response.text)

    return get


def opened(yard: Yard, **more: Any) -> str:
    given = {"reason": "its bucket was open"} | more
    return incidents.open_incident(yard.workspace, ASKED, **given).id


def test_the_page_tells_what_is_known_and_what_to_do(yard: Yard, page: Callable[..., str]) -> None:
    incident = opened(yard)
    told = page(f"/incidents/{incident}")
    for words in (
        "1 model version",
        "net@1",
        "2 batches with 150 records; 60 of 60 still in blobs",
        f"lazaretto incident freeze {incident} --source vendor-a --why TEXT",
        f"lazaretto dataset recall blobs --source vendor-a --reason {incident}",
        "Nothing is on hold for this incident.",
        "Nothing has changed since it was opened.",
        "user:ann: opened: its bucket was open",
    ):
        assert words in told, words
    listed = page("/incidents")
    assert f"/incidents/{incident}" in listed
    incidents.close(yard.workspace, incident, "false alarm")
    assert "No incident is open." in page("/incidents")
    assert incident in page("/incidents?state=all")
    assert "by user:ann: false alarm" in page(f"/incidents/{incident}")


def test_a_hold_is_placed_and_lifted_from_the_page(
    yard: Yard, ask: Callable[..., tuple[int, Any]], page: Callable[..., str]
) -> None:
    incident = opened(yard)
    assert ask(f"{incident}/holds", VENDOR) == (200, {"on_hold": True, "changed": True})
    (hold,) = incidents.show_incident(yard.workspace, incident).holds
    assert (hold.by.id, hold.reason) == ("user:op", "a stolen key")
    assert "source vendor-a, since" in page(f"/incidents/{incident}").replace("<b>", "").replace(
        "</b>", ""
    )
    assert ask(f"{incident}/close", {"text": "done"})[0] == 422
    lift = VENDOR | {"reason": "a new key"}
    assert ask(f"{incident}/holds/lift", lift) == (200, {"on_hold": False, "changed": True})
    assert ask(f"{incident}/close", {"text": "done"}) == (200, {"state": "CLOSED"})
    assert ask(f"{incident}/holds", VENDOR)[0] == 422


def test_a_case_says_that_it_cannot_be_published_and_by_which_incident(
    yard: Yard, client: TestClient, token: Callable[[str], dict[str, str]]
) -> None:
    (case,) = review.list_cases(yard.workspace)
    incident = opened(yard, holds=[(HoldKind.PUBLISHING, "blobs")])
    told = unescape(client.get(f"/cases/{case.id}", headers=token("OP")).text)
    assert f"/incidents/{incident}" in told
    assert "lets go of dataset blobs. user:ann put it on hold: its bucket was open" in told
    review.decide(yard.workspace, case.id, Action.RELEASE, all=True, reason="looked at")
    publish = f"/api/v1/cases/{case.id}/publish"
    refused = client.post(publish, json={}, headers=token("OP") | HERE)
    assert (refused.status_code, refused.json()["code"]) == (409, "publishing_on_hold")
    assert incident in refused.json()["error"]


def test_notes_and_who_handles_it(
    yard: Yard, ask: Callable[..., tuple[int, Any]], page: Callable[..., str]
) -> None:
    incident = opened(yard, title=EVIL)
    assert ask(f"{incident}/notes", {"text": EVIL})[0] == 201
    assert ask(f"{incident}/assignee", {"assignee": "user:op"})[1]["changed"] is True
    told = page(f"/incidents/{incident}")
    page("/incidents")
    assert "Give it back" in told
    found = incidents.get_incident(yard.workspace, incident)
    assert (found.assignee, found.notes[0].text, found.notes[0].by.id) == (
        "user:op",
        EVIL,
        "user:op",
    )


def test_nobody_acts_who_may_not(
    yard: Yard, ask: Callable[..., tuple[int, Any]], page: Callable[..., str]
) -> None:
    incident = opened(yard)
    assert ask(f"{incident}/holds", VENDOR, "VIEWER")[0] == 403
    other_site = HERE | {"Origin": "https://evil.example"}
    assert ask(f"{incident}/holds", VENDOR, "OP", **other_site)[0] == 403
    assert ask(f"{incident}/holds", VENDOR, "OP", **{"X-Other": "1"})[0] == 403
    assert ask(f"{incident}/holds", VENDOR | {"actor": "user:bob"})[0] == 422
    assert ask(f"{incident}/holds", VENDOR | {"what": "EVERYTHING"})[0] == 422
    assert ask(f"{incident}/holds", VENDOR | {"name": "vendor-a\u202e"})[0] == 404
    assert ask("incident-none/notes", {"text": "x"})[0] == 404
    assert incidents.show_incident(yard.workspace, incident).holds == []
    assert "data-post" not in page(f"/incidents/{incident}", "VIEWER")


def test_the_api_tells_the_same(
    yard: Yard, client: TestClient, token: Callable[[str], dict[str, str]]
) -> None:
    first, second = opened(yard), opened(yard)

    def get(path: str) -> Any:
        return client.get(f"/api/v1/incidents{path}", headers=token("VIEWER")).json()

    told = get(f"/{first}")
    assert told["incident"]["answer"]["models"] == ["net@1"]
    assert told["steps"][0]["command"].startswith("lazaretto incident freeze")
    newest = get("?limit=1")
    assert ([one["id"] for one in newest["incidents"]], newest["after"]) == ([second], second)
    assert [one["id"] for one in get(f"?after={second}&state=OPEN")["incidents"]] == [first]


def test_somebody_freezes_and_notes_in_a_browser_on_a_small_screen(
    sign_in: Callable[..., Any], site: str, yard: Yard
) -> None:
    incident = opened(yard)
    here = sign_in("OP", width=400)
    here.goto(f"{site}/incidents/{incident}")
    assert here.evaluate("document.documentElement.scrollWidth <= 400")
    hold = here.locator('form[data-post$="/holds"]')
    hold.locator('[name="reason"]').fill("a stolen key")
    with here.expect_navigation():
        hold.locator("button").click()
    here.locator("#said", has_text="It is on hold.").wait_for()
    lift = here.locator('form[data-post$="/lift"]')
    lift.locator('[name="reason"]').fill("a new key")
    with here.expect_navigation():
        lift.locator("button").click()
    here.locator("#said", has_text="is lifted").wait_for()
    assert here.wrong == []
    (placed, lifted) = incidents.show_incident(yard.workspace, incident).timeline[1:]
    assert (placed.by, placed.what) == ("user:op", "source vendor-a put on hold: a stolen key")
    assert lifted.what == "hold on source vendor-a lifted: a new key"
