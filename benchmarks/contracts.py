"""Seconds to hold a batch against about 40 rules, as a ratio to bare polars expressions.

    python benchmarks/contracts.py [--rows 1000000] [--bad 0.05] [--repeats 3] [--stream 10000000]

The floor, in the same run, evaluates the same rules as polars expressions and lists every failing
record and rule, with the value as text: what a finding is. `masks` is the floor without the list.
Beside it: Lazaretto by a pandera model and by YAML rules, pandera's own lazy validation, and
dataframely where it is installed, all over the same table in memory. `--stream` holds a Parquet
file of so many rows against the YAML rules, and says the most memory that was taken. Prints one
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
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandera.polars as pandera
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lazaretto.batch import open_batch
from lazaretto.contract import Contract, evaluate, load_contract
from lazaretto.policy import Columns, Limits

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


def timed(work: Callable[[], int], repeats: int) -> tuple[float, float, int]:
    """The best of some runs by the clock and in processor time, and how many findings there are."""
    best, used, count = float("inf"), float("inf"), 0
    for _ in range(repeats):
        gc.collect()
        start, cpu = time.perf_counter(), time.process_time()
        count = work()
        best = min(best, time.perf_counter() - start)
        used = min(used, time.process_time() - cpu)
    return best, used, count


def measure(rows: int, bad: float, repeats: int) -> None:
    frame = sample(rows, bad)
    table = frame.to_arrow()
    table = table.cast(pa.schema([f.with_type(_plain(f.type)) for f in table.schema]))
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
    times: dict[str, float] = {}
    for name, work in tools.items():
        seconds, times[name], findings = timed(work, repeats)
        line = {
            "what": name,
            "rows": rows,
            "bad": bad,
            "findings": findings,
            "seconds": round(seconds, 3),
            "cpu_seconds": round(times[name], 3),
            "to_floor": round(times[name] / times["polars, findings"], 2)
            if "polars, findings" in times
            else None,
            "version": importlib.metadata.version(name.split(",", 1)[0]),
        }
        print(json.dumps(line), flush=True)


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) or kind == pa.string_view() else kind


def stream(rows: int, bad: float) -> None:
    """Holds a file against the rules in a process of its own, whose memory is told."""
    part = 250_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "batch.parquet"
        writer = None
        for start in range(0, rows, part):
            table = sample(min(part, rows - start), bad, seed=start, start=start).to_arrow()
            table = table.cast(pa.schema([f.with_type(_plain(f.type)) for f in table.schema]))
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
        subprocess.run([sys.executable, __file__, "--one", str(path)], check=True)


def one(path: str) -> None:
    """Holds a file against the rules; its copy is made before, as that of a delivery is."""
    yaml = load_contract(yaml_rules())
    limits = Limits(max_rows=10**9, output_bytes=2**40, memory_bytes=2**34)
    batch = open_batch(path, limits=limits)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    report = evaluate(batch, yaml, Columns(record_id="id"))
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = {
        "what": "lazaretto, rules, streamed",
        "rows": report.rows,
        "findings": sum(rule.failed for rule in report.rules),
        "seconds": round(seconds, 1),
        "megabytes": round((after - before) / 1024),
        "file_megabytes": round(Path(path).stat().st_size / 2**20),
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bad", type=float, default=0.05)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stream", type=int, default=0)
    parser.add_argument("--one")
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one)
    elif arguments.stream:
        stream(arguments.stream, arguments.bad)
    else:
        measure(arguments.rows, arguments.bad, arguments.repeats)


if __name__ == "__main__":
    main()
