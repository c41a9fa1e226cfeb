"""Contracts of Great Expectations: the same verdict as its own, for every row and with reasons."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import gx_gallery
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lazaretto.contract import ContractReport, contract_digest, evaluate, load_contract
from lazaretto.errors import UsageError
from lazaretto.policy import Columns, Policy

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")


def contract(folder: Path, found: list[dict[str, Any]], **more: Any) -> Any:
    gx_gallery.write_suite(folder / "suite.json", found, **more)
    loaded = load_contract({"gx": "suite.json"}, base=folder)
    assert loaded is not None
    return loaded


def judge(folder: Path, table: pa.Table, *found: tuple[Any, ...], **more: Any) -> ContractReport:
    """What some expectations find: each is (type, kwargs) and perhaps what else it has."""
    entries = [
        {"type": kind, "kwargs": kwargs, **(rest[0] if rest else {})}
        for kind, kwargs, *rest in found
    ]
    return evaluate(table, contract(folder, entries), Columns(), **more)


def rows_of(report: ContractReport) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in report.failures.select(["rule", "position"]).to_pylist():
        found.setdefault(row["rule"], []).append(row["position"])
    return found


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return contract(tmp_path_factory.mktemp("gallery"), gx_gallery.entries())


@pytest.mark.parametrize(("seed", "rows"), [(1, 40), (2, 40), (7, 40), (9, 0)])
def test_rows_and_rules_are_those_of_great_expectations_itself(
    gallery: Any, seed: int, rows: int
) -> None:
    table = gx_gallery.table(seed, rows)
    wanted = gx_gallery.own_verdict(table.to_pandas(), gx_gallery.entries())
    report = evaluate(table, gallery, Columns())
    names = [rule.name for rule in gallery.suite.rules]
    assert len(set(names)) == len(names)
    held: dict[str, set[int]] = {}
    for row in report.failures.select(["rule", "position"]).to_pylist():
        held.setdefault(row["rule"], set()).add(row["position"])
    assert held == {names[place]: failed for place, failed in wanted.rows.items()}
    flagged: dict[str, set[int]] = {}
    for row in report.flags.to_pylist():
        flagged.setdefault(row["rule"], set()).add(row["position"])
    # What only warns of the batch as a whole flags all of it.
    every = {
        names[place]: set(range(rows))
        for place in wanted.whole
        if gallery.suite.rules[place].warn and rows
    }
    assert flagged == every | {names[place]: failed for place, failed in wanted.tolerated.items()}
    whole = {name for name in names if any(f"rule {name} " in said for said in report.broken)}
    assert len(report.broken) == len(whole)
    warns = {place for place, rule in enumerate(gallery.suite.rules) if rule.warn}
    assert whole == {names[place] for place in wanted.whole - warns}


def test_the_gallery_is_all_that_great_expectations_can_judge_in_memory(gallery: Any) -> None:
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    from lazaretto.contract._gx_rules import type_of

    judged = {type_of(rule.expectation) for rule in gallery.suite.rules}
    assert len(judged) >= 45
    ours = {
        kind
        for kind in list_registered_expectation_implementations()
        if kind.startswith(("expect_", "unexpected_"))
    }
    assert ours - judged == {
        "expect_column_values_to_match_like_pattern",
        "expect_column_values_to_match_like_pattern_list",
        "expect_column_values_to_not_match_like_pattern",
        "expect_column_values_to_not_match_like_pattern_list",
        "expect_query_results_to_match_comparison",
        "expect_table_row_count_to_equal_other_table",
        "unexpected_rows_expectation",
    }


def test_every_failing_row_is_found_and_not_only_the_first_twenty(tmp_path: Path) -> None:
    ages = [1 if n % 2 else 30 for n in range(1000)]
    report = judge(
        tmp_path,
        pa.table({"age": ages}),
        ("expect_column_values_to_be_between", {"column": "age", "min_value": 18}),
        ("expect_column_pair_values_to_be_equal", {"column_A": "age", "column_B": "age"}),
    )
    assert rows_of(report) == {"age.expect_column_values_to_be_between": list(range(1, 1000, 2))}
    first = report.failures.slice(0, 1).to_pylist()[0]
    assert first["text"] == "age values must be greater than or equal to 18."
    assert first["value"] == "1"
    assert report.broken == []


def test_how_a_suite_wants_results_written_changes_nothing(tmp_path: Path) -> None:
    """Names of index columns make a dictionary of every failing row, 20 times slower."""
    slow = {"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]}
    for asked in (slow, "BOOLEAN_ONLY", "SUMMARY"):
        kwargs = {"column": "age", "min_value": 18, "result_format": asked, "batch_id": "other"}
        report = judge(
            tmp_path,
            pa.table({"id": ["a", "b", "c"], "age": [1, 20, 3]}),
            ("expect_column_values_to_be_between", kwargs),
        )
        assert rows_of(report) == {"age.expect_column_values_to_be_between": [0, 2]}


def test_a_frame_of_polars_is_refused_by_great_expectations_and_judged_here(
    tmp_path: Path,
) -> None:
    import polars as pl

    frame = pl.DataFrame({"age": [1, 20]})
    entry = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "age", "min_value": 18},
        "meta": {"place": 0},
    }
    with pytest.raises(Exception, match="without a dataframe"):
        gx_gallery.own_verdict(frame, [entry])
    report = evaluate(frame.to_arrow(), contract(tmp_path, [entry]), Columns())
    assert rows_of(report) == {"age.expect_column_values_to_be_between": [0]}


def test_what_is_tolerated_or_only_warns_holds_no_record(tmp_path: Path) -> None:
    between = {"column": "n", "min_value": 2}
    report = judge(
        tmp_path,
        pa.table({"n": [1, 2, 3, 4]}),
        ("expect_column_values_to_be_between", {**between, "mostly": 0.75}),
        ("expect_column_values_to_be_between", {**between, "mostly": 0.9}),
        ("expect_column_values_to_be_between", between, {"severity": "warning"}),
        ("expect_column_max_to_be_between", {"column": "n", "max_value": 3}, {"severity": "info"}),
        ("expect_column_max_to_be_between", {"column": "n", "max_value": 3}),
    )
    name = "n.expect_column_values_to_be_between"
    assert rows_of(report) == {f"{name}#2": [0]}
    assert [(rule.rule, rule.failed, rule.warning) for rule in report.rules] == [
        (name, 1, True),
        (f"{name}#2", 1, False),
        (f"{name}#3", 1, True),
        ("n.expect_column_max_to_be_between", 4, True),
    ]
    assert report.rules[3].text == "n maximum value must be less than or equal to 3. (found: 4)"
    assert report.flags.filter(pc.equal(report.flags["rule"], name))["position"].to_pylist() == [0]
    assert report.broken == [
        "rule n.expect_column_max_to_be_between#2 does not hold for the batch: n maximum value "
        "must be less than or equal to 3. (found: 4)"
    ]


def test_what_cannot_be_computed_holds_the_batch_and_says_why(tmp_path: Path) -> None:
    report = judge(
        tmp_path,
        pa.table({"n": [1, 2], "s": ["a", "b"]}),
        ("expect_column_values_to_be_between", {"column": "s", "min_value": 3}),
        ("expect_column_values_to_be_between", {"column": "ghost", "min_value": 3}),
        ("expect_column_values_to_be_unique", {"column": "ghost"}, {"severity": "warning"}),
        ("expect_column_values_to_be_between", {"column": "n", "min_value": 2}),
    )
    assert rows_of(report) == {"n.expect_column_values_to_be_between": [0]}
    assert len(report.broken) == 2
    assert "rule s.expect_column_values_to_be_between raised" in report.broken[0]
    assert report.broken[1] == "there is no column 'ghost', which the contract reads"


def test_whole_numbers_stay_whole_beside_nulls_and_beyond_what_fractions_hold(
    tmp_path: Path,
) -> None:
    large = 2**53
    report = judge(
        tmp_path,
        pa.table({"n": pa.array([large, large + 1, None, large + 1, -5], pa.int64())}),
        ("expect_column_values_to_be_unique", {"column": "n"}),
        ("expect_column_values_to_be_in_set", {"column": "n", "value_set": [large, -5]}),
        ("expect_column_values_to_be_of_type", {"column": "n", "type_": "int"}),
    )
    assert rows_of(report) == {
        "n.expect_column_values_to_be_unique": [1, 3],
        "n.expect_column_values_to_be_in_set": [1, 3],
    }
    assert report.broken == []


def test_memory_is_bounded(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(10_000))})
    asked = ("expect_column_values_to_be_unique", {"column": "n"})
    report = judge(tmp_path, table, asked, most_bytes=200_000)
    assert report.failures.num_rows == 0
    assert len(report.broken) == 1
    assert "in pandas these take about 560,000 bytes, more than 200,000" in report.broken[0]
    assert judge(tmp_path, table, asked, most_bytes=600_000).broken == []


def test_nothing_is_printed_logged_or_left_changed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    import logging
    import os

    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    caplog.clear()
    capfd.readouterr()
    report = judge(
        tmp_path,
        pa.table({"s": ["a", "b"]}),
        ("expect_column_values_to_be_between", {"column": "s", "min_value": 3}),
        ("expect_column_values_to_be_unique", {"column": "s"}),
    )
    assert len(report.broken) == 1
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert logging.getLogger("great_expectations").propagate
    # The context of whoever called is still the current one.
    from great_expectations.data_context.data_context.context_factory import project_manager

    assert project_manager.get_current_project() is context
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"type": "expect_rain"}, "(expect_rain): there is no such expectation"),
        ({"kwargs": {}}, "(without a type): there is no such expectation"),
        ({"type": "expect_column_values_to_be_unique"}, "column"),
        (
            {"type": "expect_column_values_to_be_between", "kwargs": {"column": "n", "mostly": 7}},
            "mostly",
        ),
        (
            {
                "type": "expect_column_values_to_match_like_pattern",
                "kwargs": {"column": "n", "like_pattern": "a%"},
            },
            "it needs a database",
        ),
        (
            {
                "type": "unexpected_rows_expectation",
                "kwargs": {"unexpected_rows_query": "SELECT * FROM {batch}"},
            },
            "it needs a database",
        ),
        (
            {
                "type": "expect_query_results_to_match_comparison",
                "kwargs": {
                    "base_query": "a",
                    "comparison_query": "b",
                    "comparison_data_source_name": "c",
                },
            },
            "it needs a database",
        ),
        (
            {
                "type": "expect_table_row_count_to_equal_other_table",
                "kwargs": {"other_table_name": "t"},
            },
            "it needs another table",
        ),
        (
            {
                "type": "expect_column_max_to_be_between",
                "kwargs": {
                    "column": "n",
                    "max_value": {"$PARAMETER": "most"},
                },
            },
            "most",
        ),
        (
            {
                "type": "expect_column_values_to_be_unique",
                "kwargs": {"column": "n"},
                "severity": "fatal",
            },
            "severity",
        ),
    ],
)
def test_what_cannot_be_judged_is_named_before_the_run(
    tmp_path: Path, entry: dict[str, Any], why: str
) -> None:
    fine = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "n"}}
    gx_gallery.write_suite(tmp_path / "suite.json", [fine, entry, {"type": "expect_snow"}])
    with pytest.raises(UsageError) as raised:
        load_contract({"gx": "suite.json"}, base=tmp_path)
    lines = str(raised.value).splitlines()
    assert len(lines) == 2
    assert f"expectation 2 ({entry.get('type', 'without a type')})" in lines[0]
    assert why in lines[0]
    assert "suite.json: expectation 3 (expect_snow)" in lines[1]


def test_a_suite_that_checks_nothing_is_no_contract(tmp_path: Path) -> None:
    gx_gallery.write_suite(tmp_path / "suite.json", [])
    with pytest.raises(UsageError, match="it has no expectations, so that it checks nothing"):
        load_contract({"gx": "suite.json"}, base=tmp_path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"gx": "nowhere.json"}, "no file"),
        ({"gx": "broken.json"}, "broken.json:2: not JSON"),
        ({"gx": "list.json"}, "is no JSON object"),
        ({"gx": "other.json"}, "is no suite: it has no list `expectations`"),
        ({"gx": "old.json"}, "is a suite of Great Expectations 0.x"),
        ({"gx": "suite.json", "pandera": "a:B"}, "says pandera and gx"),
        ({"gx": 3}, "contract: gx: "),
        ({"gx": {"suit": "a"}}, "contract: gx.suit: Extra inputs are not permitted"),
        ({"great_expectations": {"suite": 3}}, "contract: great_expectations.suite: Input should"),
        ({"gx": {"context": "gx"}}, "names a suite or a checkpoint"),
        ({"gx": {"checkpoint": "a"}}, "name the folder of its context"),
        ({"gx": {"suite": "a", "context": "nowhere"}}, "nowhere is no context"),
        (
            {"gx": {"suite": "suite.json", "parameters": [1]}},
            "contract: gx.parameters: Input",
        ),
        ({"gx": {"suite": "suite.json", "modules": "m"}}, "contract: gx.modules: Input"),
        ({"gx": {"suite": "suite.json", "modules": ["lz_no_such"]}}, "there is no module lz_no"),
        ({"gx": {"suite": "../up", "context": "gx"}}, "'../up' is no name"),
        ({"gx": {"suite": "kept", "context": "far"}}, "keeps 'kept' in a TupleS3StoreBackend"),
    ],
    ids=str,
)
def test_what_names_no_suite_says_why(tmp_path: Path, spec: Any, message: str) -> None:
    fine = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "n"}}
    gx_gallery.write_suite(tmp_path / "suite.json", [fine])
    (tmp_path / "broken.json").write_text('{"expectations":\n x')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "other.json").write_text('{"expectations": {"a": 1}}')
    (tmp_path / "old.json").write_text('{"expectations": [{"expectation_type": "expect_x"}]}')
    stores = "stores: {e: {store_backend: {class_name: TupleS3StoreBackend}}}"
    for folder, config in (("gx", "{}"), ("far", f"expectations_store_name: e\n{stores}")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "great_expectations.yml").write_text(config)
    with pytest.raises(UsageError) as raised:
        load_contract(spec, base=tmp_path)
    assert message in str(raised.value)


def test_a_suite_of_a_context_is_found_by_name_and_by_its_checkpoint(tmp_path: Path) -> None:
    import great_expectations as gx
    from great_expectations.checkpoint import Checkpoint
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.core.validation_definition import ValidationDefinition

    context = gx.get_context(mode="file", project_root_dir=tmp_path)
    kept = [{"type": "expect_column_values_to_be_unique", "kwargs": {"column": "n"}}]
    suites = [
        context.suites.add(ExpectationSuite(name=name, expectations=kept))
        for name in ("reviews.daily", "other")
    ]
    asset = context.data_sources.add_pandas("here").add_dataframe_asset("table")
    whole = asset.add_batch_definition_whole_dataframe("all")
    definitions = [
        context.validation_definitions.add(
            ValidationDefinition(name=f"check {n}", data=whole, suite=suite)
        )
        for n, suite in enumerate(suites)
    ]
    for name, chosen in (("nightly", definitions[:1]), ("both", definitions)):
        context.checkpoints.add(Checkpoint(name=name, validation_definitions=chosen))
    found = [
        load_contract({"gx": spec}, base=tmp_path)
        for spec in (
            {"suite": "reviews.daily", "context": "gx"},
            {"suite": "reviews.daily", "context": "."},
            {"checkpoint": "nightly", "context": "gx"},
            "gx/expectations/reviews/daily.json",
        )
    ]
    assert {one.digest for one in found if one is not None} == {
        hashlib.sha256((tmp_path / "gx/expectations/reviews/daily.json").read_bytes()).hexdigest()
    }
    assert found[2] is not None
    assert found[2].name == "gx: checkpoint nightly of gx"
    report = evaluate(pa.table({"n": [1, 1]}), found[2], Columns())
    assert rows_of(report) == {"n.expect_column_values_to_be_unique": [0, 1]}
    with pytest.raises(UsageError, match="the checkpoint uses 2 suites"):
        load_contract({"gx": {"checkpoint": "both", "context": "gx"}}, base=tmp_path)


OWN = """
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation, ColumnMapExpectation
from great_expectations.expectations.metrics import ColumnMapMetricProvider
from great_expectations.expectations.metrics.map_metric_provider import column_condition_partial


