"""A contract that is judged in pieces says the same whatever the cut and the order."""

from __future__ import annotations

import io
import logging
import random
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from cut_engine import CutEngine
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from many import examples
from yard import make_policy

from lazaretto.batch import record_ids
from lazaretto.batch._canonical import schema_with_ids
from lazaretto.contract import Known, contract_of, evaluate
from lazaretto.contract import _columns as columns_module
from lazaretto.contract import _distinct as distinct_module
from lazaretto.contract import _report as report_module
from lazaretto.contract import _run as run_module
from lazaretto.contract._distinct import made_with
from lazaretto.engine import LocalEngine
from lazaretto.errors import ChangedFileError, UsageError
from lazaretto.stages.spread import Records
from lazaretto.stages.spread_contract import Beside, Checking, checked_on
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.batch import Batch
    from lazaretto.contract import ContractReport
    from lazaretto.engine import Engine
    from lazaretto.policy import Policy

ROWS, CHUNK = 120, 11
NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULES = {
    "columns": {
        "n": {"type": "integer", "min": 3, "one_of": list(range(90)), "increasing": True},
        "f": {"type": "number", "finite": True, "max": 2, "nullable": True, "severity": "warning"},
        "word": {"type": "text", "regex": "[a-z]+", "length": {"min": 2}, "unique": True},
        "shop": {"type": "text", "exists_in": {"dataset": "shops", "column": "name"}},
        "kind": {"type": "text", "rates": {"a": 0.5, "b": 0.5}, "tolerance": 0.01},
        "at": {"type": "datetime", "newest": "1h", "increasing": "strictly", "nullable": True},
        "gone": {"type": "text"},
    },
    "records": [{"that": "n > f", "severity": "warning"}, "n != 5 or kind == 'a'"],
    "unique": [
        {"columns": ["shop", "kind", "n"]},
        {"columns": ["word"], "across_batches": True},
    ],
    "count": {"min": 500},
    "volume": {"batches": 3, "min": 0.5, "max": 2},
}


def _table(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    ids = [f"r{n}" for n in range(ROWS)]
    for row in rng.integers(0, ROWS, 8):
        ids[row] = ("", "r1", "x\n", "r3")[row % 4]
    vectors = [[float(n), 1.0] for n in range(ROWS)]
    for row in rng.integers(0, ROWS, 6):
        vectors[row] = [[0.0, 0.0], [float("nan"), 1.0], [1.0]][row % 3]
    at = [NOW - timedelta(minutes=ROWS - n) for n in range(ROWS)]
    for row in rng.integers(0, ROWS, 5):
        at[row] = NOW + timedelta(days=1)
    words = [f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(ROWS)]
    for row in rng.integers(0, ROWS, 9):
        words[row] = ("Q", "waa", "wzz")[row % 3]

    def holey(values: list[object], kind: pa.DataType) -> pa.Array:
        gaps = rng.random(ROWS) < 0.05
        return pa.array([None if gap else v for v, gap in zip(values, gaps, strict=True)], kind)

    return pa.table(
        {
            "id": ids,
            "label": holey([n % 3 for n in range(ROWS)], pa.int64()),
            "vector": holey(vectors, pa.list_(pa.float32())),
            "n": holey([n + int(rng.integers(-2, 3)) for n in range(ROWS)], pa.int64()),
            "f": holey(list(np.where(rng.random(ROWS) < 0.1, np.inf, 1.0)), pa.float64()),
            "word": holey(words, pa.string()),
            "shop": holey(["here" if x < 0.9 else "there" for x in rng.random(ROWS)], pa.string()),
            "kind": holey(["a" if x < 0.6 else "c" for x in rng.random(ROWS)], pa.string()),
            "at": holey(at, pa.timestamp("us", "UTC")),
        }
    )


def _kept(store: Store, table: pa.Table, policy: Policy) -> tuple[Records, Batch]:
    """A canonical copy with small chunks."""
    schema = schema_with_ids(table.schema, policy.columns)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, schema) as writer:
        for first in range(0, table.num_rows, CHUNK):
            (chunk,) = table.slice(first, CHUNK).combine_chunks().to_batches()
            ids = record_ids(chunk, policy.columns, offset=first)
            writer.write_batch(pa.RecordBatch.from_arrays([*chunk.columns, ids], schema=schema))
    rows = Records("b", table.num_rows, store.put("copy", [sink.getvalue()]), None)
    return rows, rows.open(store)


def _known() -> Known:
    def admitted(columns: object) -> list[pa.RecordBatch]:
        assert list(columns) == ["word"]  # type: ignore[call-overload]
        return [pa.record_batch({"word": ["wcb", "other"]})]

    listed = {("shops", "name"): pa.array(["here", "elsewhere"])}
    return Known(NOW, (40, 50), listed, admitted)


def _policy(**contract: object) -> Policy:
    return make_policy(
        columns={"record_id": "id", "label": "label", "embedding": "vector"}, **contract
    )


