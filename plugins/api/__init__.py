"""The API of the review page, below ``/api/v1``: what the pages show, and every decision, as JSON.

Whoever decides is the person that Airflow's auth manager authenticated; nothing in a request names
one. A decision may say what its author has seen: whoever was overtaken is told, and decides
nothing. Every field that is shown may come from an attacker: values are escaped and cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.plugins.api import (
    cases,
    decisions,
    description,
    exchange,
    gates,
    handling,
    incidents,
    lineage,
    maps,
    models,
    sources,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import APIRouter

    from lazaretto.plugins.site import Site

ROUTES: tuple[Callable[[Site], APIRouter], ...] = (
    cases.routes,
    decisions.routes,
    handling.routes,
    exchange.routes,
    maps.routes,
    sources.routes,
    gates.routes,
    lineage.routes,
    incidents.routes,
    models.routes,
    description.routes,
)
"""Makes the routes of each part."""
