"""Rules about a column as a whole, chunk by chunk: each remembers what it must, and no records."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from lazaretto.contract._distinct import DistinctValues
from lazaretto.contract._report import MAX_FAILURES, as_text
from lazaretto.contract._rules import Distinct, Fresh, Increasing, Rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.contract._again import Look
    from lazaretto.contract._known import Known
    from lazaretto.contract._report import Failures
    from lazaretto.contract._rules import Rule

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EDGES = pa.schema([("what", pa.string()), ("at", pa.int64()), ("text", pa.string())])


class Worker(Protocol):
    """A rule about columns as a whole."""

    def take(self, columns: Sequence[pl.Series], offset: int, /) -> None:
        """Looks at the next records, the first of which has a position in the batch."""

    def tell(self, failures: Failures, rows: int, /) -> None:
        """Adds what was found in a batch of so many records."""

    def piece(self) -> pa.Table | None:
        """What it remembers of its records, for one that has others; None: it has seen none."""

    def absorb(self, piece: pa.Table, /) -> None:
        """Takes what another one remembers of the next records."""


def worker(rule: Rule, known: Known | None, seeds: tuple[int, int], look: Look) -> Worker:
    """What judges a rule.

    Args:
        rule: about columns as a whole.
        known: what is known beside the batch.
        seeds: of hashes, the same for all pieces of a batch.
        look: gives values of a column again.

    Raises:
        TypeError: it is none about columns as a whole.
    """
    match rule.test:
        case Distinct():
            return DistinctValues(rule, rule.test, known, seeds, look)
        case Increasing():
            return _Increasing(rule, rule.test, look)
        case Rates():
            return _Rates(rule, rule.test)
        case Fresh():
            return _Fresh(rule, rule.test, known)
    raise TypeError(f"{type(rule.test).__name__} is no rule about columns as a whole")


def tell_batch(rule: Rule, found: str, rows: int, failures: Failures) -> None:
    """A rule that the batch breaks as a whole: it is held, or all of its records are flagged."""
    if rule.warn:
        everything = np.ones(rows, np.bool_)
        failures.add(rule.name, rule.column, f"{rule.text}: {found}", everything, warn=True)
    else:
        failures.broken.append(f"{rule.text}: {found}")


class _Increasing:
    """Each value is compared with the one before it; missing ones are passed over."""

    def __init__(self, rule: Rule, test: Increasing, look: Look) -> None:
        self._rule, self._test, self._look = rule, test, look
        self._last: pl.Series | None = None
        self._first_at: int | None = None
        self._last_at: int | None = None
        self._positions: list[np.ndarray] = []
        self._texts: list[pa.Array] = []
        self._count = 0

    def take(self, columns: Sequence[pl.Series], offset: int) -> None:
        series = columns[0]
        at = series.is_not_null().arg_true()
        there = series.gather(at)
        if not len(there):
            return
        before = there.shift(1)
        if self._last is not None:
            before = pl.concat([self._last, there.head(len(there) - 1)])
        self._last, self._last_at = there.tail(1), int(at[-1]) + offset
        if self._first_at is None:
            self._first_at = int(at[0]) + offset
        if there.dtype == pl.Null:
            return
        failed = self._falls(there, before)
        self._count += len(failed)
        if self._has_room():
            self._positions.append(at.gather(failed).to_numpy().astype(np.int64) + offset)
            self._texts.append(as_text(there.gather(failed).to_arrow()))

    def _falls(self, values: pl.Series, before: pl.Series) -> pl.Series:
        """Numbers of the values that come too early behind those before them."""
        falls = (values <= before) if self._test.strictly else (values < before)
        return falls.fill_null(False).arg_true()

    def _has_room(self) -> bool:
        return sum(map(len, self._positions)) < MAX_FAILURES

    def piece(self) -> pa.Table | None:
        if self._first_at is None:
            return None
        heads = [("first", self._first_at), ("last", self._last_at), ("count", self._count)]
        whats, ats = zip(*heads, strict=True)
        positions = np.concatenate([np.zeros(0, np.int64), *self._positions])
        texts = pa.concat_arrays([pa.array([], pa.string()), *self._texts])
        head = pa.table([whats, ats, pa.nulls(len(heads), pa.string())], schema=_EDGES)
        whats = pa.nulls(len(positions), pa.string())
        return pa.concat_tables([head, pa.table([whats, positions, texts], schema=_EDGES)])

    def absorb(self, piece: pa.Table) -> None:
        heads = piece.slice(0, 3).to_pylist()
        first, last, count = (int(one["at"]) for one in heads)
        # The two values that meet where batches were cut are compared here.
        if self._last_at is not None:
            met = self._look(self._test.column, np.array([self._last_at, first], np.int64))
            assert met is not None  # noqa: S101  pieces are of a batch that can be read
            if len(self._falls(met.tail(1), met.head(1))):
                self._count += 1
                self._positions.append(np.array([first], np.int64))
                self._texts.append(as_text(met.tail(1).to_arrow()))
        self._first_at = first if self._first_at is None else self._first_at
        self._last_at = last
        self._count += count
        if self._has_room():
            rest = piece.slice(3)
            self._positions.append(rest["at"].to_numpy())
            self._texts += rest["text"].chunks

    def tell(self, failures: Failures, _rows: int) -> None:
        if self._count:
            failures.add_at(
                self._rule.name,
                self._rule.column,
                self._rule.text,
                np.concatenate(self._positions),
                count=self._count,
                texts=pa.chunked_array(self._texts, pa.string()),
                warn=self._rule.warn,
            )


class _Rates:
    """How often each named value is there, as text; values that are not named count together."""

    def __init__(self, rule: Rule, test: Rates) -> None:
        self._rule, self._test = rule, test
        self._counts: Counter[str] = Counter()
        self._total = 0

    def take(self, columns: Sequence[pl.Series], _offset: int) -> None:
        texts = columns[0].drop_nulls().cast(pl.String)
        self._total += len(texts)
        named = texts.filter(texts.is_in(list(self._test.rates)))
        for value, count in named.value_counts().iter_rows():
            self._counts[value] += count

    def piece(self) -> pa.Table | None:
        values = [None, *self._counts]
        counts = [self._total, *self._counts.values()]
        return pa.table(
            {"value": pa.array(values, pa.string()), "count": pa.array(counts, pa.int64())}
        )

    def absorb(self, piece: pa.Table) -> None:
        for value, count in zip(*(one.to_pylist() for one in piece.columns), strict=True):
            if value is None:
                self._total += count
            else:
                self._counts[value] += count

    def tell(self, failures: Failures, rows: int) -> None:
        if not self._total:
            tell_batch(self._rule, "it has no values", rows, failures)
            return
        shares = {value: self._counts[value] / self._total for value in self._test.rates}
        wanted = dict(self._test.rates)
        others = 1.0 - sum(wanted.values())
        if others > -self._test.tolerance:
            shares["other values"] = 1.0 - sum(shares.values())
            wanted["other values"] = max(others, 0.0)
        off = [
            f"{value} {shares[value]:.1%} instead of {wanted[value]:.1%}"
            for value in wanted
            # Shares are counts by a count: they are compared without the last digits.
            if abs(shares[value] - wanted[value]) > self._test.tolerance + 1e-9
        ]
        if off:
            tell_batch(self._rule, ", ".join(off[:10]), rows, failures)


class _Fresh:
    """The newest time that is not after the arrival: one from the future makes nothing fresh."""

    def __init__(self, rule: Rule, test: Fresh, known: Known | None) -> None:
        self._rule, self._test = rule, test
        self._arrived = None if known is None else known.arrived.astimezone(UTC)
        self._newest: datetime | None = None

    def take(self, columns: Sequence[pl.Series], _offset: int) -> None:
        if self._arrived is None or columns[0].dtype == pl.Null:
            return
        series = columns[0]
        zone = getattr(series.dtype, "time_zone", None)
        times = series.cast(pl.Datetime("us", zone))
        times = (
            times.dt.replace_time_zone("UTC") if zone is None else times.dt.convert_time_zone("UTC")
        )
        newest = times.filter(times <= self._arrived).max()
        if newest is not None and (self._newest is None or newest > self._newest):  # type: ignore[operator]
            self._newest = newest  # type: ignore[assignment]

    def piece(self) -> pa.Table | None:
        # As a number: not every time that Arrow has can be a `datetime` by way of a file.
        newest = None if self._newest is None else (self._newest - _EPOCH) // _MICROSECOND
        return pa.table({"newest": pa.array([newest], pa.int64())})

    def absorb(self, piece: pa.Table) -> None:
        number = piece["newest"][0].as_py()
        newest = None if number is None else _EPOCH + number * _MICROSECOND
        if newest is not None and (self._newest is None or newest > self._newest):
            self._newest = newest

    def tell(self, failures: Failures, rows: int) -> None:
        assert self._arrived is not None  # noqa: S101  asked before
        if self._newest is None:
            tell_batch(self._rule, "it has no time before the delivery arrived", rows, failures)
        elif self._arrived - self._newest > self._test.age:
            newest, arrived = (f"{one:%Y-%m-%d %H:%M}" for one in (self._newest, self._arrived))
            found = f"the newest is {newest} UTC, it arrived {arrived}"
            tell_batch(self._rule, found, rows, failures)
