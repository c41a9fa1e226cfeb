"""What an answer rests on and what it could not see: no trace is returned as if it were whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import head
from lazaretto.lineage.trace.answer import Completeness
from lazaretto.lineage.trace.consequences import unknown_models
from lazaretto.storage.tables import lineage_node

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.graph.view import View
    from lazaretto.lineage.trace.answer import Question, RecordState, TracedBatch
    from lazaretto.lineage.trace.walk import Reached


def completeness(
    view: View,
    question: Question,
    reached: Reached,
    batches: Sequence[TracedBatch],
    record: RecordState | None,
) -> Completeness:
    """Looks for what the answer could have missed."""
    doubtful = unknown_models(view.index)
    inside = {key for key, row in reached.nodes.items() if row.kind == "MODEL"}
    # A model in the answer is found out already, unless the question is what it was made of.
    told = doubtful.keys() & inside if question.kind == "model" else doubtful.keys() - inside
    unplaced, received_inside = _beside_the_window(view.index, question, reached)
    undated = [b.id for b in batches if b.collected_from is None and b.collected_to is None]
    behind = head(view.catalog) - view.seq
    inferred = sum(1 for edge in reached.edges if edge.inferred)
    unchecked = [] if record is None else record.unchecked
    unknown = sorted(f"{doubtful[key].name}@{doubtful[key].version}" for key in told)
    by_time = question.kind == "source" and (question.since or question.until)
    return Completeness(
        complete=not (
            behind
            or view.changed
            or unknown
            or inferred
            or unplaced
            or unchecked
            or (by_time and undated)
        ),
        lag=behind,
        index_changed=view.changed,
        unsigned=[batch.id for batch in batches if batch.signature != "VERIFIED"],
        without_interval=undated if by_time else [],
        unplaced=unplaced,
        received_inside=received_inside,
        unknown_models=unknown,
        inferred_edges=inferred,
        external_nodes=sum(1 for row in reached.nodes.values() if row.first_seq is None),
        unchecked_snapshots=unchecked,
    )


def _beside_the_window(
    connection: Connection, question: Question, reached: Reached
) -> tuple[list[str], list[str]]:
    """Batches of the source outside the answer that may still belong to the incident."""
    if question.kind != "source" or (question.since is None and question.until is None):
        return [], []
    node = lineage_node.c
    undated = node.t_from.is_(None) & node.t_to.is_(None)
    of_source = (node.kind == "BATCH") & (node.source == question.subject)
    later = [] if question.until is None else [undated & (node.received_at >= question.until)]
    inside = [~undated]
    if question.since is not None:
        inside.append(node.received_at >= question.since)
    if question.until is not None:
        inside.append(node.received_at < question.until)

    def outside(condition: sa.ColumnElement[bool]) -> Iterable[str]:
        query = sa.select(node.id, node.version).where(of_source, condition)
        return sorted(
            row.version for row in connection.execute(query) if row.id not in reached.start
        )

    return [id_ for c in later for id_ in outside(c)], list(outside(sa.and_(*inside)))
