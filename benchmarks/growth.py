"""What a catalog costs as it grows: ledger, lineage and checks; and a delivery after many others.

    python benchmarks/growth.py ledger [--sizes 500 1000 2000 5000]
    python benchmarks/growth.py delivery [--sizes 10 1000 10000] [--runs 5]
    python benchmarks/growth.py quota [--sizes 100 1000 10000]

One real delivery of 500 records goes the whole way first. Its ledger entries are the form of all
others: the history repeats them under other names and digests, with the rows of the catalog that
each room makes of them, and commits of the dataset's table where deliveries are measured. A
snapshot is taken every ten batches in the form in which its stage writes it, and a model learns
from each. Only the data files of these batches are not there.

`ledger` prints one JSON line per number of batches: entries, bytes of the ledger, edges of the
lineage index, size of the SQLite file, and seconds of CPU of `ledger verify`, of the catalog's part
of `catalog check`, and of traces. `delivery` prints the CPU of one more real delivery, stage by
stage, after so many earlier ones of the same source; the least of some runs. `quota` prints the CPU
of checking a source's quota with so many admissions in its window: before the transaction that
admits, and in it, while other writers wait.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazaretto.dataset.snapshots import WholeSnapshot
    from lazaretto.drift.source import Evidence
    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.events import BatchAdmitted, Event
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace

DATASET, SOURCE = "growth", "vendor"
ROWS, REFERENCE, WIDTH = 500, 4_000, 16
PER_SNAPSHOT = 10
AT_ONCE = 200
POLICY: dict[str, Any] = {
    "version": 1,
    "dataset": DATASET,
    "columns": {"record_id": "id", "label": "label", "embedding": "embedding"},
    "sources": {"require_signature": False},
    "screen": {
        "detectors": {"mahalanobis": {}, "knn_label": {"k": 20}},
        "batch": {"alpha": 1e-9, "hold_when_held_fraction": 0.9},
    },
}


def rows(count: int, seed: int) -> pa.Table:
    """Ten Gaussian classes."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(1).normal(size=(10, WIDTH))
    labels = random.integers(10, size=count)
    points = (random.standard_normal((count, WIDTH)) + centers[labels]).astype(np.float32)
    return pa.table(
        {
            "id": [f"{seed}-{number}" for number in range(count)],
            "label": labels,
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(points.ravel()), WIDTH),
        }
    )


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU."""
    start = time.process_time()
    work()
    return round(time.process_time() - start, 3)


@dataclass
class Town:
    """A workspace, the policy of its dataset, and deliveries to it."""

    workspace: Workspace
    policy: Policy
    folder: Path
    seed: int = 100

    @classmethod
    def open(cls, folder: Path) -> Town:
        """A fresh one, with a source and a reference."""
        from lazaretto.policy import Policy
        from lazaretto.reference import Reference
        from lazaretto.registry.references import save_reference
        from lazaretto.sources.registry import add_source
        from lazaretto.storage.workspace import open_workspace
        from lazaretto.values import TrustTier

        workspace = open_workspace(catalog_url=f"sqlite:///{folder}/c.db", store=folder / "store")
        policy = Policy.model_validate(POLICY)
        add_source(workspace, SOURCE, trust_tier=TrustTier.REVIEWED)
        save_reference(workspace, Reference.fit(rows(REFERENCE, 1), policy, name=DATASET))
        return cls(workspace, policy, folder)

    def deliver(self) -> dict[str, float]:
        """One real delivery, from receipt to admission: seconds of CPU by stage."""
        from lazaretto import stages

        self.seed += 1
        path = self.folder / f"{self.seed}.parquet"
        pq.write_table(rows(ROWS, self.seed), path)
        took: dict[str, float] = {}

        def timed(stage: str, *arguments: Any, **more: Any) -> Any:
            start = time.process_time()
            result = getattr(stages, stage)(self.workspace, *arguments, **more)
            took[stage] = round(time.process_time() - start, 4)
            return result

        batch = timed("receive", path, SOURCE, policy=self.policy).id
        for stage in ("validate", "embed", "screen", "gate"):
            timed(stage, batch, self.policy)
        timed("admit", batch, policy=self.policy)
        return took


@dataclass
class History:
    """Batches like the one that was really delivered."""

    town: Town
    pattern: list[Entry]
    evidence: Evidence
    tables: bool
    batches: int = 1
    version: int = 1
    models: int = 0
    taken: WholeSnapshot | None = None
    files: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def after(cls, town: Town, *, tables: bool) -> History:
        """Begins behind the first delivery.

        Args:
            town: where it was made.
            tables: whether the table of the dataset gets its commits, too.
        """
        from lazaretto.drift.source import Evidence
        from lazaretto.ledger.chain import entries
        from lazaretto.ledger.events import BatchAdmitted, BatchScreened

        with town.workspace.catalog.read() as connection:
            every = list(entries(connection))
        pattern = [one for one in every if getattr(one.event, "batch", None) is not None]
        (screened,) = [one.event for one in pattern if isinstance(one.event, BatchScreened)]
        assert screened.source_evidence is not None
        known = {
            file.file.path: file
            for one in pattern
            if isinstance(one.event, BatchAdmitted)
            for file in one.event.files
        }
        evidence = Evidence.of_record(screened.source_evidence)
        return cls(town, pattern, evidence, tables, files=known)

    def grow(self, until: int) -> None:
        """Writes so many batches in all, with their snapshots and models."""
        from lazaretto.ledger.events import BatchAdmitted

        while self.batches < until:
            with self.town.workspace.catalog.transaction() as connection:
                written = []
                for _ in range(min(AT_ONCE, until - self.batches)):
                    written += [self._write(connection, event) for event in self._batch(connection)]
                    if self.batches % PER_SNAPSHOT == 0:
                        self._write(connection, self._snapshot())
                        self._write(connection, self._model())
            for entry in written:
                if self.tables and isinstance(entry.event, BatchAdmitted):
                    self._commit(entry, entry.event)

    def _commit(self, entry: Entry, event: BatchAdmitted) -> None:
        """The table's commit as Delta writes it, which takes a hundredth of the time by hand."""
        from lazaretto.dataset.delta import find_table, log_entry
        from lazaretto.dataset.files import dataset_uri

        moment = int(entry.at.timestamp() * 1000)
        about = {"lazaretto_seq": str(entry.seq), "lazaretto_entry": entry.hash}
        actions: list[dict[str, Any]] = [
            {"commitInfo": {"timestamp": moment, "operation": "WRITE", **about}},
            {"txn": {"appId": f"lazaretto:{event.batch}:{event.part}", "version": 1}},
        ]
        for file in event.files:
            name, stats = Path(file.file.path).name, json.dumps({"numRecords": file.rows})
            add = {"path": name, "partitionValues": {}, "size": file.file.size, "stats": stats}
            actions.append({"add": {**add, "modificationTime": moment, "dataChange": True}})
        uri = dataset_uri(self.town.workspace, DATASET)
        text = "\n".join(map(json.dumps, actions))
        (Path(uri.removeprefix("file://")) / log_entry(event.version)).write_text(text)
        if event.version % 100 == 0:
            table = find_table(uri)
            assert table is not None
            table.create_checkpoint()

    def _write(self, connection: Any, event: Event) -> Entry:
        from lazaretto.health.fold import changes
        from lazaretto.ledger.state import record

        return record(connection, event, changes, actor=self.town.workspace.actor)

    def _batch(self, connection: Any) -> Iterator[Event]:
        """The entries of one more batch, with everything in them that was the first one's."""
        from lazaretto.ledger.chain import head
        from lazaretto.ledger.events import BatchAdmitted, BatchScreened, from_payload, to_payload
        from lazaretto.stats.martingale import BatchFacts

        self.batches += 1
        self.version += 1
        old = self.pattern[0].event
        digest = hashlib.sha256(f"batch {self.batches}".encode()).hexdigest()
        texts = {old.batch: f"{SOURCE}/{digest[:32]}", old.digest: digest}  # type: ignore[attr-defined]
        for entry in self.pattern:
            payload = json.dumps(to_payload(entry.event))
            for before, after in texts.items():
                payload = payload.replace(before, after)
            event = from_payload(entry.kind, payload)
            if isinstance(event, BatchScreened):
                chance = np.random.default_rng(self.batches).uniform()
                facts = BatchFacts(chance, int(0.05 * ROWS), ROWS)
                moved = None if event.drift is None else event.drift.share
                counted = event.source_evidence.counted  # type: ignore[union-attr]
                self.evidence = self.evidence.after(chance, facts, moved)
                said = self.evidence.to_record(counted, head(connection))
                event = replace(event, batch_p_value=chance, source_evidence=said)
            if isinstance(event, BatchAdmitted):
                event = self._admission(event)
            yield event

    def _admission(self, event: BatchAdmitted) -> Event:
        files = []
        for number, file in enumerate(event.files):
            name = hashlib.sha256(f"{event.batch} {number}".encode()).hexdigest()
            path = f"{file.file.path.rsplit('/', 1)[0]}/{name}.parquet"
            files.append(replace(file, file=replace(file.file, path=path, sha256=name)))
        self.files |= {file.file.path: file for file in files}
        return replace(event, version=self.version, files=files)

    def _snapshot(self) -> Event:
        """What the stage would write of this version."""
        from lazaretto.dataset.snapshots import (
            WholeSnapshot,
            as_differences,
            cost_of,
            members,
            version_digest,
        )
        from lazaretto.ledger.events import BatchAdmitted, SnapshotTaken

        (admitted,) = [e.event for e in self.pattern if isinstance(e.event, BatchAdmitted)]
        files = [self.files[path] for path in sorted(self.files)]
        held = members(files)
        event = SnapshotTaken(
            dataset=DATASET,
            version=self.version,
            rows=sum(file.rows for file in files),
            digest=version_digest(admitted.schema, files),
            members=held,
            table_id=admitted.table_id,
            schema=admitted.schema,
            files=files,
            batches=len(held),
        )
        short = as_differences(event, self.taken)
        before = 0 if self.taken is None else self.taken.cost
        cost = 0 if short.since is None else before + cost_of(short)
        self.taken = WholeSnapshot(0, short, dict(self.files), cost)
        return short

    def _model(self) -> Event:
        from lazaretto.ledger.events import ModelRegistered

        self.models += 1
        return ModelRegistered(
            model="net",
            version=str(self.models),
            registry="mlflow://models:5000",
            dataset=DATASET,
            snapshot=self.version,
            rows=ROWS * self.batches,
            purpose="TRAINING",
            artifact_uri="s3://models/net.safetensors",
            artifact_digest=hashlib.sha256(str(self.models).encode()).hexdigest(),
            params={"lr": "0.1", "epochs": "10"},
            seed=7,
        )


