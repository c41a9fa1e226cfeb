"""Small deliveries by several workers on PostgreSQL, and what maintenance makes of their dataset.

    python benchmarks/many_workers.py [--deliveries 1000] [--rows 500] [--workers 1 8] [--window 0]
        [--apart]

Each worker is a process that has loaded Lazaretto, as a Celery worker has. It takes one delivery
after the other (Parquet; id, label, a float32 vector of 64) the whole way, under the default
policy, one thread each. Catalog: the tests' throw-away PostgreSQL, which does not wait for its
disk. Store: a local folder.

One JSON line for each number of workers, and each of `--window`: 0 is the default policy, any other
number is its ``admit.window.seconds``. With ``--apart`` no delivery is admitted before all are
judged, as where many tasks of Airflow wait for a worker; ``admit_seconds`` is the time from the
first admission to the last.

* ``per_second``: deliveries admitted per second; ``seconds``: from the first to the last.
* ``cpu``: seconds of CPU that a delivery takes in its worker and what that starts, without the
  server's.
* ``wait_ms``, ``hold_ms``: of the catalog's one writer lock, for each transaction that writes:
  how long it waited, and how long it kept others waiting. Median, 99th percentile, longest.
* ``hold_cpu_ms``: CPU of the worker in that time, which others on the machine do not stretch.
* ``load``: of the machine, over five minutes; more than its cores: everything waits.
* ``admit_ms``: how long an admission takes.
* ``version``, ``files``, ``log_files``, ``stored_files``: of the dataset afterwards: data files of
  the newest version, files of the log, and data files that lie in the store.

Then one for maintenance: versions, data files, files of the log, and the median milliseconds of
opening the dataset and reading all of it, before and after.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import catalogs  # noqa: E402
import postgres  # noqa: E402
from delivery import write  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.storage.workspace import Workspace

DATASET = "reviews"
POLICY = """
version: 1
dataset: reviews
columns: {record_id: id, label: label, embedding: embedding}
sources: {require_signature: false, places: [%s]}
"""
WINDOW = "admit: {window: {batches: 20, seconds: %d}}\n"


class Watched:
    """Times each transaction of a process's catalog that writes."""

    def __init__(self) -> None:
        from lazaretto.storage.catalog import Catalog

        self.wait: list[float] = []
        self.hold: list[float] = []
        self.cpu: list[float] = []
        real = Catalog.transaction

        @contextmanager
        def transaction(catalog: Catalog) -> Iterator[Any]:
            asked = time.perf_counter()
            begun = None
            try:
                with real(catalog) as connection:
                    begun, used = time.perf_counter(), time.process_time()
                    self.wait.append(begun - asked)
                    yield connection
            finally:
                if begun is not None:
                    self.hold.append(time.perf_counter() - begun)
                    self.cpu.append(time.process_time() - used)

        Catalog.transaction = transaction  # type: ignore[method-assign]


