"""What a version of the admitted dataset really contains, and which models were trained on it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import rfc8785
import sqlalchemy as sa

from lazaretto.dataset.delta import BATCH, RECORD, open_table
from lazaretto.storage import tables
from lazaretto.values import Member

if TYPE_CHECKING:
    from collections.abc import Collection

    from deltalake import DeltaTable
    from sqlalchemy.engine import Connection


def members(table: DeltaTable) -> list[Member]:
    """Distinct batches of a version with their rows, by id; rows of no batch are under ``""``."""
    counted = (
        pa.table({BATCH: _column(table, BATCH)}).group_by(BATCH).aggregate([([], "count_all")])
    )
    found = [Member(row[BATCH] or "", int(row["count_all"])) for row in counted.to_pylist()]
    return sorted(found, key=lambda member: member.batch)


def version_digest(table: DeltaTable) -> str:
    """sha256 (hex) of a version's columns and data files; Delta never rewrites a file in place."""
    files = pa.table(table.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
    body = {
        "schema": table.schema().to_json(),
        "files": sorted([file["path"], file["size_bytes"]] for file in files),
    }
    return hashlib.sha256(rfc8785.dumps(body)).hexdigest()


def records_of(table: DeltaTable, batches: Collection[str]) -> pa.Table:
    """Columns ``batch`` and ``record`` of the rows of some batches.

    Filtered chunk by chunk: a filter given to the dataset fails (pyarrow 26) on files that Delta
    rewrote to delete rows, whose texts are views: "no kernel matching (string, string_view)".
    """
    wanted = pa.array(sorted(batches), pa.string())
    parts = [
        chunk.filter(pc.is_in(chunk.column(BATCH), wanted))
        for chunk in table.to_pyarrow_dataset().to_batches(columns=[BATCH, RECORD])
    ]
    kinds = pa.schema([(BATCH, pa.string()), (RECORD, pa.string())])
    return pa.Table.from_batches(parts, kinds).rename_columns(["batch", "record"])


def keep_records(rows: pa.Table, wanted: pa.Table) -> pa.Table:
    """The rows whose (batch, record) is among the wanted ones, each as often as it is there."""
    keys = ["batch", "record"]
    return rows.join(wanted.group_by(keys).aggregate([]), keys, join_type="left semi")


def models_that_saw(
    connection: Connection, dataset: str, uri: str, records: pa.Table, before: int
) -> list[tuple[str, str]]:
    """Model versions that were trained on a version below `before` with one of these records in it.

    Args:
        connection: of the catalog.
        dataset: name.
        uri: of its Delta table.
        records: columns ``batch``, ``record``.
        before: Delta version that no longer has them.
    """
    batches = records["batch"].unique().to_pylist()
    model, member = tables.model_version, tables.snapshot_member
    contains = sa.exists().where(
        member.c.dataset == dataset,
        member.c.version == model.c.snapshot,
        member.c.batch.in_(batches),
    )
    query = (
        sa.select(model.c.model, model.c.version, model.c.snapshot)
        .where(model.c.dataset == dataset, model.c.snapshot < before, contains)
        .order_by(model.c.seq)
    )
    saw: dict[int, bool] = {}
    found = []
    for name, version, snapshot in connection.execute(query):
        if snapshot not in saw:
            there = records_of(open_table(uri, snapshot), batches)
            saw[snapshot] = keep_records(there, records).num_rows > 0
        if saw[snapshot]:
            found.append((str(name), str(version)))
    return found


def _column(table: DeltaTable, name: str) -> Any:
    return table.to_pyarrow_dataset().to_table(columns=[name])[name]
