"""Seconds to hold a batch against about 40 rules, as a ratio to bare polars expressions.

    python benchmarks/contracts.py [--rows 1000000] [--bad 0.05] [--repeats 3] [--stream 10000000]

The floor, in the same run, evaluates the same rules as polars expressions and lists every failing
record and rule, with the value as text: what a finding is. `masks` is the floor without the list.
Beside it: Lazaretto by a pandera model and by YAML rules, pandera's own lazy validation, and, where
they are installed, dataframely and Great Expectations with its COMPLETE results, by itself and as
a contract of ours, all over the same table in memory. `--stream` gives so many records to the YAML
rules as they are made, and says how much memory that takes beyond the first of them. Prints one
JSON line per measurement; ratios are of processor time, which other work on the machine changes
least.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandera.polars as pandera
import polars as pl
import pyarrow as pa

from lazaretto.contract import Contract, evaluate, load_contract
from lazaretto.contract._run import Run
from lazaretto.contract._table import prepare
from lazaretto.policy import Columns

if TYPE_CHECKING:
    from collections.abc import Callable

FLOATS = [f"f{number}" for number in range(7)]
WHOLE = [f"n{number}" for number in range(4)]
WORDS = [f"c{number}" for number in range(3)]
KINDS = [f"kind-{number}" for number in range(10)]
EMAIL = r"[a-z0-9]+@[a-z]+\.[a-z]{2,3}"
DAY = 86_400_000_000


def sample(rows: int, bad: float, seed: int = 1, start: int = 0) -> pl.DataFrame:
    """20 columns; in each that has rules, a share of bad values."""
    rng = np.random.default_rng(seed)

    def spoilt(values: np.ndarray, wrong: Any) -> np.ndarray:
        return np.where(rng.random(rows) < bad, wrong, values)

    columns: dict[str, Any] = {
        "id": np.arange(start, start + rows).astype(str),
        "label": spoilt(rng.choice(KINDS, rows), "other"),
    }
    columns |= {name: spoilt(rng.normal(size=rows), 1e9) for name in FLOATS}
    columns |= {name: spoilt(rng.integers(0, 100, rows), -1) for name in WHOLE}
    columns |= {name: spoilt(rng.choice(KINDS, rows), "?") for name in WORDS}
    names = pl.Series(rng.integers(0, 10**9, rows)).cast(pl.String)
    good = rng.random(rows) >= bad
    columns["email"] = names + pl.Series(good).replace_strict({True: "@example.org", False: "!"})
    columns["text"] = names + " is a text of some words"
    begin = rng.integers(0, 1000 * DAY, rows)
    length = np.where(rng.random(rows) < bad, -DAY, DAY)
    columns["start"] = pl.Series(begin).cast(pl.Datetime("us"))
    columns["end"] = pl.Series(begin + length).cast(pl.Datetime("us"))
    return pl.DataFrame(columns)


class Record(pandera.DataFrameModel):
    """The rules as a pandera model."""

    id: str = pandera.Field(unique=True)
    label: str = pandera.Field(isin=KINDS)
    f0: float = pandera.Field(ge=-50, le=50)
    f1: float = pandera.Field(ge=-50, le=50)
    f2: float = pandera.Field(ge=-50, le=50)
    f3: float = pandera.Field(ge=-50, le=50)
    f4: float = pandera.Field(ge=-50, le=50)
    f5: float = pandera.Field(ge=-50, le=50)
    f6: float = pandera.Field(ge=-50, le=50)
    n0: int = pandera.Field(ge=0)
    n1: int = pandera.Field(ge=0)
    n2: int = pandera.Field(ge=0)
    n3: int = pandera.Field(ge=0)
    c0: str = pandera.Field(isin=KINDS)
    c1: str = pandera.Field(isin=KINDS)
    c2: str = pandera.Field(isin=KINDS)
    email: str = pandera.Field(str_matches=rf"^{EMAIL}$")
    text: str = pandera.Field(nullable=True, str_length={"min_value": 1, "max_value": 100})
    start: pl.Datetime("us") = pandera.Field()  # type: ignore[valid-type]
    end: pl.Datetime("us") = pandera.Field()  # type: ignore[valid-type]

    @pandera.dataframe_check(error="end > start")
    def in_order(cls, data: Any) -> Any:  # noqa: N805  pandera's checks are class methods
        """A rule over whole records."""
        return data.lazyframe.select(pl.col("end") > pl.col("start"))


def yaml_rules() -> dict[str, Any]:
    """The same rules in YAML's form."""
    columns: dict[str, Any] = {
        "id": {"type": "text", "unique": True},
        "label": {"type": "text", "one_of": KINDS},
    }
    columns |= {name: {"type": "number", "min": -50, "max": 50} for name in FLOATS}
    columns |= {name: {"type": "integer", "min": 0} for name in WHOLE}
    columns |= {name: {"type": "text", "one_of": KINDS} for name in WORDS}
    columns["email"] = {"type": "text", "regex": EMAIL}
    columns["text"] = {"type": "text", "nullable": True, "length": {"min": 1, "max": 100}}
    columns |= {name: {"type": "datetime"} for name in ("start", "end")}
    return {"rules": {"columns": columns, "records": ["end > start"]}}


