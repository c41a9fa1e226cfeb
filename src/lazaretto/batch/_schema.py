"""What schemas a delivery may have: how many columns, their names and how deep they nest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch._plain import describe_type, plain_type
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from lazaretto.policy import Limits

_MAX_NAME_BYTES = 255
# Columns that admission adds to a dataset; a delivery must not be able to set them.
_RESERVED = re.compile(r"_lazaretto_.*|sample_weight", re.IGNORECASE)
# Control characters, line breaks and marks that reverse the direction of text.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def check_columns(schema: pa.Schema, limits: Limits, name: str) -> None:
    """Refuses what no later stage could hold: width, depth, odd names, types without a digest."""
    check_width(len(schema), limits, name)
    seen: dict[str, str] = {}
    for column in schema:
        problem = _name_problem(column.name, seen)
        if problem:
            raise DeliveryError(
                f"{name}: column {column.name[:80]!r} {problem}", code="bad_column_name"
            )
        seen[column.name.casefold()] = column.name
        if _depth(column.type) > limits.max_nesting:
            raise DeliveryError(
                f"{name}: column {column.name!r} is nested deeper than limits.max_nesting = "
                f"{limits.max_nesting}",
                code="too_deep",
            )
        try:
            describe_type(column.type)
        except TypeError as error:
            raise DeliveryError(
                f"{name}: column {column.name!r} has type {column.type}, which is not "
                "supported; cast it to a plain type",
                code="unsupported_type",
            ) from error


def check_width(count: int, limits: Limits, name: str) -> None:
    if count == 0:
        raise DeliveryError(f"{name}: no columns", code="unreadable")
    if count > limits.max_columns:
        raise DeliveryError(
            f"{name}: {count:,} columns, more than limits.max_columns = {limits.max_columns:,}",
            code="too_many_columns",
        )


def check_reserved(schema: pa.Schema, name: str) -> None:
    for column in schema.names:
        if _RESERVED.fullmatch(column):
            raise DeliveryError(
                f"{name}: column {column!r} is reserved for what admission adds; rename it",
                code="bad_column_name",
            )


def _name_problem(column: str, seen: dict[str, str]) -> str | None:
    if not column.strip():
        return "has an empty name"
    if len(column.encode()) > _MAX_NAME_BYTES:
        return f"has a name of more than {_MAX_NAME_BYTES} bytes"
    if CONTROL.search(column):
        return "has control or direction characters in its name"
    twin = seen.get(column.casefold())
    return (
        None
        if twin is None
        else f"is there twice (also as {twin!r}; letter case does not tell columns apart)"
    )


def _depth(kind: pa.DataType) -> int:
    kind = plain_type(kind)
    if pa.types.is_map(kind):
        return 2 + max(_depth(kind.key_type), _depth(kind.item_type))
    if pa.types.is_struct(kind):
        return 1 + max((_depth(field.type) for field in kind), default=0)
    return 1 + _depth(kind.value_type) if hasattr(kind, "value_type") else 0
