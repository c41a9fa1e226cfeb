"""The pages of models, and their API: evidence, refusals, and who puts a version in use."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from markup import Markup
from yard import Yard, blobs, make_policy

from lazaretto import incidents, models, stages
from lazaretto.authority.policies import register_policy
from lazaretto.errors import PromotionRefusedError
from lazaretto.ledger.events import ModelEvaluated
from lazaretto.ledger.state import record
from lazaretto.values import Question, StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

pytestmark = pytest.mark.airflow
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\u202e'
HERE = {"X-Lazaretto-Request": "1"}


@pytest.fixture
def models_yard(yard: Yard) -> Yard:
    """Version 1 learned from vendor-a, version 2 also from vendor-b; 1 is in use."""
    yard.admit("monday", blobs(30, seed=5, prefix="m"))
    for version, source in (("1", None), ("2", "vendor-b")):
        if source:
            yard.admit("tuesday", blobs(30, seed=6, prefix="t"), source)
        taken = stages.snapshot(yard.workspace, "blobs")
        stages.register_model(yard.workspace, "net", version, "blobs", taken.version)
    models.promote(yard.workspace, "net", "1", reason="the first")
    return yard


@pytest.fixture
def client(yard: Yard) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    return TestClient(SecureHeaders(create_app(lambda: yard.workspace)), follow_redirects=False)


@pytest.fixture
def ask(
    client: TestClient, token: Callable[[str], dict[str, str]]
) -> Callable[..., tuple[int, Any]]:
    """Posts to the API as somebody."""

    def post(what: str, version: str, role: str = "OP", **more: Any) -> tuple[int, Any]:
        headers = more.pop("headers", HERE)
        body = {"registry": "local", "model": "net", "version": version, "alias": "production"}
        body |= {"reason": "it passed"} | more
        sent = token(role) | headers
        answered = client.post(f"/api/v1/models/{what}", json=body, headers=sent)
        return answered.status_code, answered.json()

    return post


@pytest.fixture
def page(client: TestClient, token: Callable[[str], dict[str, str]]) -> Callable[..., str]:
    """A page, as somebody sees it; whatever is on it is harmless."""

    def get(version: str, role: str = "OP") -> str:
        path = (
            f"/models/version?registry=local&model=net&version={version}" if version else "/models"
        )
        response = client.get(path, headers=token(role))
        assert response.status_code == 200, response.text
        Markup(response.text).require_harmless()
        return unescape(response.text)

    return get


def in_use(yard: Yard) -> list[str | None]:
    return [one.version for one in stages.list_aliases(yard.workspace, "local", "net")]


def test_what_the_command_refuses_the_page_refuses_and_both_say_the_same(
    models_yard: Yard, ask: Callable[..., tuple[int, Any]], page: Callable[..., str]
) -> None:
    workspace = models_yard.workspace
    asked = Question("source", "vendor-b")
    opened = incidents.open_incident(workspace, asked, reason=EVIL)
    status, told = ask("promote", "2")
    assert (status, told["code"], in_use(models_yard)) == (409, "open_incident", ["1"])
    with pytest.raises(PromotionRefusedError) as refused:
        models.promote(workspace, "net", "2")
    assert told["error"] == str(refused.value)
    shown = page("2")
    assert "It may not be production." in shown
    assert opened.id in shown
    assert "refused</span> for net@2" in shown
    assert "net@2" in page("")
    incidents.close(workspace, opened.id, "false alarm")
    assert "Nothing speaks against it" in page("2")
    status, told = ask("promote", "2", reason=EVIL)
    assert (status, told["version"], told["previous"]) == (200, "2", "1")
    shown = page("2")
    assert '<td>"><script>' in shown
    (last, *_) = models.past_moves(workspace, "local", "net")
    assert (last.by.id, last.event.alias) == ("user:op", "production")


def test_a_person_goes_back_or_takes_it_out_of_use_as_they_saw_it(
    models_yard: Yard, ask: Callable[..., tuple[int, Any]]
) -> None:
    assert ask("promote", "2")[0] == 200
    assert ask("rollback", "1")[0] == 409  # who looked before 2 was in use
    assert ask("demote", "1")[0] == 409
    assert in_use(models_yard) == ["2"]
    assert ask("rollback", "2")[1]["version"] == "1"
    assert ask("rollback", "1")[0] == 404  # there is none before
    assert ask("demote", "1")[1]["version"] is None
    assert in_use(models_yard) == []
    assert ask("demote", "1")[0] == 404


def test_nobody_moves_a_name_who_may_not(
    models_yard: Yard, ask: Callable[..., tuple[int, Any]], page: Callable[..., str]
) -> None:
    for what in ("promote", "demote", "rollback"):
        assert ask(what, "1", "VIEWER")[0] == 403
        other_site = HERE | {"Origin": "https://evil.example"}
        assert ask(what, "1", headers=other_site)[0] == 403
        assert ask(what, "1", headers={"X-Other": "1"})[0] == 403
        assert ask(what, "1", actor="user:bob")[0] == 422
        assert ask(what, "1", reason="")[0] == 422
        assert ask(what, "1", model="net\u202e")[0] == 404
    assert "data-post" not in page("2", "VIEWER")
    rules = {"promoters": ["user:release"]}
    register_policy(models_yard.workspace, make_policy(model=rules), reason="one person releases")
    status, told = ask("promote", "2")
    assert (status, told["code"]) == (409, "not_listed")
    assert ask("demote", "1")[0] == 409
    assert "not_listed" in page("2")
    assert in_use(models_yard) == ["1"]


def test_the_page_shows_the_evidence_and_whether_it_counts(
    models_yard: Yard, page: Callable[..., str], client: TestClient, token: Any
) -> None:
    workspace = models_yard.workspace
    rules = {"evidence": {"accuracy": 0.9, "predictions": False}}
    register_policy(workspace, make_policy(model=rules), reason="measured first")
    file = StoredFile("evaluations/report.json", 2, "ab" * 32)
    event = ModelEvaluated(
        model="net", version="2", registry="local", how="predictions", code=None,
        artifact_digest=None, test_set="7e" * 32, rows=500,
        figures={"zeal": 0.1, "accuracy": 0.95}, report=file, predictions=file,
    )  # fmt: skip
    with workspace.catalog.transaction() as connection:
        record(connection, event, lambda _: (), actor=workspace.actor)
    shown = page("2")
    assert "accuracy 0.95, zeal 0.1" in shown
    assert "no_evidence" in shown
    assert "<td>no</td>" in shown
    told = client.get(
        "/api/v1/models/version?registry=local&model=net&version=2", headers=token("VIEWER")
    ).json()
    assert (told["clean"], told["examined"]["reasons"][0]["code"]) == (False, "no_evidence")
    listed = client.get("/api/v1/models?limit=1", headers=token("VIEWER")).json()
    assert ([one["version"] for one in listed["models"]], listed["more"]) == (["2"], True)
    following = "/models?registry=local&model=net&version=2"
    assert "net@1" in client.get(following, headers=token("VIEWER")).text
    assert (
        client.get(
            "/models/version?registry=local&model=net&version=9", headers=token("OP")
        ).status_code
        == 404
    )


def test_somebody_promotes_and_goes_back_in_a_browser_on_a_small_screen(
    sign_in: Callable[..., Any], site: str, models_yard: Yard
) -> None:
    here = sign_in("OP", width=400)
    here.goto(f"{site}/models")
    with here.expect_navigation():
        here.get_by_role("link", name="net@2").click()
    assert here.evaluate("document.documentElement.scrollWidth <= 400")
    for what, words in (("promote", "production stands for it"), ("rollback", "went back")):
        form = here.locator(f'form[data-post$="/{what}"]')
        form.locator('[name="reason"]').fill(f"we {what}")
        with here.expect_navigation():
            form.locator("button").click()
        here.locator("#said", has_text=words).wait_for()
    assert here.wrong == []
    assert in_use(models_yard) == ["1"]
    (back, put) = models.past_moves(models_yard.workspace, "local", "net")[:2]
    assert [(one.by.id, one.event.version) for one in (put, back)] == [
        ("user:op", "2"),
        ("user:op", "1"),
    ]
