"""Incident answers: what a source, batch or record reached, and what a model was made of.

The window of a question restricts only the first hop, from the source to its batches; from there
the trace follows versions. A time filter on every hop would miss models that were trained later on
the same data, and a trace by names alone would accuse every version of every model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto import window
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import append, entries, newest
from lazaretto.ledger.events import IncidentTraced, SourceRegistered
from lazaretto.ledger.source_names import source_identity
from lazaretto.lineage.openlineage.naming import source_of
from lazaretto.lineage.trace.answer import RefusedDelivery, Trace
from lazaretto.lineage.trace.back import upstream
from lazaretto.lineage.trace.batches import in_window
from lazaretto.lineage.trace.compose import backward, forward, opened, reach
from lazaretto.lineage.trace.find import find_batch, find_model, left_out
from lazaretto.lineage.trace.handles import named_version
from lazaretto.lineage.trace.record import state_of_record, whereabouts
from lazaretto.sources.refused import refused_deliveries
from lazaretto.storage.tables import lineage_node, lineage_version
from lazaretto.times import in_utc
from lazaretto.values import Question

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.graph.view import View
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
    by: str = window.EITHER,
    without: Sequence[str] = (),
    paths: int = PATHS_PER_MODEL,
) -> Trace:
    """Follows what a source delivered in a window to the model versions that learned from it.

    Args:
        workspace: where.
        name: the source.
        since: aware start (included) of the window; None: from the beginning.
        until: aware end (excluded); None: until now.
        by: what must lie in the window: ``received``, which we observed, ``collected``, which the
            source says, or ``either`` of them.
        without: ids of batches that are taken as if they had not been delivered: what if?
        paths: paths per model.

    Raises:
        NotFoundError: no such source is registered or known from lineage, or no batch of those to
            leave out.
        UsageError: a moment without a time zone, an empty window, or another `by`.

    Examples:
        >>> [model.name for model in trace_source(workspace, "vendor").models]
        ['net']
    """
    since, until = (moment and in_utc(moment) for moment in (since, until))
    if since is not None and until is not None and since >= until:
        raise UsageError(f"the window is empty: {since.isoformat()} is not before its end")
    if by not in window.WINDOWS:
        raise UsageError(f"a window is by one of {', '.join(window.WINDOWS)}, not by {by!r}")
    with opened(workspace) as (view, world):
        name = source_identity(view.catalog, name)
        _require_source(view, name)
        absent = left_out(world, without)
        batches = in_window(world, name, since, until, by)
        batches = [(what, by) for what, by in batches if what.vertex not in absent]
        question = Question("source", name, since, until, by, list(without))
        matched = {what.vertex: by for what, by in batches}
        reached = reach(world, list(matched), question)
        refused = _refused(view.catalog, question)
        return forward(view, question, reached, matched, paths=paths, refused=refused)


def trace_batch(
    workspace: Workspace,
    batch: str,
    *,
    without: Sequence[str] = (),
    paths: int = PATHS_PER_MODEL,
) -> Trace:
    """Follows one batch to the model versions that learned from it.

    Args:
        workspace: where.
        batch: its id.
        without: ids of batches that are taken as if they had not been delivered.
        paths: paths per model.

    Raises:
        NotFoundError: there is no such batch, or none of those to leave out.

    Examples:
        >>> [model.name for model in trace_batch(workspace, monday).models]
        ['net']
    """
    with opened(workspace) as (view, world):
        question = Question("batch", batch, without=list(without))
        reached = reach(world, find_batch(world, batch), question)
        return forward(view, question, reached, {}, paths=paths)


def trace_record(
    workspace: Workspace,
    record: str,
    *,
    without: Sequence[str] = (),
    paths: int = PATHS_PER_MODEL,
) -> Trace:
    """Follows one record, ``batch#record``, to the model versions that learned from it.

    Records are no nodes of the index: the versions of the dataset that hold the record's batch are
    read, and those without the record lead nowhere.

    Args:
        workspace: where.
        record: the batch and the record's id in it.
        without: ids of batches that are taken as if they had not been delivered.
        paths: paths per model.

    Raises:
        UsageError: not of the form ``batch#record``.
        NotFoundError: there is no such batch, or none of those to leave out.

    Examples:
        >>> [model.name for model in trace_record(workspace, f"{monday}#m7").models]
        ['net']
    """
    batch, separator, identity = record.partition("#")
    if not separator or not identity:
        raise UsageError(f"not a record: {record!r}; it looks like BATCH#RECORD")
    with opened(workspace) as (view, world):
        found = find_batch(world, batch)
        node = world.nodes.get(found[0], -found[0])
        if node not in world.told.nodes:
            raise NotFoundError(f"no batch {batch!r} was received here: its records are not known")
        where = whereabouts(world, workspace.store, node, identity)
        state = state_of_record(view.catalog, workspace, where, batch, identity)
        question = Question("record", record, without=list(without))
        reached = reach(world, found, question, parts={node: where.changes})
        return forward(view, question, reached, {}, paths=paths, record=state)


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
        version: its version, or an alias such as ``production``: the version that it stands for.
        registry: where models of this name are in more than one registry.
        paths: paths in all, to the batches with the most records.

    Raises:
        NotFoundError: there is no such model version; the message names those there are.
        UsageError: it is in more than one registry.

    Examples:
        >>> [source.source for source in trace_model(workspace, "net", "1").sources]
        ['vendor']
    """
    with opened(workspace) as (view, world):
        version = named_version(view.catalog, name, version, registry)
        reached = upstream(world, find_model(world, name, version, registry))
        question = Question("model", f"{name}@{version}", registry=registry)
        return backward(view, question, reached, paths=paths)


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
    event = IncidentTraced(
        source=_source_of(trace),
        since=question.since,
        until=question.until,
        batches=trace.batch_ids,
        models=trace.model_ids,
        complete=trace.completeness.complete,
        report=list(report),
    )
    with workspace.catalog.transaction() as connection:
        return append(connection, event, actor=workspace.actor).seq


def _source_of(trace: Trace) -> str:
    """The source that an incident is about; where it is about several, what was asked."""
    kind, subject = trace.question.kind, trace.question.subject.partition("#")[0]
    if kind == "source":
        return subject
    if kind in ("batch", "record"):
        return source_of(subject)
    sources = {batch.source for batch in trace.batches}
    return sources.pop() if len(sources) == 1 else f"{kind} {subject}"


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
    claimed = sa.select(lineage_version.c.id).where(lineage_version.c.source == name).limit(1)
    indexed = sa.select(lineage_node.c.id).where(lineage_node.c.source == name).limit(1)
    if not known and view.index.scalar(indexed) is None and view.catalog.scalar(claimed) is None:
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
