"""Models: all versions, and one with its evidence, what speaks against it, and what is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse  # noqa: TC002  FastAPI reads it at run time

from lazaretto import models
from lazaretto.ledger.events import PromotionRefused
from lazaretto.plugins.asked import Behind, Version, known
from lazaretto.plugins.examined import examined
from lazaretto.plugins.security import DecidesAll, Reader, may_read_all
from lazaretto.policy.promotion import AT_LEAST, AT_MOST
from lazaretto.stages.models import list_models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.plugins.site import Site

_PAGE_SIZE = 50
_MOST = 100
_KEYS = ("registry", "model", "version")
FIGURES = (*AT_LEAST, *AT_MOST)
"""What a policy may ask for stands first, in its order."""


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/models", dependencies=[may_read_all])
    def all_models(
        request: Request,
        registry: Behind = None,
        model: Behind = None,
        version: Behind = None,
    ) -> HTMLResponse:
        """What is named in the address is the last version of the page before."""
        behind = tuple(str(known(one)) for one in (registry, model, version) if one is not None)
        after = behind if len(behind) == len(_KEYS) else None
        found = list_models(workspace(), after=after, limit=_PAGE_SIZE)
        following = address_of(found.rows[-1]) if found.more else None
        return site.page(
            request,
            "models.html",
            models=found.rows,
            after=after,
            following=following,
            address_of=address_of,
        )

    @pages.get("/models/version", dependencies=[may_read_all])
    def one_model(
        request: Request,
        may_decide: DecidesAll,
        reader: Reader,
        asked: Version,
    ) -> HTMLResponse:
        acting = workspace().acting(reader)
        shown, found = examined(acting, asked)
        return site.page(
            request,
            "model.html",
            shown=shown,
            found=found,
            moves=models.past_moves(acting, asked.registry, asked.model, limit=_MOST),
            is_refusal=lambda event: isinstance(event, PromotionRefused),
            figures_of=figures_of,
            most=_MOST,
            may_decide=may_decide,
        )

    return pages


def address_of(row: Mapping[str, object]) -> str:
    """The part of an address that names a version."""
    return urlencode({name: row[name] for name in _KEYS})


def figures_of(figures: Mapping[str, float]) -> list[tuple[str, float]]:
    """What was measured: first what a policy may ask for, then all else by name."""
    known_ = [name for name in FIGURES if name in figures]
    names = [*known_, *sorted(figures.keys() - set(known_))]
    return [(name.replace("_", " "), figures[name]) for name in names]
