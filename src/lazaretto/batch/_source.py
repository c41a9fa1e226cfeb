"""What every reader of a format gives the decoder: columns, and record batches in order."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lazaretto.batch._exact import InexactError, exact
from lazaretto.batch._plain import plain_type
from lazaretto.errors import DeliveryError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.policy import Limits

_INDEX = re.compile(r"__index_level_\d+__")
ROWS = 16_384
"""Most records of a chunk: 50 MB of 384 float32 each, as they are counted."""


class Source(NamedTuple):
    """A delivery that is being read.

    Attributes:
        schema: its columns, in the types of its file.
        batches: its records, in order. They may be read once.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def joined(parts: list[Source], name: str) -> Source:
    """The records of several files as those of one, without what is no data in them.

    Columns have the types that hold the values of all parts exactly.

    Args:
        parts: at least one.
        name: of the delivery, for messages.

    Raises:
        DeliveryError: code ``unreadable``: they have different columns, or of different kinds.
    """
    parts = [_without_index(part) for part in parts]
    if len(parts) == 1:
        return parts[0]
    first = parts[0].schema
    for part in parts:
        if sorted(part.schema.names) != sorted(first.names):
            raise DeliveryError(
                f"{name}: its parts have different columns: {sorted(part.schema.names)[:20]} and "
                f"{sorted(first.names)[:20]}",
                code="unreadable",
            )
    try:
        plain = [
            pa.schema([(n, plain_type(part.schema.field(n).type)) for n in first.names])
            for part in parts
        ]
        schema = pa.unify_schemas(plain, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DeliveryError(
            f"{name}: a column has different types in different parts: {error_line(error)}",
            code="unreadable",
        ) from error

    def batches() -> Iterator[pa.RecordBatch]:
        for part in parts:
            for batch in part.batches:
                yield _conformed(batch, schema, name)

    return Source(schema, batches())


def _conformed(batch: pa.RecordBatch, schema: pa.Schema, name: str) -> pa.RecordBatch:
    columns = []
    for field in schema:
        try:
            columns.append(exact(batch.column(field.name), field.type))
        except InexactError as error:
            raise DeliveryError(
                f"{name}: column {field.name!r} has different types in different parts, and "
                f"{field.type} does not hold {error.value} exactly",
                code="unreadable",
            ) from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _without_index(source: Source) -> Source:
    """A file without the nameless row numbers of pandas, where it says that they are such."""
    said = (source.schema.metadata or {}).get(b"pandas")
    try:
        index = json.loads(said)["index_columns"] if said else []
        nameless = {one for one in index if isinstance(one, str) and _INDEX.fullmatch(one)}
    except (ValueError, KeyError, TypeError, RecursionError):
        return source
    if not nameless.intersection(source.schema.names):
        return source
    kept = [name for name in source.schema.names if name not in nameless]
    schema = pa.schema([source.schema.field(name) for name in kept])
    return Source(schema, (batch.select(kept) for batch in source.batches))


def check_rows(rows: int, limits: Limits, name: str) -> None:
    """Refuses too many records.

    Raises:
        DeliveryError: code ``too_large``.
    """
    if rows > limits.max_rows:
        raise DeliveryError(
            f"{name}: more than limits.max_rows = {limits.max_rows:,} records", code="too_large"
        )


def output_too_large(name: str, limits: Limits) -> DeliveryError:
    """The refusal of a delivery whose records become too much."""
    return DeliveryError(
        f"{name}: decoded it takes more than limits.output_bytes = {limits.output_bytes:,}: raise "
        "it in the policy if this source really delivers that",
        code="too_large",
    )


def line_too_long(name: str, size: int) -> DeliveryError:
    """The refusal of a record of text that does not fit into a block."""
    return DeliveryError(
        f"{name}: a record is longer than {size:,} bytes, or a quote is not closed",
        code="line_too_long",
    )
