"""What a person does on the map of a case, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

from lazaretto.plugins import assets

built = pytest.mark.skipif(
    not assets.bundled("scatterplot.js"), reason="needs `make ui-assets`, which needs npm"
)
READY = "#map[data-ready]"


def wait_for(page: Any, locator: str) -> None:
    """Until something is on the page; drawing takes its time on a slow machine."""
    page.locator(locator).wait_for(state="attached", timeout=60_000)


def draw_lasso(page: Any, corners: list[tuple[float, float]]) -> None:
    """Draws with the mouse; corners as parts of the canvas."""
    canvas = page.locator("#map-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()

    def at(corner: tuple[float, float]) -> tuple[float, float]:
        return box["x"] + corner[0] * box["width"], box["y"] + corner[1] * box["height"]

    page.mouse.move(*at(corners[0]))
    page.mouse.down()
    for corner in [*corners[1:], corners[0]]:
        page.mouse.move(*at(corner), steps=12)
    page.mouse.up()
