"""What an evaluation found, by record, rule and batch. Long: how it is listed and shown, too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._shown import as_python
from lazaretto.text import excerpt
from lazaretto.values import RuleCount

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

# From here on the table of failures would no longer fit in memory beside the ids.
MAX_FAILURES = 1_000_000
MAX_FLAGS = 10_000_000
"""So many flags are kept: a flag is a position and a number."""
_SHOWN = 120
_LEAST_ALIKE, _MOST_ALIKE = 1e-3, 1e15


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
        flags: one row per record and rule that only warns, in order of position; see
            `flags_schema`.
        width: of the most embeddings; None: there are none.
        named: columns of the batch that the contract names, by a pattern too, in their order.
    """

    rows: int
    failures: pa.Table
    rules: list[RuleCount]
    broken: list[str]
    flags: pa.Table = field(default_factory=lambda: flags_schema().empty_table())
    width: int | None = None
    named: list[str] = field(default_factory=list)

    @property
    def failing_ids(self) -> list[str]:
        """Ids of the records that broke a rule, each once, in order of position."""
        return list(dict.fromkeys(self.failures.column("record_id").to_pylist()))

    @property
    def failing_rows(self) -> int:
        """Number of records that broke at least one rule."""
        return len(self.failures.column("position").unique())

    @property
    def flagged_rows(self) -> int:
        """Number of records that broke at least one rule that only warns."""
        return len(self.flags.column("position").unique())


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

    def both(one: pa.Table, other: pa.Table) -> pa.Table:
        known = pc.is_in(other["rule"], pa.array(names, pa.string()))
        tables = [one, other.filter(pc.invert(known))]
        return pa.concat_tables(tables).sort_by([("position", "ascending")])

    return ContractReport(
        rows=first.rows,
        failures=both(first.failures, second.failures),
        rules=[*first.rules, *(rule for rule in second.rules if rule.rule not in names)],
        broken=list(dict.fromkeys([*first.broken, *second.broken])),
        flags=both(first.flags, second.flags),
        width=first.width,
        named=first.named,
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """Records of one rule: its number, ascending positions, and values as text."""

    rule: int
    positions: NDArray[np.int64]
    values: pa.Array | pa.ChunkedArray | None


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
    _entries: list[_Entry] = field(default_factory=list)
    _flags: list[_Entry] = field(default_factory=list)
    _kept: int = 0
    _flagged: int = 0

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
        kept = positions[: max(MAX_FAILURES - self._kept, 0)]
        texts = None if values is None or warn else as_text(_taken(values, kept))
        self.add_at(rule, column, text, positions, texts=texts, warn=warn)

    def add_at(
        self,
        rule: str,
        column: str | None,
        text: str,
        positions: NDArray[np.int64],
        *,
        count: int | None = None,
        texts: pa.Array | pa.ChunkedArray | None = None,
        warn: bool = False,
    ) -> None:
        """Adds the same by ascending positions.

        Args:
            rule: its name.
            column: that it is about.
            text: what it asks for.
            positions: of records that failed.
            count: how many failed, where not all positions were kept.
            texts: the values of the first of them, by `as_text`.
            warn: whether it only warns.
        """
        count = len(positions) if count is None else count
        if not count:
            return
        number = len(self._rules)
        self._rules.append(RuleCount(self._unused(rule), column, count, text, warn))
        if warn:
            positions = positions[: max(MAX_FLAGS - self._flagged, 0)]
            self._flagged += count
            self._flags.append(_Entry(number, positions, None))
        else:
            positions = positions[: max(MAX_FAILURES - self._kept, 0)]
            self._kept += count
            self._entries.append(_Entry(number, positions, texts))

    def report(self) -> ContractReport:
        """The finished report."""
        broken = list(self.broken)
        if self._kept >= MAX_FAILURES:
            broken.append(f"more than {MAX_FAILURES:,} failures; the rest is counted, not listed")
        if self._flagged >= MAX_FLAGS:
            broken.append(f"more than {MAX_FLAGS:,} warnings; the rest is counted, not listed")
        return ContractReport(
            rows=len(self.ids),
            failures=self._failures(),
            rules=self._rules,
            broken=broken,
            flags=self._all_flags(),
        )

    def _failures(self) -> pa.Table:
        if not self._entries:
            return failures_schema().empty_table()
        positions, rules, order = _sorted(self._entries)
        texts = [
            pa.nulls(len(entry.positions), pa.string())
            if entry.values is None
            else entry.values.slice(0, len(entry.positions))
            for entry in self._entries
        ]
        parts = [
            part
            for one in texts
            for part in (one.chunks if isinstance(one, pa.ChunkedArray) else [one])
        ]
        values = pa.concat_arrays(parts).take(pa.array(order))
        said = [(rule.rule, rule.column, rule.text) for rule in self._rules]
        columns = [
            _taken(self.ids, positions),
            pa.array(positions.astype(np.uint64)),
            *(_spread(rules, [one[part] for one in said]) for part in range(3)),
            values,
        ]
        return pa.Table.from_arrays(columns, schema=failures_schema())

    def _all_flags(self) -> pa.Table:
        if not self._flags:
            return flags_schema().empty_table()
        positions, rules, _ = _sorted(self._flags)
        names = pa.array([rule.rule for rule in self._rules], pa.string())
        column = pa.DictionaryArray.from_arrays(pa.array(rules), names)
        return pa.Table.from_arrays(
            [pa.array(positions.astype(np.uint64)), column.cast(pa.string())],
            schema=flags_schema(),
        )

    def _unused(self, rule: str) -> str:
        taken = {count.rule for count in self._rules}
        number = 2
        name = rule
        while name in taken:
            name, number = f"{rule}#{number}", number + 1
        return name


def flags_schema() -> pa.Schema:
    """Columns of the flags: position in the batch, and the rule that warns.

    Examples:
        >>> flags_schema().names
        ['position', 'rule']
    """
    return pa.schema([("position", pa.uint64()), ("rule", pa.string())])


def _sorted(
    entries: list[_Entry],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Positions and numbers of rules in order of position, and that order."""
    positions = np.concatenate([entry.positions for entry in entries])
    rules = np.repeat(
        np.array([entry.rule for entry in entries], np.int32),
        [len(entry.positions) for entry in entries],
    )
    order = np.argsort(positions, kind="stable")
    return positions[order], rules[order], order


def _spread(rules: NDArray[np.int32], texts: list[str | None]) -> pa.Array:
    """The text of each rule, once for each of its records."""
    return pa.array(texts, pa.string()).take(pa.array(rules))


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


def as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Values as short text without control characters; nested ones by their Python form."""
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        texts = values.cast(pa.string())
        if pa.types.is_boolean(kind):  # as Python writes them
            texts = pc.utf8_capitalize(texts)
        return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    if pa.types.is_floating(kind) and not pa.types.is_float16(kind):
        return _numbers(values)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _short(values)
    found = (as_python(value) for value in values)
    texts_of = (None if value is None else excerpt(value, _SHOWN) for value in found)
    return pa.array(texts_of, pa.string())


def _numbers(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Floats as Python writes them; polars, which is faster, writes most of them alike."""
    import polars as pl

    series = pl.Series(values).cast(pl.Float64)
    size = series.abs()
    alike = series.is_null() | (series == 0) | ((size >= _LEAST_ALIKE) & (size < _MOST_ALIKE))
    odd = (~alike).arg_true().to_numpy()
    texts = series.cast(pl.String).to_arrow().cast(pa.string())
    return _mended(texts, odd, (repr(value) for value in series.gather(odd).to_list()))


def _short(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Texts, shortened where they need it."""
    texts = values.cast(pa.string())
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    plain = pc.and_(pc.ascii_is_printable(texts), pc.less_equal(pc.binary_length(texts), _SHOWN))
    plain = pc.or_(pc.fill_null(plain, True), pc.equal(pc.fill_null(texts, ""), ""))
    odd = pc.indices_nonzero(pc.invert(plain)).to_numpy()
    return _mended(texts, odd, (excerpt(texts[int(row)].as_py(), _SHOWN) for row in odd))


def _mended(texts: pa.Array, odd: NDArray[Any], mended: Iterable[str]) -> pa.Array:
    """Texts with others at some places."""
    if not len(odd):
        return texts
    mask = np.zeros(len(texts), dtype=np.bool_)
    mask[odd] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(mended, pa.string()))
