"""A large answer on a terminal of 80 columns: the plan on the first screen, and nothing broken."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from ledger_history import DAY, START, History
from rich.console import Console

from lazaretto import lineage
from lazaretto.cli.trace_view import view
from lazaretto.ledger.events import ModelAliased

if TYPE_CHECKING:
    from lazaretto.lineage import Trace
    from lazaretto.storage.workspace import Workspace

BATCHES, MODELS = 60, 30


def shown(trace: Trace, *, whole: bool = False) -> list[str]:
    console = Console(width=80, file=io.StringIO(), markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(view(trace, whole=whole), crop=False)
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.fixture
def trace(sqlite_workspace: Workspace) -> Trace:
    history = History(sqlite_workspace)
    members = {}
    with history.at_once():
        for day in range(BATCHES):
            batch = history.receive("annotation-vendor-eu", day)
            history.judge(batch)
            history.admit(batch)
            members[batch] = 90
        history.decide(batch)
        history.snapshot(members)
        for number in range(MODELS):
            history.register(f"classifier-{number:02}", "2026.03")
    return lineage.trace_source(sqlite_workspace, "annotation-vendor-eu", START, START + 99 * DAY)


def test_sixty_batches_and_thirty_models_fit(trace: Trace) -> None:
    lines = shown(trace)
    assert (len(trace.batches), len(trace.models)) == (BATCHES, MODELS)
    assert len(lines) <= 120
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("In use now: ")
    assert f"{MODELS} model versions learned from {BATCHES} batches" in lines[2]
    plan = lines.index(f"What to do, in this order ({MODELS} models)")
    leave_out = lines.index(f"Leave out {BATCHES} batches:")
    assert plan < leave_out < 30
    assert lines[leave_out + 1].startswith("  lazaretto trace source annotation-vendor-eu --since")
    assert lines[leave_out + 1].endswith(" \\")
    titles = ["What to do", "Affected: 30 model versions", "60 batches", "Who let what through"]
    places = [next(n for n, line in enumerate(lines) if line.startswith(t)) for t in titles]
    assert places == sorted(places)
    assert lines.count(f"and {BATCHES - 20} more; --all, or --json") == 1
    assert lines.count(f"and {MODELS - 20} more; --all, or --json") == 2


def test_all_shows_every_one_whole(trace: Trace) -> None:
    text = "\n".join(shown(trace, whole=True))
    assert "more; --all" not in text
    for ident in (*trace.batch_ids, *trace.model_ids):
        assert ident in text.split()


def test_a_path_of_three_hundred_appends_is_shown_by_its_ends(trace: Trace) -> None:
    """A table that was appended to each hour: every append is a step."""
    name = trace.models[0].id
    path = ["vendor/1", *(f"features@{number}" for number in range(300)), name]
    bases = ["known", *("inferred: appended" for _ in range(300))]
    long = replace(trace, models=[replace(trace.models[0], paths=[path], bases=[bases])])
    text = " ".join(" ".join(shown(long)).split())
    start = text.index("by vendor/1")
    told = text[start : text.index("60 batches", start)]
    assert "→ features@4 → (289 more) → features@294 →" in told
    assert told.count("inferred: appended") == 12
    assert "features@150" not in text
    assert "→ features@150 → features@151" in " ".join(" ".join(shown(long, whole=True)).split())


def test_what_is_in_use_stands_above_the_plan(sqlite_workspace: Workspace) -> None:
    history = History(sqlite_workspace)
    history.admit(batch := history.receive("vendor"))
    history.snapshot({batch: 90})
    for number in range(5):
        history.register(f"net-{number}", "1")
        history.write(ModelAliased(f"net-{number}", "production", "1", "mlflow://models:5000", ""))
    lines = shown(lineage.trace_source(sqlite_workspace, "vendor"))
    place = lines.index("In use now: 5 names")
    assert lines[place + 1].startswith("production is net-0@1 since 20")
    assert lines[place + 1].endswith(" affected")
    assert lines[place + 4] == "and 2 more; --all, or --json"
    assert lines[place + 6].startswith("What to do")
