"""Airflow's public REST API, as far as the checks use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_settings import User
    from servers import Servers

_PATIENCE = 240.0
ENDED = ("success", "failed")


@dataclass(frozen=True, slots=True)
class Api:
    """A signed-in client.

    Attributes:
        client: of the API server.
        servers: which must go on running while something is waited for.
    """

    client: httpx.Client
    servers: Servers

    @classmethod
    def sign_in(cls, servers: Servers, user: User) -> Api:
        """Signs in, once the server answers."""
        client = httpx.Client(base_url=servers.address, timeout=60, trust_env=False)
        api = cls(client, servers)
        login = {"username": user.name, "password": user.password}

        def token() -> str | None:
            try:
                answer = client.post("/auth/token", json=login)
            except httpx.TransportError:
                return None
            return answer.json()["access_token"] if answer.is_success else None

        client.headers["Authorization"] = f"Bearer {api.wait('a token', token)}"
        return api

    def get(self, path: str, **parameters: Any) -> Any:
        """What is at a path of ``/api/v2``."""
        return self._answer(self.client.get(f"/api/v2{path}", params=parameters))

    def post(self, path: str, body: Any) -> Any:
        """Posts to a path of ``/api/v2``."""
        return self._answer(self.client.post(f"/api/v2{path}", json=body))

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        if not response.is_success:
            raise RuntimeError(f"{response.request.url}: {response.status_code} {response.text}")
        return response.json()

    def wait(self, what: str, found: Callable[[], Any]) -> Any:
        """Asks until the answer is something.

        Raises:
            ServerError: a part of the deployment has ended, or it takes too long.
        """
        return self.servers.wait(what, found, seconds=_PATIENCE)

    def trigger(self, dag: str, run: str, conf: dict[str, Any] | None = None) -> str:
        """Starts a run; returns its id."""
        body = {"dag_run_id": run, "logical_date": None, "conf": conf or {}}
        self.post(f"/dags/{dag}/dagRuns", body)
        return run

    def ended(self, dag: str, run: str) -> tuple[str, dict[str, str]]:
        """Waits for a run; returns its state and those of its tasks, by ``id`` or ``id[n]``."""

        def state() -> str | None:
            found = self.get(f"/dags/{dag}/dagRuns/{run}")["state"]
            return found if found in ENDED else None

        return self.wait(f"{dag} {run}", state), self.tasks(dag, run)

    def tasks(self, dag: str, run: str) -> dict[str, str]:
        """States of a run's tasks."""
        rows = self.get(f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {_name(row["task_id"], row["map_index"]): row["state"] for row in rows}

    def clear(self, dag: str, run: str, tasks: list[str]) -> None:
        """Clears tasks of a run, and what is behind them."""
        body = {
            "dry_run": False,
            "dag_run_id": run,
            "task_ids": tasks,
            "only_failed": False,
            "include_downstream": True,
        }
        self.post(f"/dags/{dag}/clearTaskInstances", body)

    def log(self, dag: str, run: str, task: str, *, attempt: int = 1) -> list[dict[str, Any]]:
        """Lines of a task's log, as its page shows them."""
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}"
        content = self.get(path, full_content=True)["content"]
        return [line for line in content if isinstance(line, dict)]

    def returned(self, dag: str, run: str, task: str) -> Any:
        """What a task returned (XCom)."""
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        return self.get(path, deserialize=True)["value"]


def _name(task: str, index: int) -> str:
    return task if index < 0 else f"{task}[{index}]"
