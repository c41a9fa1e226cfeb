"""Reading CSV and JSON Lines as streams: bounded lines and nesting, one set of types per file.

CSV types are those that pyarrow infers (``pyarrow.csv.ConvertOptions`` defaults: empty numbers are
null, text is never null). pyarrow looks only at the first block; where a later block disagrees, the
types are inferred block by block and widened: null to anything, int64 to double, dates to
timestamps, all else to string. JSON types are pyarrow's too, except that a JSON string is always a
string.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json

from lazaretto.batch._files import open_file
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.policy import Limits

# A line longer than this is refused; pyarrow parses and infers types by such blocks.
_BLOCK = 4 << 20
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_WIDENING = [
    (pa.types.is_null, None),
    (pa.types.is_int64, pa.float64()),
    (pa.types.is_date32, pa.timestamp("s")),
    (lambda kind: kind == pa.timestamp("s"), pa.timestamp("ns")),
]


def csv_schema(uri: str, limits: Limits, name: str) -> pa.Schema:
    """Columns and types of a CSV file, over all of it.

    Raises:
        DeliveryError: ``unreadable``, ``too_many_columns``, ``line_too_long``.
    """
    _check_header(uri, limits, name)
    try:
        schema = _open_csv(uri, None).schema
        for _ in _open_csv(uri, schema):
            pass
    except pa.ArrowInvalid:
        schema = _infer_by_block(uri, name)
    binary = [field.name for field in schema if pa.types.is_binary(field.type)]
    if binary:
        raise DeliveryError(f"{name}: column {binary[0]!r} is not UTF-8 text", code="unreadable")
    return schema


def read_csv(uri: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Record batches of a CSV file in the types that `csv_schema` found."""
    yield from _open_csv(uri, schema)


def jsonl_schema(uri: str, limits: Limits, name: str) -> pa.Schema:
    """Columns and types of a JSON Lines file, over all of it.

    Raises:
        DeliveryError: ``unreadable``, ``too_deep``, ``line_too_long``.
    """
    fields: list[pa.Schema] = []
    for block in _json_blocks(uri, limits, name):
        found = _parse_json(block, None, name).schema
        fields.append(pa.schema([field.with_type(_json_type(field.type)) for field in found]))
        fields = [_unify(fields, name)]
    if not fields:
        raise DeliveryError(f"{name}: no records", code="zero_rows")
    return fields[0]


def read_jsonl(uri: str, schema: pa.Schema, limits: Limits, name: str) -> Iterator[pa.RecordBatch]:
    """Record batches of a JSON Lines file in the types that `jsonl_schema` found."""
    for block in _json_blocks(uri, limits, name):
        yield from _parse_json(block, schema, name).to_batches()


def _json_type(kind: pa.DataType) -> pa.DataType:
    """The inferred type, with text as text: pyarrow takes some strings for timestamps."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_json_type(field.type)) for field in kind])
    return pa.list_(_json_type(kind.value_type)) if pa.types.is_list(kind) else kind


def _unify(schemas: list[pa.Schema], name: str) -> pa.Schema:
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DeliveryError(
            f"{name}: a field has different types in different records: {_first_line(error)}",
            code="unreadable",
        ) from error


def _parse_json(block: bytes, schema: pa.Schema | None, name: str) -> pa.Table:
    options = pa_json.ParseOptions(explicit_schema=schema, newlines_in_values=False)
    try:
        return pa_json.read_json(
            io.BytesIO(block),
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=options,
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DeliveryError(f"{name}: {_first_line(error)}", code="unreadable") from error


def _json_blocks(uri: str, limits: Limits, name: str) -> Iterator[bytes]:
    """Whole lines in blocks of about `_BLOCK` bytes, each line checked for its nesting."""
    rest = b""
    with open_file(uri) as file:
        while data := file.read(_BLOCK):
            cut = data.rfind(b"\n") + 1
            if not cut and len(data) == _BLOCK:
                raise _line_too_long(name)
            block, rest = rest + data[:cut], (b"" if cut else rest) + data[cut:]
            if block.strip() and cut:
                _check_nesting(block, limits, name)
                yield block
    if rest.strip():
        _check_nesting(rest, limits, name)
        yield rest


def _check_nesting(block: bytes, limits: Limits, name: str) -> None:
    """Refuses deep lines: pyarrow's parser recurses, and 100,000 brackets overflow its stack."""
    if max(block.count(b"["), block.count(b"{")) == 0:
        return
    for line in block.splitlines():
        if line.count(b"[") + line.count(b"{") <= limits.max_nesting:
            continue
        depth = 0
        for token in _TOKENS.finditer(line):
            first = line[token.start()]
            depth += 1 if first in b"[{" else -1 if first in b"]}" else 0
            # The record itself is the first level.
            if depth > limits.max_nesting + 1:
                raise DeliveryError(
                    f"{name}: a record is nested deeper than limits.max_nesting = "
                    f"{limits.max_nesting}",
                    code="too_deep",
                )


def _check_header(uri: str, limits: Limits, name: str) -> None:
    with open_file(uri) as file:
        head = file.read(_BLOCK).decode("utf-8-sig", errors="replace")
    try:
        header = next(csv.reader(io.StringIO(head)), [])
    except csv.Error as error:
        raise DeliveryError(
            f"{name}: the CSV header cannot be read: {error}", code="unreadable"
        ) from error
    if len(header) > limits.max_columns:
        raise DeliveryError(
            f"{name}: {len(header):,} columns, more than limits.max_columns = "
            f"{limits.max_columns:,}",
            code="too_many_columns",
        )


def _open_csv(uri: str, schema: pa.Schema | None) -> pa_csv.CSVStreamingReader:
    types = None if schema is None else {field.name: field.type for field in schema}
    return pa_csv.open_csv(
        open_file(uri),
        read_options=pa_csv.ReadOptions(block_size=_BLOCK),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(column_types=types),
    )


def _infer_by_block(uri: str, name: str) -> pa.Schema:
    """Types of each block by itself, widened over all blocks."""
    try:
        names = _open_csv(uri, None).schema.names
        text = pa.schema([(column, pa.string()) for column in names])
        kinds: dict[str, pa.DataType] = dict.fromkeys(names, pa.null())
        for chunk in _open_csv(uri, text):
            block = io.BytesIO()
            pa_csv.write_csv(chunk, block)
            block.seek(0)
            options = pa_csv.ReadOptions(block_size=max(_BLOCK, 2 * len(block.getvalue())))
            parse = pa_csv.ParseOptions(newlines_in_values=True)
            found = pa_csv.open_csv(block, read_options=options, parse_options=parse).schema
            kinds = {column: _widen(kinds[column], found.field(column).type) for column in names}
    except pa.ArrowInvalid as error:
        if "straddles" in str(error):
            raise _line_too_long(name) from error
        raise DeliveryError(f"{name}: {_first_line(error)}", code="unreadable") from error
    return pa.schema(list(kinds.items()))


def _widen(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other:
        return one
    for narrow, wide in _WIDENING:
        for a, b in ((one, other), (other, one)):
            if narrow(a) and wide in (None, b):
                return b
    return pa.string()


def _line_too_long(name: str) -> DeliveryError:
    return DeliveryError(
        f"{name}: a record is longer than {_BLOCK:,} bytes, or a quote is not closed",
        code="line_too_long",
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
