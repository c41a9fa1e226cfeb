"""Incidents: the list, and one with its question, its answers, its holds and what to do first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse  # noqa: TC002  FastAPI reads it at run time

from lazaretto import incidents
from lazaretto.authority.holds import noun_of
from lazaretto.incidents.evidence import still_in
from lazaretto.incidents.overview import WINDOWED
from lazaretto.incidents.production import named
from lazaretto.incidents.question import in_words
from lazaretto.plugins.asked import Behind, Moment, known
from lazaretto.plugins.security import DecidesAll, Login, may_read_all

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_PAGE_SIZE = 50
_KINDS = {
    "source": "a source: NAME",
    "batch": "a batch: ID",
    "record": "a record: BATCH#RECORD",
    "key": "a stolen key: KEY_ID",
    "policy": "a policy: DATASET@SHA256",
    "reference": "a reference: NAME@VERSION",
    "decision": "a decision: ID",
    "dataset": "a dataset version: NAME@VERSION",
    "model": "a model version: NAME@VERSION",
}
"""What an incident can be about, and what its subject looks like."""
_MOST = 200
"""Rows of each table of an incident that the page shows."""


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/incidents", dependencies=[may_read_all])
    def all_incidents(
        request: Request,
        state: Annotated[str, Query(pattern="^(open|all)$")] = "open",
        after: Behind = None,
        kind: Annotated[str, Query(max_length=40)] = "",
        subject: Annotated[str, Query(max_length=2_000)] = "",
        since: Moment = "",
        until: Moment = "",
        *,
        may_decide: DecidesAll,
    ) -> HTMLResponse:
        found = incidents.list_incidents(
            workspace(),
            state="OPEN" if state == "open" else None,
            after=known(after),
            limit=_PAGE_SIZE + 1,
        )
        shown = found[:_PAGE_SIZE]
        following = shown[-1].id if len(found) > _PAGE_SIZE else None
        return site.page(
            request,
            "incidents.html",
            incidents=shown,
            state=state,
            after=after,
            following=following,
            in_words=in_words,
            may_decide=may_decide,
            kinds=_KINDS,
            filled={"kind": kind, "subject": subject, "since": since, "until": until},
        )

    @pages.get("/incidents/{incident}", dependencies=[may_read_all])
    def one_incident(
        request: Request, incident: str, may_decide: DecidesAll, login: Login
    ) -> HTMLResponse:
        shown = incidents.show_incident(workspace(), str(known(incident)))
        return site.page(
            request,
            "incident.html",
            shown=shown,
            found=shown.incident,
            in_words=in_words,
            left=still_in(shown.evidence, shown.incident.question),
            windowed=WINDOWED,
            source_to_hold=next(iter(shown.sources), ""),
            noun_of=noun_of,
            named=named,
            may_decide=may_decide,
            me=login,
            most=_MOST,
        )

    return pages
