"""Puts an answer together from what a walk reached."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lazaretto.lineage.claims.fold import micros
from lazaretto.lineage.claims.intake import bring_up
from lazaretto.lineage.graph.view import View, sound_view
from lazaretto.lineage.trace.answer import RecordState, RefusedDelivery, Trace
from lazaretto.lineage.trace.batches import sources_of, traced_batches
from lazaretto.lineage.trace.completeness import completeness
from lazaretto.lineage.trace.consequences import Consequences, decided, recalled_rows
from lazaretto.lineage.trace.describe import Described, describe
from lazaretto.lineage.trace.find import all_models, left_out
from lazaretto.lineage.trace.holdings import BATCH
from lazaretto.lineage.trace.models import evaluated, made_of, models_of, unknown_of
from lazaretto.lineage.trace.plan import retrain_plan
from lazaretto.lineage.trace.serving import with_aliases
from lazaretto.lineage.trace.snapshots import made_from, snapshots_of
from lazaretto.lineage.trace.walk import downstream
from lazaretto.lineage.trace.world import read_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lazaretto.lineage.trace.answer import TracedBatch
    from lazaretto.lineage.trace.holdings import Holding, Parts
    from lazaretto.lineage.trace.walk import Reached
    from lazaretto.lineage.trace.world import World
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Question


@contextmanager
def opened(workspace: Workspace) -> Iterator[tuple[View, World]]:
    """One moment of ledger and claims, checked and brought up to date.

    Raises:
        LedgerError: the ledger does not hold; then nothing is answered.
    """
    bring_up(workspace)
    with sound_view(workspace) as view:
        yield view, read_world(view, workspace.store.root)


def arrived(batches: Iterable[Described]) -> int | None:
    """When the first of some batches arrived, in microseconds; None: it is not known of all."""
    moments = [what.received_at for what in batches]
    known = [moment for moment in moments if moment is not None]
    return micros(min(known)) if known and len(known) == len(moments) else None


def reach(
    world: World, batches: Sequence[int], question: Question, *, parts: Parts | None = None
) -> Reached:
    """What some batches reached, but for those that the question leaves out.

    Args:
        world: the graph.
        batches: vertices of the batches in question.
        question: what was asked.
        parts: batches of which only some records are in question.

    Raises:
        NotFoundError: nobody tells of a batch that is left out.
    """
    absent = left_out(world, question.without)
    found = [vertex for vertex in batches if vertex not in absent]
    since = arrived(describe(world, found).values())
    return downstream(world, found, arrived=since, parts=parts, without=absent)


def forward(
    view: View,
    question: Question,
    reached: Reached,
    matched: Mapping[int, str],
    *,
    paths: int,
    record: RecordState | None = None,
    refused: Sequence[RefusedDelivery] = (),
) -> Trace:
    """The answer to what some batches reached.

    Args:
        view: what was checked.
        question: what was asked.
        reached: of `lazaretto.lineage.trace.walk.downstream`.
        matched: by what each batch is in the window, by vertex.
        paths: paths per model.
        record: what became of the record, when the question is about one.
        refused: deliveries that were refused within the window.
    """
    described = describe(reached.world, reached.sure)
    used = _used(reached, reached.held.values())
    told, batches = _batches(view, question, described, matched, used)
    unknown = unknown_of(reached)
    answer = Trace(
        question=question,
        at=datetime.now(UTC),
        seq=view.seq,
        batches=batches,
        snapshots=snapshots_of(reached, described),
        models=models_of(reached, described, paths=paths),
        unknown=unknown,
        evaluated=evaluated(reached),
        sources=sources_of(batches),
        decisions=told.decisions,
        releases=told.releases,
        recalls=told.recalls,
        retrain=retrain_plan(reached, described, [batch.id for batch in batches]),
        record=record,
        refused=list(refused),
        completeness=completeness(view, question, reached, described, batches, unknown, record),
        unaffected=len(
            all_models(reached.world) - reached.sure - reached.possible - reached.evaluated
        ),
    )
    return with_aliases(view.catalog, answer)


def backward(view: View, question: Question, reached: Reached, *, paths: int) -> Trace:
    """The answer to what a model was made of.

    Args:
        view: what was checked.
        question: what was asked.
        reached: of `lazaretto.lineage.trace.back.upstream`.
        paths: paths in all.
    """
    described = describe(reached.world, reached.sure)
    used = made_from(reached)
    told, batches = _batches(view, question, described, {}, used)
    answer = Trace(
        question=question,
        at=datetime.now(UTC),
        seq=view.seq,
        batches=batches,
        snapshots=snapshots_of(reached, described),
        models=made_of(reached, described, used, paths=paths),
        unknown=[],
        evaluated=[],
        sources=sources_of(batches),
        decisions=told.decisions,
        releases=told.releases,
        recalls=told.recalls,
        retrain=[],
        record=None,
        refused=[],
        completeness=completeness(view, question, reached, described, batches, [], None),
    )
    return with_aliases(view.catalog, answer)


def _batches(
    view: View,
    question: Question,
    described: Mapping[int, Described],
    matched: Mapping[int, str],
    used: Mapping[int, int],
) -> tuple[Consequences, list[TracedBatch]]:
    """The batches of an answer, and what the ledger says about them."""
    mine = [what for what in described.values() if what.kind == BATCH]
    first = min((what.seq for what in mine if what.seq is not None), default=1)
    told = decided(view.catalog, {what.version for what in mine}, after=first - 1)
    recalled = recalled_rows(told.recalls)
    found = traced_batches(view.catalog, question, mine, matched, used, recalled)
    return told, found


def _used(reached: Reached, held: Iterable[Holding]) -> dict[int, int]:
    """The most records of each batch that one version holds, by vertex."""
    found: dict[int, int] = {}
    for holding in held:
        for batch in holding.counts:
            vertex = reached.world.vertex(batch)
            found[vertex] = max(found.get(vertex, 0), holding.most(batch))
    return found
