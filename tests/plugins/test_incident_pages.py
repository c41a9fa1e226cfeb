"""The pages of incidents, and their API: what is told, who may act, and that it happens."""

from __future__ import annotations

import os
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from browsing import WIDE
from foreign_events import dataset, event, model
from markup import Markup
from yard import Yard, blobs, make_yard

from lazaretto import incidents, lineage, stages
from lazaretto.quarantine import review
from lazaretto.stages.alias_model import alias_model
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
        answered = client.post(f"/api/v1/incidents/{path}".rstrip("/"), json=body, headers=sent)
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


def test_one_is_opened_from_the_page_about_whatever_it_is(
    yard: Yard, ask: Callable[..., tuple[int, Any]], page: Callable[..., str]
) -> None:
    about = {"kind": "dataset", "subject": "blobs@1", "why": EVIL, "title": EVIL}
    status, told = ask("", about | {"freeze": ["blobs"], "freeze_models": ["net"]})
    assert status == 201
    shown = incidents.show_incident(yard.workspace, told["id"])
    assert (shown.incident.question, shown.incident.opened_by.id) == (
        Question("dataset", "blobs@1"),
        "user:op",
    )
    assert [(hold.what, hold.name, hold.by.id) for hold in shown.holds] == [
        (HoldKind.PUBLISHING, "blobs", "user:op"),
        (HoldKind.PROMOTION, "net", "user:op"),
    ]
    assert "dataset blobs@1" in page(f"/incidents/{told['id']}")
    asked = {"kind": "source", "subject": "vendor-a", "since": "2026-03-03", "by": "received"}
    status, told = ask("", asked | {"why": "open bucket", "freeze_source": True})
    assert status == 201
    found = incidents.get_incident(yard.workspace, told["id"]).question
    assert (found.by, str(found.since)) == ("received", "2026-03-03 00:00:00+00:00")
    before = len(incidents.list_incidents(yard.workspace))
    for wrong, status in (
        (about | {"freeze_source": True}, 422),
        (about | {"subject": "blobs@99"}, 404),
        (about | {"kind": "weather"}, 422),
        (about | {"freeze": ["nothing"]}, 404),
        (about | {"subject": "blobs@1\u202e"}, 404),
        (about | {"actor": "user:bob"}, 422),
    ):
        assert ask("", wrong)[0] == status, wrong
    assert ask("", about, "VIEWER")[0] == 403
    assert len(incidents.list_incidents(yard.workspace)) == before
    assert 'data-post="/incidents"' in page("/incidents?kind=key&subject=abc")
    assert "<form" not in page("/incidents", "VIEWER")


def test_it_is_asked_again_from_the_page(
    yard: Yard, ask: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = opened(yard)
    assert ask(f"{incident}/refresh", {}) == (200, ask(f"{incident}/refresh", {})[1])
    stages.register_model(yard.workspace, "net", "2", "blobs", 1)
    status, told = ask(f"{incident}/refresh", {})
    assert (status, told["sentences"]) == (200, ["1 more affected model version"])
    monkeypatch.setattr("lazaretto.lineage.trace.bounded.MOST_ENTRIES", 1)
    status, told = ask(f"{incident}/refresh", {})
    assert status == 422
    assert f"lazaretto incident refresh {incident}" in told["error"]


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


def picture(page: Any, name: str) -> None:
    """Kept where LAZARETTO_PICTURES names a folder: the pictures of the docs are made so."""
    if folder := os.environ.get("LAZARETTO_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_the_page_is_readable_on_a_small_screen_and_on_paper(
    sign_in: Callable[..., Any], site: str, yard: Yard
) -> None:
    hold = (HoldKind.PUBLISHING, "blobs")
    incident = opened(yard, holds=[hold, (HoldKind.SOURCE, "vendor-a")])
    alias_model(yard.workspace, "net", "1", "candidate")
    stages.register_model(yard.workspace, "net", "2", "blobs", 1)
    incidents.note(yard.workspace, incident, "the vendor confirms it")
    incidents.refresh(yard.workspace, incident)
    for width, theme in ((1280, "light"), (400, "light")):
        here = sign_in("OP", width=width, color_scheme=theme)
        for path, name in ((f"/incidents/{incident}", "incident"), ("/incidents", "incidents")):
            here.goto(f"{site}{path}")
            assert not here.evaluate(WIDE), (path, width)
            picture(here, f"{name}-{width}-{theme}")
    # On paper, without what only a screen can do, and nothing is cut off at the side.
    paper = sign_in("OP", width=700, color_scheme="dark")
    paper.goto(f"{site}/incidents/{incident}")
    paper.emulate_media(media="print")
    assert not paper.evaluate(WIDE)
    for what in ("form", "nav.top", ".skip"):
        assert paper.locator(what).first.is_hidden(), what
    assert paper.locator("text=What to do first").is_visible()
    assert paper.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    cut = """() => [...document.querySelectorAll(".scroll, pre")]
        .filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.outerHTML)"""
    assert paper.evaluate(cut) == []


def test_what_an_attacker_named_neither_runs_nor_hides_what_is_known(
    sign_in: Callable[..., Any], site: str, yard: Yard
) -> None:
    long = "an-id-without-an-end-" * 40
    name = f"{EVIL}{long}"
    told = event([dataset(name, "1")], [model(name, "7")], job=EVIL)
    assert lineage.take(yard.workspace, [told], taken_from="user:eve").skipped == []
    asked = Question("model", f"{name}@7")
    incident = incidents.open_incident(yard.workspace, asked, reason=EVIL).id
    incidents.note(yard.workspace, incident, name)
    for width in (1280, 400):
        here = sign_in("OP", width=width)
        for path in (f"/incidents/{incident}", "/incidents"):
            here.goto(f"{site}{path}")
            assert not here.evaluate(WIDE), (path, width)
            assert "\u202e" not in here.content()
        here.goto(f"{site}/incidents/{incident}")
        assert here.locator(".conclusion").bounding_box()["y"] < 900
        assert here.wrong == []
        assert here.locator("main script, main img").count() == 0


def test_somebody_opens_one_in_a_browser(
    sign_in: Callable[..., Any], site: str, yard: Yard
) -> None:
    here = sign_in("OP")
    here.goto(f"{site}/sources/vendor-a/trace?since=2020-01-01")
    here.get_by_role("link", name="Open an incident about it").click()
    form = here.locator("form.opening")
    assert form.locator("[name=subject]").input_value() == "vendor-a"
    form.locator("[name=why]").fill("its bucket was open")
    form.locator("[name=freeze_source]").check()
    form.locator("[name=freeze]").fill("nothing")
    form.locator("button").click()
    here.locator("#said", has_text="there is no dataset").wait_for()
    form.locator("[name=freeze]").fill("blobs")
    with here.expect_navigation():
        form.locator("button").click()
    assert "/incidents/incident-" in here.url
    (found,) = incidents.list_incidents(yard.workspace)
    assert str(found.question.since) == "2020-01-01 00:00:00+00:00"
    holds = incidents.show_incident(yard.workspace, found.id).holds
    assert [hold.name for hold in holds] == ["vendor-a", "blobs"]
    assert here.wrong == []


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
