"""What reviewers wait for where one case holds a million records, on PostgreSQL.

    python benchmarks/review.py [--records 1000000] [--cases 200] [--runs 3] [--at FOLDER]

Makes a catalog on a throw-away PostgreSQL by the real stages: one delivery of ten classes in eight
dimensions with a line of text, a tenth of them mislabelled, so that the gate holds all of it; and
small deliveries of the same kind, one case each. With ``--at`` catalog and store stay in that
folder, and are measured again without being made again; their records are decided on by then.

Then it measures, some times each: the inbox, the page of the large case, pages of its records (the
first, one in the middle, the last, and by filters), counts of filters, the map, what a lasso over
half of it takes and the score histogram, the decision on a tenth of
the records by a filter, its undo, and the publication of another tenth. ``page`` and ``api`` go
through the application that Airflow mounts, with a token of Airflow's auth manager, inside this
process: that is the time at the server. ``library`` calls what is behind it.

Prints one JSON line per measurement with the medians: ``wall`` and ``cpu`` in seconds, ``cpu`` of
this process and of PostgreSQL's together; ``peak_mb``, the most memory that this process had
meanwhile, and ``before_mb``, what it had before.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import airflow_environment
import numpy as np
import postgres
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.testclient import TestClient

    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace

CLASSES, WIDTH, REFERENCE, PART, SMALL = 10, 8, 5_000, 50_000, 60
SOURCE = "vendor"
LASSO = "0,0,32768,0,32768,65535,0,65535"
POLICY: dict[str, Any] = {
    "version": 1,
    "dataset": "review",
    "columns": {"record_id": "id", "label": "label", "embedding": "vector", "payload": ["text"]},
    "sources": {"require_signature": False},
    "screen": {
        "false_quarantine_rate": 0.02,
        "detectors": {"mahalanobis": {}, "knn_label": {"k": 5}},
        "batch": {"alpha": 1e-9, "hold_when_held_fraction": 0.05},
    },
}


def rows(first: int, count: int, seed: int, mislabelled: float) -> pa.Table:
    """Ten classes far from each other, each a tenth of the rows; some have another one's label."""
    random = np.random.default_rng((seed, first))
    numbers = np.arange(first, first + count)
    label = numbers % CLASSES
    vectors = random.normal(size=(count, WIDTH)) * 0.3
    vectors[np.arange(count), label % WIDTH] += 6 - 12 * (label // WIDTH)
    wrong = random.random(count) < mislabelled
    # Pairs of classes change places, so that each label still has a tenth of the rows at heart.
    given = np.where(wrong, label ^ 1, label)
    return pa.table(
        {
            "id": [f"{seed}-{number}" for number in numbers],
            "label": given,
            "vector": pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.astype(np.float32).ravel()), WIDTH
            ),
            "text": [f"what somebody wrote as number {number}" for number in numbers],
        }
    )


def deliver(town: Town, name: str, count: int, seed: int, mislabelled: float = 0.1) -> str:
    """One delivery by all stages until the gate; its case."""
    from lazaretto import stages

    path = town.folder / f"{name}.parquet"
    writer: pq.ParquetWriter | None = None
    for first in range(0, count, PART):
        part = rows(first, min(PART, count - first), seed, mislabelled)
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    assert writer is not None
    writer.close()
    batch = stages.receive(town.workspace, path, SOURCE, policy=town.policy).id
    for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
        judged: Any = stage(town.workspace, batch, town.policy)
    path.unlink()
    assert judged.held == count, judged
    return str(judged.case)


