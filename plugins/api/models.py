"""Models as JSON: their versions, what speaks against each, and which one is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from lazaretto import models
from lazaretto.plugins.api.bodies import (
    MOST_ON_A_PAGE,
    PREFIX,
    MoveBody,
)
from lazaretto.plugins.asked import Behind, Version, known
from lazaretto.plugins.examined import examined
from lazaretto.plugins.security import Reader, SignedIn, may_decide_all, may_read_all
from lazaretto.plugins.site import answer
from lazaretto.stages.models import list_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.plugins.site import Site

_PAGE = 50


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do. The gate itself asks the policies."""
    api, workspace = APIRouter(prefix=PREFIX), site.workspace

    @api.get("/models", dependencies=[may_read_all])
    def listed(
        model: Behind = None, limit: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = _PAGE
    ) -> Response:
        found = list_models(workspace(), known(model), limit=limit)
        return answer({"models": found.rows, "more": found.more})

    @api.get("/models/version", dependencies=[may_read_all])
    def one(
        reader: Reader,
        asked: Version,
    ) -> Response:
        shown, found = examined(workspace().acting(reader), asked)
        return answer({"version": shown, "examined": found, "clean": found.clean})

    @api.post("/models/promote", dependencies=may_decide_all)
    def promote(body: MoveBody, actor: SignedIn) -> Response:
        done = models.promote(
            workspace().acting(actor),
            str(known(body.model)),
            str(known(body.version)),
            alias=body.alias,
            registry=str(known(body.registry)),
            reason=body.reason,
        )
        return answer(done)

    def out_of_use(move: Callable[..., object], body: MoveBody, actor: SignedIn) -> Response:
        done = move(
            workspace().acting(actor),
            str(known(body.model)),
            alias=str(known(body.alias)),
            registry=str(known(body.registry)),
            reason=body.reason,
            expected=body.version,
        )
        return answer(done)

    @api.post("/models/demote", dependencies=may_decide_all)
    def demote(body: MoveBody, actor: SignedIn) -> Response:
        return out_of_use(models.demote, body, actor)

    @api.post("/models/rollback", dependencies=may_decide_all)
    def rollback(body: MoveBody, actor: SignedIn) -> Response:
        return out_of_use(models.rollback, body, actor)

    return api
