"""The pages that people see, one file per page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.plugins.pages import (
    batch,
    case,
    files,
    gate,
    inbox,
    incident,
    model,
    picture,
    record,
    refused,
    source,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import APIRouter

    from lazaretto.plugins.site import Site

ROUTES: tuple[Callable[[Site], APIRouter], ...] = (
    inbox.routes,
    refused.routes,
    case.routes,
    record.routes,
    picture.routes,
    batch.routes,
    source.routes,
    gate.routes,
    incident.routes,
    model.routes,
    files.routes,
)
"""Makes the routes of each page."""
