"""Filters on the held records of a case, as people type them: on the index, and on its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.errors import UsageError
from lazaretto.quarantine.counts import UNDECIDED
from lazaretto.storage import tables
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import sqlalchemy as sa

_held = tables.held_record


def _text(value: str) -> str:
    return value


def _number(text: str) -> float:
    value = float(text)
    if value != value:  # noqa: PLR0124  NaN compares with nothing
        raise ValueError(text)
    return value


def _action(text: str) -> str | None:
    return None if text == UNDECIDED else Action(text).value


def _is(column: Any, value: str | None) -> Any:
    return column.is_(None) if value is None else column == value


def _is_in_file(column: pa.Array, value: str | None) -> pa.Array:
    return pc.is_null(column) if value is None else pc.equal(column, value)


@dataclass(frozen=True, slots=True)
class Filter:
    """Something that records can be asked for by.

    Attributes:
        column: of the index, and of `index.told_rows`.
        read: makes the value of what somebody typed; raises ValueError where that is none.
        in_sql: the condition on a column of the index.
        in_file: the same on a column of the file; null counts as no.
    """

    column: str
    read: Callable[[str], Any]
    in_sql: Callable[[Any, Any], Any]
    in_file: Callable[[pa.Array, Any], pa.Array]


def _at_least(column: Any, value: float) -> Any:
    return column >= value


def _at_most(column: Any, value: float) -> Any:
    return column <= value


FILTERS: dict[str, Filter] = {
    "reason": Filter("reason", _text, _is, _is_in_file),
    "label": Filter("label", _text, _is, _is_in_file),
    "min_score": Filter("score", _number, _at_least, pc.greater_equal),
    "max_score": Filter("score", _number, _at_most, pc.less_equal),
    "min_p_value": Filter("p_value", _number, _at_least, pc.greater_equal),
    "max_p_value": Filter("p_value", _number, _at_most, pc.less_equal),
    "action": Filter("action", _action, _is, _is_in_file),
}
"""What records can be asked for by, each with its condition."""


def conditions(case: str, filter: Mapping[str, str] | None) -> list[sa.ColumnElement[bool]]:  # noqa: A002
    """SQL conditions of a filter on the held records of a case.

    Raises:
        UsageError: an unknown filter, or a value that it cannot have.
    """
    found: list[sa.ColumnElement[bool]] = [_held.c.case_id == case]
    for one, value in _values(filter):
        found.append(one.in_sql(_held.c[one.column], value))
    return found


def of_file(rows: pa.RecordBatch, filter: Mapping[str, str] | None) -> pa.RecordBatch:  # noqa: A002
    """The rows of a case's file that a filter takes.

    Args:
        rows: in the columns of the index, ``action`` among them where it is asked for.
        filter: as of `conditions`.

    Raises:
        UsageError: as `conditions`.
    """
    for one, value in _values(filter):
        rows = rows.filter(one.in_file(rows.column(one.column), value))
    return rows


def _values(filter: Mapping[str, str] | None) -> list[tuple[Filter, Any]]:  # noqa: A002
    found: list[tuple[Filter, Any]] = []
    for name, value in (filter or {}).items():
        if name not in FILTERS:
            raise UsageError(f"no filter {name!r}; there are {', '.join(FILTERS)}")
        try:
            found.append((FILTERS[name], FILTERS[name].read(value)))
        except ValueError:
            raise UsageError(f"filter {name!r} cannot be {value!r}") from None
    return found
