"""The API of the review page: cases and their records as JSON, and every decision on them.

Whoever decides is the person that Airflow's auth manager authenticated; nothing in a request names
one. A decision may say what its author has seen: whoever was overtaken is told, and decides
nothing. Every field that is shown may come from an attacker: values are escaped and cut.
"""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003  FastAPI reads these types at run time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from lazaretto.plugins.cases import FilterQuery, page_of_records
from lazaretto.plugins.security import SignedIn, may_decide, may_read
from lazaretto.quarantine import review
from lazaretto.values import Action  # noqa: TC001  pydantic reads it at run time

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

_PAGE = 50
_MOST = 500
_MOST_IDS = 10_000
_LONGEST_REASON = 2_000
_LONGEST_LABEL = 1_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DecisionBody(_Strict):
    """What is decided, on which records; see `lazaretto.quarantine.review.decide`."""

    action: Action
    reason: str = Field(min_length=1, max_length=_LONGEST_REASON)
    ids: list[str] | None = Field(None, max_length=_MOST_IDS)
    positions: list[int] | None = Field(None, max_length=_MOST_IDS)
    filter: dict[str, str] | None = None
    all: bool = False
    label: str | None = Field(None, max_length=_LONGEST_LABEL)
    weight: float | None = None
    seen: int | None = Field(None, ge=0)
    expected: int | None = Field(None, ge=0)


class UndoBody(_Strict):
    """Why a decision is taken back."""

    reason: str = Field(min_length=1, max_length=_LONGEST_REASON)


def answer(value: object, *, status: int = 200) -> Response:
    """Dataclasses as JSON; a number that JSON does not know (NaN) is null."""
    text = to_json(value, inf_nan_mode="null")
    return Response(text, status_code=status, media_type="application/json")


def routes(workspace: Callable[[], Workspace]) -> APIRouter:
    """The routes, below ``/api/v1``; each has a check of what somebody may do."""
    api = APIRouter(prefix="/api/v1")

    @api.get("/cases", dependencies=[may_read])
    def cases(
        state: str | None = None,
        source: str | None = None,
        dataset: str | None = None,
        after: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = _PAGE,
    ) -> Response:
        found = review.list_cases(
            workspace(), state=state, source=source, dataset=dataset, after=after, limit=limit
        )
        following = found[-1].id if len(found) == limit else None
        return answer({"cases": found, "after": following})

    @api.get("/cases/{case}", dependencies=[may_read])
    def case(case: str) -> Response:
        opened = workspace()
        return answer(
            {
                "case": review.show_case(opened, case),
                "decisions": review.list_decisions(opened, case),
                "publications": review.list_publications(opened, case),
            }
        )

    @api.get("/cases/{case}/records", dependencies=[may_read])
    def records(
        request: Request,
        case: str,
        after: Annotated[int, Query(ge=-1)] = -1,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = _PAGE,
    ) -> Response:
        opened = workspace()
        found = page_of_records(
            opened,
            review.show_case(opened, case),
            FilterQuery.of(request.query_params),
            after=after,
            limit=limit,
        )
        return answer(found)

    @api.get("/cases/{case}/count", dependencies=[may_read])
    def count(request: Request, case: str) -> Response:
        wanted = FilterQuery.of(request.query_params)
        return answer({"records": review.count_records(workspace(), case, wanted.filter)})

    @api.post("/cases/{case}/decisions", dependencies=may_decide, status_code=201)
    def decide(case: str, body: DecisionBody, actor: SignedIn) -> Response:
        made = review.decide(
            workspace().acting(actor),
            case,
            body.action,
            ids=body.ids,
            positions=body.positions,
            filter=body.filter,
            all=body.all,
            reason=body.reason,
            label=body.label,
            weight=body.weight,
            seen=body.seen,
            expected=body.expected,
        )
        return answer(made, status=201)

    @api.post("/decisions/{decision}/undo", dependencies=may_decide, status_code=201)
    def undo(decision: str, body: UndoBody, actor: SignedIn) -> Response:
        done = review.undo(workspace().acting(actor), decision, reason=body.reason)
        return answer(done, status=201)

    @api.post("/cases/{case}/publish", dependencies=may_decide)
    def publish(case: str, actor: SignedIn) -> Response:
        return answer({"admission": review.publish(workspace().acting(actor), case)})

    return api
