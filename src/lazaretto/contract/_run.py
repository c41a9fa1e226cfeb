"""Evaluates rules over a stream of records. Long: one pass through all kinds of rules.

Memory holds what fails, and one chunk.

Rules about single records are polars expressions, all of them evaluated together. Rules about
columns keep a hash of 16 bytes per record, or a number. Checks of pandera that may look at all
records at once are given all records; their columns are kept up to a bound.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from lazaretto.contract._columns import tell_batch, worker
from lazaretto.contract._frame import RAISED, join_frames, make_frame
from lazaretto.contract._piece import Breaking, Piece, first_of
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

    from lazaretto.contract._again import Look
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

    def needed(self, names: Sequence[str], rules: Sequence[Rule]) -> list[str]:
        """The columns of a batch that are read for some rules, in its order."""
        if any(rule.column is None and isinstance(rule.test, Checked) for rule in rules):
            return list(names)
        wanted = {check.name for check in self.columns}
        wanted.update(name for rule in rules for name in rule.columns)
        return [name for name in names if name in wanted]


@dataclass(slots=True)
class _Found:
    """What one rule about single records found so far."""

    count: int = 0
    positions: list[NDArray[np.int64]] = field(default_factory=list)
    texts: list[pa.Array] = field(default_factory=list)

    def records(self) -> Breaking:
        """Those that are listed, together."""
        texts = pa.concat_arrays(self.texts) if self.texts else None
        return Breaking(np.concatenate(self.positions), texts)


def sees_all(rule: Rule) -> bool:
    """Whether a rule needs all records at once."""
    return isinstance(rule.test, Checked) and not rule.test.by_record


def new_seeds() -> tuple[int, int]:
    """Seeds of hashes that nobody can know beforehand."""
    return secrets.randbits(63), secrets.randbits(63)


def _nothing_again(_column: str, _positions: NDArray[np.int64]) -> None:
    return None


class Run:
    """Takes the records of a batch chunk by chunk, and then tells what was found.

    Args:
        prepared: the contract.
        schema: all columns of the batch.
        known: what is known beside the batch; None: nothing, so that rules that ask are not judged.
        most_bytes: of columns that are kept for checks that see all records; None: any number.
        look: gives values of a column again; default: they are not shown.
        seeds: of hashes; default: at random. The same for all pieces of a batch.
        offset: position of the first record; None: the run is of a whole batch. Of a piece,
            `tell` is not called, and rules that see all records are left to another run.
    """

    def __init__(
        self,
        prepared: Prepared,
        schema: pa.Schema,
        known: Known | None,
        most_bytes: int | None,
        *,
        look: Look = _nothing_again,
        seeds: tuple[int, int] | None = None,
        offset: int | None = None,
    ) -> None:
        self._prepared, self._known = prepared, known
        whole = [rule for rule in prepared.rules if sees_all(rule)]
        alone = [rule for rule in prepared.rules if not sees_all(rule)]
        # Names of the rules that see all records.
        self.whole = [rule.name for rule in whole]
        self.columns = prepared.needed(schema.names, prepared.rules if offset is None else alone)
        self._schema = pa.schema([schema.field(name) for name in self.columns])
        self._broken: dict[int, str] = {}
        self._unfit: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        self._wrong: dict[str, str] = {}
        self._missing = [name for name in self._all_named() if name not in schema.names]
        seeds = new_seeds() if seeds is None else seeds
        self._workers = {
            number: worker(rule, known, seeds, look)
            for number, rule in enumerate(prepared.rules)
            if isinstance(rule.test, Distinct | Increasing | Rates | Fresh)
        }
        self._found = {
            number: _Found()
            for number, rule in enumerate(prepared.rules)
            if number not in self._workers
            and not isinstance(rule.test, Count | Volume)
            and not sees_all(rule)
        }
        at_once = {rule.column for rule in whole} if offset is None else set()
        # Which columns rules read that see all records.
        self.whole_columns = (
            self.columns if None in at_once else [n for n in self.columns if n in at_once]
        )
        self._kept = _Kept(self.whole_columns, most_bytes)
        self._listed_there: dict[tuple[str, str], pa.Array] = {}
        for number, rule in enumerate(prepared.rules):
            self._look_up(number, rule)
        self._unjudged = dict(self._broken)
        self._waiting: list[pa.RecordBatch] = []
        self._offset = self._total = offset or 0
        self._rows = self._size = self._listed = self._flagged = 0

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
        if self._wait(mine):
            self._judge()

    def keep(self, chunk: pa.RecordBatch) -> None:
        """Keeps the next records for rules that see all; others are judged piece by piece."""
        if self.whole_columns and self._wait(chunk.select(self.whole_columns)):
            self._keep_waiting()

    def kept(self) -> None:
        """Keeps the last records."""
        if self._waiting:
            self._keep_waiting()

    def piece(self) -> Piece:
        """What was found in the records that were taken, to be put to other pieces."""
        if self._waiting:
            self._judge()
        broken = {n: why for n, why in self._broken.items() if n not in self._unjudged}
        columns = {number: one.piece() for number, one in self._workers.items()}
        return Piece(
            self._total - self._offset,
            self._wrong,
            [*broken.values(), *self._unfit.values(), *self._left_out.values()],
            {number: found.count for number, found in self._found.items() if found.count},
            {number: found.records() for number, found in self._found.items() if found.positions},
            {number: table for number, table in columns.items() if table is not None},
        )

    def absorb(self, piece: Piece) -> str | None:
        """Takes what was found in the next records.

        Returns:
            Why the pieces cannot be put together, so that the batch is to be judged as a whole;
            None: they can.
        """
        if piece.problems:
            return piece.problems[0]
        if self._total and piece.wrong != self._wrong:
            found = piece.wrong.items() ^ self._wrong.items()
            return min(text for _, text in found)
        self._wrong = dict(piece.wrong)
        for number, count in piece.counts.items():
            self._found[number].count += count
        self._list(piece.listed)
        for number, table in piece.columns.items():
            self._workers[number].absorb(table)
        self._total += piece.rows
        return None

    def _wait(self, chunk: pa.RecordBatch) -> bool:
        """Joins the next records to those that wait; whether these are enough to be judged."""
        self._waiting.append(chunk)
        self._rows += chunk.num_rows
        self._size += chunk.nbytes
        return self._rows >= ROWS or self._size >= BYTES

    def _keep_waiting(self) -> None:
        frame = make_frame(self._waiting, self._prepared.types, kept=self._kept.columns)
        self._kept.take(frame, self._waiting)
        self._waiting, self._rows, self._size = [], 0, 0

    def tell(self, failures: Failures) -> None:
        """Adds what was found."""
        if not self._total or self._waiting:
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
        self._list(self._judge_records([n for n in active if n in self._found], data, names, sound))
        self._total += rows

    def _judge_records(
        self,
        active: list[int],
        data: pl.DataFrame,
        names: Mapping[str, str],
        sound: Mapping[str, pl.Series],
    ) -> dict[int, Breaking]:
        """Asks the rules about single records, all at once where none of them raises.

        Returns:
            Records that break them, by rule; of no rule more than can still be listed.
        """
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
        listed = {}
        for number, passed in _answers(asked, data, self._raised).items():
            found = self._breaking(number, passed, data, names)
            if found is not None:
                listed[number] = found
        return listed

    def _list(self, listed: Mapping[int, Breaking]) -> None:
        """Lists the first records that break rules, as many as there is room for."""
        rules = self._prepared.rules
        failing = {n: one for n, one in listed.items() if not rules[n].warn}
        flagged = {n: one for n, one in listed.items() if rules[n].warn}
        failing = first_of(failing, MAX_FAILURES - self._listed)
        flagged = first_of(flagged, MAX_FLAGS - self._flagged)
        self._listed += sum(len(one.positions) for one in failing.values())
        self._flagged += sum(len(one.positions) for one in flagged.values())
        for number, one in (*failing.items(), *flagged.items()):
            self._found[number].positions.append(one.positions)
            if one.texts is not None and rules[number].column is not None and number in failing:
                self._found[number].texts.append(one.texts)

    def _raised(self, number: int, error: BaseException) -> None:
        name = self._prepared.rules[number].name
        self._broken[number] = f"rule {name} raised {error_line(error)}"

    def _breaking(
        self, number: int, passed: pl.Series, data: pl.DataFrame, names: Mapping[str, str]
    ) -> Breaking | None:
        rule, found = self._prepared.rules[number], self._found[number]
        if passed.dtype != pl.Boolean:
            self._broken[number] = f"rule {rule.name} returned {passed.dtype}, not true or false"
            return None
        if len(passed) != data.height:
            self._broken[number] = (
                f"rule {rule.name} gave {len(passed)} answers for {data.height} records"
            )
            return None
        ignores = not isinstance(rule.test, Checked) or bool(rule.test.check.ignore_na)
        # Of three values, true and null are counted without another column.
        nulls = passed.null_count()
        if passed.sum() + (nulls if ignores else 0) == len(passed):
            return None
        rows = (~(passed.fill_null(ignores) if nulls else passed)).arg_true()
        found.count += len(rows)
        room = MAX_FLAGS - self._flagged if rule.warn else MAX_FAILURES - self._listed
        rows = rows.head(max(room, 0))
        texts = None
        if rule.column is not None and not rule.warn:
            texts = as_text(data.get_column(names[rule.column]).gather(rows).to_arrow())
        return Breaking(rows.to_numpy().astype(np.int64) + self._total, texts)


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
