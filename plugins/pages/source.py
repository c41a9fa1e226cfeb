"""Sources: who delivers, what became of it, with which keys, and what it reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse  # noqa: TC002  FastAPI reads it at run time

from lazaretto.lineage.trace.conclusion import conclusion, in_use_now
from lazaretto.plugins.asked import Behind, Moment, known
from lazaretto.plugins.charts import Chart, bars, powers
from lazaretto.plugins.security import Hidden, may_read
from lazaretto.plugins.short import shorten
from lazaretto.plugins.tracing import trace_for
from lazaretto.quarantine.review import list_cases
from lazaretto.stages.deliveries import Wanted, list_deliveries
from lazaretto.stages.source_counts import list_overviews
from lazaretto.stages.sources import show_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.drift.source import Step
    from lazaretto.plugins.site import Site
    from lazaretto.stages.sources import HeldShare, SourceDrift

_PAGE_SIZE = 50
_MOST_CASES = 20
_MOST_TRACED = 200
"""Rows of each table of a trace that a page shows."""


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/sources", dependencies=[may_read])
    def all_sources(request: Request, hidden: Hidden, after: Behind = None) -> HTMLResponse:
        found = list_overviews(workspace(), after=known(after), limit=_PAGE_SIZE + 1, hidden=hidden)
        shown = found[:_PAGE_SIZE]
        following = shown[-1].source.name if len(found) > _PAGE_SIZE else None
        return site.page(request, "sources.html", sources=shown, after=after, following=following)

    @pages.get("/sources/{name}", dependencies=[may_read])
    def one_source(
        request: Request, name: str, hidden: Hidden, after: Behind = None
    ) -> HTMLResponse:
        opened = workspace()
        found = show_source(opened, name, hidden=hidden)
        wanted = Wanted(source=name, hidden=tuple(hidden))
        deliveries = list_deliveries(opened, wanted, limit=_PAGE_SIZE, after=known(after))
        last = deliveries.rows[-1] if deliveries.more else None
        cases = list_cases(opened, source=name, hidden=hidden, limit=_MOST_CASES)
        return site.page(
            request,
            "source.html",
            found=found,
            deliveries=deliveries.rows,
            after=after,
            older=last and (last["id"] or last["seq"]),
            cases=cases,
            shares=shares_chart(found.shares),
            evidence=evidence_chart(found.drift),
            hidden=bool(hidden),
        )

    @pages.get("/sources/{name}/trace", dependencies=[may_read])
    def traced(
        request: Request, name: str, hidden: Hidden, since: Moment = "", until: Moment = ""
    ) -> HTMLResponse:
        found = trace_for(workspace(), name, since, until, hidden)
        return site.page(
            request,
            "trace.html",
            name=name,
            since=since,
            until=until,
            found=found,
            trace=found.trace,
            said=() if found.trace is None else conclusion(found.trace),
            in_use="" if found.trace is None else in_use_now(found.trace),
            most=_MOST_TRACED,
        )

    return pages


def shares_chart(shares: Sequence[HeldShare]) -> Chart | None:
    """The share held of each delivery; None where none was judged."""
    if not any(one.share is not None for one in shares):
        return None
    return bars([(one.share, shorten(_share_text(one), 300)) for one in shares])


def evidence_chart(drift: SourceDrift) -> Chart | None:
    """The evidence after each batch; None where there is none."""
    if not drift.steps:
        return None
    values = [(step.evidence, shorten(_step_text(step), 300)) for step in drift.steps]
    return powers(values, drift.alarm)


def _share_text(one: HeldShare) -> str:
    return f"{one.batch}, {one.arrived:%Y-%m-%d %H:%M}: {one.held} of {one.rows} held"


def _step_text(step: Step) -> str:
    return f"{step.batch}, {step.arrived:%Y-%m-%d %H:%M}: {step.evidence:.3g}"
