"""A case as a file for other tools: CSV for a spreadsheet, Parquet, or records for Argilla."""

from __future__ import annotations

import base64
import json
from typing import IO, TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from lazaretto.ledger.deletions import deletions_told
from lazaretto.quarantine.cases import find_case, held_file
from lazaretto.quarantine.held import ADDED_NAMES, LABEL, P_VALUE, POSITION, REASON, REASONS, RECORD
from lazaretto.quarantine.in_force import in_force
from lazaretto.quarantine.reads import log_read
from lazaretto.quarantine.selection import select_records
from lazaretto.quarantine.standing import decisions_of
from lazaretto.storage.sidecars import keyed_chunks
from lazaretto.text import visible
from lazaretto.values import ColumnRoles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lazaretto.quarantine.in_force import Standing
    from lazaretto.storage.workspace import Workspace

ExportFormat = Literal["csv", "parquet", "argilla"]

DECISION = "_lazaretto_decision"
DECIDED_LABEL = "_lazaretto_decided_label"
DECIDED_WEIGHT = "_lazaretto_decided_weight"
_DECIDED = [
    pa.field(DECISION, pa.string()),
    pa.field(DECIDED_LABEL, pa.string()),
    pa.field(DECIDED_WEIGHT, pa.float64()),
]
# What spreadsheets take for the start of a formula, behind what they skip, and in the full width
# that some of them read alike (OWASP, "CSV Injection").
_FORMULA = "^'*([\\s\\p{Z}\\p{C}]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r\\n])"
_MOST_FIELDS = 8


def export_case(
    workspace: Workspace,
    case: str,
    to: IO[bytes],
    format: ExportFormat,  # noqa: A002
    filter: Mapping[str, str] | None = None,  # noqa: A002
) -> int:
    """Writes held records with all reasons and the decisions in force.

    The export goes on the read log first, under the name of whoever acts through the workspace.

    Args:
        workspace: catalog and store.
        case: its id.
        to: where to write.
        format: ``csv``: text that begins like a formula gets a ``'`` in front, nested values are
            JSON, bytes are base64. ``parquet``: every column as delivered. ``argilla``: a JSON list
            for ``Dataset.records.from_json`` of Argilla 2.
        filter: only these records; see `lazaretto.quarantine.review.held_records`.

    Returns:
        How many records were written.

    Raises:
        NotFoundError: no such case.
        UsageError: no such filter.
        DeletedPayloadError: retention deleted the records.
        ChangedFileError: a stored file is gone or was changed.

    Examples:
        >>> import io
        >>> export_case(workspace, case, io.BytesIO(), "csv")
        6
    """
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        held = held_file(connection, row)
        selected = select_records(connection, workspace.store, row, held, filter or {})
        standing = in_force(workspace.store, decisions_of(connection, case))
    positions = selected["position"].combine_chunks()
    log_read(workspace, case, "export", positions.to_pylist(), filter)
    with deletions_told(workspace.catalog.read, row.batch):
        chunks = (
            _with_decisions(chunk, standing)
            for chunk in keyed_chunks(workspace.store, held, POSITION, positions)
        )
        columns = ColumnRoles(**row.columns)
        match format:
            case "csv":
                _write_csv(chunks, to)
            case "parquet":
                _write_parquet(chunks, to)
            case "argilla":
                _write_argilla(chunks, to, case, row.batch, columns)
    return len(positions)


def harmless(text: str) -> str:
    """Text for a cell of a spreadsheet, which is never a formula."""
    return str(_harmless(pa.array([text], pa.string()))[0])


def as_it_was(cell: str) -> str:
    """What a cell said before `harmless`."""
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) == cell else cell


def _with_decisions(chunk: pa.RecordBatch, standing: Standing) -> pa.RecordBatch:
    which = standing.find(chunk.column(POSITION).to_numpy())
    places = pa.array(which, mask=which < 0)
    said = [
        [each.action.value for each in standing.decisions],
        [each.label for each in standing.decisions],
        [each.weight for each in standing.decisions],
    ]
    added = [
        pa.array(values, field.type).take(places)
        for values, field in zip(said, _DECIDED, strict=True)
    ]
    schema = pa.schema([*chunk.schema, *_DECIDED])
    return pa.RecordBatch.from_arrays([*chunk.columns, *added], schema=schema)


def _write_parquet(chunks: Iterator[pa.RecordBatch], to: IO[bytes]) -> None:
    first = next(chunks)
    with pq.ParquetWriter(to, first.schema) as writer:
        writer.write_batch(first)
        for chunk in chunks:
            writer.write_batch(chunk)


def _write_csv(chunks: Iterator[pa.RecordBatch], to: IO[bytes]) -> None:
    first = _as_cells(next(chunks))
    with pacsv.CSVWriter(to, first.schema) as writer:
        writer.write_batch(first)
        for chunk in chunks:
            writer.write_batch(_as_cells(chunk))


def _as_cells(chunk: pa.RecordBatch) -> pa.RecordBatch:
    columns = [_cells(column) for column in chunk.columns]
    names = [harmless(visible(name)) for name in chunk.schema.names]
    return pa.RecordBatch.from_arrays(columns, names=names)


def _cells(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return column
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _harmless(column.cast(pa.string()))
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = [None if value is None else _as_json(value) for value in column.to_pylist()]
    else:
        texts = [None if value is None else str(value) for value in column.to_pylist()]
    return _harmless(pa.array(texts, pa.string()))


def _harmless(texts: pa.Array) -> pa.Array:
    risky = pc.match_substring_regex(texts, _FORMULA)
    return pc.if_else(risky, pc.binary_join_element_wise("'", texts, ""), texts)


def _as_json(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _write_argilla(
    chunks: Iterator[pa.RecordBatch], to: IO[bytes], case: str, batch: str, columns: ColumnRoles
) -> None:
    separator = b"["
    for chunk in chunks:
        for row in chunk.to_pylist():
            record = _argilla_record(row, case, batch, columns)
            to.write(separator + json.dumps(record, ensure_ascii=False).encode())
            separator = b",\n"
    to.write(b"[]" if separator == b"[" else b"]")


def _argilla_record(
    row: dict[str, Any], case: str, batch: str, columns: ColumnRoles
) -> dict[str, Any]:
    added = {*ADDED_NAMES, DECISION, DECIDED_LABEL, DECIDED_WEIGHT}
    names = [name for name in columns.payload if name in row]
    names = names or [name for name in row if name not in added][:_MOST_FIELDS]
    suggestions = {}
    if row[LABEL] is not None:
        suggestions["label"] = {"value": row[LABEL], "score": None, "agent": "delivered"}
    if row[DECISION] is not None:
        suggestions["decision"] = {"value": row[DECISION], "score": None, "agent": "lazaretto"}
    metadata = {
        "case": case,
        "batch": batch,
        "position": row[POSITION],
        "record": row[RECORD],
        "reason": row[REASON],
        "reasons": "; ".join(row[REASONS] or ()),
        "p_value": row[P_VALUE],
    }
    return {
        "id": f"{case}:{row[POSITION]}",
        "fields": {
            name: value if isinstance(value := row[name], str) else _as_json(value)
            for name in names
        },
        "metadata": {name: value for name, value in metadata.items() if value is not None},
        "suggestions": suggestions,
        "responses": {},
        "vectors": {},
    }
