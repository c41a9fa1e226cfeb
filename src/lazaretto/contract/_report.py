"""What an evaluation found: failing records by rule, counts, and problems of the whole batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._shown import as_python
from lazaretto.text import excerpt
from lazaretto.values import RuleCount

if TYPE_CHECKING:
    from numpy.typing import NDArray

# From here on the table of failures would no longer fit in memory beside the ids.
MAX_FAILURES = 1_000_000


def failures_schema() -> pa.Schema:
    """Columns of the failures: record id, position in the batch, rule, column, text, value.

    ``value`` is the offending value as text, at most 120 characters, null for rules over several
    columns.

    Examples:
        >>> failures_schema().names
        ['record_id', 'position', 'rule', 'column', 'text', 'value']
    """
    return pa.schema(
        [
            ("record_id", pa.string()),
            ("position", pa.uint64()),
            ("rule", pa.string()),
            ("column", pa.string()),
            ("text", pa.string()),
            ("value", pa.string()),
        ]
    )


@dataclass(frozen=True, slots=True)
class ContractReport:
    """Outcome of holding a batch against its contract.

    Attributes:
        rows: number of records.
        failures: one row per record and broken rule, in order of position; see `failures_schema`.
        rules: every rule that at least one record broke, with its count. The records of a rule that
            only warns are not in `failures`.
        broken: problems of the whole batch; not empty means that the batch is held.
    """

    rows: int
    failures: pa.Table
    rules: list[RuleCount]
    broken: list[str]

    @property
    def failing_ids(self) -> list[str]:
        """Ids of the records that broke a rule, each once, in order of position."""
        return list(dict.fromkeys(self.failures.column("record_id").to_pylist()))

    @property
    def failing_rows(self) -> int:
        """Number of records that broke at least one rule."""
        return len(self.failures.column("position").unique())


def merged(first: ContractReport, second: ContractReport) -> ContractReport:
    """What two contracts found in one batch; a rule of both is the first's.

    Args:
        first: what one found.
        second: what the other found, in the same records.

    Raises:
        ValueError: they are not of one batch.

    Examples:
        >>> import pyarrow as pa
        >>> from lazaretto.contract import evaluate
        >>> from lazaretto.policy import Columns
        >>> report = evaluate(pa.table({"id": ["a", "a"]}), None, Columns(record_id="id"))
        >>> merged(report, report).failures.num_rows
        2
    """
    if first.rows != second.rows:
        raise ValueError(f"reports of {first.rows} and of {second.rows} records")
    names = [rule.rule for rule in first.rules]
    known = pc.is_in(second.failures["rule"], pa.array(names, pa.string()))
    more = second.failures.filter(pc.invert(known))
    return ContractReport(
        rows=first.rows,
        failures=pa.concat_tables([first.failures, more]).sort_by([("position", "ascending")]),
        rules=[*first.rules, *(rule for rule in second.rules if rule.rule not in names)],
        broken=list(dict.fromkeys([*first.broken, *second.broken])),
    )


@dataclass(slots=True)
class Failures:
    """Collects the outcome of one rule after the other.

    Attributes:
        ids: of all records, string.
        broken: what is wrong with the batch as a whole.
    """

    ids: pa.ChunkedArray
    broken: list[str] = field(default_factory=list)
    _rules: list[RuleCount] = field(default_factory=list)
    _tables: list[pa.Table] = field(default_factory=list)
    _kept: int = 0

    def add(
        self,
        rule: str,
        column: str | None,
        text: str,
        failed: NDArray[np.bool_],
        *,
        values: pa.Array | pa.ChunkedArray | None = None,
        warn: bool = False,
    ) -> None:
        """Adds one rule's outcome: which records failed, as a mask over the batch."""
        positions = np.flatnonzero(failed)
        if not len(positions):
            return
        name = self._unused(rule)
        self._rules.append(RuleCount(name, column, len(positions), text, warn))
        if warn:
            return
        positions = positions[: MAX_FAILURES - self._kept]
        self._kept += len(positions)
        n = len(positions)
        shown = pa.nulls(n, pa.string()) if values is None else _as_text(_taken(values, positions))
        columns = [
            _taken(self.ids, positions),
            pa.array(positions.astype(np.uint64)),
            pa.repeat(name, n),
            pa.repeat(pa.scalar(column, pa.string()), n),
            pa.repeat(text, n),
            shown,
        ]
        self._tables.append(pa.Table.from_arrays(columns, schema=failures_schema()))

    def note(self, rule: str, column: str | None, text: str) -> None:
        """Adds a rule about the whole batch that does not hold, and only warns."""
        self._rules.append(RuleCount(self._unused(rule), column, 0, text, warning=True))

    def report(self) -> ContractReport:
        """The finished report."""
        table = pa.concat_tables([failures_schema().empty_table(), *self._tables])
        broken = list(self.broken)
        if self._kept >= MAX_FAILURES:
            broken.append(f"more than {MAX_FAILURES:,} failures; the rest is counted, not listed")
        return ContractReport(
            rows=len(self.ids),
            failures=table.sort_by([("position", "ascending")]),
            rules=self._rules,
            broken=broken,
        )

    def _unused(self, rule: str) -> str:
        taken = {count.rule for count in self._rules}
        number = 2
        name = rule
        while name in taken:
            name, number = f"{rule}#{number}", number + 1
        return name


def _taken(
    values: pa.Array | pa.ChunkedArray, positions: NDArray[np.int64]
) -> pa.Array | pa.ChunkedArray:
    """Values at ascending positions; Arrow would first join all chunks, which may be gigabytes."""
    if not isinstance(values, pa.ChunkedArray):
        return values.take(pa.array(positions))
    parts, offset = [], 0
    for chunk in values.chunks:
        low, high = np.searchsorted(positions, [offset, offset + len(chunk)])
        parts.append(chunk.take(pa.array(positions[low:high] - offset)))
        offset += len(chunk)
    return pa.chunked_array(parts, values.type)


def _as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Values as short text without control characters; nested ones by their Python form."""
    found = (as_python(value) for value in values)
    texts = (None if value is None else excerpt(value, 120) for value in found)
    return pa.array(texts, pa.string())
