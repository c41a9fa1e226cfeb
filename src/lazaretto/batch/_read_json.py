"""Reads JSON Lines: bounded lines and nesting, one set of fields and types for the whole file.

Pyarrow finds the fields, and sees texts in place of numbers. What fields there are, and whether a
number is whole, is known only at the end of the file, so that its records are parsed once, kept on
disk and brought to their types then.
"""

from __future__ import annotations

import io
import re
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.json as pa_json

from lazaretto.batch._json_marks import marked
from lazaretto.batch._schema import check_width
from lazaretto.batch._source import Source, line_too_long
from lazaretto.batch._spill import spill, unspill
from lazaretto.errors import DeliveryError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.batch._json_types import JsonTypes
    from lazaretto.policy import Limits

_LATER = {b"lazaretto.parsed": b"later"}
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def read_json(
    files: Sequence[pa.NativeFile],
    limits: Limits,
    name: str,
    *,
    folder: str,
    block: int,
    types: JsonTypes,
) -> list[Source]:
    """Parses JSON Lines files.

    Args:
        files: the delivery's.
        limits: bounds on width and nesting.
        name: of the delivery, for messages.
        folder: where the parsed records are kept meanwhile.
        block: bytes that are parsed at once; no line may be longer.
        types: what looks at the values.

    Returns:
        One for each file, to be read in this order, all with the fields and types that the whole
        delivery has.

    Raises:
        DeliveryError: ``unreadable``, ``too_deep``, ``too_many_columns``, ``line_too_long``,
            ``zero_rows``, ``wrong_type``.
    """
    fields = _Fields(limits, name, types)
    path, counts = f"{folder}/records", [0] * len(files)

    def parsed() -> Iterator[pa.Table]:
        for number, file in enumerate(files):
            for lines in _blocks(file, limits, name, block):
                counts[number] += 1
                yield fields.parse(lines)

    count = spill(parsed(), path)
    if not count:
        raise DeliveryError(f"{name}: no records", code="zero_rows")

    for table in unspill(path, count):
        fields.look_later(table)
    if types.lenient:
        for table in unspill(path, count):
            types.compare(fields.whole(table), fields.schema)
    schema = types.schema(fields.schema)
    tables = unspill(path, count)

    def batches(count: int) -> Iterator[pa.RecordBatch]:
        for table in islice(tables, count):
            whole = types.convert(fields.whole(table), schema)
            yield from whole.combine_chunks().to_batches()

    return [Source(schema, batches(count)) for count in counts]


class _Fields:
    """Parses blocks of lines, and learns from each what fields there are."""

    def __init__(self, limits: Limits, name: str, types: JsonTypes) -> None:
        self._limits, self._name = limits, name
        self.schema = pa.schema([])
        self.types = types

    def parse(self, lines: bytes) -> pa.Table:
        asked = self.schema
        try:
            lines = marked(lines)
        except ValueError as error:
            raise DeliveryError(f"{self._name}: it is not UTF-8 text", code="unreadable") from error
        try:
            table = self._read(lines, asked)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            # A field has another type here than before, or this is no JSON: it is told apart anew.
            asked = pa.schema([])
            table = self._read(lines, asked)
        check_width(max(1, len(table.schema)), self._limits, self._name)
        found = pa.schema([field.with_type(_json_type(field.type)) for field in table.schema])
        # Where it has to guess, pyarrow (26 at least) loses nulls at the head of lists. And of
        # records without any field a table forgets how many there are.
        if not found.names or any(_has_nulls(kind) for kind in found.types):
            # Parsed at the end, by what other records hold.
            table = pa.table({"lines": pa.array([lines], pa.large_binary())})
            table = table.replace_schema_metadata(_LATER)
        else:
            if found != asked:
                table = self._read(lines, found)
            self.types.look(table)
        try:
            self.schema = pa.unify_schemas([self.schema, found], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DeliveryError(
                f"{self._name}: a field has different types in different records: "
                f"{error_line(error)}",
                code="unreadable",
            ) from error
        return table

    def look_later(self, table: pa.Table) -> None:
        """Looks at a block that could not be parsed before all fields were known."""
        if table.schema.metadata == _LATER:
            self.types.look(self.whole(table))

    def whole(self, table: pa.Table) -> pa.Table:
        """A block with the fields of the whole file, of texts."""
        if table.schema.metadata == _LATER:
            return self._read(table["lines"][0].as_py(), self.schema)
        columns = [
            table[field.name]
            if field.name in table.schema.names
            else pa.nulls(table.num_rows, field.type)
            for field in self.schema
        ]
        return pa.table(columns, names=self.schema.names)

    def _read(self, lines: bytes, schema: pa.Schema) -> pa.Table:
        return pa_json.read_json(
            io.BytesIO(lines),
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            parse_options=pa_json.ParseOptions(explicit_schema=schema, newlines_in_values=False),
        )


def _json_type(kind: pa.DataType) -> pa.DataType:
    """The inferred type, with text as text: pyarrow takes some for times."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_json_type(field.type)) for field in kind])
    return pa.list_(_json_type(kind.value_type)) if pa.types.is_list(kind) else kind


def _has_nulls(kind: pa.DataType, *, listed: bool = False) -> bool:
    """Whether a type has a part, within a list, of which nothing but nulls was seen."""
    if pa.types.is_struct(kind):
        return any(_has_nulls(field.type, listed=listed) for field in kind)
    if pa.types.is_list(kind):
        return _has_nulls(kind.value_type, listed=True)
    return listed and bool(pa.types.is_null(kind))


def _blocks(file: pa.NativeFile, limits: Limits, name: str, size: int) -> Iterator[bytes]:
    """Whole lines in blocks of about `size` bytes, each line checked for its nesting."""
    rest = b""
    while data := file.read(size):
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) == size:
            raise line_too_long(name, size)
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
