"""Incident answers: what a source, batch or record reached, and what a model was made of.

The window of a question restricts only the first hop, from the source to its batches; from there
the trace follows versions. A time filter on every hop would miss models that were trained later on
the same data, and a trace by names alone would accuse every version of every model.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import append, entries, newest
from lazaretto.ledger.events import IncidentTraced, SourceRegistered
from lazaretto.lineage.graph.view import View, sound_view
from lazaretto.lineage.openlineage.naming import source_of
from lazaretto.lineage.trace.answer import Question, RecordState, RefusedDelivery, Trace
from lazaretto.lineage.trace.completeness import completeness
from lazaretto.lineage.trace.consequences import decided, recalled_rows, retrain_plan
from lazaretto.lineage.trace.record import state_of_record
from lazaretto.lineage.trace.summary import models_of, snapshots_of, sources_of, traced_batches
from lazaretto.lineage.trace.walk import Reached, downstream, upstream, window, without
from lazaretto.sources.refused import refused_deliveries
from lazaretto.storage.tables import lineage_node
from lazaretto.times import in_utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Row

    from lazaretto.lineage.trace.walk import Ids
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

PATHS_PER_MODEL = 3
MOST_REFUSED = 1000
"""Refused deliveries of an answer, the newest; `lazaretto batch list` has all."""


def trace_source(
    workspace: Workspace,
    name: str,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    paths: int = PATHS_PER_MODEL,
) -> Trace:
    """Follows what a source collected in a window to the model versions that learned from it.

    Args:
        workspace: where.
        name: the source.
        since: aware start (included) of the window; None: from the beginning.
        until: aware end (excluded); None: until now.
        paths: paths per model.

    Raises:
        NotFoundError: no such source is registered or known from lineage.
        UsageError: a moment without a time zone, or an empty window.

    Examples:
        >>> [model.name for model in trace_source(workspace, "vendor").models]
        ['net']
    """
    since, until = (moment and in_utc(moment) for moment in (since, until))
    if since is not None and until is not None and since >= until:
        raise UsageError(f"the window is empty: {since.isoformat()} is not before its end")
    with sound_view(workspace) as view:
        _require_source(view, name)
        reached = downstream(view.index, window(name, since, until))
        question = Question("source", name, since, until)
        refused = _refused(view.catalog, question)
        return _answer(view, question, reached, paths=paths, refused=refused)


def trace_batch(workspace: Workspace, batch: str, *, paths: int = PATHS_PER_MODEL) -> Trace:
    """Follows one batch to the model versions that learned from it.

    Raises:
        NotFoundError: there is no such batch.

    Examples:
        >>> [model.name for model in trace_batch(workspace, monday).models]
        ['net']
    """
    with sound_view(workspace) as view:
        reached = downstream(view.index, _batch(view.index, batch))
        return _answer(view, Question("batch", batch), reached, paths=paths)


def trace_record(workspace: Workspace, record: str, *, paths: int = PATHS_PER_MODEL) -> Trace:
    """Follows one record, ``batch#record``, to the model versions that learned from it.

    Records are no nodes of the index: the versions of the dataset that hold the record's batch are
    read, and those without the record lead nowhere.

    Raises:
        UsageError: not of the form ``batch#record``.
        NotFoundError: there is no such batch.

    Examples:
        >>> [model.name for model in trace_record(workspace, f"{monday}#m7").models]
        ['net']
    """
    batch, separator, identity = record.partition("#")
    if not separator or not identity:
        raise UsageError(f"not a record: {record!r}; it looks like BATCH#RECORD")
    with sound_view(workspace) as view:
        reached = downstream(view.index, _batch(view.index, batch))
        store = workspace.store
        state, absent = state_of_record(view.catalog, store, reached, batch, identity)
        return _answer(
            view,
            Question("record", record),
            without(reached, absent),
            paths=paths,
            record=state,
        )


def trace_model(
    workspace: Workspace,
    name: str,
    version: str,
    *,
    registry: str | None = None,
    paths: int = PATHS_PER_MODEL,
) -> Trace:
    """Tells what a model version was made of: models, snapshots, batches, sources, decisions.

    Args:
        workspace: where.
        name: name of the model.
        version: its version.
        registry: where models of this name are in more than one registry.
        paths: paths in all, to the batches with the most records.

    Raises:
        NotFoundError: there is no such model version; the message names those there are.
        UsageError: it is in more than one registry.

    Examples:
        >>> [source.source for source in trace_model(workspace, "net", "1").sources]
        ['vendor']
    """
    with sound_view(workspace) as view:
        reached = upstream(view.index, _model(view.index, name, version, registry))
        question = Question("model", f"{name}@{version}")
        return _answer(view, question, reached, paths=paths, forward=False)


def record_incident(
    workspace: Workspace, trace: Trace, *, report: Sequence[StoredFile] = ()
) -> int:
    """Puts a trace on record, and returns its ledger entry.

    Args:
        workspace: where.
        trace: the answer.
        report: the files of the report, in the store.

    Raises:
        UsageError: the trace is of a model, not of a source's data.

    Examples:
        >>> record_incident(workspace, trace_source(workspace, "vendor")) > 0  # the ledger entry
        True
    """
    question = trace.question
    if question.kind == "model":
        raise UsageError("a trace of a model is no incident; trace the source, batch or record")
    named = question.subject.partition("#")[0]
    event = IncidentTraced(
        source=named if question.kind == "source" else source_of(named),
        since=question.since,
        until=question.until,
        batches=trace.batch_ids,
        models=trace.model_ids,
        complete=trace.completeness.complete,
        report=list(report),
    )
    with workspace.catalog.transaction() as connection:
        return append(connection, event, actor=workspace.actor).seq


def _answer(
    view: View,
    question: Question,
    reached: Reached,
    *,
    paths: int,
    record: RecordState | None = None,
    forward: bool = True,
    refused: Sequence[RefusedDelivery] = (),
) -> Trace:
    rows = [row for row in reached.nodes.values() if row.kind == "BATCH"]
    first = min((row.first_seq for row in rows if row.first_seq is not None), default=1)
    told = decided(view.catalog, {row.version for row in rows}, after=first - 1)
    batches = traced_batches(question, reached, rows, recalled_rows(told.recalls))
    models = models_of(reached, paths=paths, forward=forward)
    return Trace(
        question=question,
        at=datetime.now(UTC),
        seq=view.seq,
        batches=batches,
        snapshots=snapshots_of(reached),
        models=models,
        sources=sources_of(batches),
        decisions=told.decisions,
        releases=told.releases,
        recalls=told.recalls,
        retrain=retrain_plan(view.index, models, [batch.id for batch in batches])
        if forward
        else [],
        record=record,
        refused=list(refused),
        completeness=completeness(view, question, reached, batches, record),
    )


def _refused(catalog: Connection, question: Question) -> list[RefusedDelivery]:
    """Deliveries under the source's name that were refused within the window, oldest first."""
    found = refused_deliveries(
        catalog,
        source=question.subject,
        since=question.since,
        until=question.until,
        limit=MOST_REFUSED,
    )
    return [
        RefusedDelivery(one.seq, one.at, one.uri, one.code, one.reason, one.file_digest)
        for one in reversed(found)
    ]