class LzEven(ColumnMapMetricProvider):
    condition_metric_name = "column_values.lz_even"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column, **kwargs):
        return column % 2 == 0


class ExpectColumnValuesToBeLzEven(ColumnMapExpectation):
    map_metric = "column_values.lz_even"
"""


def test_a_team_s_own_expectations_are_run_where_their_module_is_named(tmp_path: Path) -> None:
    kind = "expect_column_values_to_be_lz_even"
    gx_gallery.write_suite(tmp_path / "suite.json", [{"type": kind, "kwargs": {"column": "n"}}])
    with pytest.raises(UsageError, match="name the module of your own ones as `modules`"):
        load_contract({"gx": "suite.json"}, base=tmp_path)
    (tmp_path / "lz_own.py").write_text(OWN)
    spec = {"gx": {"suite": "suite.json", "modules": ["lz_own"]}}
    loaded = load_contract(spec, base=tmp_path)
    report = evaluate(pa.table({"n": [1, 2, 3], "s": ["a", "b", "c"]}), loaded, Columns())
    assert rows_of(report) == {f"n.{kind}": [0, 2]}
    # Another module is another contract.
    policy = Policy.model_validate(
        {"version": 1, "dataset": "d", "columns": {}, "contract": spec}
    ).loaded_from(str(tmp_path / "policy.yaml"), "0" * 64)
    assert loaded is not None
    assert contract_digest(policy) == loaded.digest
    (tmp_path / "lz_own.py").write_text(OWN + "# changed")
    assert contract_digest(policy) != loaded.digest


def test_parameters_of_a_suite_come_from_it_or_from_the_policy(tmp_path: Path) -> None:
    entry = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "n", "max_value": {"$PARAMETER": "most"}},
    }
    gx_gallery.write_suite(tmp_path / "suite.json", [entry], suite_parameters={"most": 1})
    table = pa.table({"n": [1, 2, 3]})
    own = load_contract({"gx": "suite.json"}, base=tmp_path)
    assert rows_of(evaluate(table, own, Columns())) == {f"n.{entry['type']}": [1, 2]}
    spec = {"gx": {"suite": "suite.json", "parameters": {"most": 2}}}
    given = load_contract(spec, base=tmp_path)
    assert rows_of(evaluate(table, given, Columns())) == {f"n.{entry['type']}": [2]}


ALONE = """
import socket, sys

