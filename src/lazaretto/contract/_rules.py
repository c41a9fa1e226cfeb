"""The table of rules: what a contract asks for, as typed values, however it was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, timedelta

    import pyarrow as pa

    from lazaretto.contract._expression import Expression
    from lazaretto.policy.contract import Type

Bound = Literal["min", "max", "above", "below"]


@dataclass(frozen=True, slots=True)
class Present:
    """A value is there; NaN is none."""

    column: str


@dataclass(frozen=True, slots=True)
class Bounded:
    """A value is on one side of another; NaN is on none."""

    column: str
    bound: Bound
    value: int | float | str | date


@dataclass(frozen=True, slots=True)
class OneOf:
    """A value is among others, or is not."""

    column: str
    values: tuple[bool | int | float | str | date, ...]
    allowed: bool


@dataclass(frozen=True, slots=True)
class Matching:
    """A text matches a pattern as a whole."""

    column: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Sized:
    """A text has so many characters, a list so many values."""

    column: str
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Finite:
    """A number, or each of a list, is neither NaN nor infinite."""

    column: str


@dataclass(frozen=True, slots=True)
class Holds:
    """An expression over columns is true."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class Listed:
    """A value is listed elsewhere.

    Attributes:
        column: whose values.
        dataset: the admitted dataset that lists them; None: a file did.
        there: the column that lists them.
        values: of a file, each once.
    """

    column: str
    dataset: str | None
    there: str
    values: pa.Array | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Distinct:
    """The values of columns together are there once.

    Attributes:
        columns: the columns.
        across: whether what is admitted already counts, too.
        nulls: whether missing values are the same as each other; otherwise they are as none.
    """

    columns: tuple[str, ...]
    across: bool = False
    nulls: bool = False


@dataclass(frozen=True, slots=True)
class Increasing:
    """A value is not below the one before it."""

    column: str
    strictly: bool


@dataclass(frozen=True, slots=True)
class Rates:
    """Each value has its share of the records."""

    column: str
    rates: Mapping[str, float]
    tolerance: float


@dataclass(frozen=True, slots=True)
class Fresh:
    """The newest time is at most so old when the delivery arrives."""

    column: str
    age: timedelta


@dataclass(frozen=True, slots=True)
class Volume:
    """The number of records is so many times the median of the source's last batches."""

    batches: int
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Count:
    """The number of records is within bounds."""

    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Checked:
    """A check of pandera passes.

    Attributes:
        check: the `pandera.Check`.
        column: that it is given; None: whole records.
        by_record: whether a record's answer depends on that record alone.
    """

    check: Any
    column: str | None
    by_record: bool


Test = (
    Present | Bounded | OneOf | Matching | Sized | Finite | Holds | Listed | Distinct | Increasing
    | Rates | Fresh | Volume | Count | Checked
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        name: unique in a contract, as far as that can be.
        text: what it asks for, in words.
        test: what is looked at.
        warn: whether what breaks it is flagged and admitted, and not held.
    """

    name: str
    text: str
    test: Test
    warn: bool = False

    @property
    def column(self) -> str | None:
        """The column that it is about; None for several, or for the batch."""
        if isinstance(self.test, Distinct):
            return self.test.columns[0] if len(self.test.columns) == 1 else None
        return getattr(self.test, "column", None)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it reads; of a check over whole records, none is named."""
        if isinstance(self.test, Distinct):
            return self.test.columns
        if isinstance(self.test, Holds):
            return self.test.expression.columns
        return () if self.column is None else (self.column,)

    @property
    def asks(self) -> str | None:
        """What it needs to know beside the batch, in words; None: nothing."""
        match self.test:
            case Listed(dataset=str(dataset)):
                return f"dataset {dataset!r}"
            case Distinct(across=True):
                return "what the dataset has"
            case Volume():
                return "the source's last batches"
            case Fresh():
                return "the time of arrival"
        return None

    @property
    def asks_catalog(self) -> bool:
        """Whether it asks for more than the time of arrival."""
        return self.asks is not None and not isinstance(self.test, Fresh)


@dataclass(frozen=True, slots=True)
class ColumnForm:
    """What a column is, before rules look at its values.

    Attributes:
        name: of the column.
        type: of its values; None: any.
        required: whether a batch must have it.
    """

    name: str
    type: Type | None
    required: bool


@dataclass(frozen=True, slots=True)
class RuleTable:
    """A contract that was written in rules.

    Attributes:
        columns: that it describes.
        rules: in order.
    """

    columns: tuple[ColumnForm, ...]
    rules: tuple[Rule, ...]
