"""People decide on the page: under their own name, only where they may, and never unseen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from yard import Yard, blobs, make_policy, make_yard

from lazaretto import lineage
from lazaretto.authority.policies import register_policy
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, RecordsDecided
from lazaretto.ledger.verify import verify
from lazaretto.quarantine import review

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.testclient import TestClient

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.airflow
HERE = {"X-Lazaretto-Request": "1"}


@pytest.fixture
def yard(workspace: Workspace, fitted_reference: str, tmp_path: Path) -> Yard:
    return make_yard(workspace, fitted_reference, tmp_path)


@pytest.fixture
def case(yard: Yard) -> str:
    """A case with the four records m0 to m3."""
    judged = yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4))
    assert judged.held == 4
    return str(judged.case)


@pytest.fixture
def client(yard: Yard) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    app = SecureHeaders(create_app(lambda: yard.workspace))
    return TestClient(app, follow_redirects=False)


def _events(yard: Yard, kind: Any) -> list[Any]:
    with yard.workspace.catalog.read() as connection:
        return list(entries(connection, kinds=[kind.kind]))


def test_a_whole_review_is_on_record_under_the_name_that_signed_in(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, case: str
) -> None:
    ann, bob = token("OP") | HERE, token("ADMIN") | HERE
    page = client.get(f"/cases/{case}", headers=ann).text
    assert 'data-action="RELEASE"' in page
    records = client.get(f"/api/v1/cases/{case}/records", headers=ann).json()
    assert [record["index"]["record_id"] for record in records["records"]] == [
        "m0", "m1", "m2", "m3",
    ]  # fmt: skip
    shown = [(cell["column"], cell["text"]) for cell in records["records"][0]["cells"]]
    assert shown == [("text", "record 0 <script>")]
    at = f"/api/v1/cases/{case}/decisions"
    made = client.post(
        at,
        headers=ann,
        json={"action": "RELEASE", "positions": [0, 1], "reason": "fine", "seen": 0, "expected": 2},
    )
    assert made.status_code == 201, made.text
    seen = made.json()["seq"]
    wrong = client.post(
        at,
        headers=bob,
        json={"action": "RELABEL", "ids": ["m2"], "label": "2", "reason": "a two", "seen": seen},
    )
    back = client.post(
        f"/api/v1/decisions/{wrong.json()['id']}/undo", headers=bob, json={"reason": "no"}
    )
    assert (wrong.status_code, back.status_code) == (201, 201)
    rest = {"filter": {"action": "UNDECIDED"}}
    counted = client.get(f"/api/v1/cases/{case}/count?action=UNDECIDED", headers=ann).json()
    assert counted == {"records": 2}
    body = {"action": "REJECT", "reason": "mislabelled", "expected": 2, **rest}
    assert client.post(at, headers=ann, json=body).status_code == 201
    done = client.post(f"/api/v1/cases/{case}/publish", headers=bob, json={}).json()
    assert done["admission"]["rows"] == 2
    assert yard.ids() == ["m0", "m1"]
    decided = [(entry.actor.id, entry.event.action) for entry in _events(yard, RecordsDecided)]
    assert decided == [
        ("user:op", "RELEASE"),
        ("user:admin", "RELABEL"),
        ("user:admin", "RELABEL"),
        ("user:op", "REJECT"),
    ]
    (published,) = _events(yard, BatchAdmitted)
    assert published.actor.id == "user:admin"
    (release,) = lineage.trace_batch(yard.workspace, published.event.batch).releases
    assert (release.decided_by, release.published_by) == (["user:op"], "user:admin")
    assert verify(yard.workspace).ok
    page = client.get(f"/cases/{case}", headers=ann).text
    assert "Published by user:admin: 2 records" in page
    assert "data-action" not in page  # the case is closed


@pytest.mark.parametrize("role", ["VIEWER", "USER"])
def test_who_may_only_look_gets_no_button_and_no_answer(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, case: str, role: str
) -> None:
    headers = token(role) | HERE
    page = client.get(f"/cases/{case}", headers=headers).text
    for deciding in ("data-action", 'id="publish"', 'id="approve"', 'id="undo'):
        assert deciding not in page
    assert "review.js" not in page
    for path in _posts(case):
        assert client.post(path, headers=headers, json=_BODY).status_code == 403, path
    assert _events(yard, RecordsDecided) == []


_BODY = {"action": "RELEASE", "all": True, "reason": "because"}


def _posts(case: str) -> list[str]:
    return [
        f"/api/v1/cases/{case}/decisions",
        "/api/v1/decisions/decision-1/undo",
        f"/api/v1/cases/{case}/publish",
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        HERE | {"Origin": "https://evil.example"},
        HERE | {"Origin": "null"},
        HERE | {"Sec-Fetch-Site": "cross-site"},
        HERE | {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"},
    ],
)
def test_another_site_cannot_make_a_browser_decide(
    client: TestClient,
    token: Callable[[str], dict[str, str]],
    yard: Yard,
    case: str,
    headers: dict[str, str],
) -> None:
    jwt = token("ADMIN")["Authorization"].split()[1]
    client.cookies.set("_token", jwt)
    assert client.get("/").status_code == 200  # the cookie signs in
    for path in _posts(case):
        assert client.post(path, headers=headers, json=_BODY).status_code == 403
    assert _events(yard, RecordsDecided) == []


def test_a_page_of_this_site_may(
    client: TestClient, token: Callable[[str], dict[str, str]], case: str
) -> None:
    for more in ({"Origin": "http://testserver"}, {"Sec-Fetch-Site": "same-origin"}):
        headers = token("OP") | HERE | more
        made = client.post(f"/api/v1/cases/{case}/decisions", headers=headers, json=_BODY)
        assert made.status_code == 201


@pytest.mark.parametrize("name", ["actor", "user", "by"])
def test_nobody_names_themselves(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, case: str, name: str
) -> None:
    body = _BODY | {name: "user:somebody"}
    made = client.post(f"/api/v1/cases/{case}/decisions", headers=token("OP") | HERE, json=body)
    assert made.status_code == 422
    assert _events(yard, RecordsDecided) == []


def test_where_everybody_is_let_in_as_one_nobody_decides(
    client: TestClient,
    token: Callable[[str], dict[str, str]],
    case: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
    headers = token("ADMIN") | HERE
    assert "data-action" not in client.get(f"/cases/{case}", headers=headers).text
    made = client.post(f"/api/v1/cases/{case}/decisions", headers=headers, json=_BODY)
    assert made.status_code == 403
    assert "nobody is signed in" in made.text


def test_who_was_overtaken_is_told_and_decides_nothing(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, case: str
) -> None:
    at, headers = f"/api/v1/cases/{case}/decisions", token("OP") | HERE
    body = {"action": "REJECT", "ids": ["m0"], "reason": "no", "seen": 0}
    assert client.post(at, headers=headers, json=body).status_code == 201
    late = client.post(at, headers=headers, json=_BODY | {"seen": 0})
    assert late.status_code == 409
    assert "somebody else decided" in late.json()["error"]
    fewer = {"action": "RELEASE", "filter": {"action": "UNDECIDED"}, "reason": "ok", "expected": 4}
    assert client.post(at, headers=headers, json=fewer).status_code == 409
    assert len(_events(yard, RecordsDecided)) == 1


def test_mistakes_are_told_in_words(
    client: TestClient, token: Callable[[str], dict[str, str]], case: str
) -> None:
    headers = token("OP") | HERE
    at = f"/api/v1/cases/{case}/decisions"
    for body, status, words in [
        (_BODY | {"positions": [0]}, 422, "one of them"),
        (_BODY | {"reason": "  "}, 422, "needs a reason"),
        ({"action": "RELEASE", "ids": ["nobody"], "reason": "x"}, 404, "not held"),
        ({"action": "RELEASE", "positions": [59], "reason": "x"}, 404, "not held"),
        ({"action": "RELABEL", "all": True, "reason": "x"}, 422, "needs one"),
        ({"action": "REWEIGHT", "all": True, "reason": "x", "weight": -1}, 422, "positive"),
    ]:
        made = client.post(at, headers=headers, json=body)
        assert made.status_code == status, made.text
        assert words in made.json()["error"]
    gone = client.post("/api/v1/decisions/decision-1/undo", headers=headers, json={"reason": "x"})
    assert gone.status_code == 404
    assert client.get("/api/v1/cases/case-1", headers=headers).status_code == 404
    bad = client.get(f"/api/v1/cases/{case}/records?max_p_value=high", headers=headers)
    assert (bad.status_code, "cannot be" in bad.json()["error"]) == (422, True)
    nothing = client.post(f"/api/v1/cases/{case}/publish", headers=headers, json={})
    assert nothing.json() == {"admission": None, "announcement": None}


def test_an_embedding_is_not_shown_number_by_number(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard
) -> None:
    policy = make_policy(columns={"record_id": "id", "label": "label", "embedding": "vector"})
    rows = blobs(60, seed=6, prefix="t", flips=4).append_column(
        "picture", pa.array([b"\x89PNG" * 300] * 60)
    )
    plain = Yard(yard.workspace, policy, yard.folder)
    page = client.get(f"/cases/{plain.judge('t', rows).case}", headers=token("VIEWER")).text
    assert "1,200 bytes" in page
    assert "PNG" not in page


def test_numbers_that_json_does_not_know_are_null() -> None:
    from lazaretto.plugins.site import answer

    assert json.loads(bytes(answer({"score": float("nan")}).body)) == {"score": None}


def test_two_people_are_two_logins(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard
) -> None:
    """The rule counts whom Airflow authenticated; who decided cannot publish."""
    strict = make_policy(review={"require_two_people": True})
    judged = Yard(yard.workspace, strict, yard.folder).judge(
        "t", blobs(60, seed=6, prefix="t", flips=4)
    )
    ann, bob = token("OP") | HERE, token("ADMIN") | HERE
    at = f"/api/v1/cases/{judged.case}"
    assert client.post(f"{at}/decisions", headers=ann, json=_BODY).status_code == 201
    alone = client.post(f"{at}/publish", headers=ann, json={})
    assert alone.status_code == 409
    assert "somebody else publishes" in alone.json()["error"]
    assert client.post(f"{at}/publish", headers=bob, json={}).status_code == 200
    assert len(review.list_publications(yard.workspace, str(judged.case))) == 1


def test_after_an_approval_whoever_decided_publishes(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard
) -> None:
    strict = make_policy(review={"require_two_people": True})
    rows = blobs(60, seed=6, prefix="t", flips=4)
    judged = Yard(yard.workspace, strict, yard.folder).judge("t", rows)
    ann, bob = token("OP") | HERE, token("ADMIN") | HERE
    at = f"/api/v1/cases/{judged.case}"
    seen = client.post(f"{at}/decisions", headers=ann, json=_BODY).json()["seq"]
    assert client.post(f"{at}/approve", headers=ann, json={"seen": seen}).status_code == 422
    assert client.post(f"{at}/approve", headers=bob, json={"seen": seen - 1}).status_code == 409
    given = client.post(f"{at}/approve", headers=bob, json={"seen": seen})
    assert (given.status_code, given.json()["by"]["id"]) == (201, "user:admin")
    assert client.get(at, headers=ann).json()["case"]["approved_by"] == ["user:admin"]
    assert "approved by user:admin" in client.get(f"/cases/{judged.case}", headers=ann).text
    assert client.post(f"{at}/publish", headers=ann, json={}).status_code == 200
    (published,) = review.list_publications(yard.workspace, str(judged.case))
    assert (published.by.id, published.approved_by) == ("user:op", ["user:admin"])


@pytest.mark.parametrize(("weight", "code"), [(1.0, 201), (0.1, 201), (1.1, 422), (0, 422)])
def test_a_weight_is_at_most_what_the_policy_allows(
    client: TestClient,
    token: Callable[[str], dict[str, str]],
    case: str,
    weight: float,
    code: int,
) -> None:
    body = {"action": "REWEIGHT", "ids": ["m0"], "weight": weight, "reason": "half as good"}
    at = f"/api/v1/cases/{case}/decisions"
    assert client.post(at, headers=token("OP") | HERE, json=body).status_code == code


def test_the_page_offers_approval_where_the_policy_in_force_asks_for_two(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, case: str
) -> None:
    """The case was judged before the rule came into force."""
    ann = token("OP") | HERE
    assert client.post(f"/api/v1/cases/{case}/decisions", headers=ann, json=_BODY).is_success
    assert 'id="approve"' not in client.get(f"/cases/{case}", headers=ann).text
    strict = make_policy(review={"require_two_people": True})
    register_policy(yard.workspace, strict, reason="two see more than one")
    assert 'id="approve"' in client.get(f"/cases/{case}", headers=ann).text


def test_what_is_revoked_is_released_by_a_person_who_says_so_and_by_nobody_else(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, case: str
) -> None:
    from lazaretto.ledger.events import RevocationOverridden
    from lazaretto.sources.registry import revoke_source

    op, viewer = token("OP") | HERE, token("VIEWER") | HERE
    assert 'id="override"' not in client.get(f"/cases/{case}", headers=op).text
    revoke_source(yard.workspace, "vendor-a", reason="it was sold")
    page = client.get(f"/cases/{case}", headers=op).text
    assert "source vendor-a is revoked" in page
    assert 'id="override"' in page
    assert 'id="override"' not in client.get(f"/cases/{case}", headers=viewer).text
    at = f"/api/v1/cases/{case}"
    release = {"action": "RELEASE", "all": True, "reason": "fine"}
    refused = client.post(f"{at}/decisions", headers=op, json=release)
    assert (refused.status_code, refused.json()["kind"]) == (409, "AdmissionRefusedError")
    body = {"reason": "we know them"}
    assert client.post(f"{at}/override", headers=viewer, json=body).status_code == 403
    assert client.post(f"{at}/override", headers=op, json={"reason": ""}).status_code == 422
    assert client.post(f"{at}/override", headers=op, json=body).status_code == 201
    (entry,) = _events(yard, RevocationOverridden)
    assert (entry.actor.id, entry.event.reason) == ("user:op", "we know them")
    assert client.post(f"{at}/decisions", headers=op, json=release).status_code == 201
    assert client.post(f"{at}/publish", headers=op, json={}).status_code == 200
    assert yard.ids() == ["m0", "m1", "m2", "m3"]