def expressions() -> list[tuple[str | None, pl.Expr]]:
    """The same rules as expressions that are true where a record fails, with their columns."""
    found: list[tuple[str | None, pl.Expr]] = []

    def add(name: str | None, expression: pl.Expr) -> None:
        found.append((name, expression))

    for name in ["id", "label", *FLOATS, *WHOLE, *WORDS, "email", "start", "end"]:
        add(name, pl.col(name).is_null())
    add("id", pl.col("id").is_duplicated())
    for name in ["label", *WORDS]:
        add(name, ~pl.col(name).is_in(KINDS))
    for name in FLOATS:
        add(name, pl.col(name) < -50)
        add(name, pl.col(name) > 50)
    for name in WHOLE:
        add(name, pl.col(name) < 0)
    add("email", ~pl.col("email").str.contains(rf"^{EMAIL}$"))
    add("text", ~pl.col("text").str.len_chars().is_between(1, 100))
    add(None, pl.col("end") <= pl.col("start"))
    return found


def masks(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    rules = expressions()
    found = frame.select([rule.fill_null(False).alias(str(n)) for n, (_, rule) in enumerate(rules)])
    return found, int(found.sum().sum_horizontal().item())


def floor(frame: pl.DataFrame) -> int:
    """Every failing record and rule, with the value as text, in the order of the records."""
    found, _ = masks(frame)
    parts = []
    for number, (name, _) in enumerate(expressions()):
        rows = found.get_column(str(number)).arg_true()
        texts = (
            pl.repeat(None, len(rows), dtype=pl.String, eager=True)
            if name is None
            else frame.get_column(name).gather(rows).cast(pl.String)
        )
        rule = pl.repeat(number, len(rows), dtype=pl.UInt16, eager=True)
        parts.append(pl.DataFrame({"row": rows, "rule": rule, "value": texts}))
    return pl.concat(parts).sort("row", maintain_order=True).height


def ours(table: pa.Table, contract: Contract) -> int:
    report = evaluate(table, contract, Columns(record_id="id"))
    assert not report.broken, report.broken
    return report.failures.num_rows


def by_pandera(frame: pl.DataFrame) -> int:
    try:
        Record.to_schema().validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        return int(errors.failure_cases.height)
    return 0


def by_dataframely(frame: pl.DataFrame) -> int:
    import dataframely as dy

    columns: dict[str, Any] = {"id": dy.String(nullable=False)}
    columns["label"] = dy.String(nullable=False, check=lambda c: c.is_in(KINDS))
    columns |= {name: dy.Float64(nullable=False, min=-50, max=50) for name in FLOATS}
    columns |= {name: dy.Int64(nullable=False, min=0) for name in WHOLE}
    columns |= {name: dy.String(nullable=False, check=lambda c: c.is_in(KINDS)) for name in WORDS}
    columns["email"] = dy.String(nullable=False, regex=rf"^{EMAIL}$")
    columns["text"] = dy.String(nullable=True, min_length=1, max_length=100)
    columns |= {name: dy.Datetime(nullable=False, time_unit="us") for name in ("start", "end")}
    in_order = dy.rule()(lambda cls: cls.end.col > cls.start.col)
    unique = dy.rule()(lambda cls: cls.id.col.is_unique())
    schema = type("Record", (dy.Schema,), columns | {"in_order": in_order, "only": unique})
    _, failed = schema.filter(frame)
    return sum(failed.counts().values())


def suite() -> list[dict[str, Any]]:
    """The same rules as expectations."""
    found = []

    def add(kind: str, **kwargs: Any) -> None:
        found.append({"type": kind, "kwargs": kwargs})

    for name in ["id", "label", *FLOATS, *WHOLE, *WORDS, "email", "start", "end"]:
        add("expect_column_values_to_not_be_null", column=name)
    add("expect_column_values_to_be_unique", column="id")
    for name in ["label", *WORDS]:
        add("expect_column_values_to_be_in_set", column=name, value_set=KINDS)
    for name in FLOATS:
        add("expect_column_values_to_be_between", column=name, min_value=-50, max_value=50)
    for name in WHOLE:
        add("expect_column_values_to_be_between", column=name, min_value=0)
    add("expect_column_values_to_match_regex", column="email", regex=rf"^{EMAIL}$")
    add("expect_column_value_lengths_to_be_between", column="text", min_value=1, max_value=100)
    add("expect_column_pair_values_a_to_be_greater_than_b", column_A="end", column_B="start")
    return found


def by_great_expectations(table: pa.Table) -> int:
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("here").add_dataframe_asset("table")
    whole = asset.add_batch_definition_whole_dataframe("all")
    batch = whole.get_batch({"dataframe": table.to_pandas()})
    asked = context.suites.add(gx.ExpectationSuite(name="benchmark", expectations=suite()))
    form = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
    said = batch.validate(asked, result_format={**form, "partial_unexpected_count": 0})
    return sum(len(result.result["unexpected_index_list"]) for result in said.results)


def in_turns(
    tools: dict[str, Callable[[], int]], repeats: int
) -> dict[str, tuple[float, float, int]]:
    """Of each tool the least by the clock and in processor time, and how many findings there are.

    They take turns, so that what else the machine does meets all of them.
    """
    found = dict.fromkeys(tools, (float("inf"), float("inf"), 0))
    for _ in range(repeats):
        for name, work in tools.items():
            gc.collect()
            start, cpu = time.perf_counter(), time.process_time()
            count = work()
            seconds, used = time.perf_counter() - start, time.process_time() - cpu
            best = found[name]
            found[name] = (min(best[0], seconds), min(best[1], used), count)
    return found


def measure(rows: int, bad: float, repeats: int) -> None:
    frame = sample(rows, bad)
    table = _arrow(frame)
    yaml = load_contract(yaml_rules())
    assert yaml is not None
    model = Contract("benchmark", Record.to_schema())
    tools: dict[str, Callable[[], int]] = {
        "polars, masks alone": lambda: masks(frame)[1],
        "polars, findings": lambda: floor(frame),
        "lazaretto, rules": lambda: ours(table, yaml),
        "lazaretto, pandera model": lambda: ours(table, model),
        "pandera, lazy": lambda: by_pandera(frame),
    }
    if importlib.util.find_spec("dataframely"):
        tools["dataframely, filter"] = lambda: by_dataframely(frame)
    if importlib.util.find_spec("great_expectations"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "suite.json")
            path.write_text(json.dumps({"name": "benchmark", "expectations": suite()}))
            gx = load_contract({"gx": str(path)})
        assert gx is not None
        tools["great_expectations, COMPLETE"] = lambda: by_great_expectations(table)
        tools["lazaretto, suite"] = lambda: ours(table, gx)
    found = in_turns(tools, repeats)
    for name, (seconds, used, findings) in found.items():
        line = {
            "what": name,
            "rows": rows,
            "bad": bad,
            "findings": findings,
            "seconds": round(seconds, 3),
            "cpu_seconds": round(used, 3),
            "to_floor": round(used / found["polars, findings"][1], 2),
            "version": importlib.metadata.version(name.split(",", 1)[0]),
        }
        print(json.dumps(line), flush=True)


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) or kind == pa.string_view() else kind


