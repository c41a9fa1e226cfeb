"""Nobody reaches another dataset's cases by an id, where Airflow decides asset by asset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from site_routes import routes
from yard import Yard, blobs, make_policy

from lazaretto import incidents
from lazaretto.names import asset_name, asset_uri
from lazaretto.quarantine import review
from lazaretto.values import Action, HoldKind, Question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.testclient import TestClient

pytestmark = pytest.mark.airflow
HERE = {"X-Lazaretto-Request": "1"}


@pytest.fixture
def case(yard: Yard) -> str:
    """A case of the dataset ``blobs``, with a decision on it."""
    case = str(yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case)
    review.decide(yard.workspace, case, Action.REJECT, ids=["m0"], reason="no")
    return case


@pytest.fixture
def own_only(
    token: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """An auth manager that lets people at some assets only; those of this list."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    token("OP")  # Airflow's database is there
    uris = {name: asset_uri(name) for name in ("blobs", "others")}
    with create_session() as session:
        made = [AssetModel(name=asset_name(name), uri=uri) for name, uri in uris.items()]
        session.add_all(made)
        session.flush()
        ids = {name: str(asset.id) for name, asset in zip(uris, made, strict=True)}
    theirs: list[str] = ["others"]

    def authorized(_manager: Any, *, details: Any = None, **_: Any) -> bool:
        return details is None or details.id in (None, *(ids[name] for name in theirs))

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_asset", authorized)
    yield theirs
    with create_session() as session:
        session.execute(delete(AssetModel).where(AssetModel.uri.in_(uris.values())))


@pytest.fixture
def client(yard: Yard) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    app = SecureHeaders(create_app(lambda: yard.workspace))
    return TestClient(app, follow_redirects=False)


@pytest.fixture
def incident(yard: Yard) -> str:
    """An incident that holds a source."""
    asked, hold = Question("source", "vendor-a"), (HoldKind.SOURCE, "vendor-a")
    return incidents.open_incident(yard.workspace, asked, reason="stolen", holds=[hold]).id


def _addresses(case: str, decision: str, incident: str) -> list[tuple[str, str]]:
    """Every route that names a case, a decision, an incident or a dataset, with real ids."""
    names = {
        "{incident}": incident,
        "{case}": case,
        "{decision}": decision,
        "{dataset:path}": "blobs",
        "{dataset}": "blobs",
    }
    names |= {"{position}": "0", "{column}": "0", "{neighbour}": "0"}
    found = []
    for route in routes():
        path = route.path
        if any(name in path for name in ("{case}", "{decision}", "{incident}", "{dataset")):
            for name, value in names.items():
                path = path.replace(name, value)
            found.append((next(iter(route.methods)), path))
    return found


def test_ids_do_not_reach_another_dataset(
    client: TestClient,
    token: Callable[[str], dict[str, str]],
    yard: Yard,
    case: str,
    incident: str,
    own_only: list[str],
) -> None:
    (decision,) = review.list_decisions(yard.workspace, case)
    addresses = _addresses(case, decision.id, incident)
    assert len(addresses) > 20
    for method, path in addresses:
        refused = client.request(method, path, headers=token("OP") | HERE, json={})
        assert refused.status_code == 403, (method, path)
    assert len(review.list_decisions(yard.workspace, case)) == 1
    own_only.append("blobs")
    for path in (f"/cases/{case}", f"/incidents/{incident}", "/incidents"):
        assert client.get(path, headers=token("OP")).status_code == 200


def test_incidents_are_of_those_who_may_act_on_every_dataset(
    client: TestClient,
    token: Callable[[str], dict[str, str]],
    yard: Yard,
    case: str,
    incident: str,
    own_only: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    for path in ("/incidents", "/api/v1/incidents"):
        assert client.get(path, headers=token("OP")).status_code == 403
    own_only.append("blobs")
    theirs = SimpleAuthManager.is_authorized_asset

    def may_change_one(manager: Any, *, method: str, details: Any = None, **more: Any) -> bool:
        own = method == "GET" or details is None or details.id is None
        return own and bool(theirs(manager, method=method, details=details, **more))

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_asset", may_change_one)
    page = client.get(f"/incidents/{incident}", headers=token("OP"))
    assert (page.status_code, "data-post" in page.text) == (200, False)
    body = {"what": "SOURCE", "name": "vendor-a", "reason": "let it in"}
    address = f"/api/v1/incidents/{incident}/holds/lift"
    assert client.post(address, headers=token("OP") | HERE, json=body).status_code == 403
    assert len(incidents.show_incident(yard.workspace, incident).holds) == 1


def test_lists_leave_out_what_somebody_may_not_see(
    client: TestClient, token: Callable[[str], dict[str, str]], case: str, own_only: list[str]
) -> None:
    def told() -> tuple[bool, int, int]:
        page = client.get("/", headers=token("OP")).text
        listed = client.get("/api/v1/cases", headers=token("OP")).json()["cases"]
        counted = client.get("/api/v1/facets", headers=token("OP")).json()["cases"]
        return case in page, len(listed), counted

    assert told() == (False, 0, 0)
    own_only.append("blobs")
    assert told() == (True, 1, 1)


def test_policies_name_the_dataset(yard: Yard) -> None:
    assert make_policy().dataset == yard.policy.dataset == "blobs"


def test_sources_and_gates_leave_out_what_somebody_may_not_see(
    client: TestClient,
    token: Callable[[str], dict[str, str]],
    yard: Yard,
    case: str,
    own_only: list[str],
) -> None:
    def told(path: str) -> Any:
        response = client.get(f"/api/v1{path}", headers=token("OP"))
        assert response.status_code == 200
        return response.json()

    def figures() -> tuple[int, ...]:
        (counts,) = [
            one["counts"]
            for one in told("/sources")["sources"]
            if one["source"]["name"] == "vendor-a"
        ]
        source = told("/sources/vendor-a")
        assert source["counts"] == counts
        return (
            len(told("/gates")["gates"]),
            counts["deliveries"],
            counts["open_cases"],
            counts["held"],
            len(source["shares"]),
            source["drift"]["batches"],
            len(told("/sources/vendor-a/deliveries")["deliveries"]),
        )

    assert figures() == (0, 0, 0, 0, 0, 0, 0)
    page = client.get("/sources/vendor-a", headers=token("OP")).text
    assert case not in page
    assert "that you may not see" in page
    assert "/batches/" not in page
    trace = told("/sources/vendor-a/trace")
    assert trace["trace"] is None
    assert "may not see" in trace["why_not"]
    traced = client.get("/sources/vendor-a/trace", headers=token("OP")).text
    assert "Not answered here." in traced
    assert "blobs" not in traced
    own_only.append("blobs")
    held = review.show_case(yard.workspace, case).held
    assert figures() == (1, 1, 1, held, 1, 1, 1)
    assert told("/sources/vendor-a/trace")["trace"]["completeness"]["complete"] is True
