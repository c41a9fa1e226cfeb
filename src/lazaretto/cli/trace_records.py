"""What a trace rests on, for people: sources, batches, decisions, refusals and recalls."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from lazaretto.cli.layout import facts
from lazaretto.cli.listing import flow, listing, words
from lazaretto.cli.text import cell, counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from rich.console import RenderableType

    from lazaretto.lineage import Trace, TracedBatch, TracedDecision, TracedRecall, TracedSource
    from lazaretto.lineage.trace.answer import RefusedDelivery

_HELD = {True: "held", False: "not held", None: "cannot be told whether it was held"}
_POLICY = "policy:"


def record(trace: Trace) -> Iterator[RenderableType]:
    """What became of the record, where one was asked for."""
    state = trace.record
    if state is None:
        return
    told: dict[str, object] = {
        "record": _HELD[state.held],
        "decision": state.action or "none",
        "in": ", ".join(state.present_in) or "no snapshot",
    }
    if state.decided_by is not None:
        told["decided by"] = state.decided_by
    if state.published_by is not None:
        approved = f", approved by {', '.join(state.approved_by)}" if state.approved_by else ""
        told["published by"] = state.published_by + approved
    yield Text("")
    yield facts(told)


def sources(trace: Trace, *, whole: bool) -> Iterator[RenderableType]:
    """Shares of the sources, where there can be several."""
    if trace.question.kind != "source":
        title = f"Sources: {len(trace.sources):,}"
        yield from listing(title, trace.sources, _source, whole=whole)


def _source(share: TracedSource) -> Iterator[RenderableType]:
    used = f"{counted(share.batches, 'batch')}, {counted(share.used_rows, 'record')} used"
    yield flow(f"{share.source}:", *words(used))


def batches(trace: Trace, *, whole: bool) -> Iterator[RenderableType]:
    """Batches in question, with what was used of each."""
    found = trace.batches
    used = sum(batch.used_rows or 0 for batch in found)
    back = sum(batch.recalled_rows for batch in found)
    title = f"{counted(len(found), 'batch')}: {used:,} records used"
    title += f", {back:,} recalled" if back else ""
    yield from listing(title, found, _batch, whole=whole)


def _batch(batch: TracedBatch) -> Iterator[RenderableType]:
    rows = "?" if batch.rows is None else f"{batch.rows:,}"
    yield flow(
        batch.id,
        f"{batch.used_rows or 0:,} of {rows} used",
        _day(batch.received_at),
        f"{batch.recalled_rows:,} recalled" if batch.recalled_rows else "",
        "" if batch.signature == "VERIFIED" else batch.signature or "not signed",
        _collected(batch) if batch.matched in ("received", "collected") else "",
    )


def _collected(batch: TracedBatch) -> str:
    """When it was collected, where that and the receipt are not both in the window."""
    if batch.collected_from is None and batch.collected_to is None:
        return "collected: not said"
    return f"collected {_day(batch.collected_from)} to {_day(batch.collected_to)}"


def refused(trace: Trace, *, whole: bool) -> Iterator[RenderableType]:
    """Deliveries under the source's name that were refused."""
    title = f"Refused, which reached nothing: {counted(len(trace.refused), 'delivery')}"
    yield from listing(title, trace.refused, _refused, whole=whole)


def _refused(one: RefusedDelivery) -> Iterator[RenderableType]:
    yield flow(one.at, one.code, one.uri, f"(entry {one.seq})")
    yield flow(*words(one.reason), depth=4)


def decisions(trace: Trace, *, whole: bool) -> Iterator[RenderableType]:
    """Who let what through: totals, and then what people decided."""
    if not trace.decisions:
        return
    times, records = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for one in trace.decisions:
        times[one.what, _by(one)] += 1
        records[one.what, _by(one)] += one.records
    yield Text("")
    yield cell("Who let what through", "italic")
    for (what, who), count in times.items():
        of = f"{counted(records[what, who], 'record')}, {counted(count, 'time')}, by {who}"
        yield flow(what, *words(of))
    mine = [one for one in trace.decisions if whole or not one.actor.startswith(_POLICY)]
    title = "Decisions" if whole else "Decisions of people"
    yield from listing(f"{title}: {len(mine):,}", mine, _decision, whole=whole)


def _decision(one: TracedDecision) -> Iterator[RenderableType]:
    yield flow(one.at, one.what, f"{one.records:,} of {one.batch}", *words(f"by {_by(one)}"))
    yield flow(*words(one.reason), depth=4)


def recalls(trace: Trace, *, whole: bool) -> Iterator[RenderableType]:
    """What was taken back since."""
    title = f"Recalled since: {len(trace.recalls):,}"
    yield from listing(title, trace.recalls, _recall, whole=whole)


def _recall(one: TracedRecall) -> Iterator[RenderableType]:
    lost = counted(sum(one.batches.values()), "record")
    where = f"{lost}, from version {one.version} of {one.dataset} on: {one.reason}"
    yield flow(one.id, one.at, *words(where))


def _by(one: TracedDecision) -> str:
    if one.policy is None or one.actor != f"{_POLICY}{one.policy}":
        return one.actor
    return f"policy {one.policy} ({(one.policy_sha256 or '')[:12]})"


def _day(moment: datetime | None) -> str:
    return "?" if moment is None else f"{moment:%Y-%m-%d}"
