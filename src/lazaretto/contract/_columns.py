"""Rules about a column as a whole, chunk by chunk: each remembers what it must, and no records."""

from __future__ import annotations

import secrets
from collections import Counter
from datetime import UTC
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from lazaretto.contract._repeats import repeated_numbers
from lazaretto.contract._report import MAX_FAILURES, as_text
from lazaretto.contract._rules import Distinct, Fresh, Increasing, Rates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from lazaretto.contract._known import Known
    from lazaretto.contract._report import Failures
    from lazaretto.contract._rules import Rule

_TEXT_BYTES = 2**26
"""Values of a column that must be unique are kept up to so many bytes, to be shown."""


class Worker(Protocol):
    """A rule about columns as a whole."""

    def take(self, columns: Sequence[pl.Series], offset: int, /) -> None:
        """Looks at the next records, the first of which has a position in the batch."""

    def tell(self, failures: Failures, rows: int, /) -> None:
        """Adds what was found in a batch of so many records."""


def worker(rule: Rule, known: Known | None) -> Worker:
    """What judges a rule.

    Raises:
        TypeError: it is none about columns as a whole.
    """
    match rule.test:
        case Distinct():
            return _Distinct(rule, rule.test, known)
        case Increasing():
            return _Increasing(rule, rule.test)
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


class _Distinct:
    """Two hashes of each record's values are compared, by seeds that nobody can know beforehand."""

    def __init__(self, rule: Rule, test: Distinct, known: Known | None) -> None:
        self._rule, self._test, self._known = rule, test, known
        self._seeds = (secrets.randbits(63), secrets.randbits(63))
        self._hashes: list[pl.DataFrame] = []
        self._shown: list[pa.Array] = []
        self._size = 0

    def take(self, columns: Sequence[pl.Series], offset: int) -> None:
        keys = _hashed(columns, self._seeds).with_columns(
            at=pl.int_range(offset, offset + len(columns[0]), dtype=pl.Int64)
        )
        if not self._test.nulls:
            there = np.ones(len(columns[0]), np.bool_)
            for one in columns:
                there &= one.is_not_null().to_numpy()
            keys = keys.filter(pl.Series(there))
        self._hashes.append(keys)
        if len(columns) == 1 and self._size < _TEXT_BYTES:
            self._size += int(columns[0].estimated_size())
            self._shown.append(columns[0].to_arrow())

    def tell(self, failures: Failures, _rows: int) -> None:
        keys = pl.concat(self._hashes)
        # Few share a hash by chance: the second is looked at only where the first is shared.
        shared = keys.filter(pl.Series(repeated_numbers(keys.get_column("a").to_numpy())))
        repeated = shared.filter(shared.select("a", "b").is_duplicated()).get_column("at")
        if self._test.across and self._known is not None:
            before = self._admitted(keys)
            repeated = pl.concat([repeated, before]).unique()
        positions = repeated.sort().to_numpy()
        failures.add_at(
            self._rule.name,
            self._rule.column,
            self._rule.text,
            positions,
            texts=None if self._rule.warn else self._texts(positions[:MAX_FAILURES]),
            warn=self._rule.warn,
        )

    def _admitted(self, keys: pl.DataFrame) -> pl.Series:
        """Positions of records whose values the dataset has already."""
        assert self._known is not None  # noqa: S101  asked before
        found = [keys.get_column("at").clear()]
        for chunk in self._known.admitted(self._test.columns):
            columns = [pl.Series(name, chunk.column(name)) for name in self._test.columns]
            theirs = _hashed(columns, self._seeds)
            found.append(keys.join(theirs, on=["a", "b"], how="semi").get_column("at"))
        return pl.concat(found)

    def _texts(self, positions: np.ndarray) -> pa.Array | None:
        kept = sum(len(one) for one in self._shown)
        if not self._shown or (len(positions) and positions[-1] >= kept):
            return None
        whole = pl.concat([pl.Series(one) for one in self._shown])
        return as_text(whole.gather(positions).to_arrow())


def _hashed(columns: Sequence[pl.Series], seeds: tuple[int, int]) -> pl.DataFrame:
    """Two hashes of each record's values, the same for the same value of another width."""
    frame = pl.DataFrame([_widest(one).alias(str(n)) for n, one in enumerate(columns)])
    return pl.DataFrame(
        {name: frame.hash_rows(seed) for name, seed in zip("ab", seeds, strict=True)}
    )


def _widest(series: pl.Series) -> pl.Series:
    kind = series.dtype
    if kind.is_integer():
        return series.cast(pl.Int128) if kind == pl.UInt64 else series.cast(pl.Int64)
    if kind.is_float():
        return series.cast(pl.Float64)
    if isinstance(kind, pl.Datetime):
        return series.cast(pl.Datetime("us", kind.time_zone))
    if isinstance(kind, pl.Categorical | pl.Enum):
        return series.cast(pl.String)
    return series


class _Increasing:
    """Each value is compared with the one before it; missing ones are passed over."""

    def __init__(self, rule: Rule, test: Increasing) -> None:
        self._rule, self._test = rule, test
        self._last: pl.Series | None = None
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
        self._last = there.tail(1)
        if there.dtype == pl.Null:
            return
        falls = (there <= before) if self._test.strictly else (there < before)
        failed = falls.fill_null(False).arg_true()
        self._count += len(failed)
        if sum(map(len, self._positions)) < MAX_FAILURES:
            self._positions.append(at.gather(failed).to_numpy().astype(np.int64) + offset)
            self._texts.append(as_text(there.gather(failed).to_arrow()))

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

    def tell(self, failures: Failures, rows: int) -> None:
        assert self._arrived is not None  # noqa: S101  asked before
        if self._newest is None:
            tell_batch(self._rule, "it has no time before the delivery arrived", rows, failures)
        elif self._arrived - self._newest > self._test.age:
            newest, arrived = (f"{one:%Y-%m-%d %H:%M}" for one in (self._newest, self._arrived))
            found = f"the newest is {newest} UTC, it arrived {arrived}"
            tell_batch(self._rule, found, rows, failures)
