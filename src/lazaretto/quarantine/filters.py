"""Filters on the held records of a case, as people type them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.errors import UsageError
from lazaretto.storage import tables
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa

UNDECIDED = "UNDECIDED"
_held = tables.held_record
FILTERS: dict[str, Any] = {
    "reason": lambda value: _held.c.reason == value,
    "label": lambda value: _held.c.label == value,
    "min_score": lambda value: _held.c.score >= _number(value),
    "max_score": lambda value: _held.c.score <= _number(value),
    "min_p_value": lambda value: _held.c.p_value >= _number(value),
    "max_p_value": lambda value: _held.c.p_value <= _number(value),
    "action": lambda value: (
        _held.c.action.is_(None) if value == UNDECIDED else _held.c.action == Action(value).value
    ),
}
"""What records can be asked for by, each with its condition."""


def conditions(case: str, filter: Mapping[str, str] | None) -> list[sa.ColumnElement[bool]]:  # noqa: A002
    """SQL conditions of a filter on the held records of a case.

    Raises:
        UsageError: an unknown filter, or a value that it cannot have.
    """
    found: list[sa.ColumnElement[bool]] = [_held.c.case_id == case]
    for name, value in (filter or {}).items():
        if name not in FILTERS:
            raise UsageError(f"no filter {name!r}; there are {', '.join(FILTERS)}")
        try:
            found.append(FILTERS[name](value))
        except ValueError:
            raise UsageError(f"filter {name!r} cannot be {value!r}") from None
    return found


def _number(text: str) -> float:
    value = float(text)
    if value != value:  # noqa: PLR0124  NaN compares with nothing
        raise ValueError(text)
    return value