def ledger(sizes: list[int]) -> None:
    """Ledger, index, checks and traces at each size."""
    from lazaretto import lineage
    from lazaretto.health.state import state_check
    from lazaretto.ledger.chain import whole
    from lazaretto.ledger.differences import Differences
    from lazaretto.ledger.verify import verify
    from lazaretto.lineage.trace.trace import trace_batch, trace_model, trace_source
    from lazaretto.storage import tables

    with tempfile.TemporaryDirectory() as folder:
        town = Town.open(Path(folder))
        town.deliver()
        workspace, history = town.workspace, History.after(town, tables=False)

        def check() -> None:
            with (
                workspace.catalog.read() as connection,
                state_check(connection, None) as state,
            ):
                for entry in whole(connection):
                    state.fold.add(entry)
                found = Differences()
                state.compare(found)
                assert not found.total, found.first

        for size in sizes:
            history.grow(size)
            projected = cpu(lambda: lineage.catch_up(workspace))
            with workspace.catalog.read() as connection:
                length = sa.func.sum(sa.func.length(tables.ledger.c.payload))
                text = connection.scalar(sa.select(length))
                count = sa.select(sa.func.count())
                entries = connection.scalar(count.select_from(tables.ledger))
                edges = connection.scalar(count.select_from(tables.lineage_edge))
                first = connection.scalar(sa.select(tables.batch.c.id).limit(1))
            newest = str(history.models)
            print(
                json.dumps(
                    {
                        "batches": size,
                        "models": history.models,
                        "entries": entries,
                        "ledger_mb": round(text / 1e6, 1),
                        "edges": edges,
                        "sqlite_mb": round((town.folder / "c.db").stat().st_size / 1e6, 1),
                        "index_cpu_s": projected,
                        "verify_cpu_s": cpu(lambda: verify(workspace)),
                        "check_cpu_s": cpu(check),
                        "trace_model_cpu_s": cpu(partial(trace_model, workspace, "net", newest)),
                        "trace_batch_cpu_s": cpu(partial(trace_batch, workspace, first)),
                        "trace_source_cpu_s": cpu(lambda: trace_source(workspace, SOURCE)),
                    }
                ),
                flush=True,
            )