@dataclass
class Town:
    """A catalog, its server, and the case in question."""

    workspace: Workspace
    policy: Policy
    folder: Path
    server: postgres.Server
    case: str = ""
    client: TestClient | None = None
    found: dict[tuple[str, str], list[dict[str, float]]] = field(default_factory=dict)

    def fill(self, records: int, cases: int) -> None:
        """The large case among the small ones; says how long each took."""
        from lazaretto.reference import Reference
        from lazaretto.registry.references import save_reference
        from lazaretto.sources.registry import add_source
        from lazaretto.values import TrustTier

        add_source(self.workspace, SOURCE, trust_tier=TrustTier.REVIEWED)
        trusted = rows(0, REFERENCE, 1, 0.0)
        save_reference(self.workspace, Reference.fit(trusted, self.policy, name="review"))
        for number in range(cases):
            if number == cases // 2:
                with self.measured("made", "large case"):
                    self.case = deliver(self, "large", records, 2)
            deliver(self, f"small-{number}", SMALL, 10 + number, 0.4)
        (self.folder / "case").write_text(self.case)

    @contextmanager
    def measured(self, how: str, what: str) -> Iterator[None]:
        """Seconds and memory of what is done inside."""
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _memory("VmRSS")
        cpu, wall = self._cpu(), time.perf_counter()
        yield
        wall, cpu = time.perf_counter() - wall, self._cpu() - cpu
        taken = {"wall": wall, "cpu": cpu, "peak_mb": _memory("VmHWM"), "before_mb": before}
        self.found.setdefault((how, what), []).append(taken)

    def _cpu(self) -> float:
        """Of this process, and of the server with all that it started."""
        first = int((self.server.home / "data/postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        ticks = sum(_ticks(first, 4)) + sum(sum(_ticks(int(child), 2)) for child in children)
        return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")

    def get(self, how: str, what: str, path: str) -> Any:
        """Asks the application."""
        assert self.client is not None
        with self.measured(how, what):
            answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer

    def post(self, what: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The same for what changes something."""
        assert self.client is not None
        with self.measured("api", what):
            answer = self.client.post(path, json=body, headers={"X-Lazaretto-Request": "1"})
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def call(self, what: str, work: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Calls the library."""
        with self.measured("library", what):
            return work(*arguments, **more)

    def tell(self, **about: Any) -> None:
        """Prints the medians, one line each."""
        for (how, what), taken in self.found.items():
            middle = {name: statistics.median(one[name] for one in taken) for name in taken[0]}
            times = {name: round(middle[name], 3) for name in ("wall", "cpu")}
            sizes = {name: round(middle[name]) for name in ("peak_mb", "before_mb")}
            print(json.dumps({"how": how, "what": what, **times, **sizes, "runs": len(taken)}))
        print(json.dumps(about), flush=True)


def _memory(name: str) -> float:
    """Megabytes, as the kernel tells them of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(found.split()[1]) / 1024


def _ticks(process: int, count: int) -> list[int]:
    """User and system time of a process, and then of its children that ended."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return [0] * count
    return [int(word) for word in text.rpartition(")")[2].split()[11 : 11 + count]]


def look(town: Town, records: int, runs: int) -> None:
    """What is read: the inbox, the case, its records, counts."""
    from lazaretto.quarantine import review

    case, middle, last = town.case, records // 2, records - 60
    pages = {
        "first": "",
        "middle": f"after={middle}",
        "last": f"after={last}",
        "of a reason, middle": f"reason=screen:knn_label&after={middle}",
        "of a label, last": f"label=7&after={last}",
        "undecided, middle": f"action=UNDECIDED&after={middle}",
        "of a few scores": "max_p_value=0.00025&label=1",
        "of none": "max_score=-1000000",
    }
    counts: dict[str, dict[str, str]] = {
        "all": {},
        "undecided": {"action": "UNDECIDED"},
        "of a label": {"label": "7"},
        "of a reason": {"reason": "screen:knn_label"},
        "of scores": {"min_score": "3"},
    }
    for _ in range(runs):
        town.get("page", "inbox", "/")
        town.get("page", "case", f"/cases/{case}")
        town.call("inbox", review.list_cases, town.workspace, limit=50)
        town.call("case", review.show_case, town.workspace, case)
        for name, query in pages.items():
            town.get("api", f"records, {name}", f"/api/v1/cases/{case}/records?{query}")
        town.get("api", "map", f"/api/v1/cases/{case}/map")
        town.get("api", "map, lasso", f"/api/v1/cases/{case}/map/inside?polygon={LASSO}")
        town.get("api", "score histogram", f"/api/v1/cases/{case}/scores")
        for name, wanted in counts.items():
            town.call(f"count, {name}", review.count_records, town.workspace, case, wanted)


def act(town: Town, records: int, runs: int) -> dict[str, int]:
    """What is decided, taken back and published; how many records each."""
    from lazaretto.quarantine import review
    from lazaretto.values import Action, Actor, ActorType

    case, some = town.case, {"label": "7"}
    decisions = f"/api/v1/cases/{case}/decisions"
    bob = town.workspace.acting(Actor(ActorType.HUMAN, "user:bob"))
    taken = published = 0
    for run in range(runs):
        why: dict[str, Any] = {"filter": some, "reason": "a look"}
        made = town.call("decide, by filter", review.decide, bob, case, Action.REJECT, **why)
        town.call("undo", review.undo, bob, made.id, reason="a second look")
        body = {"action": "RELEASE", "reason": "a look", "filter": some, "expected": made.records}
        decision = town.post("decide, by filter", decisions, body)
        taken = decision["records"]
        undone = f"/api/v1/decisions/{decision['id']}/undo"
        town.post("undo", undone, {"reason": "a second look"})
        # Labels 8 and 9 are at these places, and at no others.
        first = records // 2 // CLASSES * CLASSES + 8 + run * 500 * CLASSES
        places = list(range(first, first + 500 * CLASSES, CLASSES))
        one = {"action": "REJECT", "reason": "no", "positions": places[:1]}
        town.post("decide, one record", decisions, one)
        town.post("decide, 500 records", decisions, one | {"positions": places})
        why = {"filter": {"label": str(run)}, "reason": "fine"}
        town.call("decide, by filter", review.decide, bob, case, Action.RELEASE, **why)
        admission = town.post("publish", f"/api/v1/cases/{case}/publish")["admission"]
        published = admission["rows"]
    return {"decided": taken, "published": published}


def client_of(workspace: Workspace) -> TestClient:
    """Somebody who may decide, signed in to the application as Airflow serves it."""
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    airflow_environment.prepare_database()
    manager = create_auth_manager()
    manager.init()
    token = manager.generate_jwt(SimpleAuthManagerUser(username="ann", role="ADMIN"))
    app = SecureHeaders(create_app(lambda: workspace))
    return TestClient(app, headers={"Authorization": f"Bearer {token}"})


@contextmanager
def server_at(folder: Path | None) -> Iterator[tuple[postgres.Server, Path]]:
    """A server and a folder, new and gone afterwards; or those that are kept in a folder."""
    if folder is None:
        with postgres.running_server() as server, tempfile.TemporaryDirectory() as made:
            yield server, Path(made)
        return
    binaries = postgres._binaries()
    assert binaries is not None, "no PostgreSQL server binaries: apt install postgresql"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    server = postgres.Server(binaries, folder / "server", postgres._user())
    if not server.home.exists():
        server.home.mkdir()
        if server.user is not None:
            shutil.chown(server.home, user=server.user)
        server._run("initdb", "-A", "trust", "-U", "lazaretto", "--no-sync")
    server.start()
    try:
        yield server, folder
    finally:
        server._run("pg_ctl", "-w", "-m", "fast", "stop")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--at", type=Path, help="keep catalog and store there")
    parser.add_argument("--only", choices=["fill", "look", "act"], help="one part of it")
    options = parser.parse_args()
    airflow_environment.use()
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import open_workspace

    with server_at(options.at) as (server, folder):
        workspace = open_workspace(catalog_url=server.url("postgres"), store=folder / "store")
        town = Town(workspace, Policy.model_validate(POLICY), folder, server)
        if (folder / "case").exists():
            town.case = (folder / "case").read_text()
        else:
            town.fill(options.records, options.cases)
        about: dict[str, Any] = {"records": options.records, "cases": options.cases}
        if options.only != "fill":
            town.client = client_of(workspace)
        if options.only in (None, "look"):
            look(town, options.records, options.runs)
        if options.only in (None, "act"):
            about |= act(town, options.records, options.runs)
        town.tell(**about)
        workspace.catalog.engine.dispose()


if __name__ == "__main__":
    main()
