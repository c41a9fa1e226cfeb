from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from ledger_history import JANE, START, History

from lazaretto import lineage
from lazaretto.ledger.chain import entry
from lazaretto.lineage.trace.picture import MAX_PATHS, picture

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

_EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
_HOSTILE = [
    _EVIL,
    "</style></title><script>alert(1)</script>",
    "{{ 7 * 191 }}{% include 'report.html' %}{# gone #}",
    "' onmouseover=alert(1) x='",
    "javascript:alert(1)&lt;b&gt;",
    "]]><svg onload=alert(1)>",
]


class _Page(HTMLParser):
    """Counts elements, and collects what would load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.active: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "path", "rect"):
            self.open.append(tag)
        self.active += [f"{k}={v}" for k, v in attrs if k in ("src", "href") or k[:2] == "on"]

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "rect"):
            assert self.open.pop() == tag


def _poisoned(workspace: Workspace, evil: str = _EVIL) -> lineage.Trace:
    history = History(workspace)
    batch = history.receive(f"vendor-{evil}")
    history.judge(batch)
    history.decide(batch)
    history.admit(batch)
    history.snapshot({batch: 90})
    model = history.register(f"net-{evil}", "1")
    history.recall({batch: 5}, (model,))
    return lineage.trace_source(workspace, f"vendor-{evil}")


@pytest.mark.parametrize("evil", _HOSTILE)
def test_the_page_is_self_contained_and_hostile_names_stay_text(
    sqlite_workspace: Workspace, evil: str
) -> None:
    text = lineage.to_html(_poisoned(sqlite_workspace, evil))
    page = _Page(text)
    assert text.startswith("<!doctype html>\n<html")
    assert page.open == []
    assert page.active == []
    assert not page.tags & {"script", "img", "link", "iframe", "object"}
    assert "default-src 'none'" in text
    # In the title, the question, the tables and the picture it is what it was, letter by letter.
    assert page.text.count(f"vendor-{evil}") >= 4
    assert page.text.count(f"net-{evil}") >= 3


def test_the_page_tells_everything(sqlite_workspace: Workspace) -> None:
    trace = _poisoned(sqlite_workspace)
    text = lineage.to_html(trace)
    for heading in ("What to do", "Model versions", "Paths", "Batches", "Decisions", "Recalls"):
        assert f"<h2>{heading}</h2>" in text
    assert "What this answer could not see" not in text
    assert JANE.id in text


def test_what_the_answer_could_not_see_is_on_the_page(sqlite_workspace: Workspace) -> None:
    history = History(sqlite_workspace)
    history.receive("vendor-x", collected=False)
    trace = lineage.trace_source(sqlite_workspace, "vendor-x", START, START.replace(year=2027))
    text = lineage.to_html(trace)
    assert "What this answer could not see" in text
    assert "do not say when they were collected" in text


def test_a_kept_report_is_in_the_store_and_on_record(sqlite_workspace: Workspace) -> None:
    trace = _poisoned(sqlite_workspace)
    kept = lineage.keep_report(sqlite_workspace, trace)
    store = sqlite_workspace.store
    with sqlite_workspace.catalog.read() as connection:
        document, page = entry(connection, kept.seq).event.report  # type: ignore[attr-defined]
    told = json.loads(store.read(document))
    assert told["models"][0]["id"] == trace.model_ids[0]
    assert store.read(page).decode() == lineage.to_html(trace)
    assert lineage.trace_source(sqlite_workspace, trace.question.subject).seq == kept.seq


def test_a_picture_of_many_paths_is_bounded() -> None:
    drawn = picture([[f"b{i}", "s", "m"] for i in range(10 * MAX_PATHS)])
    assert drawn is not None
    assert len(drawn.boxes) == MAX_PATHS + 2
    assert len(drawn.curves) == MAX_PATHS + 1
    assert drawn.cut
    assert picture([]) is None
