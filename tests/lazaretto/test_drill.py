"""A drill tells what the gate catches, and leaves nothing behind but its own report."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from yard import Yard, blobs, make_policy

from lazaretto import models, stages
from lazaretto.drill import DrillCost, past_drills, run_drill
from lazaretto.drill.attacks.base import Copy, NotApplicableError
from lazaretto.drill.attacks.registry import ATTACKS, attacks_of
from lazaretto.drill.rounds import interval
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.health import check
from lazaretto.ledger.chain import entries
from lazaretto.lineage import trace_source
from lazaretto.stages.sources import show_source
from lazaretto.storage.column_types import metadata

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

TEXTS = ["good book", "bad film", "fine play", "dull song"] * 30


def everything(workspace: Workspace) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Every row of the catalog but the ledger's, and every file of the store, by its digest."""
    with workspace.catalog.read() as connection:
        rows = {
            table.name: sorted(map(repr, connection.execute(sa.select(table)).all()))
            for table in metadata.sorted_tables
            if table.name not in ("ledger", "ledger_head", "projection")
        }
    root = Path(workspace.store.root)
    files = {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }
    return rows, files


def test_nothing_of_a_drill_is_anywhere_but_in_its_own_report(yard: Yard) -> None:
    workspace = yard.workspace
    yard.admit("monday", blobs(120, seed=5, prefix="m"))
    taken = stages.snapshot(workspace, "blobs")
    stages.register_model(workspace, "net", "1", "blobs", taken.version)
    models.promote(workspace, "net", "1")

    def seen() -> list[object]:
        return [
            everything(workspace),
            yard.ids(),
            trace_source(workspace, "vendor-a").models,
            show_source(workspace, "vendor-a"),
            stages.list_aliases(workspace, "local", "net"),
        ]

    before, (_, files) = seen(), everything(workspace)
    with workspace.catalog.read() as connection:
        last = [entry.hash for entry in entries(connection)]
    drill = run_drill(workspace, yard.policy, attacks=["label_flip", "flood"], doses=[0.1], draws=2)
    with workspace.catalog.read() as connection:
        found = list(entries(connection))
    assert [entry.hash for entry in found[:-1]] == last
    assert (found[-1].kind, found[-1].seq) == ("drill_run", drill.seq)
    after = seen()
    new = everything(workspace)[1].keys() - files.keys()
    assert [path.partition("/")[0] for path in new] == ["drills"]
    kept = {path: digest for path, digest in everything(workspace)[1].items() if path not in new}
    assert kept == files
    assert after[0][0] == before[0][0]  # type: ignore[index]
    assert after[1:] == before[1:]
    assert check(workspace, deep=True).sound
    assert [one.seq for one in past_drills(workspace, "blobs")] == [drill.seq]


