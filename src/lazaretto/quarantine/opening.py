"""Opens review cases: of what the gate held, and of what sanitizing found in admitted data."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.dataset.delta import ADDED, BATCH
from lazaretto.dataset.delta import RECORD as ADMITTED_RECORD
from lazaretto.ledger.events import BatchJudged, TrainingSanitized
from lazaretto.ledger.state import Put, entry_columns
from lazaretto.quarantine.counts import open_counts
from lazaretto.quarantine.held import (
    FLAGS,
    INDEXED,
    LABEL,
    P_VALUE,
    POSITION,
    REASON,
    REASONS,
    RECORD,
    SCORE,
    index_chunks,
    write_held_rows,
)
from lazaretto.received import find_batch
from lazaretto.storage import tables
from lazaretto.storage.bulk import bulk_insert
from lazaretto.values import OpenedCase, StoredFile, Verdict, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.events import Event
    from lazaretto.ledger.state import Change
    from lazaretto.storage.store import Store
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
    delivered = held.drop_columns([one.name for one in ADDED if one.name in held.schema.names])
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
        if FLAGS in held.schema.names:
            added[FLAGS] = held[FLAGS].filter(mask)
        for name, column in added.items():
            part = part.append_column(name, column)
        by_batch[batch] = part
    return by_batch


def write_cases(workspace: Workspace, by_batch: dict[str, pa.Table], run: str) -> list[OpenedCase]:
    """Writes each batch's held rows to the store."""
    with workspace.catalog.read() as connection:
        rows_of = {batch: find_batch(connection, batch).rows for batch in by_batch}
    return [
        OpenedCase(
            case=case_id(batch, run),
            batch=batch,
            rows=rows_of[batch],
            held=rows.num_rows,
            held_records=write_held_rows(
                workspace.store,
                f"held/{batch}/sanitize-{{sha256}}.parquet",
                rows.schema,
                rows.to_batches(),
            ),
            reasons=dict(Counter(rows[REASON].to_pylist())),
        )
        for batch, rows in sorted(by_batch.items())
    ]


def changes(entry: Entry) -> Iterator[Change]:
    """What an entry that opens cases does to the catalog; `index_held` adds their records."""
    opened = {"state": "OPEN", "opened_at": entry.at} | entry_columns(entry)
    match entry.event:
        case BatchJudged(case=str()) as event:
            yield Put(tables.case, gate_case_columns(event) | opened)
        case TrainingSanitized() as event:
            for case in event.cases:
                yield Put(tables.case, case_columns(event, case) | opened)


def held_files(event: Event) -> list[tuple[str, StoredFile]]:
    """The cases that an entry opens, each with the file of its records."""
    match event:
        case BatchJudged(case=str() as case, held_records=StoredFile() as held_records):
            return [(case, held_records)]
        case TrainingSanitized():
            return [(opened.case, opened.held_records) for opened in event.cases]
        case _:
            return []


def index_held(connection: Connection, store: Store, event: Event) -> None:
    """Inserts the index of the records of the cases that an entry opens, from their files.

    Raises:
        ChangedFileError: a file is gone, or is not the one that is on record.
    """
    for case, held_records in held_files(event):
        reasons: Counter[str] = Counter()
        rows = _index(store, case, held_records, reasons)
        bulk_insert(connection, tables.held_record, INDEXED, rows)
        open_counts(connection, case, reasons)


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
        "rows": event.rows,
        "held": event.held,
        "reasons": dict(event.reasons),
        "notes": list(event.notes),
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
        "rows": opened.rows,
        "held": opened.held,
        "reasons": dict(opened.reasons),
        "notes": [found_by(event)],
    }


def found_by(event: TrainingSanitized) -> str:
    """How a run of sanitizing came to hold records, in words."""
    return (
        f"found in version {event.version} of {event.dataset} by the activations of "
        f"{event.model}; {event.calibration}"
    )


def case_id(batch: str, run: str) -> str:
    """Id of the case that a run of gate or sanitizer opens for a batch; same run, same id."""
    return "case-" + hashlib.sha256(f"{batch}\n{run}".encode()).hexdigest()[:16]


def _index(
    store: Store, case: str, held_records: StoredFile, reasons: Counter[str]
) -> Iterator[tuple[object, ...]]:
    """Rows of the index; counts them by reason."""
    for chunk in index_chunks(store, held_records):
        columns = [column.to_pylist() for column in chunk.columns]
        reasons.update(columns[-1])
        for values in zip(*columns, strict=True):
            yield (case, *values)


def _signature(row: dict[str, float | None], ranks: list[str]) -> str:
    known = {name: row[name] for name in ranks if row[name] is not None}
    best = max(known, key=lambda name: known[name] or 0.0) if known else f"{_RANK}unscored"
    return f"sanitize:{best.removeprefix(_RANK)}"
