"""Reads CSV: split into cells once, then given the types that the whole file has.

The cells are kept on disk as text meanwhile: what type a column has is known only at its end.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv

from lazaretto.batch._cells import CellTypes
from lazaretto.batch._schema import check_columns, check_width
from lazaretto.batch._source import Source, line_too_long
from lazaretto.batch._spill import spill, unspill
from lazaretto.errors import DeliveryError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch._options import TextOptions
    from lazaretto.batch._wanted import Wanted
    from lazaretto.policy import Limits


def read_csv(
    file: pa.NativeFile, limits: Limits, name: str, *, folder: str, block: int, wanted: Wanted
) -> Source:
    """Splits a CSV file into cells and finds the types of its columns.

    Args:
        file: the delivery.
        limits: bounds on its columns.
        name: of the delivery, for messages.
        folder: where the cells are kept meanwhile.
        block: bytes that are parsed at once; no record may be longer.
        wanted: what is known of its columns.

    Raises:
        DeliveryError: ``unreadable``, ``line_too_long``, ``wrong_type``, or a code of
            `check_columns`.
    """
    options = wanted.text
    head = file.read(block)
    width = _width(head, limits, name, options)
    file.seek(0)
    path = f"{folder}/cells"
    rows = _split(file, width, block, options)
    try:
        first = next(rows, None)
        if first is None:
            raise DeliveryError(f"{name}: no records", code="zero_rows")
        names = list(options.column_names or ())
        if options.header:
            names = [column[0].as_py().decode(errors="replace") for column in first.columns]
        elif len(names) != width:
            raise DeliveryError(
                f"{name}: its lines have {width} cells, and read.column_names in the policy has "
                f"{len(names)} names",
                code="unreadable",
            )
        check_columns(pa.schema([(column, pa.string()) for column in names]), limits, name)
        types = CellTypes(names, name, wanted)

        def cells() -> Iterator[pa.Table]:
            yield types.look(first.slice(1 if options.header else 0))
            yield from map(types.look, rows)

        count = spill(cells(), path)
    except pa.ArrowInvalid as error:
        if "straddl" in str(error):
            raise line_too_long(name, block) from error
        hint = _other_delimiter(head) if width == 1 else ""
        raise DeliveryError(f"{name}: {error_line(error)}{hint}", code="unreadable") from error

    def batches() -> Iterator[pa.RecordBatch]:
        for table in unspill(path, count):
            yield from map(types.convert, table.to_batches())

    return Source(types.schema(), batches())


def _width(head: bytes, limits: Limits, name: str, options: TextOptions) -> int:
    """How many columns there are, by the first line that is not empty."""
    text = head.decode("utf-8-sig", errors="replace")
    lines = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=options.delimiter,
        quotechar=options.quote,
        quoting=csv.QUOTE_NONE if options.quote is None else csv.QUOTE_MINIMAL,
    )
    try:
        width = len(next(filter(None, lines), []))
    except csv.Error as error:
        raise DeliveryError(
            f"{name}: the CSV header cannot be read: {error_line(error)}", code="unreadable"
        ) from error
    check_width(width, limits, name)
    return width


def _other_delimiter(head: bytes) -> str:
    """What to write where the header is one column, and looks as if it were several."""
    line = head.partition(b"\n")[0]
    found = max(b";\t|", key=line.count)
    if found not in line:
        return ""
    mark = "\\t" if found == ord("\t") else chr(found)
    return f'; if another delimiter is meant, write read: {{delimiter: "{mark}"}} in the policy'


def _split(
    file: pa.NativeFile, width: int, block: int, options: TextOptions
) -> Iterator[pa.RecordBatch]:
    """All lines, the header among them, as bytes."""
    columns = [str(number) for number in range(width)]
    yield from pa_csv.open_csv(
        file,
        read_options=pa_csv.ReadOptions(column_names=columns, block_size=block, use_threads=False),
        parse_options=pa_csv.ParseOptions(
            delimiter=options.delimiter,
            quote_char=options.quote or False,
            newlines_in_values=True,
        ),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.binary())),
    )