def _require_source(view: View, name: str) -> None:
    registered = [SourceRegistered.kind]
    known = newest(view.catalog, f"source:{name}", registered) is not None
    claimed = sa.select(lineage_node.c.source).where(lineage_node.c.source == name).limit(1)
    if not known and view.index.scalar(claimed) is None:
        names = sorted(
            {
                entry.event.source
                for entry in entries(view.catalog, kinds=registered)
                if isinstance(entry.event, SourceRegistered)
            }
        )
        raise NotFoundError(
            f"no source {name!r}; registered are: {', '.join(names[:20]) if names else 'none'}"
        )


def _batch(connection: Connection, batch: str) -> Ids:
    query = sa.select(lineage_node.c.id).where(
        lineage_node.c.kind == "BATCH", lineage_node.c.version == batch
    )
    if connection.scalar(query.limit(1)) is None:
        raise NotFoundError(f"no batch {batch!r} was received")
    return query


def _model(connection: Connection, name: str, version: str, registry: str | None) -> Ids:
    node = lineage_node.c
    named = sa.select(lineage_node).where(node.kind == "MODEL", node.name == name)
    query = named.where(node.version == version)
    if registry is not None:
        query = query.where(node.namespace == registry)
    found: Sequence[Row[Any]] = connection.execute(query.limit(20)).all()
    if not found:
        rows = connection.execute(named.order_by(node.received_at.desc()).limit(20))
        versions = ", ".join(f"{name}@{row.version}" for row in rows)
        raise NotFoundError(f"no model {name}@{version}; there is: {versions or 'none'}")
    if len(found) > 1:
        places = ", ".join(row.namespace for row in found)
        raise UsageError(f"{name}@{version} is in more than one registry; name one of: {places}")
    return sa.select(node.id).where(node.id == found[0].id)
