"""What every reader of a format gives the decoder: columns, and record batches in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from lazaretto.policy import Limits

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
