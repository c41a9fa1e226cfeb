"""Adds other people's OpenLineage events to the lineage index, trusting none of it.

Their events may tell how models were made of our snapshots, or of batches of another site. They can
add to the index, but never change what the ledger tells: its versions keep their inputs.

Versions come from the standard facets: `version`, or `subset` where it lists partitions. Where
events name no version, Spline's rule is followed, and the edge marked as inferred: what is read is
the last version written before, and what is written adds to the one before, unless it was
overwritten.

An edge stands for a pair of what a run read and what it wrote. A run of very many pairs becomes a
node of its own instead, of kind RUN, that everything it read leads to and everything it wrote comes
from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from lazaretto.lineage.graph.external import (
    MAX_RUN_VERSIONS,
    RUNS,
    Dataset,
    Run,
    Unusable,
    read_event,
)
from lazaretto.lineage.graph.graph import Edge, IndexedNode, Node, Writer
from lazaretto.lineage.graph.index import catch_up
from lazaretto.lineage.openlineage.lines import read_lines
from lazaretto.storage.tables import lineage_node

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

MAX_OPEN_RUNS = 10_000
MAX_OPEN_VERSIONS = 500_000
MAX_PAIRS = 10_000
MAX_TOLD = 1_000
_CHUNK = 200
# Failures, scores and held records are about a batch; they are not what a model learns from.
_ASIDE = ("SIDECAR", "QUARANTINE")


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingestion did.

    Attributes:
        events: events that were read.
        runs: runs that finished and were followed.
        edges: edges that were new.
        unversioned: inputs left out because no version of them is known.
        rejected: edges left out: they would change what the ledger tells, or run back in time.
        skipped: what could not be used, as ``line N: why`` or ``run ID: why``; at most 1000 are
            told.
    """

    events: int
    runs: int
    edges: int
    unversioned: int
    rejected: int
    skipped: list[str]


@dataclass(slots=True)
class _Progress:
    events: int = 0
    runs: int = 0
    edges: int = 0
    unversioned: int = 0
    rejected: int = 0
    skipped: list[str] = field(default_factory=list)

    def skip(self, line: int, why: str) -> None:
        self.tell(f"line {line}: {why}")

    def tell(self, what: str) -> None:
        if len(self.skipped) < MAX_TOLD:
            self.skipped.append(what)


class _Output(NamedTuple):
    """What a run wrote, as what, and whether its version is inferred."""

    made: IndexedNode
    role: str
    inferred: bool


def ingest(workspace: Workspace, file: str | Path) -> Ingested:
    """Reads OpenLineage events, one per line, into the index. The same file twice changes nothing.

    Runs are followed when their COMPLETE event comes; inputs and outputs of all events of a run
    count, as the specification says. Failed and aborted runs wrote nothing.

    Args:
        workspace: whose index.
        file: JSON Lines; a broken line is skipped and told, the others count.

    Raises:
        NotFoundError: there is no such file.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("events.jsonl").write_text("")
        >>> ingest(workspace, "events.jsonl").rejected
        0
    """
    catch_up(workspace)  # what the ledger tells comes first
    progress = _Progress()
    open_runs: dict[str, Run] = {}
    versions = 0
    finished: list[Run] = []
    for line in read_lines(file):
        if line.event is None:
            progress.skip(line.number, line.problem or "unreadable")
            continue
        progress.events += 1
        try:
            event = read_event(line.event)
            known = open_runs.pop(event.run, None)
            versions -= 0 if known is None else known.size
            run = event if known is None else known.joined(event)
        except Unusable as error:
            progress.skip(line.number, str(error))
            continue
        if event.state == "COMPLETE":
            finished.append(run)
        elif event.state not in ("FAIL", "ABORT"):
            if len(open_runs) >= MAX_OPEN_RUNS or versions + run.size > MAX_OPEN_VERSIONS:
                progress.skip(
                    line.number,
                    f"more than {MAX_OPEN_RUNS:,} runs, or runs of more than "
                    f"{MAX_OPEN_VERSIONS:,} versions, are open at once",
                )
                continue
            open_runs[event.run] = run
            versions += run.size
        if len(finished) >= _CHUNK or sum(run.size for run in finished) > MAX_RUN_VERSIONS:
            _write(workspace, finished, progress)
            finished = []
    _write(workspace, finished, progress)
    return Ingested(
        events=progress.events,
        runs=progress.runs,
        edges=progress.edges,
        unversioned=progress.unversioned,
        rejected=progress.rejected,
        skipped=progress.skipped,
    )


def _write(workspace: Workspace, runs: list[Run], progress: _Progress) -> None:
    if not runs:
        return
    with workspace.catalog.transaction() as connection:
        writer = Writer(connection)
        for run in runs:
            _follow(writer, run, progress)
            progress.edges += writer.flush()
            progress.runs += 1


