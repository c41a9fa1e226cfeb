"""Evaluates rules over a stream of records. Long: one pass through all kinds of rules.

Memory holds what fails, and one chunk.

Rules about single records are polars expressions, all of them evaluated together. Rules about
columns keep a hash of 16 bytes per record, or a number. Checks of pandera that may look at all
records at once are given all records; their columns are kept up to a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from lazaretto.contract._columns import tell_batch, worker
from lazaretto.contract._frame import RAISED, join_frames, make_frame
from lazaretto.contract._polars import Terms
from lazaretto.contract._report import MAX_FAILURES, MAX_FLAGS, as_text
from lazaretto.contract._rules import (
    Checked,
    Count,
    Distinct,
    Fresh,
    Increasing,
    Listed,
    Rates,
    Volume,
)
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from lazaretto.contract._frame import Frame
    from lazaretto.contract._known import Known
    from lazaretto.contract._report import Failures
    from lazaretto.contract._rules import Rule

ROWS, BYTES = 2**18, 2**26
"""Chunks are joined up to so many records and bytes, because each is asked all rules."""


@dataclass(frozen=True, slots=True)
class ColumnCheck:
    """What a column is, before rules look at its values.

    Attributes:
        name: of the column.
        missing: what is wrong where the batch has none, in words; None: nothing.
        wrong: says of its values in a chunk what is wrong with their type; None: nothing.
    """

    name: str
    missing: str | None
    wrong: Callable[[pl.Series], str | None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A contract, made ready for the columns of a batch.

    Attributes:
        layout: what is wrong with the columns as a whole.
        columns: what each column is.
        rules: in order.
        types: of columns, as the contract says them in full.
    """

    layout: Sequence[str]
    columns: Sequence[ColumnCheck]
    rules: Sequence[Rule]
    types: Mapping[str, pa.DataType]

    def needed(self, names: Sequence[str]) -> list[str]:
        """The columns of a batch that are read, in its order."""
        if any(rule.column is None and isinstance(rule.test, Checked) for rule in self.rules):
            return list(names)
        wanted = {check.name for check in self.columns}
        wanted.update(name for rule in self.rules for name in rule.columns)
        return [name for name in names if name in wanted]


@dataclass(slots=True)
class _Found:
    """What one rule about single records found so far."""

    count: int = 0
    positions: list[NDArray[np.int64]] = field(default_factory=list)
    texts: list[pa.Array] = field(default_factory=list)


