"""Times the lineage graph at ten million edges: intake, and walks beside others' ways to walk.

    python benchmarks/lineage.py --edges 10000000 --out benchmarks/results/lineage.md

A synthetic site: 200 sources deliver to a lake, jobs join their batches into features, models learn
from those, some from other models. The events go in by the way that everybody's events go in. The
walks are then timed in one run beside a recursive query of the same database and beside networkx,
which holds the graph in memory. `--small` is for a test: it takes seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Basis
from lazaretto.lineage.claims.intake import ingest
from lazaretto.lineage.claims.network import network
from lazaretto.lineage.claims.reach import Steps, spread
from lazaretto.storage.tables import lineage_link, lineage_name, lineage_version
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace

SOURCES = 200
START = datetime(2026, 1, 1, tzinfo=UTC)
META = {"_producer": "https://example.org/site", "_schemaURL": "https://example.org/facet.json"}
_PER_FILE = 20_000


def dataset(namespace: str, name: str, version: str, **facets: Any) -> dict[str, Any]:
    """A dataset of an event, with its version."""
    found = {key: META | value for key, value in facets.items()}
    found["version"] = META | {"datasetVersion": version}
    return {"namespace": namespace, "name": name, "facets": found}


def batch(source: int, number: int) -> dict[str, Any]:
    """A batch of a source."""
    name = f"source-{source:03d}"
    return dataset(
        "s3://lake", f"landing/{name}", f"{name}/{number:08d}", lazaretto_source={"sourceId": name}
    )


def model(name: int, version: int) -> dict[str, Any]:
    """A version of a model."""
    type_ = {"datasetType": "MODEL"}
    return dataset("mlflow://models:5000", f"net-{name:02d}", str(version), datasetType=type_)


def events(edges: int, seed: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Events with about so many inputs and outputs in all, each with how many it names."""
    chance = random.Random(seed)  # noqa: S311  a benchmark
    told, day = 0, 0
    while told < edges:
        for job in range(40):
            first = max(0, day - 30)
            picked = {(chance.randrange(SOURCES), chance.randint(first, day)) for _ in range(60)}
            inputs = [batch(*each) for each in sorted(picked)]
            if day and chance.random() < 0.2:
                inputs.append(model(chance.randrange(40), day - 1))
            found = {
                "eventType": "COMPLETE",
                "eventTime": (START + timedelta(hours=day, seconds=job)).isoformat(),
                "producer": "https://example.org/site",
                "run": {"runId": str(uuid.UUID(int=chance.getrandbits(128))), "facets": {}},
                "job": {"namespace": "site", "name": f"train-{job:02d}", "facets": {}},
                "inputs": inputs,
                "outputs": [model(job, day)],
            }
            told += len(inputs) + 1
            yield found, len(inputs) + 1
        day += 1


def fill(workspace: Workspace, folder: Path, edges: int) -> tuple[int, float, float]:
    """Takes the events in, file by file; how many edges, CPU seconds, seconds."""
    taken, cpu, wall = 0, 0.0, 0.0
    lines: list[str] = []

    def put() -> None:
        nonlocal cpu, wall, taken
        file = folder / "events.jsonl"
        file.write_text("\n".join(lines))
        lines.clear()
        begun, started = time.process_time(), time.perf_counter()
        taken += ingest(workspace, file).edges
        cpu, wall = cpu + time.process_time() - begun, wall + time.perf_counter() - started
        print(f"{taken:,} edges, {taken / cpu:,.0f} per CPU second", flush=True)

    for event, _ in events(edges, 1):
        lines.append(json.dumps(event))
        if len(lines) >= _PER_FILE:
            put()
    put()
    return taken, cpu, wall


def seconds(ask: Callable[[], int], runs: int) -> tuple[float, int]:
    """The median time of a question, and how much it found."""
    times, found = [], 0
    for _ in range(runs):
        started = time.perf_counter()
        found = ask()
        times.append(time.perf_counter() - started)
    return statistics.median(times), found


def ours(connection: Connection, start: list[int], *, forward: bool) -> int:
    """How much a walk of ours reaches."""
    known: set[int] = set()
    spread(connection, start, known, Steps(), most=Basis.INFERRED, forward=forward)
    return len(known)


def recursive(connection: Connection, start: list[int], *, forward: bool) -> int:
    """The same by a recursive query."""
    near, far = ("src", "dst") if forward else ("dst", "src")
    seed = "SELECT value FROM json_each(:start)"
    if connection.dialect.name == "postgresql":
        seed = "SELECT value::bigint FROM json_array_elements_text(:start)"
    query = sa.text(
        f"WITH RECURSIVE reach(node) AS ({seed} UNION SELECT {far} FROM lineage_link "  # noqa: S608
        f"JOIN reach ON {near} = node WHERE basis <= 1) SELECT count(*) FROM reach"
    )
    return connection.scalar(query, {"start": json.dumps(start)}) or 0


def beside_networkx(connection: Connection) -> tuple[Any, float]:
    """The graph in networkx, and how long that took."""
    import networkx as nx

    started = time.perf_counter()
    graph = nx.DiGraph()
    query = sa.select(lineage_link.c.src, lineage_link.c.dst).where(lineage_link.c.basis <= 1)
    graph.add_edges_from(tuple(row) for row in connection.execute(query))
    return graph, time.perf_counter() - started


