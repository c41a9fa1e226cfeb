"""The rule that values are there once, by two hashes of each record's values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lazaretto.contract._repeats import repeated_numbers
from lazaretto.contract._report import MAX_FAILURES, as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from lazaretto.contract._again import Look
    from lazaretto.contract._known import Known
    from lazaretto.contract._report import Failures
    from lazaretto.contract._rules import Distinct, Rule


class DistinctValues:
    """Two hashes of each record's values are compared, by seeds that nobody can know beforehand."""

    def __init__(
        self, rule: Rule, test: Distinct, known: Known | None, seeds: tuple[int, int], look: Look
    ) -> None:
        self._rule, self._test, self._known = rule, test, known
        self._seeds, self._look = seeds, look
        self._hashes: list[pl.DataFrame] = []

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

    def piece(self) -> pa.Table | None:
        return pl.concat(self._hashes).to_arrow() if self._hashes else None

    def absorb(self, piece: pa.Table) -> None:
        columns = {name: pl.Series(name, piece.column(name)) for name in piece.column_names}
        self._hashes.append(pl.DataFrame(columns))

    def tell(self, failures: Failures, _rows: int) -> None:
        keys = pl.concat(self._hashes)
        # Few share a hash by chance: the second is looked at only where the first is shared.
        shared = keys.filter(pl.Series(repeated_numbers(keys.get_column("a").to_numpy())))
        repeated = shared.filter(shared.select("a", "b").is_duplicated()).get_column("at")
        if self._test.across and self._known is not None:
            before = self._admitted(keys)
            repeated = pl.concat([repeated, before]).unique()
        positions = repeated.sort().to_numpy()
        shown = None
        if not self._rule.warn and len(self._test.columns) == 1 and len(positions):
            shown = self._look(self._test.columns[0], positions[:MAX_FAILURES])
        failures.add_at(
            self._rule.name,
            self._rule.column,
            self._rule.text,
            positions,
            texts=None if shown is None else as_text(shown.to_arrow()),
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


def _hashed(columns: Sequence[pl.Series], seeds: tuple[int, int]) -> pl.DataFrame:
    """Two hashes of each record's values, the same for the same value of another width."""
    frame = pl.DataFrame([_widest(one).alias(str(n)) for n, one in enumerate(columns)])
    return pl.DataFrame(
        {name: frame.hash_rows(seed) for name, seed in zip("ab", seeds, strict=True)}
    )


def made_with(seeds: tuple[int, int]) -> tuple[str | int, ...]:
    """Version of polars, and hashes of some values: where they are the same, all hashes are."""
    samples = [
        pl.Series(["", "a", "a text of some words, which is longer than others", None]),
        pl.Series([0, 1, -(2**62), None]),
        pl.Series([0.0, -0.0, float("nan"), 1e300]),
        pl.Series([True, False, None, True]),
        pl.Series([b"", b"abc", b"0123456789abcdef0123456789abcdef", None]),
    ]
    found = [_hashed(one, seeds) for one in (*([one] for one in samples), samples[:2])]
    return pl.__version__, *(
        number for one in found for name in "ab" for number in one.get_column(name)
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