def work(url: str, folder: Path, tasks: Any, results: Any) -> None:
    """Takes deliveries until there are no more."""
    from lazaretto import stages
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import open_workspace

    workspace = open_workspace(catalog_url=url, store=folder / "store")
    policy = Policy.load(folder / "policy.yaml")
    watched = Watched()
    admit: list[float] = []

    @contextmanager
    def working(stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        if stage == "admit":
            admit.append(time.perf_counter() - begun)

    results.put("ready")
    before, rows = _cpu(), 0
    while (task := tasks.get()) is not None:
        what, name = task
        if what == "ingest":
            done = stages.ingest(workspace, name, "vendor", policy, working=working)
            rows += 0 if done.admission is None else done.admission.rows
        elif what == "judge":
            batch = stages.receive(workspace, name, "vendor", policy=policy).id
            for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
                stage(workspace, batch, policy)
            results.put(batch)
        else:
            with working("admit"):
                rows += stages.admit(workspace, name).rows
    results.put((watched.wait, watched.hold, watched.cpu, admit, _cpu() - before, rows))


def _cpu() -> float:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def prepare(url: str, folder: Path, data: Path, window: int) -> Workspace:
    """A catalog and a store with a source, a policy and a reference."""
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.registry.references import save_reference
    from lazaretto.sources.registry import add_source
    from lazaretto.storage.workspace import open_workspace
    from lazaretto.values import TrustTier

    folder.mkdir()
    text = POLICY % data + (WINDOW % window if window else "")
    (folder / "policy.yaml").write_text(text)
    workspace = open_workspace(catalog_url=url, store=folder / "store")
    add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
    policy = Policy.load(folder / "policy.yaml")
    fitted = Reference.fit(data / "trusted.parquet", policy, name=DATASET)
    save_reference(workspace, fitted)
    return workspace


def run(
    workers: int, deliveries: list[Path], url: str, folder: Path, apart: bool
) -> dict[str, Any]:
    """All deliveries by some workers."""
    start = multiprocessing.get_context("spawn")
    tasks, results = start.Queue(), start.Queue()
    crew = [start.Process(target=work, args=(url, folder, tasks, results)) for _ in range(workers)]
    for one in crew:
        one.start()
    for _ in crew:
        results.get()  # it has loaded what it needs
    begun = time.perf_counter()
    for path in deliveries:
        tasks.put(("judge" if apart else "ingest", str(path)))
    judged = [results.get() for _ in deliveries] if apart else []
    admitting = time.perf_counter()
    for batch in judged:
        tasks.put(("admit", batch))
    for _ in crew:
        tasks.put(None)
    found = [results.get() for _ in crew]
    seconds = time.perf_counter() - begun
    admit_seconds = round(time.perf_counter() - admitting, 1) if apart else None
    for one in crew:
        one.join()
    wait, hold, cpu, admit = ([value for one in found for value in one[at]] for at in range(4))
    return {
        "workers": workers,
        "deliveries": len(deliveries),
        "seconds": round(seconds, 1),
        "per_second": round(len(deliveries) / seconds, 2),
        "cpu": round(sum(one[4] for one in found) / len(deliveries), 3),
        "rows": sum(one[5] for one in found),
        "transactions": len(wait),
        "wait_ms": _spread(wait),
        "hold_ms": _spread(hold),
        "hold_cpu_ms": _spread(cpu),
        "admit_ms": _spread(admit),
        "admit_seconds": admit_seconds,
        "load": round(os.getloadavg()[1], 1),
    }


def _spread(seconds: list[float]) -> list[float]:
    """Median, 99th percentile and longest, in milliseconds."""
    ordered = sorted(seconds)
    places = (len(ordered) // 2, len(ordered) * 99 // 100, len(ordered) - 1)
    return [round(1000 * ordered[place], 1) for place in places]


def count(workspace: Workspace) -> dict[str, int]:
    """Versions and files of the dataset."""
    from lazaretto.dataset.files import dataset_path
    from lazaretto.dataset.table import open_dataset

    opened = open_dataset(workspace, DATASET)
    names = workspace.store.list(dataset_path(DATASET))
    log = [name for name in names if "/_delta_log/" in name]
    return {
        "version": opened.version,
        "files": len({file.file.path for file in opened.files}),
        "log_files": len(log),
        "stored_files": len(names) - len(log),
    }


def look(workspace: Workspace) -> dict[str, Any]:
    """Versions and files of the dataset, and what opening and reading it takes."""
    from lazaretto.dataset.files import read_rows
    from lazaretto.dataset.table import open_dataset

    opened = open_dataset(workspace, DATASET)

    def read() -> int:
        return sum(chunk.num_rows for chunk in read_rows(workspace.store, opened.files))

    return {
        **count(workspace),
        "rows": read(),
        "open_ms": _median(lambda: open_dataset(workspace, DATASET)),
        "delta_ms": _median(lambda: _table(opened.uri)),
        "read_ms": _median(read),
    }


def _table(uri: str) -> None:
    from deltalake import DeltaTable

    DeltaTable(uri).to_pyarrow_table(columns=["label"])


def _median(act: Any) -> float:
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        act()
        times.append(time.perf_counter() - begun)
    return round(1000 * statistics.median(times), 1)


def maintained(workspace: Workspace) -> dict[str, Any]:
    """The dataset before and after maintenance, which deletes what it replaced."""
    from datetime import UTC, datetime, timedelta

    from lazaretto import health, stages
    from lazaretto.authority.policies import register_policy
    from lazaretto.policy import Policy

    taken = stages.snapshot(workspace, DATASET)
    before = look(workspace)
    begun, cpu = time.perf_counter(), _cpu()
    done = health.maintain(workspace, DATASET)
    seconds, used = time.perf_counter() - begun, _cpu() - cpu
    after = look(workspace)
    again = stages.snapshot(workspace, DATASET, version=taken.version)
    assert again.digest == taken.digest
    policy = Policy.model_validate(
        {
            "version": 1,
            "dataset": DATASET,
            "columns": {"record_id": "id", "label": "label", "embedding": "embedding"},
            "sources": {"require_signature": False},
            "retention": {"replaced_days": 1},
        }
    )
    register_policy(workspace, policy, reason="to see what is deleted")
    later = datetime.now(UTC) + timedelta(days=2)
    deleted = health.maintain(workspace, DATASET, apply=True, now=later)
    return {
        "before": before,
        "after": after,
        "seconds": round(seconds, 2),
        "cpu": round(used, 2),
        "compactions": len(done.compactions),
        "kept_for_snapshots": deleted.needed,
        "deleted": len(deleted.due),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--window", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, postgres.running_server() as server:
        folder, data = Path(made), Path(made, "data")
        data.mkdir()
        write(data / "trusted.parquet", 5000, 64, seed=3)
        deliveries = [data / f"{number}.parquet" for number in range(options.deliveries)]
        for number, path in enumerate(deliveries, start=10):
            write(path, options.rows, 64, seed=number)
        url = server.url("{name}")
        template = catalogs.make_postgres(url)
        for workers, window in itertools.product(options.workers, options.window):
            own = catalogs.copy_postgres(url, template, f"lz_{workers}_{window}")
            place = folder / f"{workers}-{window}"
            workspace = prepare(own, place, data, window)
            found = run(workers, deliveries, own, place, options.apart) | count(workspace)
            print(json.dumps({"window": window, **found}), flush=True)
        print(json.dumps({"maintenance": maintained(workspace)}), flush=True)
        workspace.catalog.engine.dispose()


if __name__ == "__main__":
    main()
