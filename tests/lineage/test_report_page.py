"""The report of a trace in a real browser: hostile names, a small screen, and paper."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from browsing import WIDE, chromium
from ledger_history import History

from lazaretto import lineage
from lazaretto.ledger.events import ModelAliased

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

EVIL = "<script>document.title='owned'</script>\u202e" + "a-name-without-an-end-" * 80


def report(workspace: Workspace, name: str) -> str:
    """Twenty batches of a source and three models; one of them is in production."""
    history = History(workspace)
    members = {}
    with history.at_once():
        for day in range(20):
            batch = history.receive(f"vendor-{name}", day)
            history.judge(batch)
            history.admit(batch)
            members[batch] = 90
        history.decide(batch)
        history.snapshot(members)
        for number in range(3):
            history.register(f"net-{number}-{name}", "2026.03")
        history.recall({batch: 5}, ())
    history.write(
        ModelAliased(f"net-0-{name}", "production", "2026.03", "mlflow://models:5000", "")
    )
    trace = lineage.trace_source(workspace, f"vendor-{name}")
    return lineage.to_html(trace, lineage.prove(workspace, trace))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser."""
    with chromium() as start:
        yield start()


@pytest.fixture
def shown(browser: Any, tmp_path: Path) -> Callable[..., Any]:
    """Opens a report as a file, as people do who were sent one."""

    def open_(text: str, **options: Any) -> Any:
        file = tmp_path / "report.html"
        file.write_text(text, "utf-8")
        page = browser.new_context(**options).new_page()
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(file.as_uri())
        return page

    return open_


@pytest.mark.parametrize("name", ["eu", EVIL], ids=["plain", "hostile"])
def test_it_is_readable_at_400_pixels_and_on_paper(
    sqlite_workspace: Workspace, shown: Callable[..., Any], name: str
) -> None:
    text = report(sqlite_workspace, name)
    assert "\u202e" not in text
    for width in (1280, 400):
        page = shown(text, viewport={"width": width, "height": 900})
        assert not page.evaluate(WIDE), width
        # The conclusion begins on the first screen, whatever the attacker called it.
        sentences = page.locator(".conclusion p").all()
        assert all(one.bounding_box()["y"] < 900 for one in sentences[: 3 if name == "eu" else 1])
        if (folder := os.environ.get("LAZARETTO_PICTURES")) and name == "eu":
            page.screenshot(path=f"{folder}/report-{width}.png")
        assert page.title() != "owned"
        assert [url for url in page.asked if not url.startswith("file:")] == []
    # A4 at 96 pixels an inch, within the margins.
    page = shown(text, viewport={"width": 680, "height": 1000}, color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.evaluate(WIDE)
    cut = """() => [...document.querySelectorAll("body *")].filter(
        (one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML)"""
    assert page.evaluate(cut) == []
    # A table is a table on paper, however narrow the page is.
    assert page.evaluate("getComputedStyle(document.querySelector('thead')).position") == "static"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