def _follow(writer: Writer, run: Run, progress: _Progress) -> None:
    inputs: list[tuple[IndexedNode, bool]] = []
    for dataset in run.inputs:
        if dataset.kind not in _ASIDE:
            versions = _read(writer, dataset, run)
            progress.unversioned += not versions
            inputs += versions
    outputs: list[_Output] = []
    for dataset in run.outputs:
        if dataset.kind not in _ASIDE:
            role = run.purpose if dataset.kind == "MODEL" else "READ"
            written = _written(writer, dataset, run)
            outputs += [_Output(made, role, inferred) for made, inferred in written]
    if len(inputs) * len(outputs) > MAX_PAIRS:
        _by_way_of_the_run(writer, run, inputs, outputs, progress)
        return
    for made, role, inferred in outputs:
        for source, guessed in inputs:
            if made.ours or source.id == made.id or _younger(source, made):
                progress.rejected += 1
            else:
                edge = Edge(source.id, made.id, run.run, role, None, guessed or inferred)
                writer.connect(edge)


def _by_way_of_the_run(
    writer: Writer,
    run: Run,
    inputs: list[tuple[IndexedNode, bool]],
    outputs: list[_Output],
    progress: _Progress,
) -> None:
    """Leads a run of many pairs through a node of its own: as many edges as it has datasets.

    An input that is younger than one of the outputs, or is one, would have to be left out of some
    pairs. It is left out of all, and that is told.
    """
    outputs = [output for output in outputs if not output.made.ours]
    made = {output.made.id for output in outputs}
    oldest = min((o.made.at for o in outputs if o.made.at is not None), default=None)
    fitting = [
        (source, guessed)
        for source, guessed in inputs
        if source.id not in made and (source.at is None or oldest is None or source.at <= oldest)
    ]
    left_out = len(inputs) - len(fitting)
    progress.rejected += left_out
    if left_out:
        progress.tell(
            f"run {run.run}: {left_out} inputs are left out, each of which is an output, too, or "
            "younger than one"
        )
    if not fitting or not outputs:
        return
    node = writer.add_external(Node(RUNS, run.run, run.run, "RUN", received_at=run.at))
    for source, guessed in fitting:
        writer.connect(Edge(source.id, node.id, run.run, "READ", None, guessed))
    for output in outputs:
        edge = Edge(node.id, output.made.id, run.run, output.role, None, output.inferred)
        writer.connect(edge)


def _read(writer: Writer, dataset: Dataset, run: Run) -> list[tuple[IndexedNode, bool]]:
    """What was read, each with whether its version is inferred."""
    if dataset.versions:
        return [(writer.add_external(_node(dataset, v, run)), False) for v in dataset.versions]
    last = _last_version(writer, dataset, run.at)
    return [] if last is None else [(last, True)]


def _written(writer: Writer, dataset: Dataset, run: Run) -> list[tuple[IndexedNode, bool]]:
    """What was written, each with whether its version is inferred."""
    if dataset.versions:
        return [(writer.add_external(_node(dataset, v, run)), False) for v in dataset.versions]
    before = None if dataset.overwritten else _last_version(writer, dataset, run.at)
    made = writer.add_external(_node(dataset, f"run:{run.run}", run))
    if before is not None and before.id != made.id:
        writer.connect(Edge(before.id, made.id, run.run, "READ", None, inferred=True))
    return [(made, True)]


def _node(dataset: Dataset, version: str, run: Run) -> Node:
    return Node(
        namespace=dataset.namespace,
        name=dataset.name,
        version=version,
        kind=dataset.kind,
        source=dataset.source,
        t_from=dataset.collected_from,
        t_to=dataset.collected_to,
        received_at=dataset.received_at or run.at,
        signature=dataset.signature,
        digest=dataset.digest,
        rows=dataset.rows,
    )


def _last_version(writer: Writer, dataset: Dataset, at: datetime) -> IndexedNode | None:
    node = lineage_node.c
    query = (
        sa.select(node.id, node.received_at, node.first_seq)
        .where(
            node.namespace == dataset.namespace,
            node.name == dataset.name,
            node.received_at <= at,
        )
        .order_by(node.received_at.desc(), node.id.desc())
    )
    row = writer.connection.execute(query.limit(1)).one_or_none()
    return row and IndexedNode(int(row.id), row.received_at, ours=row.first_seq is not None)


def _younger(source: IndexedNode, made: IndexedNode) -> bool:
    """What was read is younger than what was made of it: a forgery, or a wrong clock."""
    return source.at is not None and made.at is not None and source.at > made.at
