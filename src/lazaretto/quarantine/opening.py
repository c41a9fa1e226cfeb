"""Opens review cases: of what the gate held, and of what sanitizing found in admitted data."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.dataset.delta import ADDED, BATCH
from lazaretto.dataset.delta import RECORD as ADMITTED_RECORD
from lazaretto.quarantine.held import (
    INDEX_COLUMNS,
    INDEXED,
    LABEL,
    P_VALUE,
    POSITION,
    REASON,
    REASONS,
    RECORD,
    SCORE,
)
from lazaretto.storage import tables
from lazaretto.storage.bulk import bulk_insert
from lazaretto.storage.sidecars import read_chunks, write_table
from lazaretto.values import OpenedCase, Verdict, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Written
    from lazaretto.ledger.events import BatchJudged, TrainingSanitized
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

_RANK = "rank_"


def held_tables(rows: pa.Table, records: pa.Table) -> dict[str, pa.Table]:
    """Held rows by batch, in the form of a case's file.

    Args:
        rows: of the dataset, with the columns that admission added.
        records: what sanitizing found, row by row of `rows`: ``label``, ``score``, ``p_value``,
            ``held``, ``reasons``, ``rank_<method>@<layer>``.
    """
    held = rows.filter(records["held"])
    found = records.filter(records["held"])
    delivered = held.drop_columns([column.name for column in ADDED])
    ranks = [name for name in found.schema.names if name.startswith(_RANK)]
    signatures = [_signature(row, ranks) for row in found.select(ranks).to_pylist()]
    by_batch: dict[str, pa.Table] = {}
    for batch in held[BATCH].unique().to_pylist():
        mask = pc.equal(held[BATCH], batch)
        part, why = delivered.filter(mask), found.filter(mask)
        first = pa.array(signatures, pa.string()).filter(mask.combine_chunks())
        added: dict[str, Any] = {
            POSITION: pa.array(range(part.num_rows), pa.int64()),
            RECORD: held[ADMITTED_RECORD].filter(mask),
            LABEL: why["label"].cast(pa.string()),
            SCORE: why["score"].cast(pa.float64()),
            P_VALUE: why["p_value"].cast(pa.float64()),
            REASON: first,
            REASONS: why["reasons"].cast(pa.list_(pa.string())),
        }
        for name, column in added.items():
            part = part.append_column(name, column)
        by_batch[batch] = part
    return by_batch


def write_cases(workspace: Workspace, by_batch: dict[str, pa.Table], run: str) -> list[OpenedCase]:
    """Writes each batch's held rows to the store."""
    return [
        OpenedCase(
            case=case_id(batch, run),
            batch=batch,
            held=rows.num_rows,
            held_records=write_table(
                workspace.store, f"held/{batch}/sanitize-{{sha256}}.parquet", rows
            ),
        )
        for batch, rows in sorted(by_batch.items())
    ]


def open_cases(
    connection: Connection,
    by_batch: dict[str, pa.Table],
    event: TrainingSanitized,
    *,
    note: str,
    written: Written,
) -> None:
    """Inserts the cases of a sanitizing run and the index of their records."""
    for opened in event.cases:
        rows = by_batch[opened.batch]
        connection.execute(
            tables.case.insert().values(
                **case_columns(event, opened),
                rows=_rows_of(connection, opened.batch),
                reasons=dict(Counter(rows[REASON].to_pylist())),
                notes=[note],
                state="OPEN",
                opened_at=datetime.now(UTC),
                seq=written.seq,
                entry=written.hash,
            )
        )
        columns = [rows[name].to_pylist() for name in INDEX_COLUMNS]
        index = ((opened.case, *values) for values in zip(*columns, strict=True))
        bulk_insert(connection, tables.held_record, INDEXED, index)


def open_gate_case(
    connection: Connection, workspace: Workspace, event: BatchJudged, written: Written
) -> None:
    """Inserts the case of a judgement, and the index of its records; nothing where none is held."""
    if event.case is None or event.held_records is None:
        return
    connection.execute(
        tables.case.insert().values(
            **gate_case_columns(event),
            rows=event.rows,
            reasons=event.reasons,
            notes=event.notes,
            state="OPEN",
            opened_at=datetime.now(UTC),
            seq=written.seq,
            entry=written.hash,
        )
    )
    rows = _index(workspace, event.case, event.held_records)
    bulk_insert(connection, tables.held_record, INDEXED, rows)


def gate_case_columns(event: BatchJudged) -> dict[str, Any]:
    """The catalog's columns of the gate's case, by what the ledger says."""
    return {
        "id": event.case,
        "batch": event.batch,
        "dataset": event.policy.dataset,
        "origin": "gate",
        "verdict": event.verdict.value,
        "policy": to_json(event.policy),
        "columns": to_json(event.columns),
        "two_people": event.two_people,
        "held": event.held,
    }


def case_columns(event: TrainingSanitized, opened: OpenedCase) -> dict[str, Any]:
    """The catalog's columns of a case of sanitizing, by what the ledger says."""
    return {
        "id": opened.case,
        "batch": opened.batch,
        "dataset": event.dataset,
        "origin": "sanitize",
        "verdict": Verdict.HOLD_RECORDS.value,
        "policy": to_json(event.policy),
        "columns": to_json(event.columns),
        "two_people": event.two_people,
        "held": opened.held,
    }


def case_id(batch: str, run: str) -> str:
    """Id of the case that a run of gate or sanitizer opens for a batch; same run, same id."""
    return "case-" + hashlib.sha256(f"{batch}\n{run}".encode()).hexdigest()[:16]


def _index(
    workspace: Workspace, case: str, held_records: StoredFile
) -> Iterator[tuple[object, ...]]:
    for chunk in read_chunks(workspace.store, held_records):
        columns = [chunk.column(name).to_pylist() for name in INDEX_COLUMNS]
        for values in zip(*columns, strict=True):
            yield (case, *values)


def _rows_of(connection: Connection, batch: str) -> int:
    query = tables.batch.select().where(tables.batch.c.id == batch)
    return int(connection.execute(query).one().rows)


def _signature(row: dict[str, float | None], ranks: list[str]) -> str:
    known = {name: row[name] for name in ranks if row[name] is not None}
    best = max(known, key=lambda name: known[name] or 0.0) if known else f"{_RANK}unscored"
    return f"sanitize:{best.removeprefix(_RANK)}"
