"""Cases and their held records as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response

from lazaretto.plugins.api.bodies import MOST_ON_A_PAGE, PREFIX
from lazaretto.plugins.records import FilterQuery, page_of_records, whole_record
from lazaretto.plugins.security import Hidden, Reader, may_read
from lazaretto.plugins.site import Position, answer
from lazaretto.quarantine import inbox, review
from lazaretto.quarantine.triage import triage_of_case
from lazaretto.sources.standing import signature_of

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_PAGE = 50


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    api, workspace = APIRouter(prefix=PREFIX), site.workspace

    @api.get("/cases", dependencies=[may_read])
    def cases(
        hidden: Hidden,
        state: str | None = None,
        source: str | None = None,
        dataset: str | None = None,
        verdict: str | None = None,
        reason: str | None = None,
        assignee: str | None = None,
        after: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = _PAGE,
    ) -> Response:
        found = review.list_cases(
            workspace(),
            state=state,
            source=source,
            dataset=dataset,
            verdict=verdict,
            reason=reason,
            assignee=assignee,
            hidden=hidden,
            after=after,
            limit=limit,
        )
        following = found[-1].id if len(found) == limit else None
        return answer({"cases": found, "after": following})

    @api.get("/facets", dependencies=[may_read])
    def counts(hidden: Hidden, state: str | None = "OPEN") -> Response:
        return answer(inbox.facets(workspace(), state, hidden=hidden))

    @api.get("/cases/{case}", dependencies=[may_read])
    def case(case: str) -> Response:
        opened = workspace()
        found = review.show_case(opened, case)
        return answer(
            {
                "case": found,
                "signature": signature_of(opened, found.batch),
                "triage": triage_of_case(opened, case),
                "decisions": review.list_decisions(opened, case),
                "publications": review.list_publications(opened, case),
                "approvals": review.list_approvals(opened, case),
            }
        )

    @api.get("/cases/{case}/records", dependencies=[may_read])
    def records(
        request: Request,
        case: str,
        reader: Reader,
        after: Annotated[int, Query(ge=-1)] = -1,
        limit: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = _PAGE,
    ) -> Response:
        opened = workspace()
        found = page_of_records(
            opened.acting(reader),
            review.show_case(opened, case),
            FilterQuery.of(request.query_params),
            via="api",
            after=after,
            limit=limit,
        )
        return answer(found)

    @api.get("/cases/{case}/records/{position}", dependencies=[may_read])
    def record(case: str, position: Position, reader: Reader) -> Response:
        opened = workspace().acting(reader)
        found = review.show_case(opened, case)
        return answer(whole_record(opened, found, position, via="api"))

    @api.get("/cases/{case}/count", dependencies=[may_read])
    def count(request: Request, case: str) -> Response:
        wanted = FilterQuery.of(request.query_params)
        return answer({"records": review.count_records(workspace(), case, wanted.filter)})

    return api
