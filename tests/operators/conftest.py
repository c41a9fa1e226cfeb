"""Operators run in real Airflow here, on a throw-away home and a workspace of each test's own."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import airflow_environment
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from lazaretto.demo.digits import Records, Split
    from lazaretto.ledger.events import Event
    from lazaretto.reference import Reference
    from lazaretto.storage.workspace import Workspace

HOME = airflow_environment.use()
SOURCE = "vendor-a"
POLICY = str(Path(str(find_spec("lazaretto.demo").origin)).with_name("policy.yaml"))
DELIVERIES = "deliveries"
RESULT = "return_value"
LINK = "_link_CaseLink"


@dataclass(frozen=True, slots=True)
class World:
    """A source with a key, a reference on real digits, and deliveries from that source.

    Attributes:
        workspace: catalog and store.
        split: digits without leakage between trusted and delivered.
        policy: the policy's file.
        folder: where deliveries are put.
        private_key: the source's.
    """

    workspace: Workspace
    split: Split
    policy: str
    folder: Path
    private_key: bytes = field(repr=False)

    def deliver(
        self, name: str, content: Records | pa.Table, *, private_key: bytes | None = None
    ) -> dict[str, str]:
        """Writes and signs a delivery; returns what the ingestion DAG is told of it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from lazaretto.demo.deliveries import to_table
        from lazaretto.sources.manifest import sign_manifest

        file = self.folder / name / "digits.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(content if isinstance(content, pa.Table) else to_table(content), file)
        manifest = file.with_name("manifest.json")
        now = datetime.now(UTC)
        manifest.write_bytes(
            sign_manifest(
                file,
                source=SOURCE,
                private_key=private_key or self.private_key,
                collected_from=now - timedelta(days=1),
                collected_to=now,
            )
        )
        return {"uri": str(file), "source": SOURCE, "manifest": str(manifest)}

    def part(self, start: int, stop: int) -> Records:
        """Some of the clean records that may be delivered."""
        import numpy as np

        return self.split.delivered.take(np.arange(start, stop))

    def ledger(self, kind: type[Event]) -> list[Any]:
        """Events of one kind, in order."""
        from lazaretto.ledger import chain as ledger

        with self.workspace.catalog.read() as connection:
            return [entry.event for entry in ledger.entries(connection, kinds=[kind.kind])]


@pytest.fixture(scope="session")
def fitted() -> tuple[Split, Reference]:
    """Real digits, and a reference fitted on the trusted ones."""
    from lazaretto.demo.deliveries import to_table
    from lazaretto.demo.digits import load_split
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference

    split = load_split(0)
    policy = Policy.load(POLICY)
    return split, Reference.fit(to_table(split.trusted), policy, name=policy.dataset, seed=0)


@pytest.fixture
def catalog_of_world(sqlite_catalog: str) -> str:
    """Address of the catalog that a world gets; a module may give another."""
    return sqlite_catalog


