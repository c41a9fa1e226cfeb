"""The page of a gate: its policy and its past, what is in shadow, and the threshold explorer."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING

import pytest
import yaml
from markup import Markup
from yard import Yard, blobs, make_policy, make_yard

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.quarantine.review import decide, held_records
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from httpx import Response
    from starlette.testclient import TestClient

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.airflow
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}'
SCREEN = {
    "false_quarantine_rate": 0.02,
    "min_poison_share": 0.5,
    "detectors": {"mahalanobis": {}, "knn_label": {"k": 5, "mode": "shadow"}},
    "batch": {"alpha": 1e-9, "tests": {"mmd": "shadow"}},
}


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
    ours = response.text.count('/static/chosen.js"></script>')  # for whoever may try a policy
    assert markup.tags.count("script") == Markup(client.get("/").text).tags.count("script") + ours
    return unescape(response.text)


def test_a_gate_shows_the_policy_in_force_and_what_each_one_changed(
    client: TestClient, yard: Yard
) -> None:
    assert "There is no dataset" in _page(client, "/gates")
    first, _ = register_policy(yard.workspace, yard.policy, reason="we begin")
    second, _ = register_policy(
        yard.workspace,
        make_policy(
            review={"expire_days": 5},
            columns=yard.policy.columns.model_dump() | {"payload": [EVIL]},
        ),
        reason=EVIL,
    )
    listed = _page(client, "/gates")
    assert 'href="/gates/blobs"' in listed
    assert second.meaning[:12] in listed
    page = _page(client, "/gates/blobs")
    words = re.sub("<[^>]*>", "", client.get("/gates/blobs").text)
    for word in (second.meaning, second.event.policy.sha256, "user:ann"):
        assert word in words
    assert EVIL in page
    assert "review.expire_days: 90 before, 5 since" in page
    assert '"expire_days": 5' in page
    assert page.index(second.meaning[:12]) < page.rindex(first.meaning[:12])
    assert "No batch was judged for it yet." in page
    told = client.get("/api/v1/gates/blobs").json()
    assert [one["policy"]["seq"] for one in told["history"]] == [second.seq, first.seq]
    assert len(told["history"][0]["changes"]) == 2
    assert told["history"][1]["changes"] == []
    assert client.get("/api/v1/gates").json()["gates"][0]["dataset"] == "blobs"


def test_a_gate_counts_what_is_in_shadow(client: TestClient, yard: Yard) -> None:
    yard = replace(yard, policy=make_policy(screen=SCREEN))
    batches = [yard.judge(f"d{n}", blobs(90, 5 + n, prefix=f"{n}-", flips=6)) for n in range(2)]
    other = make_policy(screen=SCREEN | {"false_quarantine_rate": 0.2, "hold": "rate"})
    for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
        stage(yard.workspace, batches[0].batch, other)
    told = client.get("/api/v1/gates/blobs").json()
    modes = {one["name"]: one for one in told["detectors"]}
    assert (modes["knn_label"]["mode"], modes["knn_label"]["batches"]) == ("shadow", 2)
    assert modes["knn_label"]["records"] == 180
    assert modes["knn_label"]["would_hold"] >= 10
    tests = {one["name"]: one for one in told["tests"]}
    assert tests["mmd"]["mode"] == "shadow"
    assert tests["mmd"]["batches"] == 2
    (shadow,) = told["policies"]
    assert (shadow["batches"], shadow["in_force"]) == (1, batches[0].held)
    assert shadow["held"] > batches[0].held
    page = _page(client, "/gates/blobs")
    assert f"it held {batches[0].held + batches[1].held} of 180 records" in page
    assert "knn_label" in page
    assert shadow["meaning"][:12] in page


def test_the_explorer_says_what_was_held_and_what_reviewers_did(
    client: TestClient, yard: Yard
) -> None:
    judged = yard.judge("monday", blobs(150, 5, flips=12))
    case = str(judged.case)
    ids = [record.record_id for record in held_records(yard.workspace, case)]
    decide(yard.workspace, case, Action.RELEASE, ids=ids[:4], reason="fine")
    decide(yard.workspace, case, Action.REJECT, ids=ids[4:6], reason="no")
    page = _page(client, "/gates/blobs/explore?batches=5")
    words = re.sub(r"\s+", " ", re.sub("<[^>]*>", "", page))
    assert "1 batch with 150 records" in words
    found = re.findall(r"At ([\d.]+) % you would have held (\d+) of 150 records; reviewers", words)
    assert [rate for rate, _ in found] == ["0.2", "0.4", "1", "4", "10", "20"]
    assert "reviewers released 4 of them" in words
    assert "never reviewed: whether they are clean is not known" in words
    assert "lazaretto policy explore blobs --batches 5" in words
    told = client.get("/api/v1/gates/blobs/explore", params={"batches": 5}).json()
    (now,) = [one for one in told["rates"] if one["in_force"]]
    assert now["held"] == judged.held
    undecided = judged.held - 6
    assert now["reviewed"] == {"RELEASE": 4, "REJECT": 2, "UNDECIDED": undecided}


def test_too_much_is_left_out_in_words(
    client: TestClient, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lazaretto.plugins.pages.gate.MOST_RECORDS", 100)
    register_policy(yard.workspace, yard.policy, reason="we begin")
    assert "Cannot say:" in _page(client, "/gates/blobs/explore")
    yard.judge("monday", blobs(60, 5))
    yard.judge("tuesday", blobs(60, 6, prefix="t"))
    page = _page(client, "/gates/blobs/explore")
    assert "Left out: the 1 oldest batch: with them there are more than 100 records." in page


def test_what_is_not_there_is_said_in_words(client: TestClient, yard: Yard) -> None:
    for path in (
        "/gates/nothing",
        "/gates/%22%3E%3Cscript%3E",
        "/gates/a%00b",
        "/gates/nothing/explore",
        "/gates/a%00b/explore",
        "/gates?after=%00",
    ):
        response = client.get(path)
        assert response.status_code == 404, (path, response.text)
        assert response.headers["content-type"].startswith("text/html")
        Markup(response.text).require_harmless()
        assert "error" in client.get(f"/api/v1{path}").json()


def test_a_policy_that_somebody_put_in_the_catalog_is_not_shown(
    client: TestClient, yard: Yard
) -> None:
    register_policy(yard.workspace, yard.policy, reason="we begin")
    with yard.workspace.catalog.transaction() as connection:
        connection.exec_driver_sql("UPDATE dataset_policy SET sha256 = 'ff'")
    for path in ("/gates", "/gates/blobs"):
        assert client.get(path).status_code == 503


def test_batches_are_judged_again_at_another_rate_by_whoever_may_decide(
    client: TestClient, yard: Yard, token: Callable[[str], dict[str, str]]
) -> None:
    judged = yard.judge("monday", blobs(90, 5, flips=9))
    held = held_records(yard.workspace, str(judged.case))
    decide(yard.workspace, str(judged.case), Action.REJECT, all=True, reason="no")
    path = "/gates/blobs/replay?rate=0.000001"
    assert client.get(path).status_code == 403
    assert "Judge again" not in _page(client, "/gates/blobs")
    client.headers.update(token("ADMIN"))
    assert "Judge again" in _page(client, "/gates/blobs")
    with yard.workspace.catalog.read() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM ledger").scalar_one()
    told = _page(client, path)
    shown = re.search(r"reviewers rejected (\d+) of those", told)
    assert shown is None or int(shown[1]) <= len(held)
    assert "monday" not in told
    assert "Nothing would be different" in _page(client, "/gates/blobs/replay?rate=0.02&batches=1")
    for wrong in ("rate=0", "rate=1", "rate=nan", "rate=0.1&batches=21", "batches=2"):
        assert client.get(f"/gates/blobs/replay?{wrong}").status_code == 422
    assert client.get("/gates/none/replay?rate=0.1").status_code == 404
    with yard.workspace.catalog.read() as connection:
        after = connection.exec_driver_sql("SELECT count(*) FROM ledger").scalar_one()
    assert after == before


def test_another_section_is_tried_by_whoever_may_decide_and_reads_no_file(
    client: TestClient, yard: Yard, token: Callable[[str], dict[str, str]]
) -> None:
    yard.judge("monday", blobs(90, 5, flips=9))

    def tried(screen: str, **more: str) -> Response:
        return client.get("/gates/blobs/try", params={"screen": screen, **more})

    assert tried("{}").status_code == 403
    client.headers.update(token("ADMIN"))
    page = _page(client, "/gates/blobs")
    shown = unescape(re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)[1])  # type: ignore[index]
    with yard.workspace.catalog.read() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM ledger").scalar_one()
    same = tried(shown)
    assert same.status_code == 200
    assert "Nothing would be different" in same.text
    other = tried("screen:\n  detectors:\n    mahalanobis: {mode: enforce}\n", batches="1")
    assert other.status_code == 200
    assert "screen:mahalanobis" in other.text, "what holds the same records now"
    for wrong, words in (
        ("contract: x.py:M", "contract"),
        ("- a", "mapping"),
        ("a: &a [*a]", "the candidate"),
        ("detectors: [", "the candidate"),
    ):
        answer = tried(wrong)
        assert 400 <= answer.status_code < 500, (wrong, answer.status_code)
        assert words in answer.text
    assert "nobody" in tried("detectors: {nobody: {}}").text, "that it FAILED, and why"
    assert 400 <= tried("mode: off").status_code < 500
    assert tried("x" * 8_001).status_code == 422
    assert client.get("/gates/none/try?screen={}").status_code == 404
    with yard.workspace.catalog.read() as connection:
        after = connection.exec_driver_sql("SELECT count(*) FROM ledger").scalar_one()
    assert after == before


def test_a_whole_policy_is_tried_by_whoever_may_decide_and_leaves_nothing(
    client: TestClient, yard: Yard, token: Callable[[str], dict[str, str]]
) -> None:
    yard.judge("monday", blobs(90, 5, flips=9))

    def tried(policy: str, **more: str) -> Response:
        return client.post("/gates/blobs/candidate", data={"policy": policy} | more)

    assert tried("version: 1").status_code == 403
    client.headers.update(token("ADMIN"))
    page = _words_of(client.get("/gates/blobs"))
    whole = unescape(re.search(r'<textarea id="policy"[^>]*>(.*?)</textarea>', page, re.DOTALL)[1])  # type: ignore[index]
    before = _ledger(yard)
    same = tried(whole)
    assert same.status_code == 200, same.text
    Markup(same.text).require_harmless()
    assert "Nothing would be different" in same.text
    said = yaml.safe_load(whole)
    rules = {"columns": {"label": {"one_of": ["0"], "severity": "error"}}}
    stricter = tried(yaml.safe_dump(said | {"contract": {"rules": rules}}), batches="1")
    assert stricter.status_code == 200, stricter.text
    assert "contract:" in stricter.text, "which of the candidate's own rules would hold records"
    assert "Nothing would be different" not in stricter.text
    assert _ledger(yard) == before


def test_a_policy_that_is_tried_reads_no_file_and_loads_no_code(
    client: TestClient, yard: Yard, tmp_path: Path, token: Callable[[str], dict[str, str]]
) -> None:
    yard.judge("monday", blobs(90, 5, flips=9))
    client.headers.update(token("ADMIN"))
    says = yard.policy.model_dump(mode="json")
    ran = tmp_path / "ran"
    (tmp_path / "code.py").write_text(f"open({str(ran)!r}, 'w')\n")
    (tmp_path / "base.yaml").write_text("screen: {mode: enforce}\n")
    code, base = str(tmp_path / "code.py"), str(tmp_path / "base.yaml")
    elsewhere = {"file": base, "column": "label"}
    lookup = {"rules": {"columns": {"label": {"exists_in": elsewhere}}}}
    for change, words in (
        ({"contract": f"{code}:M"}, "contract: only rules that stand in the policy itself"),
        ({"contract": {"pandera": f"{code}:M"}}, "only rules that stand"),
        ({"contract": {"rules": base}}, "only rules that stand"),
        ({"contract": {"odcs": base}}, "only rules that stand"),
        ({"contract": {"gx": {"suite": base, "modules": ["code"]}}}, "only rules that stand"),
        ({"contract": lookup}, "exists_in.file: no file is read here"),
        ({"extends": base}, "extends: no other file is read here"),
        ({"embed": {"encoder": "torch", "model": f"{code}:M"}}, "embed.encoder: 'torch' loads"),
        ({"embed": {"encoder": "sentence-transformers", "model": "a/b"}}, "loads a model"),
        ({"embed": {"encoder": "hashing", "model": base, "columns": ["id"]}}, "embed.model"),
        (
            {"embed": {"encoder": "contrastive_text", "options": {"base": "a/b"}}},
            "embed.options.base: it names a model",
        ),
        ({"embed": {"options": {"replay": "code:f"}}}, "embed.options.replay: it names code"),
        ({"limits": {"cpu_seconds": 10**6}}, "limits.cpu_seconds: at most 600 here"),
        ({"dataset": "others"}, "this is the gate of"),
        ({"screen": {"reference": "nobody"}}, "nobody"),
        ({"screen": {"detectors": {"mahalanobi": {}}}}, "mahalanobis"),
        ({"nonsense": 1}, "nonsense: unknown key"),
    ):
        text = yaml.safe_dump(says | change)
        answer = client.post("/gates/blobs/candidate", data={"policy": text})
        assert 400 <= answer.status_code < 500, (change, answer.status_code)
        assert words in unescape(answer.text), (change, re.sub("<[^>]*>", "", answer.text))
        assert "the candidate:" in answer.text or "nobody" in words
    assert not ran.exists()


def test_a_form_sends_no_more_than_it_may(
    client: TestClient, yard: Yard, token: Callable[[str], dict[str, str]]
) -> None:
    yard.judge("monday", blobs(60, 5))
    client.headers.update(token("ADMIN"))
    path = "/gates/blobs/candidate"
    text = yaml.safe_dump(yard.policy.model_dump(mode="json"))
    for data, status in (
        ({"policy": ""}, 422),
        ({"other": "x"}, 422),
        ({"policy": "x" * 60_001}, 413),
        ({"policy": "x" * 800_000}, 413),
        ({"policy": text, "batches": "0"}, 422),
        ({"policy": text, "batches": "21"}, 422),
        ({"policy": text, "batches": "many"}, 422),
        ({"policy": "a: &a [*a]"}, 422),
    ):
        assert client.post(path, data=data).status_code == status, str(data)[:80]
    assert client.post(path, json={"policy": text}).status_code == 415
    foreign = client.post(path, data={"policy": text}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    named = {"policy": text.replace("dataset: blobs", "dataset: none")}
    assert client.post("/gates/none/candidate", data=named).status_code == 404


def _words_of(response: Response) -> str:
    assert response.status_code == 200
    Markup(response.text).require_harmless()
    return response.text


def _ledger(yard: Yard) -> int:
    with yard.workspace.catalog.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM ledger").scalar_one())
