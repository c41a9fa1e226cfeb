"""What an answer rests on and what it could not see: no trace is returned as if it were whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.ledger.chain import head
from lazaretto.lineage.claims.bits import Basis
from lazaretto.lineage.trace.answer import Completeness
from lazaretto.lineage.trace.batches import in_window, signed_by
from lazaretto.lineage.trace.describe import describe
from lazaretto.lineage.trace.holdings import BATCH
from lazaretto.lineage.trace.models import origins_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.lineage.graph.view import View
    from lazaretto.lineage.trace.answer import RecordState, TracedBatch, UnknownModel
    from lazaretto.lineage.trace.describe import Described
    from lazaretto.lineage.trace.walk import Reached
    from lazaretto.values import Question


def completeness(
    view: View,
    question: Question,
    reached: Reached,
    described: Mapping[int, Described],
    batches: Sequence[TracedBatch],
    unknown: Sequence[UnknownModel],
    record: RecordState | None,
) -> Completeness:
    """Looks for what the answer could have missed."""
    by_time = question.kind == "source" and bool(question.since or question.until)
    undated = [b.id for b in batches if b.collected_from is None and b.collected_to is None]
    behind = head(view.catalog) - view.seq
    unchecked = [] if record is None else record.unchecked
    origins, possible = [], []
    if question.kind == "model":
        origins = origins_of(reached)
        found = describe(reached.world, reached.possible).values()
        possible = sorted(what.version for what in found if what.kind == BATCH)
    unplaced = _unplaced(reached, question) if by_time else []
    empty = by_time and not batches and not question.without
    # When something arrives we see ourselves: that a key signed nothing since is no gap.
    none_since = question.kind == "key" and question.since is not None and not batches
    elsewhere = _elsewhere(view, reached, question) if empty or none_since else None
    return Completeness(
        complete=not (
            behind
            or view.changed
            or unknown
            or origins
            or possible
            or unplaced
            or unchecked
            or empty
            or (by_time and undated)
        ),
        lag=behind,
        index_changed=view.changed,
        unsigned=[batch.id for batch in batches if batch.signature != "VERIFIED"],
        without_interval=undated if by_time else [],
        unplaced=unplaced,
        only_received=[
            batch.id
            for batch in batches
            if by_time and batch.matched == "received" and batch.id not in undated
        ],
        only_collected=[b.id for b in batches if by_time and b.matched == "collected"],
        unknown_models=[each.id for each in unknown],
        inferred_edges=_inferred(reached),
        possible_batches=possible,
        origins=origins,
        external_nodes=sum(1 for what in described.values() if not what.ours),
        unchecked_snapshots=unchecked,
        elsewhere=elsewhere,
    )


def _inferred(reached: Reached) -> int:
    """Vertices that are only reached by way of a rule."""
    return sum(
        1
        for vertex in reached.sure
        if (ways := reached.steps.few.get(vertex))
        and all(step.basis == Basis.INFERRED for step in ways)
    )


def _unplaced(reached: Reached, question: Question) -> list[str]:
    """Batches of the source that do not say when they were collected, and came after the window."""
    until = question.until
    rows = (row for row in reached.world.told.nodes.values() if row.kind == BATCH)
    return sorted(
        row.version
        for row in rows
        if row.source == question.subject
        and row.version not in question.without
        and row.t_from is None
        and row.t_to is None
        and until is not None
        and row.received_at is not None
        and row.received_at >= until
    )


def _elsewhere(view: View, reached: Reached, question: Question) -> str | None:
    """Where the batches of the source, or of the key, lie when the window holds none of them."""
    if question.kind == "key":
        times = [event.received_at for event in signed_by(view.catalog, question.subject)]
        who = f"signed by the key {question.subject}"
        if not times:
            return None
    else:
        found = in_window(reached.world, question.subject, None, None)
        times = [what.received_at for what, _ in found if what.received_at is not None]
        who = f"of {question.subject}"
        if not times:
            return f"{question.subject} has delivered nothing at all"
    return (
        f"no batch {who} is in the window: its {len(times)} batches arrived "
        f"between {min(times):%Y-%m-%d %H:%M} and {max(times):%Y-%m-%d %H:%M} UTC"
    )
