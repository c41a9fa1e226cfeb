"""Random histories of ours and other tools: no answer misses what happened, or accuses wrongly.

`LAZARETTO_HISTORIES=2000` runs so many on each database; `benchmarks/mixed_histories.py` more.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from many import in_full
from mixed.closeness import why_inexact
from mixed.generate import kind_of, story
from mixed.judge import Answer
from mixed.making import KINDS
from mixed.names import TABLES
from mixed.oracle import made_of, truth
from mixed.places import Place, place
from mixed.reported import tell
from mixed.run import Check, differences, failure, wrongs
from mixed.steps import (
    BARE,
    COUNTING,
    SPLIT,
    Admit,
    Job,
    Read,
    Recall,
    Receive,
    Register,
    Snapshot,
    Step,
    Story,
    Tool,
    Write,
)
from mixed.world import play

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.long

_DEFAULT = {"sqlite": 24, "postgresql": 8} if in_full() else {"sqlite": 12, "postgresql": 4}
_MADE = 100
_TOLD = 3
_NET = ("mlflow://models:5000", "net")


@pytest.fixture
def somewhere(catalog_url: str, tmp_path: Path) -> Iterator[Place]:
    """A place for many histories, once in each database."""
    with place(catalog_url, tmp_path / "histories") as made:
        yield made


def _seeds(where: Place, share: int = 1) -> range:
    """Which histories: with each database others, unless more are asked for."""
    asked = os.environ.get("LAZARETTO_HISTORIES")
    database = where.workspace.catalog.engine.dialect.name
    count = int(asked) if asked else _DEFAULT[database]
    first = 0 if asked or database == "sqlite" else _DEFAULT["sqlite"]
    return range(first, first + count, share)


def _check(where: Place, seeds: range, check: Check) -> None:
    found = [told for seed in seeds if (told := failure(where, seed, check)) is not None]
    if found:
        pytest.fail(f"{len(found)} of {len(seeds)} histories\n" + "\n\n".join(found[:_TOLD]))


def test_answers_miss_nothing_and_accuse_nobody(somewhere: Place) -> None:
    _check(somewhere, _seeds(somewhere), wrongs)


def test_order_split_and_repetition_of_events_make_no_difference(somewhere: Place) -> None:
    _check(somewhere, _seeds(somewhere, 8), differences)


def test_the_generator_makes_all_kinds_of_histories() -> None:
    """Else the tests above would say nothing about what no longer occurs."""
    seen: Counter[str] = Counter()
    for seed in range(_MADE):
        kind = kind_of(seed)
        told_story = story(seed)
        world = play(told_story)
        told = tell(world)
        seen[f"exact {kind}"] += not told_story.attack and not why_inexact(world, told)
        seen.update(f"lost {text.partition(': ')[2]}" for text in told.lost)
        seen["hidden"] += len(told.hidden)
        seen["partner"] += "partner" in {batch.source for batch in world.batches.values()}
        for batch in world.batches:
            right = truth(world, {batch}, told.hidden)
            seen[f"affected {kind}"] += bool(right.affected)
            seen[f"clear {kind}"] += not right.affected
            seen["measured"] += bool(right.measured)
            seen["by hidden ways"] += bool(right.affected - right.certain)
        for run in world.runs:
            seen[run.job.fate] += 1
            seen[told_story.tools[run.job.tool].style] += 1
            seen["stream"] += bool(run.job.ticks)
            seen.update(f"write {made.write.change}" for made in run.made)
            seen.update(f"read {s.read.how} {s.read.thing.partition(':')[0]}" for s in run.seen)
        seen.update(f"we {entry}" for _, entry, _ in world.ledger)
    wanted = [f"{word} {kind}" for word in ("affected", "clear") for kind in KINDS]
    wanted += ["exact plain", "lost start", "lost end", "lost whole", "hidden", "partner"]
    wanted += ["measured", "complete", "fail", "retry", "stream", "by hidden ways"]
    wanted += ["whole", "split", "end", "double", "late"]
    changes = (None, "OVERWRITE", "CREATE", "TRUNCATE", "DROP", "RENAME", "MEMBERS")
    wanted += [f"write {change}" for change in changes]
    wanted += [f"read {how} {t}" for how in ("named", "bare", "old") for t in ("table", "ours")]
    wanted += ["read bare export", "read named batch", "read named model", "read named outside"]
    wanted += [f"we {e}" for e in ("receive", "admit", "recall", "snapshot", "export", "register")]
    wanted += ["we declare", "we alias"]
    assert {name: seen[name] for name in wanted if seen[name] < 3} == {}


def _story(*steps: Step, mode: str = BARE) -> Story:
    tool = Tool("spark", "https://example.org/tool", SPLIT, 0.0, names_at_start=False)
    return Story(0, (tool,), dict.fromkeys(TABLES, mode), 1, steps)


def _job(at: float, key: int, reads: str | Read, write: str | Write) -> Job:
    one = Read(reads) if isinstance(reads, str) else reads
    return Job(at, 0, key, (one,), (Write(write) if isinstance(write, str) else write,))


def _of(world_story: Story, *versions: str) -> list[set[str]]:
    world = play(world_story)
    return [{b.partition("/")[0] for b in made_of(world, (*_NET, v))} for v in versions]


def test_what_happened_is_what_a_person_would_say() -> None:
    """The oracle itself, by hand: appends, overwrites, renames, drops, measuring, recalls."""
    model = "model:us:net"
    assert _of(
        _story(
            Receive(1, "x"),
            Receive(2, "y"),
            _job(10, 1, "batch:x", "table:a"),
            _job(20, 2, "table:a", model),
            _job(30, 3, "batch:y", "table:a"),
            _job(40, 4, "table:a", model),
            _job(50, 5, "batch:y", Write("table:a", "OVERWRITE")),
            _job(60, 6, "table:a", model),
            _job(70, 7, Read("table:a", role="EVAL"), model),
        ),
        *"1234",
    ) == [{"x"}, {"x", "y"}, {"y"}, set()]
    assert _of(
        _story(
            Receive(1, "x"),
            Receive(2, "y"),
            _job(10, 1, "batch:x", "table:a"),
            Job(20, 0, 2, (), (Write("table:b", "RENAME", before="table:a"),)),
            _job(30, 3, "batch:y", "table:a"),
            _job(40, 4, "table:a", model),
            _job(50, 5, "table:b", model),
            Job(60, 0, 6, (), (Write("table:b", "DROP"),)),
            _job(70, 7, "batch:y", "table:b"),
            _job(80, 8, Read("table:b", "old"), model),
        ),
        *"123",
    ) == [{"y"}, {"x"}, {"y"}]
    assert _of(
        _story(
            Receive(1, "x"),
            Admit(2, 0.0),
            Receive(3, "y"),
            Admit(4, 0.0),
            Snapshot(5, 0.0),
            Recall(6, 0.0, everything=True),
            Register(7, model, 0.0, existing=False),
            _job(10, 1, Read("ours", "bare"), model),
            _job(20, 2, Read("ours", "old", 0.0), "table:a"),
            _job(30, 3, Read("table:a", "old", 0.0), model),
            mode=COUNTING,
        ),
        *"123",
    ) == [{"x", "y"}, {"y"}, {"x"}]


@pytest.mark.parametrize(
    ("models", "unknown", "complete", "code"),
    [(1, 0, True, 1), (1, 1, False, 1), (0, 0, True, 0), (0, 1, True, 4), (0, 0, False, 4)],
)
def test_only_a_clear_and_complete_answer_exits_with_zero(
    models: int, unknown: int, complete: bool, code: int
) -> None:
    some = frozenset({(*_NET, "1")})
    nothing: frozenset[tuple[str, str, str]] = frozenset()
    answer = Answer(some if models else nothing, some if unknown else nothing, nothing, complete)
    assert answer.exit_code == code
