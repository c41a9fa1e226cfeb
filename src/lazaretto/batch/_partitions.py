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
) -> list[Source]:
    """Parts with the columns that their folders say.

    Raises:
        DeliveryError: ``bad_column_name``: a part has such a column itself; ``wrong_type``: a name
            is not of the declared type.
    """
    if not any(partitions):
        return parts
    both = zip(parts, partitions, strict=True)
    return [_with(part, said, wanted, name) for part, said in both]


def _with(part: Source, said: Sequence[tuple[str, str]], wanted: Wanted, name: str) -> Source:
    schema, values = part.schema, []
    for column, text in said:
        if column in schema.names:
            raise DeliveryError(
                f"{name}: column {column[:80]!r} is in a part file and in the name of its folder: "
                "keep it in one of them",
                code="bad_column_name",
            )
        values.append(_value(column, text, wanted, name))
        schema = schema.append(pa.field(column, values[-1].type))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in part.batches:
            more = [pa.repeat(value, batch.num_rows) for value in values]
            yield pa.RecordBatch.from_arrays([*batch.columns, *more], schema=schema)

    return Source(schema, batches())


def _value(column: str, text: str, wanted: Wanted, name: str) -> pa.Scalar:
    said = wanted.declaration(column)
    kind = pa.string() if said is None else said.kind
    cell = pa.array([None if text == _NULL else text], pa.string())
    try:
        return from_text(cell, kind, wanted.role(column))[0]
    except NOT_READ:
        assert said is not None  # noqa: S101  a text is a text
        raise said.refusal(name, column, 1, text) from None
