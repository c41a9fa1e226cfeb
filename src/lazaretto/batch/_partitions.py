"""Folders such as ``year=2024`` of a partitioned delivery: columns, the same for all their records.

Their values are text, as they stand in the names, unless the contract or the dataset declares
another type. Hive's name for nothing is null.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa

from lazaretto.batch._from_text import NOT_READ, from_text
from lazaretto.batch._source import Source
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.batch._wanted import Wanted

PARTITION = re.compile(r"([^=/]{1,255})=([^=/]{0,255})")
"""Name of such a folder."""
_NULL = "__HIVE_DEFAULT_PARTITION__"


def partitions_of(path: str) -> tuple[tuple[str, str], ...]:
    """Names and values in the folders of a part's path.

    Example:
        >>> partitions_of("year=2024/month=01/part-0.parquet")
        (('year', '2024'), ('month', '01'))
    """
    found = [PARTITION.fullmatch(folder) for folder in path.split("/")[:-1]]
    return tuple((unquote(one[1]), unquote(one[2])) for one in found if one is not None)


def with_partitions(
    parts: list[Source],
    partitions: Sequence[tuple[tuple[str, str], ...]],
    wanted: Wanted,
    name: str,
    unlike: list[str] | None = None,
) -> list[Source]:
    """Parts with the columns that their folders say.

    Args:
        parts: of the delivery.
        partitions: of each part, names and values.
        wanted: what is known of the columns.
        name: of the delivery, for messages.
        unlike: gets, for each column with a name that is not of its declared type, which that is;
            it stays text. None: the delivery is refused.

    Raises:
        DeliveryError: ``bad_column_name``: a part has such a column itself; ``wrong_type``: a name
            is not of the declared type.
    """
    if not any(partitions):
        return parts
    kinds = _kinds(partitions, wanted, name, unlike)
    both = zip(parts, partitions, strict=True)
    return [_with(part, said, kinds, wanted, name) for part, said in both]


def _kinds(
    partitions: Sequence[tuple[tuple[str, str], ...]],
    wanted: Wanted,
    name: str,
    unlike: list[str] | None,
) -> dict[str, pa.DataType]:
    """Of each column the type that all its values have."""
    kinds: dict[str, pa.DataType] = {}
    for column, text in dict.fromkeys(pair for said in partitions for pair in said):
        declared = wanted.declaration(column)
        kind = kinds.setdefault(column, pa.string() if declared is None else declared.kind)
        try:
            _value(column, text, kind, wanted)
        except NOT_READ:
            assert declared is not None  # noqa: S101  a text is a text
            refusal = declared.refusal(name, column, 1, text)
            if unlike is None:
                raise refusal from None
            unlike.append(str(refusal))
            kinds[column] = pa.string()
    return kinds


def _with(
    part: Source,
    said: Sequence[tuple[str, str]],
    kinds: dict[str, pa.DataType],
    wanted: Wanted,
    name: str,
) -> Source:
    schema, values = part.schema, []
    for column, text in said:
        if column in schema.names:
            raise DeliveryError(
                f"{name}: column {column[:80]!r} is in a part file and in the name of its folder: "
                "keep it in one of them",
                code="bad_column_name",
            )
        values.append(_value(column, text, kinds[column], wanted))
        schema = schema.append(pa.field(column, kinds[column]))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in part.batches:
            more = [pa.repeat(value, batch.num_rows) for value in values]
            yield pa.RecordBatch.from_arrays([*batch.columns, *more], schema=schema)

    return Source(schema, batches())


def _value(column: str, text: str, kind: pa.DataType, wanted: Wanted) -> pa.Scalar:
    cell = pa.array([None if text == _NULL else text], pa.string())
    return from_text(cell, kind, wanted.role(column))[0]