def walked(graph: Any, start: list[int], *, forward: bool) -> int:
    """How much networkx reaches."""
    near = graph.successors if forward else graph.predecessors
    found = {end for end in start if end in graph}
    frontier = list(found)
    while frontier:
        new = {to for end in frontier for to in near(end)} - found
        found |= new
        frontier = list(new)
    return len(found)


def batches_of(connection: Connection, source: int, first: int, last: int) -> list[int]:
    """Ends of a source's batches of some days."""
    name = f"source-{source:03d}"
    version = lineage_version.c
    query = (
        sa.select(version.id)
        .join(lineage_name, lineage_name.c.id == version.name)
        .where(
            lineage_name.c.name == f"landing/{name}",
            version.version >= f"{name}/{first:08d}",
            version.version < f"{name}/{last:08d}",
        )
    )
    return [2 * id_ for id_ in connection.scalars(query)]


def batches_of_all(connection: Connection) -> list[int]:
    """Ends of every batch of every source."""
    version = lineage_version.c
    query = (
        sa.select(version.id)
        .join(lineage_name, lineage_name.c.id == version.name)
        .where(lineage_name.c.name.like("landing/%"))
    )
    return [2 * id_ for id_ in connection.scalars(query)]


def versions_of(connection: Connection, model: int, most: int) -> list[int]:
    """Ends of a model's first versions, up to so many."""
    version = lineage_version.c
    query = (
        sa.select(version.id)
        .join(lineage_name, lineage_name.c.id == version.name)
        .where(lineage_name.c.name == f"net-{model:02d}", version.kinds == 4)
        .order_by(version.id)
    )
    return [2 * id_ for id_ in connection.scalars(query.limit(most))]


def newest_model(connection: Connection) -> list[int]:
    """The end of the model version that was told last."""
    version = lineage_version.c
    query = sa.select(version.id).where(version.kinds == 4).order_by(version.first_at.desc())
    return [2 * id_ for id_ in connection.scalars(query.limit(1))]


def main() -> None:
    """Fills a catalog, asks, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=int, default=10_000_000)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-networkx", action="store_true")
    parser.add_argument("--url", help="catalog; default: SQLite in a folder that is removed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    edges = 20_000 if options.small else options.edges
    with tempfile.TemporaryDirectory(prefix="lineage-bench-") as name:
        folder = Path(name)
        url = options.url or f"sqlite:///{folder / 'catalog.db'}"
        workspace = open_workspace(catalog_url=url, store=folder / "store")
        taken, cpu, wall = fill(workspace, folder, edges)
        lines = [
            f"| intake | {taken:,} edges | {taken / cpu:,.0f} per CPU second | "
            f"{taken / wall:,.0f} per second | |"
        ]
        with workspace.catalog.read() as connection:
            last = max(8, taken // (61 * 40) - 200)
            questions = {
                "7-day blast radius of one source": (
                    batches_of(connection, 7, last, last + 7), True),
                "all that one source reached": (batches_of(connection, 7, 0, 10**7), True),
                "all that the newest model was made of": (newest_model(connection), False),
                "all that 1,200 versions of one model were made of": (
                    versions_of(connection, 7, 1_200), False),
                "all that all sources reached": (batches_of_all(connection), True),
            }  # fmt: skip
            started = time.perf_counter()
            network(connection, forward=True)
            cold = time.perf_counter() - started
            network(connection, forward=False)
            graph = None if options.no_networkx else beside_networkx(connection)
            for question, (start, forward) in questions.items():
                own, found = seconds(
                    lambda s=start, f=forward: ours(connection, s, forward=f), options.runs
                )
                cte, same = seconds(
                    lambda s=start, f=forward: recursive(connection, s, forward=f), 1
                )
                beside = "" if graph is None else f"{_networkx(graph[0], start, forward):.3f} s"
                assert found == same, (question, found, same)
                lines.append(
                    f"| {question} | {found:,} nodes | {own * 1000:,.1f} ms | {cte:.3f} s "
                    f"({cte / own:,.1f}x) | {beside} |"
                )
        lines.append(f"| arrays read anew | {taken:,} edges | {cold:.1f} s | | |")
        if graph is not None:
            lines.append(f"| networkx built | {taken:,} edges | | | {graph[1]:.1f} s |")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        beside = "" if graph is None else ", networkx's graph in it"
        lines.append(f"| peak memory | | {peak:,.0f} MB{beside} | | |")
        size = sum(each.stat().st_size for each in folder.glob("catalog.db*")) / 1e9
        if not options.url:
            lines.append(f"| the catalog's file | | {size:,.1f} GB | | |")
    table = "\n".join(["| what | how much | ours | recursive query | networkx |",
                       "|---|---|---|---|---|", *lines])  # fmt: skip
    print(table)
    if options.out:
        options.out.write_text(f"# The lineage graph at {taken:,} edges\n\n{table}\n")


def _networkx(graph: Any, start: list[int], forward: bool) -> float:
    started = time.perf_counter()
    walked(graph, start, forward=forward)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
