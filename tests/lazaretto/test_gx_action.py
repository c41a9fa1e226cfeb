"""A checkpoint of Great Expectations hands what it fails to the quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gx_gallery
import pytest
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.cli.entry import _run
from lazaretto.errors import UsageError
from lazaretto.policy import Policy
from lazaretto.values import Verdict

if TYPE_CHECKING:
    import pyarrow as pa

UNIQUE = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}
LABELS = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "label", "max_value": 2},
}


@pytest.fixture
def gate(sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """A yard whose catalog and store the environment names, and whose policy is a file."""
    workspace = sqlite_yard.workspace
    monkeypatch.setenv("LAZARETTO_CATALOG_URL", str(workspace.catalog.engine.url))
    monkeypatch.setenv("LAZARETTO_STORE", str(workspace.store.root))
    path = sqlite_yard.folder / "policy.yaml"
    path.write_text(sqlite_yard.policy.model_dump_json())
    return Yard(workspace, Policy.load(path), sqlite_yard.folder)


def broken_rows() -> pa.Table:
    """60 records, of which the label of every tenth is none."""
    rows = blobs(60, seed=5)
    labels = [9 if n % 10 == 3 else label for n, label in enumerate(rows["label"].to_pylist())]
    return rows.set_column(rows.schema.get_field_index("label"), "label", [labels])


def checkpoint(
    entries: list[dict[str, Any]], *, path: Any = None, frame: Any = None, **action: Any
) -> dict[str, Any]:
    """Runs a checkpoint with the action, as a team's own pipeline does; what the action says."""
    import great_expectations as gx
    from great_expectations.checkpoint import Checkpoint
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.core.validation_definition import ValidationDefinition

    from lazaretto.stages.gx_action import QuarantineAction

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    if path is not None:
        source = context.data_sources.add_pandas_filesystem("drop", base_directory=path.parent)
        asset = source.add_parquet_asset("deliveries")
        data, parameters = asset.add_batch_definition_path("one", path.name), None
    else:
        asset = context.data_sources.add_pandas("memory").add_dataframe_asset("table")
        data = asset.add_batch_definition_whole_dataframe("all")
        parameters = {"dataframe": frame}
    suite = context.suites.add(ExpectationSuite(name="reviews", expectations=entries))
    definition = context.validation_definitions.add(
        ValidationDefinition(name="check", data=data, suite=suite)
    )
    asked = QuarantineAction(**action)
    nightly = context.checkpoints.add(
        Checkpoint(name="nightly", validation_definitions=[definition], actions=[asked])
    )
    result = nightly.run(batch_parameters=parameters)
    # A checkpoint keeps to itself what its actions say; done again, it is the same.
    return asked.run(result)


def test_a_failed_checkpoint_holds_the_delivery_with_a_reason_for_each_failing_row(
    gate: Yard, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["lazaretto", *words])
        capsys.readouterr()
        assert _run() in (0, 1), words
        return capsys.readouterr().out

    path = gate.deliver("monday", broken_rows())
    asked = {"policy": gate.policy.path, "source": "vendor-a"}
    (found,) = checkpoint([UNIQUE, LABELS], path=path, **asked)["batches"]
    assert (found["verdict"], found["held"]) == ("HOLD_BATCH", 60)
    assert found["notes"] == [
        "checkpoint 'nightly' failed: 1 of 2 expectations are not met",
        "label values must be less than or equal to 2. (6 records)",
    ]
    # The case is there, with its reasons, for every command.
    judgement = stages.gate(gate.workspace, found["batch"], gate.policy)
    assert judgement.case == found["case"]
    assert judgement.reasons == {
        "contract:label.expect_column_values_to_be_between": 6,
        "batch": 54,
    }
    assert found["case"] in told("quarantine", "list", "--json")
    assert "label.expect_column_values_to_be_between" in told(
        "quarantine", "show", found["case"], "--json"
    )
    assert "checkpoint 'nightly'" in told("ledger", "show", "--json")
    traced = told("trace", "batch", found["batch"], "--json")
    assert found["batch"] in traced
    # Again, as a task that is retried: the same case, and nothing new.
    assert checkpoint([UNIQUE, LABELS], path=path, **asked)["batches"] == [found]
    assert stages.admit(gate.workspace, found["batch"], policy=gate.policy).rows == 0