@pytest.fixture
def world(
    fitted: tuple[Split, Reference],
    tmp_path: Path,
    catalog_of_world: str,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """A world of its own for each test; operators find it by the environment."""
    from lazaretto.registry.references import save_reference
    from lazaretto.sources.manifest import keygen
    from lazaretto.sources.registry import add_key, add_source
    from lazaretto.storage.workspace import open_workspace
    from lazaretto.values import TrustTier

    monkeypatch.setenv("LAZARETTO_CATALOG_URL", catalog_of_world)
    monkeypatch.setenv("LAZARETTO_STORE", str(tmp_path / "store"))
    # Beside the folder of deliveries, which it names as the place from which they come.
    policy = shutil.copy(POLICY, tmp_path)
    monkeypatch.setenv("LAZARETTO_POLICY", policy)
    monkeypatch.setenv("LAZARETTO_DATASET", "handwriting")
    workspace = open_workspace()
    add_source(workspace, SOURCE, trust_tier=TrustTier.REVIEWED)
    private, public = keygen()
    valid_from = datetime.now(UTC) - timedelta(days=30)
    add_key(workspace, SOURCE, public, valid_from=valid_from)
    split, reference = fitted
    save_reference(workspace, reference)
    return World(workspace, split, policy, tmp_path / DELIVERIES, private)


@pytest.fixture
def dags_folder() -> Iterator[Path]:
    """An empty DAGs folder that Airflow knows; its database is ready."""
    airflow_environment.prepare_database()
    folder = HOME / "dags"
    yield folder
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a DAG run and of its tasks, by ``task_id`` or ``task_id[n]``."""

    state: str
    tasks: dict[str, str]
    xcoms: dict[str, Any]
    links: dict[str, str]
    asset_events: list[dict[str, Any]]


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """`DAG.test` looks again at once where it waits a second, as for tasks behind a failed one."""
    pause = time.sleep

    def shorter(seconds: float) -> None:
        asked_by = sys._getframe(1).f_globals["__name__"]
        pause(min(seconds, 0.02) if asked_by == "airflow.sdk.definitions.dag" else seconds)

    monkeypatch.setattr(time, "sleep", shorter)


@pytest.fixture
def schemas_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow holds the schema of each parameter against JSON Schema's own, at every look at it."""
    from jsonschema import Draft202012Validator

    check, sound = Draft202012Validator.check_schema, set()

    def check_once(schema: Any, *arguments: Any, **options: Any) -> None:
        if repr(schema) not in sound:
            check(schema, *arguments, **options)
            sound.add(repr(schema))

    monkeypatch.setattr(Draft202012Validator, "check_schema", staticmethod(check_once))


@pytest.fixture
def run_dag(
    dags_folder: Path, without_pauses: None, schemas_checked_once: None
) -> Callable[..., Run]:
    """Runs a DAG of a file, from the repository's ``dags/`` or given as text, in real Airflow."""

    def run(
        dag_id: str,
        conf: dict[str, Any] | None = None,
        *,
        text: str | None = None,
        day: datetime | None = None,
    ) -> Run:
        from airflow.dag_processing.dagbag import DagBag

        file = dags_folder / f"{dag_id}.py"
        if text is None:
            shutil.copy(airflow_environment.DAGS / file.name, file)
        else:
            file.write_text(text)
        bag = DagBag(dag_folder=str(file))
        assert bag.import_errors == {}
        return _what_happened(bag.dags[dag_id].test(logical_date=day, run_conf=conf))

    return run


def _what_happened(dag_run: Any) -> Run:
    from airflow.models.asset import AssetEvent
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def name(row: Any) -> str:
        return row.task_id if row.map_index < 0 else f"{row.task_id}[{row.map_index}]"

    with create_session() as session:
        of_run = (XComModel.dag_id == dag_run.dag_id) & (XComModel.run_id == dag_run.run_id)
        rows = session.scalars(select(XComModel).where(of_run)).all()
        values = {(row.key, name(row)): row.value for row in rows}
        events = session.scalars(
            select(AssetEvent).where(AssetEvent.source_run_id == dag_run.run_id)
        ).all()
        extras = [dict(event.extra) for event in events]
    return Run(
        state=str(dag_run.state),
        tasks={name(ti): str(ti.state) for ti in dag_run.get_task_instances()},
        xcoms={task: value for (key, task), value in values.items() if key == RESULT},
        links={task: value for (key, task), value in values.items() if key == LINK},
        asset_events=extras,
    )


@pytest.fixture
def airflow_events() -> Callable[[], list[dict[str, Any]]]:
    """The OpenLineage events that came since the test began."""
    file = airflow_environment.events_file(Path(os.environ["AIRFLOW_HOME"]))
    before = file.stat().st_size if file.exists() else 0

    def read() -> list[dict[str, Any]]:
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_bytes()[before:].splitlines()]

    return read