class Run:
    """Takes the records of a batch chunk by chunk, and then tells what was found.

    Args:
        prepared: the contract.
        schema: all columns of the batch.
        known: what is known beside the batch; None: nothing, so that rules that ask are not judged.
        most_bytes: of columns that are kept for checks that see all records; None: any number.
    """

    def __init__(
        self, prepared: Prepared, schema: pa.Schema, known: Known | None, most_bytes: int | None
    ) -> None:
        self._prepared, self._known = prepared, known
        self.columns = prepared.needed(schema.names)
        self._schema = pa.schema([schema.field(name) for name in self.columns])
        self._broken: dict[int, str] = {}
        self._unfit: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        self._wrong: dict[str, str] = {}
        self._missing = [name for name in self._all_named() if name not in schema.names]
        self._workers = {
            number: worker(rule, known)
            for number, rule in enumerate(prepared.rules)
            if isinstance(rule.test, Distinct | Increasing | Rates | Fresh)
        }
        self._found = {
            number: _Found()
            for number, rule in enumerate(prepared.rules)
            if number not in self._workers
            and not isinstance(rule.test, Count | Volume)
            and not self._sees_all(rule)
        }
        whole = [rule for rule in prepared.rules if self._sees_all(rule)]
        at_once = {rule.column for rule in whole}
        kept = self.columns if None in at_once else [n for n in self.columns if n in at_once]
        self._kept = _Kept(kept, most_bytes)
        self._listed_there: dict[tuple[str, str], pa.Array] = {}
        for number, rule in enumerate(prepared.rules):
            self._look_up(number, rule)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._total = self._size = self._listed = self._flagged = 0

    def _look_up(self, number: int, rule: Rule) -> None:
        """The values of another dataset that a rule names, if they are known."""
        if not isinstance(rule.test, Listed) or rule.test.dataset is None:
            return
        if self._known is None or self._known.without_catalog:
            return
        place = (rule.test.dataset, rule.test.there)
        values = self._known.listed.get(place, "nobody looked it up")
        if isinstance(values, str):
            self._broken[number] = f"rule {rule.name} was not judged: {values}"
        else:
            self._listed_there[place] = values

    def _is_unanswered(self, rule: Rule) -> bool:
        """Whether a rule asks for what nobody knows."""
        if self._known is None:
            return rule.asks is not None
        return self._known.without_catalog and rule.asks_catalog

    @staticmethod
    def _sees_all(rule: Rule) -> bool:
        return isinstance(rule.test, Checked) and not rule.test.by_record

    def _all_named(self) -> list[str]:
        named = [check.name for check in self._prepared.columns]
        return list(dict.fromkeys([*named, *(n for r in self._prepared.rules for n in r.columns)]))

    def take(self, chunk: pa.RecordBatch) -> None:
        """Looks at the next records; columns that are not needed may be among them."""
        columns = [chunk.column(name) for name in self.columns]
        mine = (
            pa.RecordBatch.from_arrays(columns, schema=self._schema)
            if columns
            else chunk.select([])
        )
        self._waiting.append(mine)
        self._rows += chunk.num_rows
        self._size += mine.nbytes
        if self._rows >= ROWS or self._size >= BYTES:
            self._judge()

    def tell(self, failures: Failures) -> None:
        """Adds what was found."""
        if self._waiting or not self._total:
            self._waiting = self._waiting or [_empty(self._schema)]
            self._judge()
        failures.broken += self._prepared.layout
        for check in self._prepared.columns:
            if check.name in self._missing:
                failures.broken += [] if check.missing is None else [check.missing]
                continue
            for why in (self._left_out, self._unfit, self._wrong):
                if check.name in why:
                    failures.broken.append(why[check.name])
                    break
        whole = self._all_records()
        for number, rule in enumerate(self._prepared.rules):
            self._tell_rule(number, rule, whole, failures)

    def _tell_rule(  # noqa: PLR0912  one branch per kind
        self, number: int, rule: Rule, whole: Frame | None, failures: Failures
    ) -> None:
        described = {check.name for check in self._prepared.columns}
        absent = [name for name in rule.columns if name in self._missing]
        if absent:
            if isinstance(rule.test, Distinct) and len(rule.columns) > 1:
                columns = ", ".join(rule.columns)
                failures.broken.append(f"unique({columns}): a column is missing")
            elif any(name not in described for name in absent):
                failures.broken.append(f"rule {rule.name}: there is no column {absent[0]!r}")
            return
        unsound = [name for name in rule.columns if self._is_unsound(name)]
        if unsound:
            if isinstance(rule.test, Distinct) and len(rule.columns) > 1:
                columns = ", ".join(rule.columns)
                failures.broken.append(f"unique({columns}): a column is left out")
            elif any(name not in described for name in unsound):
                why = self._left_out | self._unfit | self._wrong
                failures.broken.append(f"rule {rule.name}: {why[unsound[0]]}")
            return
        if number in self._broken:
            failures.broken.append(self._broken[number])
        elif self._is_unanswered(rule):
            failures.broken.append(
                f"rule {rule.name} was not judged: it compares with {rule.asks}, which needs the "
                "catalog"
            )
        elif number in self._workers:
            try:
                self._workers[number].tell(failures, self._total)
            except RAISED as error:
                failures.broken.append(f"rule {rule.name} raised {error_line(error)}")
        elif number in self._found:
            found = self._found[number]
            failures.add_at(
                rule.name,
                rule.column,
                rule.text,
                np.concatenate(found.positions) if found.positions else np.zeros(0, np.int64),
                count=found.count,
                texts=pa.chunked_array(found.texts, pa.string()) if found.texts else None,
                warn=rule.warn,
            )
        elif isinstance(rule.test, Count | Volume):
            _tell_count(rule, self._total, self._known, failures)
        elif isinstance(rule.test, Checked):
            self._tell_check(rule, rule.test, whole, failures)

    def _tell_check(
        self, rule: Rule, test: Checked, whole: Frame | None, failures: Failures
    ) -> None:
        if whole is None:
            failures.broken.append(
                f"rule {rule.name}: the columns that the contract reads take more than "
                f"{self._kept.most:,} bytes (limits.memory_bytes), so that it was not evaluated"
            )
        elif test.column is None and whole.left_out:
            name, why = next(iter(whole.left_out.items()))
            failures.broken.append(
                f"rules over whole records could not be judged: column {name!r} {why}"
            )
        else:
            from lazaretto.contract._checked import run_check

            run_check(rule, test, whole.data, failures)

    def _all_records(self) -> Frame | None:
        """The kept columns together; None where they take too much."""
        if self._kept.too_large:
            return None
        return join_frames(self._kept.frames)

    def _is_unsound(self, name: str) -> bool:
        return name in self._left_out or name in self._unfit or name in self._wrong

    def _judge(self) -> None:
        """Asks all rules about the waiting records."""
        rows = sum(chunk.num_rows for chunk in self._waiting)
        frame = make_frame(self._waiting, self._prepared.types, kept=self._kept.columns)
        self._kept.take(frame, self._waiting)
        self._waiting, self._rows, self._size = [], 0, 0
        for name, why in frame.misfits.items():
            self._unfit.setdefault(name, f"column {name!r} {why}")
        for name, why in frame.left_out.items():
            self._left_out.setdefault(name, f"column {name!r} {why}")
        series = {one.name: one for one in frame.data.get_columns()}
        for check in self._prepared.columns:
            if check.name in series and not self._is_unsound(check.name):
                wrong = check.wrong(series[check.name])
                if wrong is not None:
                    self._wrong[check.name] = wrong
        sound = {name: one for name, one in series.items() if not self._is_unsound(name)}
        rules = self._prepared.rules
        active = [
            number
            for number in (*self._workers, *self._found)
            if number not in self._broken and all(name in sound for name in rules[number].columns)
        ]
        names = {name: f"c{number}" for number, name in enumerate(sound)}
        for number in active:
            if number in self._workers:
                try:
                    columns = [sound[name].alias(names[name]) for name in rules[number].columns]
                    self._workers[number].take(columns, self._total)
                except RAISED as error:
                    self._broken[number] = f"rule {rules[number].name} raised {error_line(error)}"
        # Of a frame without columns, polars forgets how many records there are.
        data = pl.DataFrame([one.alias(names[name]) for name, one in sound.items()])
        self._judge_records([n for n in active if n in self._found], data, names, sound)
        self._total += rows

    def _judge_records(
        self,
        active: list[int],
        data: pl.DataFrame,
        names: Mapping[str, str],
        sound: Mapping[str, pl.Series],
    ) -> None:
        """Asks the rules about single records, all at once where none of them raises."""
        types = {name: one.dtype for name, one in sound.items()}
        terms = Terms(names, types, self._listed_there)
        asked: dict[int, pl.Expr | pl.LazyFrame] = {}
        for number in active:
            rule = self._prepared.rules[number]
            if self._is_unanswered(rule):
                continue
            try:
                if isinstance(rule.test, Checked):
                    # Rules that are written in YAML need no pandera, which takes long to import.
                    from lazaretto.contract._checked import run_check_lazily

                    asked[number] = run_check_lazily(rule.test, sound[str(rule.column)])
                else:
                    passes = terms.passes(rule)
                    if passes is not None:
                        asked[number] = passes
            except RAISED as error:
                self._broken[number] = f"rule {rule.name} raised {error_line(error)}"
        for number, passed in _answers(asked, data, self._raised).items():
            self._note(number, passed, data, names)

    def _raised(self, number: int, error: BaseException) -> None:
        name = self._prepared.rules[number].name
        self._broken[number] = f"rule {name} raised {error_line(error)}"

    def _note(
        self, number: int, passed: pl.Series, data: pl.DataFrame, names: Mapping[str, str]
    ) -> None:
        rule, found = self._prepared.rules[number], self._found[number]
        if passed.dtype != pl.Boolean:
            self._broken[number] = f"rule {rule.name} returned {passed.dtype}, not true or false"
            return
        if len(passed) != data.height:
            self._broken[number] = (
                f"rule {rule.name} gave {len(passed)} answers for {data.height} records"
            )
            return
        ignores = not isinstance(rule.test, Checked) or bool(rule.test.check.ignore_na)
        # Of three values, true and null are counted without another column.
        nulls = passed.null_count()
        if passed.sum() + (nulls if ignores else 0) == len(passed):
            return
        rows = (~(passed.fill_null(ignores) if nulls else passed)).arg_true()
        found.count += len(rows)
        room = MAX_FLAGS - self._flagged if rule.warn else MAX_FAILURES - self._listed
        rows = rows.head(max(room, 0))
        if rule.warn:
            self._flagged += len(rows)
        else:
            self._listed += len(rows)
            if rule.column is not None:
                values = data.get_column(names[rule.column]).gather(rows)
                found.texts.append(as_text(values.to_arrow()))
        found.positions.append(rows.to_numpy().astype(np.int64) + self._total)