def refuse(*args, **kwargs):
    raise SystemExit("the network was asked for")

import lazaretto, lazaretto.cli, lazaretto.contract, lazaretto.operators, lazaretto.stages
from lazaretto.contract import contract_digest, evaluate, load_contract
from lazaretto.policy import Columns, Policy

policy = Policy.load("policy.yaml")
assert contract_digest(policy)
assert "great_expectations" not in sys.modules, "imported before it is needed"
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
socket.create_connection = socket.gethostbyname = refuse
import pyarrow as pa
import pyarrow.compute as pc
table = pa.table({"n": [1, 1], "s": ["a", None]})
loaded = load_contract(policy.contract, base=policy.folder)
print(evaluate(table, loaded, Columns()).failing_rows)
"""


def test_it_is_imported_where_a_policy_names_it_and_asks_for_no_network(tmp_path: Path) -> None:
    found = [{"type": "expect_column_values_to_be_unique", "kwargs": {"column": "n"}}]
    gx_gallery.write_suite(tmp_path / "suite.json", found)
    said = "{version: 1, dataset: d, columns: {}, contract: {gx: suite.json}}"
    (tmp_path / "policy.yaml").write_text(said)
    (tmp_path / "alone.py").write_text(ALONE)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:lazaretto", "alone.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("2\n", "", 0)


def test_policy_check_refuses_what_a_run_could_not_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lazaretto.cli.entry import _run

    like = {"column": "s", "like_pattern": "a%"}
    entry = {"type": "expect_column_values_to_match_like_pattern", "kwargs": like}
    gx_gallery.write_suite(tmp_path / "suite.json", [entry])
    policy = "version: 1\ndataset: d\ncolumns: {embedding: v}\ncontract:\n  gx:\n    suite: %s\n"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["lazaretto", "policy", "check", str(tmp_path / "policy.yaml")])
    (tmp_path / "policy.yaml").write_text(policy % "suite.json")
    assert _run() == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "expectation 1 (expect_column_values_to_match_like_pattern): it needs a dat" in said
    # What is wrong with the keys has its line.
    (tmp_path / "policy.yaml").write_text(policy % "s.json\n    contxt: gx")
    assert _run() == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "policy.yaml:7: contract.gx.contxt: " in said
    assert "did you mean 'context'?" in said
