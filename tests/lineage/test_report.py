from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from ledger_history import JANE, START, History

from lazaretto import lineage
from lazaretto.ledger.chain import entry
from lazaretto.lineage.trace.picture import MAX_PATHS, picture

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

_EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class _Page(HTMLParser):
    """Counts elements, and collects what would load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.active: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "path", "rect"):
            self.open.append(tag)
        self.active += [f"{k}={v}" for k, v in attrs if k in ("src", "href") or k[:2] == "on"]

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "rect"):
            assert self.open.pop() == tag


def _poisoned(workspace: Workspace) -> lineage.Trace:
    history = History(workspace)
    batch = history.receive(f"vendor-{_EVIL}")
    history.judge(batch)
    history.decide(batch)
    history.admit(batch)
    history.snapshot({batch: 90})
    model = history.register(f"net-{_EVIL}", "1")
    history.recall({batch: 5}, (model,))
    return lineage.trace_source(workspace, f"vendor-{_EVIL}")


def test_the_page_is_self_contained_and_hostile_names_stay_text(
    sqlite_workspace: Workspace,
) -> None:
    text = lineage.to_html(_poisoned(sqlite_workspace))
    page = _Page(text)
    assert page.open == []
    assert page.active == []
    assert not page.tags & {"script", "img", "link", "iframe", "object"}
    assert "default-src 'none'" in text
    assert "&lt;script&gt;" in text


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
    kept = lineage.keep_report(sqlite_workspace, trace, actor=JANE)
    store = sqlite_workspace.store
    with sqlite_workspace.catalog.read() as connection:
        document, page = entry(connection, kept.seq).event.report  # type: ignore[attr-defined]
    told = json.loads(store.read(document))
    assert told["models"][0]["id"] == trace.model_ids[0]
    assert store.read(page).decode() == lineage.to_html(trace)
    assert lineage.trace_source(sqlite_workspace, trace.question.subject).seq == kept.seq


def test_a_picture_of_many_paths_is_bounded() -> None:
    drawn = picture([[f"b{i}", "s", "m"] for i in range(10 * MAX_PATHS)])
    assert drawn.count("<rect") == MAX_PATHS + 2
    assert picture([]) == ""