def test_only_failing_records_can_be_held_and_the_others_are_screened(gate: Yard) -> None:
    path = gate.deliver("monday", broken_rows())
    asked = {"policy": gate.policy.path, "source": "vendor-a", "hold": "records"}
    (found,) = checkpoint([UNIQUE, LABELS], path=path, **asked)["batches"]
    assert found["verdict"] == "HOLD_RECORDS"
    assert found["held"] >= 6
    assert checkpoint([UNIQUE, LABELS], path=path, **asked)["batches"] == [found]
    admission = stages.admit(gate.workspace, found["batch"], policy=gate.policy)
    assert admission.rows == 60 - found["held"]


def test_a_table_in_memory_needs_the_delivery_that_it_came_from(gate: Yard) -> None:
    rows = broken_rows()
    path = gate.deliver("monday", rows)
    asked = {"policy": gate.policy.path, "source": "vendor-a"}
    with pytest.raises(UsageError, match="give the action the `delivery`"):
        checkpoint([LABELS], frame=rows.to_pandas(), **asked)
    # Its rows were sorted, so that their numbers are not those of the delivery.
    frame = rows.to_pandas().sort_values("label", ignore_index=True)
    (found,) = checkpoint([LABELS], frame=frame, delivery=str(path), **asked)["batches"]
    held = stages.gate(gate.workspace, found["batch"], gate.policy)
    assert held.reasons["contract:label.expect_column_values_to_be_between"] == 6


def test_what_fails_only_where_great_expectations_looked_holds_the_batch(gate: Yard) -> None:
    batch = gate.receive("monday", blobs(60, seed=5)).id
    asked = {"policy": gate.policy.path, "batch": batch, "hold": "records"}
    (found,) = checkpoint([LABELS], frame=broken_rows().to_pandas(), **asked)["batches"]
    assert (found["verdict"], found["held"]) == ("HOLD_BATCH", 60)
    assert "holds for the delivery: was another table validated?" in found["notes"][0]


def test_what_is_met_or_only_warns_is_not_handed_over(gate: Yard) -> None:
    path = gate.deliver("monday", broken_rows())
    asked = {"policy": gate.policy.path, "source": "vendor-a"}
    for entry in (UNIQUE, {**LABELS, "severity": "warning"}):
        assert checkpoint([entry], path=path, **asked) == {"batches": []}


def test_a_judgement_that_stands_is_not_passed_over_in_silence(gate: Yard) -> None:
    rows = broken_rows()
    judged = gate.judge("monday", rows)
    assert judged.verdict is not Verdict.HOLD_BATCH
    with pytest.raises(UsageError, match="a judgement stands until a person sets it aside"):
        checkpoint(
            [LABELS],
            path=gate.folder / "monday.parquet",
            policy=gate.policy.path,
            source="vendor-a",
        )


def test_under_a_policy_that_is_not_in_force_nothing_is_held_and_it_says_so(gate: Yard) -> None:
    gate.judge("sunday", blobs(60, seed=3, prefix="s"))
    other = gate.folder / "other.yaml"
    changed = gate.policy.model_copy(
        update={"review": gate.policy.review.model_copy(update={"expire_days": 3})}
    )
    other.write_text(changed.model_dump_json())
    with pytest.raises(UsageError, match="nothing is held"):
        checkpoint(
            [LABELS],
            path=gate.deliver("monday", broken_rows()),
            policy=str(other),
            source="vendor-a",
        )


def test_the_gate_holds_by_a_policy_whose_contract_is_a_suite(sqlite_yard: Yard) -> None:
    path = sqlite_yard.folder / "suite.json"
    texts = {
        "type": "expect_column_values_to_not_match_regex",
        "kwargs": {"column": "text", "regex": "record 7 "},
        "severity": "warning",
    }
    gx_gallery.write_suite(path, [UNIQUE, LABELS, texts])
    yard = Yard(sqlite_yard.workspace, make_policy(contract={"gx": str(path)}), sqlite_yard.folder)
    judged = yard.judge("monday", broken_rows())
    assert judged.verdict is Verdict.HOLD_RECORDS
    assert judged.reasons["contract:label.expect_column_values_to_be_between"] == 6
    assert stages.admit(yard.workspace, judged.batch).rows == judged.cleared
    event = stages.validate(yard.workspace, judged.batch, yard.policy).said
    assert event.contract == f"gx: {path}"
    assert (event.failing_rows, event.flagged_rows) == (6, 1)
    # Another suite under the same name is another contract.
    gx_gallery.write_suite(path, [UNIQUE])
    assert yard.judge("tuesday", blobs(60, seed=6, prefix="t")).shadow is not None