def stream(rows: int) -> None:
    """Gives records to the rules as they are made, and says what memory that takes beyond them."""
    yaml = load_contract(yaml_rules())
    assert yaml is not None
    assert yaml.table is not None
    part = 250_000
    frame = sample(part, 0.0005)
    schema = _arrow(frame).schema
    run = Run(prepare(yaml.table), schema, None, None)
    before, start = 0, time.process_time()
    for first in range(0, rows, part):
        ids = (pl.int_range(part) + first).cast(pl.String)
        for chunk in _arrow(frame.with_columns(id=ids)).to_batches(max_chunksize=65_536):
            run.take(chunk)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        before = before or peak
        done = first + part
        if done in (rows, rows // 2, rows // 10):
            line = {
                "what": "lazaretto, rules, streamed",
                "rows": done,
                "cpu_seconds": round(time.process_time() - start, 1),
                "megabytes": peak - before,
            }
            print(json.dumps(line), flush=True)


def _arrow(frame: pl.DataFrame) -> pa.Table:
    table = frame.to_arrow()
    return table.cast(pa.schema([one.with_type(_plain(one.type)) for one in table.schema]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bad", type=float, default=0.05)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stream", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.stream:
        stream(arguments.stream)
    else:
        measure(arguments.rows, arguments.bad, arguments.repeats)


if __name__ == "__main__":
    main()
