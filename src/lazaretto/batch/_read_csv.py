"""Reads CSV: split into cells once, then given the types that the whole file has.

The cells are kept on disk as text meanwhile: what type a column has is known only at its end.
"""

from __future__ import annotations

import csv
import io
from itertools import chain, islice
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv

from lazaretto.batch._schema import check_columns, check_width
from lazaretto.batch._source import Source, line_too_long
from lazaretto.batch._spill import spill, unspill
from lazaretto.errors import DeliveryError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lazaretto.batch._cells import CellTypes
    from lazaretto.batch._options import TextOptions
    from lazaretto.policy import Limits


def read_csv(
    files: Sequence[pa.NativeFile],
    limits: Limits,
    name: str,
    *,
    folder: str,
    block: int,
    types: Callable[[Sequence[str]], CellTypes],
    options: TextOptions,
) -> list[Source]:
    """Splits CSV files into cells and finds the types of their columns.

    Args:
        files: the delivery's, with the same columns.
        limits: bounds on its columns.
        name: of the delivery, for messages.
        folder: where the cells are kept meanwhile.
        block: bytes that are parsed at once; no record may be longer.
        types: what looks at the cells of columns, by their names.
        options: how it is written.

    Returns:
        One for each file, to be read in this order, all in the types that the whole delivery has.

    Raises:
        DeliveryError: ``unreadable``, ``line_too_long``, ``wrong_type``, or a code of
            `check_columns`.
    """
    head = files[0].read(block)
    width = _width(head, limits, name, options)
    files[0].seek(0)
    path, counts = f"{folder}/cells", [0] * len(files)
    try:
        rows = _split(files[0], width, block, options)
        first = next(rows, None)
        if first is None:
            raise DeliveryError(f"{name}: no records", code="zero_rows")
        names = _names(first, options, name)
        check_columns(pa.schema([(column, pa.string()) for column in names]), limits, name)
        kinds = types(names)

        def cells() -> Iterator[pa.Table]:
            others = (_split(file, width, block, options) for file in files[1:])
            for number, lines in enumerate(chain([chain([first], rows)], others)):
                skip = 1 if options.header else 0
                for part in lines:
                    counts[number] += 1
                    yield kinds.look(part.slice(skip))
                    skip = 0

        count = spill(cells(), path)
    except pa.ArrowInvalid as error:
        if "straddl" in str(error):
            raise line_too_long(name, block) from error
        hint = _other_delimiter(head) if width == 1 else ""
        raise DeliveryError(f"{name}: {error_line(error)}{hint}", code="unreadable") from error
    tables = unspill(path, count)

    def batches(count: int) -> Iterator[pa.RecordBatch]:
        for table in islice(tables, count):
            yield from map(kinds.convert, table.to_batches())

    return [Source(kinds.schema(), batches(count)) for count in counts]


def _names(first: pa.RecordBatch, options: TextOptions, name: str) -> list[str]:
    """Names of the columns, by the header or by the policy."""
    if options.header:
        return [column[0].as_py().decode(errors="replace") for column in first.columns]
    names = list(options.column_names or ())
    if len(names) != first.num_columns:
        raise DeliveryError(
            f"{name}: its lines have {first.num_columns} cells, and read.column_names in the "
            f"policy has {len(names)} names",
            code="unreadable",
        )
    return names


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