def test_a_gate_catches_flips_and_says_from_which_dose(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    yard.admit("monday", blobs(120, seed=5, prefix="m", flips=4))
    drill = run_drill(
        yard.workspace, yard.policy, attacks=["label_flip"], doses=[0.2, 0.05], draws=1
    )
    (flips,) = drill.attacks
    assert flips.doses == [0.05, 0.2]
    assert drill.rows + 4 >= 116
    assert [one.poisoned for one in drill.doses["label_flip"]] == [
        round(0.05 * drill.rows),
        round(0.2 * drill.rows),
    ]
    assert flips.recall[1] > 0.9
    assert flips.smallest in (0.05, 0.2)
    assert drill.missed == []
    again = run_drill(
        yard.workspace, yard.policy, attacks=["label_flip"], doses=[0.05, 0.2], draws=1
    )
    assert again.attacks == drill.attacks  # the same seed, the same drill


def test_a_drill_draws_on_several_batches_of_the_source_and_tells_the_mean(
    sqlite_yard: Yard,
) -> None:
    yard = sqlite_yard
    for seed in (5, 6):
        yard.admit(f"monday {seed}", blobs(60, seed=seed, prefix=f"m{seed}-"))
    costs: list[DrillCost] = []
    drill = run_drill(
        yard.workspace, yard.policy, attacks=["flood"], doses=[0.1], draws=3, cost=costs.append
    )
    (cost,) = costs
    assert (cost.copies, cost.limit) == (3, 1800.0)
    assert len({drill.batch, *drill.also}) == 2
    drawn = drill.doses["flood"]
    assert drill.rows == drawn[0].rows + drawn[1].rows
    (flood,) = drill.attacks
    assert flood.draws == [len(drawn)] == [3]
    assert flood.recall == [pytest.approx(sum(one.recall for one in drawn) / 3, abs=1e-5)]
    assert flood.low[0] <= flood.recall[0] <= flood.high[0]
    assert past_drills(yard.workspace, "blobs")[0].event.also == drill.also
    named = run_drill(
        yard.workspace, yard.policy, batch=drill.batch, attacks=["flood"], doses=[0.1], draws=2,
        seconds=0.0,
    )  # fmt: skip
    assert (named.batch, named.also) == (drill.batch, [])
    assert named.attacks[0].draws == [1]  # no second round begins once time is up


def test_the_interval_is_the_exact_one_of_all_or_nothing() -> None:
    # Clopper and Pearson: 5 of 5 at 90 % is from .05 ** (1 / 5) to 1.
    assert interval([1.0] * 5) == (pytest.approx(0.05**0.2, abs=1e-4), 1.0)
    assert interval([0.0] * 5) == (0.0, pytest.approx(1 - 0.05**0.2, abs=1e-4))
    fewer, more = interval([1.0, 1.0, 0.0, 0.0, 0.0]), interval([1.0, 1.0, 1.0, 0.0, 0.0])
    low, high = interval([0.0, 1.0, 0.3, 1.0, 0.0])
    assert fewer[0] < low < more[0]
    assert fewer[1] < high < more[1]


def test_what_a_drill_cannot_try_it_says(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    with pytest.raises(NotFoundError, match="no batch of dataset 'blobs' can be copied"):
        run_drill(yard.workspace, yard.policy)
    yard.admit("monday", blobs(60, seed=5, prefix="m"))
    with pytest.raises(UsageError, match="no attack 'storm'; there are: label_flip, badnets"):
        run_drill(yard.workspace, yard.policy, attacks=["storm"])
    with pytest.raises(UsageError, match="a dose is a share"):
        run_drill(yard.workspace, yard.policy, doses=[2.0])
    with pytest.raises(UsageError, match="a dose is drawn from 1 to 100 times"):
        run_drill(yard.workspace, yard.policy, draws=0)
    drill = run_drill(yard.workspace, yard.policy, attacks=["rare_token"], doses=[0.2], draws=1)
    assert drill.attacks[0].why_not == "the batch has no text that encoders read"
    small = make_policy(screen={"min_poison_share": 0.0001, "false_quarantine_rate": 0.0001})
    with pytest.raises(UsageError, match="without any attack, so that a drill would say nothing"):
        run_drill(yard.workspace, small, attacks=["label_flip"])


@pytest.mark.parametrize("name", ATTACKS)
def test_each_attack_changes_the_records_that_it_says_and_no_others(name: str) -> None:
    rows = blobs(120, seed=3).set_column(3, "text", pa.array(TEXTS))
    copy = Copy(rows, "label", ("vector",), ("text",))
    made = ATTACKS[name].poison(copy, 12, np.random.default_rng(0))
    assert made.chosen.sum() == 12
    changed = [
        one != other
        for one, other in zip(rows.to_pylist(), made.copy.rows.to_pylist(), strict=True)
    ]
    assert not (np.array(changed) & ~made.chosen).any()
    # The first of a flood is what it was: the others are its copies.
    assert (np.array(changed) & made.chosen).sum() >= 11
    assert made.copy.rows.schema == rows.schema
    assert made.copy.rows["id"] == rows["id"]


def test_attacks_on_a_table_of_numbers_keep_its_types() -> None:
    ages = pa.array(range(40), pa.int32())
    rows = pa.table({"age": ages, "pay": [n / 2 for n in range(40)], "label": ["a", "b"] * 20})
    copy = Copy(rows, "label", ("age", "pay"))
    made = ATTACKS["badnets_patch"].poison(copy, 5, np.random.default_rng(0))
    assert made.copy.rows.schema == rows.schema
    assert made.copy.rows["label"].to_pylist().count("a") == 25
    with pytest.raises(NotApplicableError, match="fewer than two classes"):
        attacks_of(["label_flip"])[0].poison(
            Copy(rows.set_column(2, "label", pa.array(["a"] * 40)), "label"),
            1,
            np.random.default_rng(0),
        )