def _answers(
    asked: Mapping[int, pl.Expr | pl.LazyFrame],
    data: pl.DataFrame,
    raised: Callable[[int, BaseException], None],
) -> dict[int, pl.Series]:
    """What each rule says of each record; one that raises is told, and left out."""
    expressions = {n: one for n, one in asked.items() if isinstance(one, pl.Expr)}
    frames = {n: one for n, one in asked.items() if isinstance(one, pl.LazyFrame)}
    answers: dict[int, pl.Series] = {}
    try:
        together = data.select([one.alias(str(n)) for n, one in expressions.items()])
        answers |= {number: together.get_column(str(number)) for number in expressions}
    except RAISED:
        for number, one in expressions.items():
            try:
                answers[number] = data.select(one.alias("x")).to_series()
            except RAISED as error:
                raised(number, error)
    try:
        all_of = pl.collect_all(list(frames.values()))
        answers |= {number: one.to_series() for number, one in zip(frames, all_of, strict=True)}
    except RAISED:
        for number, frame in frames.items():
            try:
                answers[number] = frame.collect().to_series()
            except RAISED as error:
                raised(number, error)
    return answers


def _tell_count(rule: Rule, rows: int, known: Known | None, failures: Failures) -> None:
    """A rule about the number of records."""
    test: Any = rule.test
    if isinstance(test, Count):
        if rows < test.least or (test.most is not None and rows > test.most):
            tell_batch(rule, f"it has {rows:,}", rows, failures)
        return
    assert known is not None  # noqa: S101  asked before
    last = list(known.volumes[: test.batches])
    if not last:
        text = f"{rule.text}: not judged, because none of the source was admitted yet"
        failures.add(f"{rule.name}.unknown", None, text, np.ones(rows, np.bool_), warn=True)
        return
    usual = float(np.median(last))
    if not test.least * usual <= rows <= test.most * usual:
        tell_batch(
            rule, f"it has {rows:,}, the median of {len(last)} is {usual:,.0f}", rows, failures
        )


class _Kept:
    """The columns that checks see at once, in memory together up to a bound."""

    def __init__(self, columns: list[str], most: int | None) -> None:
        self._names, self.most = columns, most
        self._size = 0
        self.too_large = False
        self.frames: list[Frame] = []

    @property
    def columns(self) -> frozenset[str]:
        """Which columns are kept, and so are to be copies of their own."""
        return frozenset() if self.too_large else frozenset(self._names)

    def take(self, frame: Frame, chunks: Sequence[pa.RecordBatch]) -> None:
        """Keeps what it needs of a frame, which was made of some chunks."""
        if not self._names or self.too_large:
            return
        self._size += sum(chunk.select(self._names).nbytes for chunk in chunks)
        self.frames.append(frame.select(self._names))
        if self.most is not None and self._size > self.most:
            self.too_large = True
            self.frames.clear()


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], one.type) for one in schema], schema=schema)
