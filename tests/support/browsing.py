"""A real browser, for the pages of Airflow and for reports that are files."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
"""Whether a page must be moved sideways."""


@contextmanager
def chromium() -> Iterator[Callable[..., Any]]:
    """Starts Debian's chromium, each kind once.

    WebGL by its own software, because no machine of tests has a screen, and only where a test asks
    for it: to draw a map takes more than all else that a page does.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Debian's chromium: apt install chromium")
    drawing = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    without = ["--disable-gpu", "--disable-3d-apis"]
    with playwright.sync_playwright() as running:

        @cache
        def start(*, webgl: bool = False) -> Any:
            return running.chromium.launch(
                executable_path=program,
                args=["--no-sandbox", "--disable-dev-shm-usage", *(drawing if webgl else without)],
            )

        yield start  # what it started ends with playwright
