from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ledger_history import DAY, JANE, START, History

from lazaretto import lineage
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import ModelAliased
from lazaretto.ledger.verify import verify
from lazaretto.lineage.trace.picture import MAX_PATHS, picture
from lazaretto.lineage.trace.timeline import timeline

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike
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


def test_the_page_opens_with_the_conclusion_and_ends_with_the_proof(
    sqlite_workspace: Workspace,
) -> None:
    trace = _poisoned(sqlite_workspace, "eu")
    proof = lineage.prove(sqlite_workspace, trace)
    with sqlite_workspace.catalog.read() as connection:
        head = entry(connection, trace.seq)
    assert (proof.hash, proof.outcome, proof.entries) == (head.hash, "HOLDS", head.seq)
    text = _Page(lineage.to_html(trace, proof)).text
    order = [
        "1 model version learned from 1 batch of vendor-eu: net-eu@1.",
        "Nothing else that is on record can be affected.",
        "What to do",
        "lazaretto dataset snapshot digits --exclude excluded.txt",
        "Model versions",
        "What happened, in order",
        "Paths",
        "Batches",
        "Proof",
        head.hash,
        "HOLDS",
        sqlite_workspace.actor.id,
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_the_timeline_is_in_order_and_has_each_kind_of_moment(sqlite_workspace: Workspace) -> None:
    trace = _poisoned(sqlite_workspace)
    moments = timeline(trace)
    assert [one.at for one in moments] == sorted(one.at for one in moments)
    kinds = {one.kind for one in moments}
    assert kinds == {"delivered", "decided", "admitted", "trained", "recalled", "asked"}
    windowed = lineage.trace_source(sqlite_workspace, f"vendor-{_EVIL}", START, 9 * DAY + START)
    told = [one.what for one in timeline(windowed) if one.kind == "window"]
    assert told == ["the window in question begins", "the window in question ends"]


def test_which_version_served_under_which_name_and_when(workspace: Workspace) -> None:
    """Of the models in question alone, back to what served before and on to what serves now."""
    history = History(workspace)
    clean, poisoned = history.receive("other"), history.receive("vendor")
    history.admit(clean)
    history.snapshot({clean: 90})
    for model in ("net", "ranker", "elsewhere"):
        history.register(model, "1")
    history.admit(poisoned)
    history.snapshot({clean: 90, poisoned: 90})
    history.register("net", "2")
    history.register("ranker", "2")

    def stands(model: str, alias: str, version: str | None, reason: str = "") -> None:
        history.write(ModelAliased(model, alias, version, "mlflow://models:5000", reason))

    stands("net", "production", "1")
    stands("elsewhere", "production", "1")
    stands("net", "production", "2", _EVIL)
    stands("ranker", "canary", "2")
    stands("ranker", "canary", None)
    stands("ranker", "production", "1")
    trace = lineage.trace_source(workspace, "vendor")
    told = [(one.model, one.alias, one.version, one.state) for one in trace.aliases]
    assert told == [
        ("net", "production", "1", "other"),
        ("net", "production", "2", "affected"),
        ("ranker", "canary", "2", "affected"),
        ("ranker", "production", "1", "other"),
    ]
    first, second, canary, _ = trace.aliases
    assert (first.until, second.until) == (second.at, None)
    assert canary.until is not None
    assert [(one.model, one.version) for one in trace.in_use] == [("net", "2"), ("ranker", "1")]
    moments = [one.what for one in timeline(trace) if one.kind == "in use"]
    assert moments[0].startswith("production of net stood for net@1 from here on, by ")
    assert f"net@2, affected from here on, by {second.actor}: {_EVIL}" in moments[2]
    assert "canary of ranker no longer stood for ranker@2, affected" in moments
    page = _Page(lineage.to_html(trace))
    assert (page.open, page.active) == ([], [])
    assert page.text.index("In use now") < page.text.index("What to do")
    asked = lineage.trace_model(workspace, "net", "1")
    assert [one.state for one in asked.aliases] == ["asked", "other"]
    assert lineage.trace_source(workspace, "other", without=[clean]).aliases == []


def test_a_line_shows_what_a_step_rests_on() -> None:
    paths = [["b", "t", "m"], ["b", "t", "n"], ["b", "n"]]
    bases = [["known", "inferred: by a rule"], ["possible: by none", "known"]]
    drawn = picture(paths, bases)
    assert drawn is not None
    assert [curve.basis for curve in drawn.curves] == ["known", "inferred", "known", "known"]
    assert drawn.bases == ["known", "inferred"]


def test_a_report_that_was_changed_by_hand_is_named_with_its_entry(workspace: Workspace) -> None:
    kept = lineage.keep_report(workspace, _poisoned(workspace))
    other = lineage.keep_report(workspace, lineage.trace_source(workspace, f"vendor-{_EVIL}"))
    assert verify(workspace).ok
    page = Path(workspace.store.uri(kept.page.path))
    text = page.read_bytes()
    page.write_bytes(text.replace(b"net-", b"nut-", 1))  # as long as before
    report = verify(workspace)
    assert not report.ok
    assert report.problems == []
    (problem,) = report.reports
    assert kept.page.path in problem.what
    assert f"entry {kept.seq} " in problem.what
    page.unlink()
    Path(workspace.store.uri(other.page.path)).with_name("trace.json").write_bytes(b"{}")
    told = [problem.what for problem in verify(workspace).reports]
    assert [f"entry {kept.seq} " in told[0], f"entry {other.seq} " in told[1]] == [True, True]
    assert "it is gone" in told[0]
    page.write_bytes(text)
    assert len(verify(workspace).reports) == 1


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
    shown = store.read(page).decode()
    assert page == kept.page
    assert document.sha256 in shown
    assert _Page(shown).open == []
    assert lineage.trace_source(sqlite_workspace, trace.question.subject).seq == kept.seq


def test_a_picture_of_many_paths_is_bounded() -> None:
    drawn = picture([[f"b{i}", "s", "m"] for i in range(10 * MAX_PATHS)])
    assert drawn is not None
    assert len(drawn.boxes) == MAX_PATHS + 2
    assert len(drawn.curves) == MAX_PATHS + 1
    assert drawn.cut
    assert picture([]) is None
