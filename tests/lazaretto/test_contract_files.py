"""Contracts from elsewhere: the Open Data Contract Standard, and proposed from a sample."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples
from typer.testing import CliRunner

from lazaretto.batch import open_batch
from lazaretto.cli.application import application
from lazaretto.contract import evaluate, load_contract
from lazaretto.errors import PolicyError
from lazaretto.policy import Columns
from lazaretto.proposal import contract as proposal

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "apiVersion: v3.0.2\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\nschema:\n"
ODCS = (
    HEAD
    + """\
  - name: reviews
    properties:
      - {name: id, logicalType: string, primaryKey: true}
      - name: stars
        logicalType: integer
        required: true
        logicalTypeOptions: {minimum: 1, exclusiveMaximum: 6, format: i32}
        quality:
          - {type: text, description: stars are given by people}
          - {type: library, metric: nullValues, mustBe: 0, severity: warning}
      - name: mail
        physicalName: email
        logicalType: string
        logicalTypeOptions: {pattern: '.+@.+', maxLength: 9}
        quality:
          - metric: missingValues
            arguments: {missingValues: ['n@a']}
            mustBe: 0
            severity: warning
      - {name: at, logicalType: date, logicalTypeOptions: {format: 'yyyy-MM-dd HH:mm'}}
    quality:
      - {type: library, metric: rowCount, mustBeBetween: [1, 3]}
      - {rule: duplicateCount, arguments: {properties: [stars, email]}, mustBe: 0}
"""
)
CANNOT = (
    HEAD
    + """\
  - name: reviews
    properties:
      - {name: a, logicalType: string, requird: true}
      - {name: b, logicalType: time}
      - {name: c, logicalType: string, logicalTypeOptions: {format: email}}
      - {name: d, logicalType: integer, logicalTypeOptions: {multipleOf: 2}}
      - {name: e, logicalType: array, items: {logicalType: string}}
      - name: f
        quality:
          - {type: sql, query: select 1}
          - {metric: nullValues, mustBeLessThan: 5}
          - {metric: nullValues, mustBe: 0, severity: info}
          - {metric: freshness, mustBe: 0}
    relationships: [{from: a, to: b.c}]
