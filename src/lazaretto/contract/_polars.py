"""Rules about single records as polars expressions: true where a record passes.

Null means that there is nothing to judge: a missing value is judged by `Present` alone. NaN is no
number: it is on no side of a bound, and equal to nothing.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

import polars as pl

from lazaretto.contract._expression import COMPARISONS, Among, Call, ColumnOf, Literal
from lazaretto.contract._rules import (
    Bounded,
    Finite,
    Holds,
    Listed,
    Matching,
    OneOf,
    Present,
    Sized,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from lazaretto.contract._expression import Node
    from lazaretto.contract._rules import Rule

_SIGNS = {"min": ">=", "max": "<=", "above": ">", "below": "<"}


class Terms:
    """What expressions are made of: the columns of a frame by the names that they have there.

    Args:
        names: of columns, what they are called in the frame; polars takes some names for patterns.
        types: of columns.
        listed: values of datasets, by dataset and column.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        types: Mapping[str, pl.DataType],
        listed: Mapping[tuple[str, str], pa.Array],
    ) -> None:
        self._names, self._types, self._listed = names, types, listed
        self._empty = pl.LazyFrame(schema={names[name]: kind for name, kind in types.items()})

    def passes(self, rule: Rule) -> pl.Expr | None:  # noqa: PLR0911  one return per kind
        """Whether each record passes a rule; null: there is nothing to judge. None: nowhere.

        Raises:
            Exception: its columns are not of a type that it can be asked of.
        """
        test = rule.test
        if any(self._types[name] == pl.Null for name in rule.columns):
            # Nothing is there, and only `Present` says that something must be.
            name = rule.columns[0]
            return self._column(name).is_not_null() if isinstance(test, Present) else None
        match test:
            case Present(column):
                there = self._column(column).is_not_null()
                if self._types[column].is_float():
                    there = there & self._column(column).is_not_nan().fill_null(True)
                return there
            case Bounded(column, bound, value):
                return self._compared(_SIGNS[bound], ColumnOf(column), Literal(value))  # type: ignore[arg-type]
            case OneOf(column, values, allowed):
                found = self._among(self._column(column), self._types[column], values)
                return found if allowed else ~found
            case Matching(column, pattern):
                return self._text(column).str.contains(rf"\A(?:{pattern})\z")
            case Sized(column, least, most):
                size = self._size(column)
                return size >= least if most is None else size.is_between(least, most)
            case Finite(column):
                return self._finite(column)
            case Holds(expression):
                return self._condition(expression.root)
            case Listed(column, dataset, there, values):
                if dataset is not None:
                    values = self._listed[dataset, there]
                return self._in(self._column(column), self._types[column], pl.Series(values))
        raise TypeError(f"{type(test).__name__} is no rule about single records")

    def _column(self, name: str) -> pl.Expr:
        return pl.col(self._names[name])

    def _type_of(self, expression: pl.Expr) -> pl.DataType:
        return self._empty.select(expression.alias("x")).collect_schema()["x"]

    def _text(self, column: str) -> pl.Expr:
        kind = self._types[column]
        if isinstance(kind, pl.Categorical | pl.Enum):
            return self._column(column).cast(pl.String)
        return self._column(column)

    def _size(self, column: str) -> pl.Expr:
        kind = self._types[column]
        if isinstance(kind, pl.List):
            return self._column(column).list.len()
        if isinstance(kind, pl.Array):
            width = pl.lit(kind.size, pl.UInt32)
            return pl.when(self._column(column).is_not_null()).then(width)
        return self._text(column).str.len_chars()

    def _finite(self, column: str) -> pl.Expr:
        kind = self._types[column]
        if isinstance(kind, pl.Array):
            return self._column(column).arr.to_list().list.eval(_is_number()).list.all()
        if isinstance(kind, pl.List):
            return self._column(column).list.eval(_is_number()).list.all()
        return self._column(column).is_finite()

    def _condition(self, node: Node) -> pl.Expr:
        expression = self._node(node)
        if self._type_of(expression) not in (pl.Boolean, pl.Null):
            raise TypeError("the expression is not true or false")
        return expression

    def _node(self, node: Node) -> pl.Expr:  # noqa: PLR0911  one return per kind
        match node:
            case Literal(value):
                return pl.lit(value)
            case ColumnOf(name):
                return self._column(name)
            case Among(value, values):
                inner = self._node(value)
                return self._among(inner, self._type_of(inner), values)
            case Call(name, (left, right)) if name in COMPARISONS:
                return self._compared(name, left, right)
            case Call("and" | "or" as word, parts):
                found = [self._condition(part) for part in parts]
                return pl.all_horizontal(found) if word == "and" else pl.any_horizontal(found)
            case Call("not", (inner,)):
                return ~self._condition(inner)
            case Call("null", (inner,)):
                return self._node(inner).is_null()
            case Call(name, (left, right)):
                return self._computed(name, left, right)
            case Call(name, (inner,)):
                return _called(name, self._node(inner))
        raise TypeError(f"{node} is no expression")

    def _compared(self, sign: str, left: Node, right: Node) -> pl.Expr:
        one, other = self._node(left), self._node(right)
        kinds = [self._type_of(one), self._type_of(other)]
        if isinstance(right, Literal):
            other = pl.lit(_as_type(right.value, kinds[0]))
        elif isinstance(left, Literal):
            one = pl.lit(_as_type(left.value, kinds[1]))
        if all(isinstance(kind, pl.Datetime) and kind.time_zone for kind in kinds):
            one, other = one.dt.convert_time_zone("UTC"), other.dt.convert_time_zone("UTC")
        elif isinstance(right, Literal) and getattr(kinds[0], "time_zone", None):
            one = one.dt.convert_time_zone("UTC")
        elif isinstance(left, Literal) and getattr(kinds[1], "time_zone", None):
            other = other.dt.convert_time_zone("UTC")
        found = {
            "==": one == other,
            "!=": one != other,
            "<": one < other,
            "<=": one <= other,
            ">": one > other,
            ">=": one >= other,
        }[sign]
        # To polars NaN is the largest number.
        for side, kind in zip((one, other), kinds, strict=True):
            if kind.is_float():
                found = found & side.is_not_nan()
        return found

    def _computed(self, sign: str, left: Node, right: Node) -> pl.Expr:
        """Whole numbers are computed in 128 bits, so that none is too large."""
        one, other = self._node(left), self._node(right)
        if sign == "/":
            return one.cast(pl.Float64) / other.cast(pl.Float64)
        kinds = [self._type_of(one), self._type_of(other)]
        if all(kind.is_integer() for kind in kinds):
            wide = pl.Float64 if sign == "*" and pl.Int128 in kinds else pl.Int128
            one, other = one.cast(wide), other.cast(wide)
        return {"+": one + other, "-": one - other, "*": one * other}[sign]

    def _among(self, value: pl.Expr, kind: pl.DataType, values: Iterable[Any]) -> pl.Expr:
        return self._in(value, kind, pl.Series([_as_type(one, kind) for one in values]))

    def _in(self, value: pl.Expr, kind: pl.DataType, values: pl.Series) -> pl.Expr:
        if isinstance(kind, pl.Categorical | pl.Enum):
            value, kind = value.cast(pl.String), pl.String()
        if values.dtype != kind and not (values.dtype.is_numeric() and kind.is_numeric()):
            values = values.cast(kind)
        found = value.is_in(values.drop_nulls().implode())
        return pl.when(value.is_not_null()).then(found)


def _is_number() -> pl.Expr:
    return pl.element().is_finite().fill_null(False)


def _called(name: str, inner: pl.Expr) -> pl.Expr:
    match name:
        case "abs":
            return inner.abs()
        case "length":
            return inner.str.len_chars().cast(pl.Int64)
        case "lower":
            return inner.str.to_lowercase()
        case "upper":
            return inner.str.to_uppercase()
    return inner.str.strip_chars()


def _as_type(value: Any, kind: pl.DataType) -> Any:
    """A value as it was written, for a column of a type: a text may say a time.

    Raises:
        ValueError: a text says no time, where one is compared.
    """
    if not isinstance(kind, pl.Datetime | pl.Date):
        return value
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(kind, pl.Date):
        return value.date() if isinstance(value, datetime) else value
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        if kind.time_zone is None:
            return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value
