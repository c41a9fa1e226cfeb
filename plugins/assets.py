"""Style sheets, scripts and pictures of the pages: own ones, and bundles of others' libraries."""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
BUNDLED = "bundled"
"""Folder within `FOLDER` with what `make ui-assets` bundles of other people's libraries."""
TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
"""What may be asked for, by the ending of its name, and how it is sent."""


@cache
def known_files() -> dict[str, Path]:
    """Every file that may be asked for, by its name in the address."""
    places = [*FOLDER.iterdir(), *(FOLDER / BUNDLED).glob("*")]
    return {str(place.relative_to(FOLDER)): place for place in places if place.suffix in TYPES}


def bundled(name: str) -> bool:
    """Whether a bundle is there, such as ``htmx.js``: a tree may be used without npm."""
    return f"{BUNDLED}/{name}" in known_files()