"""
)
SAID = """\
o.yaml:19: schema.0.relationships
o.yaml:9: schema.0.properties.0.requird
o.yaml:10: schema.0.properties.1.logicalType
o.yaml:11: schema.0.properties.2.logicalTypeOptions.format
o.yaml:12: schema.0.properties.3.logicalTypeOptions.multipleOf
o.yaml:13: schema.0.properties.4.items
o.yaml:16: schema.0.properties.5.quality.0.type
o.yaml:17: schema.0.properties.5.quality.1
o.yaml:18: schema.0.properties.5.quality.2.severity
o.yaml:19: schema.0.properties.5.quality.3""".splitlines()


def from_odcs(folder: Path, text: str, name: str = "o.yaml") -> Any:
    (folder / "o.yaml").write_text(text)
    return load_contract({"odcs": name}, base=folder)


@pytest.mark.parametrize(
    ("inner", "key", "words"),
    [
        (
            "logicalType: object, properties: [{name: zip, logicalType: string}]",
            "properties",
            "zip",
        ),
        ("logicalType: array, items: {logicalType: string}", "items", "its values would be"),
    ],
)
def test_rules_of_nested_fields_are_refused_by_name_before_a_run(
    tmp_path: Path, inner: str, key: str, words: str
) -> None:
    text = f"{HEAD}  - name: reviews\n    properties:\n      - {{name: address, {inner}}}\n"
    with pytest.raises(PolicyError) as raised:
        from_odcs(tmp_path, text)
    assert f"o.yaml:9: schema.0.properties.0.{key}: column 'address'" in str(raised.value)
    assert words in str(raised.value)
    # The column as a whole can be asked for.
    kind = inner.partition(",")[0]
    whole = f"{HEAD}  - name: reviews\n    properties:\n      - {{name: address, {kind}}}\n"
    assert from_odcs(tmp_path, whole) is not None


def test_a_contract_of_the_standard_is_evaluated(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["a", "a", None],
            "stars": [6, None, 1],
            "email": ["a@b", "n@a", "0123456789"],
            "at": [dt.datetime(2026, 1, 1)] * 3,
        }
    )
    report = evaluate(table, from_odcs(tmp_path, ODCS), Columns())
    assert report.broken == []
    assert [(row["position"], row["rule"]) for row in report.failures.to_pylist()] == [
        (0, "id.unique"), (0, "stars.below"), (1, "id.unique"), (1, "stars.not_null"),
        (2, "id.not_null"), (2, "email.regex"), (2, "email.length"),
    ]  # fmt: skip
    assert report.flags.to_pylist() == [{"position": 1, "rule": "email.none_of"}]


def test_what_cannot_be_expressed_is_named_with_its_line_and_not_skipped(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as raised:
        from_odcs(tmp_path, CANNOT)
    said = str(raised.value).splitlines()
    places = [line.removeprefix(f"{tmp_path}/").rsplit(": ", 1)[0] for line in said]
    found = [":".join(line.removeprefix(f"{tmp_path}/").split(":")[:3]) for line in said]
    assert len(places) == len(SAID)
    assert [one.replace(": ", ":") for one in SAID[1:]] == [f.replace(": ", ":") for f in found[1:]]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (HEAD + "  []\n", "o.yaml", "a dataset has one object, and there are none"),
        (HEAD + "  - {name: a}\n  - {name: b}\n", "o.yaml", "there are a, b: write file.yaml#NAME"),
        ("apiVersion: v2.0\nkind: DataContract\n", "o.yaml", "o.yaml:1: apiVersion: "),
        (HEAD + "  - {name: a, properties: [{logicalType: string}]}\n", "o.yaml", "has a name"),
        (HEAD + "  - {name: a, properties: 1}\n", "o.yaml", "schema.0.properties: "),
        ("columns: {}\n", "o.yaml", "apiVersion: v3.0.2"),
    ],
)
def test_what_is_no_such_contract_says_why(
    tmp_path: Path, text: str, name: str, message: str
) -> None:
    with pytest.raises(PolicyError) as raised:
        from_odcs(tmp_path, text, name)
    assert message in str(raised.value)


def test_one_of_several_objects_is_taken_by_its_name(tmp_path: Path) -> None:
    text = HEAD + "  - {name: a, properties: [{name: x}]}\n  - {name: b, properties: [{name: y}]}\n"
    contract = from_odcs(tmp_path, text, "o.yaml#b")
    assert [column.name for column in contract.table.columns] == ["y"]


# Proposed from a sample

CELLS = {
    pa.int64(): st.integers(-5, 5),
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.string(): st.text(max_size=5) | st.sampled_from(["a", "b"]),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(dt.date(2000, 1, 1), dt.date(2030, 1, 1)),
    pa.timestamp("us"): st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2030, 1, 1)),
    pa.list_(pa.float32(), 2): st.lists(st.floats(width=32), min_size=2, max_size=2),
    pa.list_(pa.string()): st.lists(st.text(max_size=2), max_size=2),
    pa.binary(): st.binary(max_size=3),
    pa.null(): st.none(),
}


@st.composite
def samples(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 8))
    names = st.sampled_from(["id", "start", "end", "label", "no", "a: {b", "x\ny", "^w$", "`q`"])
    columns = {}
    for name in draw(st.lists(names, min_size=1, max_size=4, unique=True)):
        kind = draw(st.sampled_from(list(CELLS)))
        cells = st.none() | CELLS[kind] if draw(st.booleans()) else CELLS[kind]
        columns[name] = pa.array(draw(st.lists(cells, min_size=rows, max_size=rows)), kind)
    return pa.table(columns)


class InMemory:
    """A sample as `propose_contract` reads one, without the process that decodes."""

    def __init__(self, table: pa.Table) -> None:
        self.schema, self.num_rows, self._table = table.schema, table.num_rows, table

    def chunks(self) -> list[pa.RecordBatch]:
        return self._table.to_batches()


@given(samples())
@settings(max_examples=examples(60), deadline=None)
def test_a_sample_keeps_the_contract_that_is_proposed_from_it(table: pa.Table) -> None:
    import yaml

    proposed = proposal.propose_contract(InMemory(table))  # type: ignore[arg-type]
    text = proposal.contract_text(proposed)
    assert yaml.safe_load(text) == yaml.safe_load(json.dumps(proposed.rules))
    report = evaluate(table, load_contract({"rules": proposed.rules}), Columns())
    assert (report.broken, report.failures.to_pylist()) == ([], [])


def run(*words: str) -> Any:
    return CliRunner().invoke(application(words), list(words))


def test_infer_and_check_on_the_command_line(tmp_path: Path) -> None:
    good = pa.table({"id": ["a", "b"], "n": [1, 2], "kind": ["x", "x"]})
    pq.write_table(good, tmp_path / "good.parquet")
    pq.write_table(good.set_column(1, "n", [[-1, 2]]), tmp_path / "bad.parquet")
    inferred = run("contract", "infer", str(tmp_path / "good.parquet"))
    assert inferred.exit_code == 0, inferred.output
    assert "# Check by hand: whether one_of is complete." in inferred.output
    rules = tmp_path / "rules.yaml"
    rules.write_text(inferred.output)
    said = json.loads(run("contract", "infer", str(tmp_path / "good.parquet"), "--json").output)
    assert said["rules"]["columns"]["n"] == {"type": "integer", "min": 0}
    assert said["check_by_hand"]["n"] == ["its range: the sample has 1 to 2"]
    words = ("contract", "check", str(rules), "--data")
    assert run(*words, str(tmp_path / "good.parquet")).exit_code == 0
    bad = run(*words, str(tmp_path / "bad.parquet"), "--json")
    assert bad.exit_code == 1
    said = json.loads(bad.output)
    assert (said["failing"], said["broken"], said["not_judged"]) == (1, [], [])
    assert said["examples"][0]["rule"] == "n.min"
    rules.write_text(inferred.output + "volume: {}\n")
    unjudged = run(*words, str(tmp_path / "good.parquet"))
    assert unjudged.exit_code == 4
    assert "not judged" in unjudged.output
    (tmp_path / "p.yaml").write_text(
        "version: 1\ndataset: x\ncolumns: {record_id: id}\ncontract: {rules: rules.yaml}\n"
    )
    rules.write_text(inferred.output)
    policy = ("contract", "check", str(tmp_path / "p.yaml"), "--data")
    assert run(*policy, str(tmp_path / "good.parquet")).exit_code == 0
    wrong = run("contract", "check", str(tmp_path / "x.txt"), "--data", "y")
    assert wrong.exit_code == 2


def test_a_proposed_contract_reads_a_file_in_the_types_that_it_says(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id,price\n1,3\n2,4\n")
    proposed = proposal.propose_contract(open_batch(tmp_path / "s.csv"))
    assert proposed.rules["columns"]["price"]["type"] == "integer"