def delivery(sizes: list[int], runs: int) -> None:
    """One more delivery after so many."""
    with tempfile.TemporaryDirectory() as folder:
        town = Town.open(Path(folder))
        town.deliver()
        history = History.after(town, tables=True)
        for size in sizes:
            history.grow(size)
            took = [town.deliver() for _ in range(runs)]
            history.batches += runs
            history.version += runs
            best = {stage: min(one[stage] for one in took) for stage in took[0]}
            whole = round(min(sum(one.values()) for one in took), 4)
            print(json.dumps({"earlier": size, "cpu_s": whole, **best}), flush=True)


def quota(sizes: list[int]) -> None:
    """The check of a quota with so many admissions in its window."""
    from lazaretto.policy.effective import effective_settings
    from lazaretto.received import find_batch
    from lazaretto.stages.quota import require_quota
    from lazaretto.storage import tables
    from lazaretto.values import TrustTier

    with tempfile.TemporaryDirectory() as folder:
        town = Town.open(Path(folder))
        town.deliver()
        workspace, history = town.workspace, History.after(town, tables=False)
        settings = effective_settings(town.policy, [SOURCE], TrustTier.REVIEWED)
        settings = replace(settings, max_share=0.5, free_records=10**9)
        for size in sizes:
            history.grow(size)
            with workspace.catalog.read() as connection:
                first = connection.scalar(sa.select(tables.batch.c.id).limit(1))
                received = find_batch(connection, str(first))
                asked = (connection, received, DATASET, settings, ROWS, {"0": ROWS})
                before = require_quota(*asked)
                taken = {
                    "before_cpu_s": cpu(partial(require_quota, *asked)),
                    "locked_cpu_s": cpu(partial(require_quota, *asked, before)),
                }
            print(json.dumps({"admissions": size, **taken}), flush=True)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["ledger", "delivery", "quota"])
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.what == "ledger":
        ledger(arguments.sizes or [500, 1000, 2000, 5000])
    elif arguments.what == "quota":
        quota(arguments.sizes or [100, 1000, 10000])
    else:
        delivery(arguments.sizes or [10, 1000, 10000], arguments.runs)


if __name__ == "__main__":
    sys.exit(main())
