"""Every route of the review page."""

from __future__ import annotations

from typing import Any


def routes() -> list[Any]:
    """Every route of the application, those of its router included.

    Since FastAPI 0.137 an included router stays one route of the application, which makes its own
    routes when they are first asked for.
    """
    from lazaretto.plugins.app import create_app

    found: list[Any] = []
    for route in create_app().routes:
        inside = getattr(route, "effective_candidates", None)
        found += inside() if inside else [route]
    return found
