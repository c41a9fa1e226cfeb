"""A real browser, for the pages of Airflow and for reports that are files."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
"""Whether a page must be moved sideways."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's chromium; WebGL by its own software, because no machine of tests has a screen."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Debian's chromium: apt install chromium")
    webgl = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage", *webgl]
        )
        yield started
        started.close()
