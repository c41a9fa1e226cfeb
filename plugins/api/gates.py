"""Gates: policies in force, what is in shadow, and what other rates would have held, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from lazaretto.plugins.api.bodies import MOST_ON_A_PAGE, PREFIX
from lazaretto.plugins.asked import MOST_BATCHES, MOST_RECORDS, Behind, known
from lazaretto.plugins.security import Hidden, may_read
from lazaretto.plugins.site import answer
from lazaretto.stages.explore import LAST, explore_rates
from lazaretto.stages.gates import list_gates, show_gate

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_PAGE = 50


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    api, workspace = APIRouter(prefix=PREFIX), site.workspace

    @api.get("/gates", dependencies=[may_read])
    def gates(
        hidden: Hidden,
        after: Behind = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = _PAGE,
    ) -> Response:
        found = list_gates(workspace(), after=known(after), limit=limit, hidden=hidden)
        following = found[-1].dataset if len(found) == limit else None
        return answer({"gates": found, "after": following})

    @api.get("/gates/{dataset}", dependencies=[may_read])
    def gate(dataset: str) -> Response:
        return answer(show_gate(workspace(), dataset))

    @api.get("/gates/{dataset}/explore", dependencies=[may_read])
    def explore(
        dataset: str, batches: Annotated[int, Query(ge=1, le=MOST_BATCHES)] = LAST
    ) -> Response:
        found = explore_rates(workspace(), dataset, batches=batches, most_records=MOST_RECORDS)
        return answer(found)

    return api