def _same(one: ContractReport | None, other: ContractReport) -> None:
    assert one is not None
    assert one.failures.to_pydict() == other.failures.to_pydict()
    assert one.failures.schema == other.failures.schema
    assert one.flags.equals(other.flags)
    assert replace(one, failures=other.failures, flags=other.flags) == other


@settings(
    max_examples=examples(60),
    deadline=None,
    # Whoever looks for a smaller cut waits longer than for an answer.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**32),
    order=st.randoms(),
    most=st.sampled_from([5, 40, 10**6]),
    at_once=st.sampled_from([15, 2**18]),
)
def test_pieces_say_what_the_whole_says(
    seed: int, order: random.Random, most: int, at_once: int
) -> None:
    """Also where more fails than is listed, and however many records are judged at once."""
    store, policy = Store.at(f"memory://{uuid.uuid4().hex}"), _policy(contract={"rules": RULES})
    rows, data = _kept(store, _table(seed), policy)
    contract, known = contract_of(policy), _known()
    with pytest.MonkeyPatch.context() as patch:
        for module in (report_module, run_module, columns_module, distinct_module):
            patch.setattr(module, "MAX_FAILURES", most)
        patch.setattr(report_module, "MAX_FLAGS", most)
        patch.setattr(run_module, "MAX_FLAGS", most)
        whole = evaluate(data, contract, policy.columns, known=known)
        assert whole.failures.num_rows <= most
        patch.setattr(run_module, "ROWS", at_once)
        _same(evaluate(data, contract, policy.columns, known=known), whole)
        engines: list[Engine] = [CutEngine(store, order), LocalEngine(50), LocalEngine()]
        for engine in engines:
            _same(checked_on(engine, rows, data, policy, contract, known), whole)
    if most == 10**6:
        # Nearly all of the 26 rules about records are broken by some of them.
        assert len(whole.rules) > 15


MODEL = """
import pandera.polars as pandera
import polars as pl

class Record(pandera.DataFrameModel):
    n: float = pandera.Field(ge=10, nullable=True)
    word: str = pandera.Field(unique=True, nullable=True)

    @pandera.check("n")
    def near_the_mean(cls, data):
        column = pl.col(data.key)
        return data.lazyframe.select((column - column.mean()).abs() < 40)

    @pandera.dataframe_check
    def few_shops(cls, data):
        return data.lazyframe.select(pl.col("shop").n_unique() < 3)
"""


def test_a_model_of_pandera_is_judged_in_pieces_as_far_as_that_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Which rules need all records is told by name; a value that does not fit is for the whole."""
    (tmp_path / "rules.py").write_text(MODEL)
    path = tmp_path / "policy.yaml"
    path.write_text(
        "version: 1\ndataset: d\ncolumns: {record_id: id, embedding: vector}\n"
        "contract: rules.py:Record\n"
    )
    policy = type(_policy()).load(path)
    contract, known = contract_of(policy), Known(NOW)
    store = Store.at(f"memory://{uuid.uuid4().hex}")
    table = _table(3)
    rows, data = _kept(store, table, policy)
    whole = evaluate(data, contract, policy.columns, known=known)
    assert {rule.rule for rule in whole.rules} >= {"n.near_the_mean", "word.unique"}
    assert any("few_shops" in one for one in whole.broken)
    engine = CutEngine(store, random.Random(1))  # noqa: S311
    with caplog.at_level(logging.INFO):
        _same(checked_on(engine, rows, data, policy, contract, known), whole)
    assert "need all records at once: n.near_the_mean, frame.few_shops" in caplog.text
    numbers = [2**53 + 1 if row == ROWS - 1 else row for row in range(ROWS)]
    odd = table.set_column(table.schema.get_field_index("n"), "n", pa.array(numbers))
    store.delete(["copy"])
    rows, data = _kept(store, odd, policy)
    assert checked_on(engine, rows, data, policy, contract, known) is None
    assert "judged again in this process as a whole: column 'n' holds 9007199" in caplog.text
    store.replace("copy", b"another")
    with pytest.raises(ChangedFileError):
        checked_on(engine, rows, rows.open(store), policy, contract, known)


def test_a_worker_with_another_contract_or_other_hashes_judges_nothing(tmp_path: Path) -> None:
    store, policy = Store.at(tmp_path), _policy(contract={"rules": RULES})
    rows, _ = _kept(store, _table(1), policy)
    contract = contract_of(policy)
    assert contract is not None
    beside, seeds = Beside(NOW, ()), (1, 2)
    with pytest.raises(UsageError, match="another one on this worker"):
        Checking(rows, policy, "0" * 64, beside, seeds, made_with(seeds)).open(store)
    with pytest.raises(UsageError, match="other hashes"):
        Checking(rows, policy, contract.digest, beside, seeds, made_with((3, 4))).open(store)
