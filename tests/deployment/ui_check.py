"""What must be true of the Airflow that `make ui` shows: asked over HTTP, as a browser would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from api import Api
from checks import expect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_settings import User
    from servers import Servers

    from lazaretto.quarantine.review import Case
    from lazaretto.storage.workspace import Workspace

_DAEMONS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def all_healthy(client: httpx.Client) -> bool:
    """Whether Airflow says of each of its parts that it works."""
    try:
        answer = client.get("/api/v2/monitor/health")
    except httpx.TransportError:
        return False
    if not answer.is_success:
        return False
    parts: dict[str, dict[str, Any]] = answer.json()
    return all(parts[name]["status"] == "healthy" for name in _DAEMONS)


def unpause(api: Api) -> None:
    """Lets Airflow start the DAGs by themselves: training, when a person publishes."""
    for dag in api.get("/dags", limit=100)["dags"]:
        path = f"/api/v2/dags/{dag['dag_id']}"
        api.client.patch(path, json={"is_paused": False}).raise_for_status()


def undecided(workspace: Workspace) -> list[Case]:
    """The open cases with records that nobody decided on."""
    from lazaretto.quarantine.review import list_cases

    return [one for one in list_cases(workspace) if one.actions.get("UNDECIDED")]


def check_site(servers: Servers, users: Sequence[User], workspace: Workspace) -> None:
    """Asserts that everybody can sign in and look, and that a viewer and a stranger do no more.

    Raises:
        AssertionError: something is not as it must be.
    """
    cases = undecided(workspace)
    expect("cases to review, as README.md says", len(cases), 4)
    largest = max(cases, key=lambda case: case.rows)
    decision = {"action": "REJECT", "reason": "looked at", "positions": [0]}
    page = f"/lazaretto/cases/{largest.id}"
    route = f"/lazaretto/api/v1/cases/{largest.id}/decisions"
    for user in users:
        client = Api.sign_in(servers, user).client
        inbox = client.get("/lazaretto/")
        expect(f"{user.name} sees the inbox", inbox.status_code, 200)
        expect("all cases are in it", [one.id for one in cases if one.id not in inbox.text], [])
        expect(f"{user.name} sees a case", client.get(page).status_code, 200)
        if user.role == "viewer":
            refused = client.post(route, json=decision, headers={"X-Lazaretto-Request": "1"})
            expect("a viewer decides nothing", refused.status_code, 403)
    with httpx.Client(base_url=servers.address, trust_env=False) as stranger:
        expect("a stranger is kept out", stranger.get(page).status_code, 401)
        shell = stranger.get("/plugin/quarantine", follow_redirects=True)
        expect("Airflow answers at the printed address", shell.status_code, 200)
