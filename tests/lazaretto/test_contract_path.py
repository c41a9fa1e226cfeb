"""Contracts on the whole way: flags on admitted rows, and rules that compare with history."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.contract import contract_digest, contract_of, evaluate
from lazaretto.dataset.delta import as_kept, create_table
from lazaretto.dataset.files import dataset_uri
from lazaretto.dataset.part import with_added
from lazaretto.dataset.schema import storable
from lazaretto.errors import PolicyError
from lazaretto.policy import Policy
from lazaretto.quarantine import review
from lazaretto.quarantine.publish import publish
from lazaretto.stages.listing import describe_batch
from lazaretto.values import Action, Verdict

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.alike


def under(yard: Yard, rules: dict[str, Any]) -> Yard:
    """The yard with a contract of these rules."""
    return replace(yard, policy=make_policy(contract={"rules": rules}))


WARNING = {"columns": {"label": {"max": 1, "severity": "warning"}}}


def test_a_warning_is_on_the_admitted_row_and_in_what_is_told_of_the_batch(yard: Yard) -> None:
    """Both databases: flags take their way through ledger and store."""
    yard = under(yard, WARNING)
    admitted = yard.admit("monday", blobs(60, seed=5))
    assert admitted.rows == 60
    flags = {row["id"]: row["_lazaretto_flags"] for row in yard.dataset().to_pylist()}
    assert flags["r2"] == ["label.max"]
    assert [flags["r0"], flags["r1"]] == [None, None]
    assert sum(flag is not None for flag in flags.values()) == 20
    told = describe_batch(yard.workspace, admitted.batch)["stages"]["validate"]["summary"]
    assert told["flagged"] == 20
    assert told["rules"] == ["label must be at most 1 (20 records, only a warning)"]


def test_a_held_record_keeps_its_flags_until_it_is_released(sqlite_yard: Yard) -> None:
    rules = {"columns": {"label": {"max": 1, "severity": "warning"}, "text": {"regex": "record.*"}}}
    yard = under(sqlite_yard, rules)
    rows = blobs(60, seed=5)
    text = rows["text"].to_pylist()
    text[2] = "odd"
    rows = rows.set_column(3, "text", pa.array(text))
    judged = yard.judge("monday", rows)
    assert judged.held == 1
    (held,) = review.held_rows(yard.workspace, str(judged.case), [2]).to_pylist()
    assert held["_lazaretto_flags"] == ["label.max"]
    assert held["_lazaretto_reasons"][-1] == "label.max: only a warning"
    stages.admit(yard.workspace, judged.batch)
    review.decide(yard.workspace, str(judged.case), Action.RELEASE, all=True, reason="fine")
    publish(yard.workspace, str(judged.case))
    flags = {row["id"]: row["_lazaretto_flags"] for row in yard.dataset().to_pylist()}
    assert flags["r2"] == ["label.max"]


def test_a_dataset_without_a_column_for_flags_takes_rows_all_the_same(sqlite_yard: Yard) -> None:
    """Tables that were made before there were flags."""
    yard = under(sqlite_yard, WARNING)
    schema = with_added(blobs(1, seed=1).schema)
    older = schema.remove(schema.get_field_index("_lazaretto_flags"))
    create_table(dataset_uri(yard.workspace, "blobs"), as_kept(storable(older, "blobs")))
    assert yard.admit("monday", blobs(60, seed=5)).rows == 60
    assert "_lazaretto_flags" not in yard.dataset().schema.names
    assert yard.admit("tuesday", blobs(60, seed=6, prefix="s")).rows == 60


def test_what_is_admitted_already_is_not_unique_any_more(yard: Yard) -> None:
    yard = under(yard, {"unique": [{"columns": ["id"], "across_batches": True}]})
    yard.admit("monday", blobs(60, seed=5))
    rows = pa.concat_tables([blobs(60, seed=6, prefix="s"), blobs(3, seed=7)])
    judged = yard.judge("tuesday", rows)
    assert judged.reasons == {"contract:unique(id)": 3}
    # A batch does not stand in its own way, whenever it is looked at again.
    stages.admit(yard.workspace, judged.batch)
    again = stages.validate(yard.workspace, judged.batch, yard.policy)
    assert again.said.failing_rows == 3


def test_volume_is_compared_with_the_source_alone_and_needs_a_history(sqlite_yard: Yard) -> None:
    yard = under(sqlite_yard, {"volume": {"batches": 3, "min": 0.5, "max": 2}})
    first = yard.admit("first", blobs(60, seed=5))
    said = describe_batch(yard.workspace, first.batch)["stages"]["validate"]["summary"]
    assert "not judged, because none of the source was admitted yet" in said["rules"][0]
    assert yard.judge("small", blobs(29, seed=6, prefix="s")).verdict is Verdict.HOLD_BATCH
    other = yard.judge("other", blobs(29, seed=7, prefix="t"), source="vendor-b")
    assert other.verdict is Verdict.PASS
    judged = yard.judge("fine", blobs(31, seed=8, prefix="u"))
    assert (judged.verdict, judged.held) == (Verdict.PASS, 0)


def test_values_are_looked_up_in_another_dataset(sqlite_yard: Yard) -> None:
    rules = {"columns": {"label": {"exists_in": {"dataset": "blobs", "column": "label"}}}}
    yard = sqlite_yard
    early = under(yard, rules)
    batch = early.receive("early", blobs(30, seed=4, prefix="e")).id
    found = stages.validate(yard.workspace, batch, early.policy).said
    assert found.broken == [
        "rule label.exists_in was not judged: nothing was admitted to dataset 'blobs' yet"
    ]
    yard.admit("monday", blobs(60, seed=5))
    rows = blobs(30, seed=6, prefix="s")
    rows = rows.set_column(1, "label", pa.array([7, *rows["label"].to_pylist()[1:]]))
    batch = yard.receive("tuesday", rows).id
    found = stages.validate(yard.workspace, batch, early.policy).said
    assert [(rule.rule, rule.failed) for rule in found.rules] == [("label.exists_in", 1)]


def test_values_are_looked_up_in_a_file_beside_the_policy(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2, None]}), tmp_path / "users.parquet")
    text = (
        "version: 1\ndataset: x\ncolumns: {}\ncontract:\n  rules:\n    columns:\n"
        "      user: {exists_in: {file: users.parquet, column: %s}}\n"
    )
    (tmp_path / "p.yaml").write_text(text % "id")
    policy = Policy.load(tmp_path / "p.yaml")
    contract = contract_of(policy)
    assert contract is not None
    assert contract.digest == contract_digest(policy)
    report = evaluate(pa.table({"user": [1, 3]}), contract, policy.columns)
    assert report.failures["value"].to_pylist() == ["3"]
    pq.write_table(pa.table({"id": [1, 2, 3]}), tmp_path / "users.parquet")
    assert contract_digest(policy) != contract.digest
    (tmp_path / "p.yaml").write_text(text % "name")
    with pytest.raises(
        PolicyError, match=r"p.yaml:7: contract.rules.columns.user.exists_in: .*'name'"
    ):
        contract_of(Policy.load(tmp_path / "p.yaml"))
