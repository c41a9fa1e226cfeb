"""Opens review cases for records that sanitizing found in the admitted data, one case per batch."""

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
from lazaretto.storage.sidecars import write_table
from lazaretto.values import Verdict, to_json

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace

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


def write_cases(workspace: Workspace, by_batch: dict[str, pa.Table], run: str) -> dict[str, str]:
    """Writes each batch's held rows to the store; returns the files' URIs."""
    return {
        batch: write_table(workspace.store, f"held/{batch}/sanitize-{run[:16]}.parquet", rows)[0]
        for batch, rows in by_batch.items()
    }


def open_cases(
    connection: Connection,
    by_batch: dict[str, pa.Table],
    uris: dict[str, str],
    *,
    policy: Policy,
    dataset: str,
    note: str,
    run: str,
    seq: int,
) -> list[str]:
    """Inserts the cases and the index of their records; returns the cases' ids."""
    opened = []
    for batch, rows in sorted(by_batch.items()):
        case = case_id(batch, run)
        connection.execute(
            tables.case.insert().values(
                id=case,
                batch=batch,
                dataset=dataset,
                origin="sanitize",
                verdict=Verdict.HOLD_RECORDS.value,
                policy=to_json(policy.ref()),
                columns=policy.columns.model_dump(),
                two_people=policy.review.require_two_people,
                rows=_rows_of(connection, batch),
                held=rows.num_rows,
                reasons=dict(Counter(rows[REASON].to_pylist())),
                notes=[note],
                held_uri=uris[batch],
                state="OPEN",
                opened_at=datetime.now(UTC),
                seq=seq,
            )
        )
        columns = [rows[name].to_pylist() for name in INDEX_COLUMNS]
        index = ((case, *values) for values in zip(*columns, strict=True))
        bulk_insert(connection, tables.held_record, INDEXED, index)
        opened.append(case)
    return opened


def case_id(batch: str, run: str) -> str:
    """Id of the case that a run of gate or sanitizer opens for a batch; same run, same id."""
    return "case-" + hashlib.sha256(f"{batch}\n{run}".encode()).hexdigest()[:16]


def _rows_of(connection: Connection, batch: str) -> int:
    query = tables.batch.select().where(tables.batch.c.id == batch)
    return int(connection.execute(query).one().rows)


def _signature(row: dict[str, float | None], ranks: list[str]) -> str:
    known = {name: row[name] for name in ranks if row[name] is not None}
    best = max(known, key=lambda name: known[name] or 0.0) if known else f"{_RANK}unscored"
    return f"sanitize:{best.removeprefix(_RANK)}"
