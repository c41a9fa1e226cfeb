"""Judges records by a suite of Great Expectations, expectation by expectation.

Each one is computed by its own code in Great Expectations, on a table with the columns that it
reads and no others. Its `Batch.validate` is not called: it needs a context, which is global, shows
progress bars and sends events, computes a fingerprint of all data, copies every column for every
expectation, and keeps what it computed for all expectations until the last is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lazaretto.batch import own
from lazaretto.contract._gx_frame import CannotHoldError, column_of, needs_bytes, series_of
from lazaretto.contract._gx_suite import silence
from lazaretto.redact import error_line
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lazaretto.contract._gx_rules import Rule
    from lazaretto.contract._gx_suite import Suite
    from lazaretto.contract._report import Failures

_FORMAT = {
    "result_format": "COMPLETE",
    "return_unexpected_index_query": False,
    "partial_unexpected_count": 0,
}
"""Every failing row by its place: with names of index columns it would be a dictionary each."""


class SuiteRun:
    """Takes the records of a batch chunk by chunk, and then tells what was found.

    Args:
        suite: what they are judged by.
        schema: all columns of the batch.
        most_bytes: of the columns that are kept, and that pandas may take for the columns of one
            expectation; None: any number.
    """

    def __init__(self, suite: Suite, schema: pa.Schema, most_bytes: int | None) -> None:
        self._suite, self._schema, self._most = suite, schema, most_bytes
        wanted = {name for rule in suite.rules for name in rule.reads_of(schema.names)}
        self.columns = [name for name in schema.names if name in wanted]
        self._chunks: list[pa.RecordBatch] = []
        self._size = 0
        self._too_large = False

    def take(self, chunk: pa.RecordBatch) -> None:
        """Looks at the next records; columns that are not needed may be among them."""
        if not self.columns or self._too_large:
            return
        columns = [own(chunk.column(name)) for name in self.columns]
        self._chunks.append(pa.RecordBatch.from_arrays(columns, names=self.columns))
        self._size += self._chunks[-1].nbytes
        if self._most is not None and self._size > self._most:
            self._too_large = True
            self._chunks.clear()

    def tell(self, failures: Failures) -> None:
        """Adds what was found."""
        if self._too_large:
            failures.broken.append(
                f"the columns that the contract reads take more than {self._most:,} bytes "
                "(limits.memory_bytes), so that it was not evaluated"
            )
            return
        names = self._schema.names
        chunks = self._chunks or [pa.RecordBatch.from_pylist([], schema=self._schema)]
        groups: dict[tuple[bool, tuple[str, ...]], list[Rule]] = {}
        for rule in self._suite.rules:
            groups.setdefault((rule.layout, rule.reads_of(names)), []).append(rule)
        with silence():
            for (layout, reads), rules in groups.items():
                for name in reads:
                    if name not in names:
                        _once(failures, f"there is no column {name!r}, which the contract reads")
                if not set(reads) <= set(names):
                    continue
                table = _layout(names) if layout else _table(reads, chunks, failures, self._most)
                if table is not None:
                    _judge(rules, table, chunks, failures)


def _layout(names: list[str]) -> Any:
    import pandas as pd

    return pd.DataFrame({name: [] for name in names}, dtype=object)


def _table(
    reads: tuple[str, ...],
    chunks: Sequence[pa.RecordBatch],
    failures: Failures,
    most_bytes: int | None,
) -> Any:
    """The columns as a table of pandas; None where it cannot be made, which is told."""
    import pandas as pd

    columns = {name: column_of(chunks, name) for name in reads}
    size = sum(needs_bytes(column) for column in columns.values())
    if most_bytes is not None and size > most_bytes:
        _once(
            failures,
            f"the contract's rules about {', '.join(reads)} were not judged: in pandas these take "
            f"about {size:,} bytes, more than {most_bytes:,} (limits.memory_bytes)",
        )
        return None
    found = {}
    for name, column in columns.items():
        try:
            found[name] = series_of(column)
        except CannotHoldError as error:
            _once(failures, f"column {name!r} {error}")
    if len(found) < len(reads):
        return None
    return pd.DataFrame(found, index=pd.RangeIndex(len(failures.ids)), columns=list(reads))


def _judge(
    rules: list[Rule], table: Any, chunks: Sequence[pa.RecordBatch], failures: Failures
) -> None:
    for rule in rules:
        try:
            success, found = _outcome(rule.expectation, table)
        except Exception as error:
            failures.broken.append(f"rule {rule.name} raised {error_line(error)}")
            continue
        if "unexpected_index_list" not in found:
            if not success:
                _tell_whole(rule, found, failures)
            continue
        failed = _failed(found, len(failures.ids))
        if failed is None or (not success and not failed.any()):
            failures.broken.append(
                f"rule {rule.name} does not say which records fail it: {rule.text}"
            )
            continue
        values = None if rule.column is None else column_of(chunks, rule.column)
        # Where as many meet it as its `mostly` asks for, it is met: the others are no failures.
        warn = rule.warn or success
        failures.add(rule.name, rule.column, rule.text, failed, values=values, warn=warn)


def _outcome(expectation: Any, table: Any) -> tuple[bool, dict[str, Any]]:
    """What Great Expectations finds: whether the expectation is met, and its result.

    Raises:
        Exception: the expectation cannot be computed on such data.
    """
    from great_expectations.execution_engine.pandas_execution_engine import (
        PandasExecutionEngine,
    )
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    engine = PandasExecutionEngine()
    engine.load_batch_data("batch", table)
    needed = expectation.get_validation_dependencies(
        execution_engine=engine, runtime_configuration={"result_format": dict(_FORMAT)}
    )
    calculator = MetricsCalculator(execution_engine=engine, show_progress_bars=False)
    metrics, _ = calculator.compute_metrics(
        needed.get_metric_configurations(), runtime_configuration={"catch_exceptions": False}
    )
    said = expectation.metrics_validate(
        metrics=metrics,
        execution_engine=engine,
        runtime_configuration={"result_format": dict(_FORMAT)},
    )
    return bool(said.success), dict(said.result or {})


def _tell_whole(rule: Rule, found: dict[str, Any], failures: Failures) -> None:
    seen = found.get("observed_value")
    observed = "" if seen is None else f" (found: {excerpt(seen, 120)})"
    if rule.warn:
        # As of every contract: what only warns of the batch flags all of its records.
        everything = np.ones(len(failures.ids), dtype=np.bool_)
        failures.add(rule.name, rule.column, f"{rule.text}{observed}", everything, warn=True)
    else:
        failures.broken.append(
            f"rule {rule.name} does not hold for the batch: {rule.text}{observed}"
        )


def _failed(found: dict[str, Any], rows: int) -> NDArray[np.bool_] | None:
    """The failing records as a mask; None where the result does not name as many as it counts."""
    listed = found["unexpected_index_list"]
    if listed is None or not all(isinstance(one, int) and 0 <= one < rows for one in listed):
        return None
    failed = np.zeros(rows, dtype=np.bool_)
    failed[listed] = True
    return failed if int(failed.sum()) == found.get("unexpected_count") else None


def _once(failures: Failures, text: str) -> None:
    if text not in failures.broken:
        failures.broken.append(text)
