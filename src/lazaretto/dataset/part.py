"""What is to be admitted: rows in the form of the dataset, with the columns that admission adds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.dataset.delta import ADDED
from lazaretto.errors import UsageError
from lazaretto.policy import Evolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.engine import Connection

    from lazaretto.dataset.classes import ClassCounts
    from lazaretto.values import PolicyRef, Release


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be admitted: a known number of rows, in the form of the dataset.

    Attributes:
        batch: whose rows.
        source: who delivered them.
        dataset: where to.
        name: ``cleared``, or a publication id.
        rows: how many; another number is an error.
        schema: of the rows, with the columns that admission adds.
        chunks: makes the stream of rows, anew on every call.
        policy: under which they were judged.
        check: called in the transaction that puts it on record; raises where that may not be.
        first: nothing was on record of the dataset yet when this was looked at; see `is_unused`.
        evolve: how the policy in force lets the dataset's columns change.
        named: columns that the contract names.
        case: whose publication it is; None for what the gate cleared.
        releases: the decisions that the publication is of.
        approved_by: who approved it.
        classes: counts the rows of each class while they are written; None: nobody does.
    """

    batch: str
    source: str
    dataset: str
    name: str
    rows: int
    schema: pa.Schema
    chunks: Callable[[], Iterable[pa.RecordBatch]]
    policy: PolicyRef
    check: Callable[[Connection], None]
    first: bool
    evolve: Evolve = field(default_factory=Evolve)
    named: tuple[str, ...] = ()
    case: str | None = None
    releases: tuple[Release, ...] = ()
    approved_by: tuple[str, ...] = ()
    classes: ClassCounts | None = None


def with_added(schema: pa.Schema) -> pa.Schema:
    """A batch's columns and those that admission adds.

    Raises:
        UsageError: the batch has a column of that name already.
    """
    for column in ADDED:
        if column.name in schema.names:
            raise UsageError(
                f"column {column.name!r} is reserved for what admission adds; rename it"
            )
        schema = schema.append(column)
    return schema


def added_columns(
    rows: pa.RecordBatch,
    batch: str,
    source: str,
    ids: pa.Array,
    weights: pa.Array | None = None,
    flags: pa.Array | None = None,
) -> pa.RecordBatch:
    """Rows with the columns that say where each came from, what it weighs, and its flags."""
    count = rows.num_rows
    added = [
        pa.repeat(batch, count),
        ids,
        pa.repeat(source, count),
        pa.repeat(1.0, count) if weights is None else weights,
        pa.nulls(count, ADDED[-1].type) if flags is None else flags,
    ]
    return pa.RecordBatch.from_arrays([*rows.columns, *added], schema=with_added(rows.schema))
