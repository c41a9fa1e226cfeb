"""What the catalog knows of batches and datasets, read for lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import covering
from lazaretto.ledger.deletions import delivery_deleted
from lazaretto.received import find_batch
from lazaretto.sources.standing import signature_now
from lazaretto.stages.results import STAGES
from lazaretto.stages.told import told_event
from lazaretto.storage import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Row

    from lazaretto.storage.workspace import Workspace

LISTED = ("id", "source", "received_at", "rows", "dataset", "verdict", "held", "cleared")
_DELIVERED = ("trust_tier", "uri", "format", "digest", "delivered", "stored", "columns")
_COLLECTED = ("collected_from", "collected_to")
_STAGE_OF = {str(kind.kind): name for name, kind in STAGES.items()}


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list.

    Attributes:
        rows: at most as many as were asked for.
        more: whether the list goes on behind them; of the newest, whether there are older ones.
    """

    rows: list[dict[str, Any]]
    more: bool


def describe_batch(workspace: Workspace, batch: str) -> dict[str, Any]:
    """One batch: its delivery, the newest result of each stage, and what was admitted of it.

    Raises:
        NotFoundError: there is no such batch.
    """
    admission = tables.admission
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        signature = signature_now(connection, received.event)
        row = connection.execute(sa.select(tables.batch).where(tables.batch.c.id == batch)).one()
        done = list(entries(connection, subject=f"batch:{batch}", kinds=_STAGE_OF))
        gone = delivery_deleted(connection, batch)
        admissions = connection.execute(
            sa.select(admission).where(admission.c.batch == batch).order_by(admission.c.seq)
        ).all()
    delivered = {name: getattr(received.event, name) for name in (*_DELIVERED, *_COLLECTED)}
    return {
        **listed(row),
        "delivery": delivered
        | {"signature": signature, "deleted": None if gone is None else gone.words},
        "stages": {
            _STAGE_OF[entry.kind]: {"at": entry.at, "summary": told_event(cast("Any", entry.event))}
            for entry in done
        },
        "admissions": [
            {
                "dataset": part.dataset,
                "part": part.part,
                "rows": part.rows,
                "version": part.version,
                "at": part.admitted_at,
            }
            for part in admissions
        ],
    }


def dataset_log(
    workspace: Workspace, dataset: str, *, limit: int = 100, after: int | None = None
) -> Page:
    """What happened to a dataset: admissions, recalls, losses, snapshots, compactions.

    Args:
        workspace: catalog and store.
        dataset: its name.
        limit: only the newest so many.
        after: instead, the first so many behind this ledger entry.

    Raises:
        NotFoundError: there is no such dataset.
    """
    kinds = (
        tables.admission,
        tables.recall,
        tables.lost_part,
        tables.compaction,
        tables.snapshot,
    )
    with workspace.catalog.read() as connection:
        known = sa.select(tables.dataset.c.name).where(tables.dataset.c.name == dataset)
        if connection.scalar(known) is None:
            names = connection.scalars(sa.select(tables.dataset.c.name)).all()
            raise NotFoundError(f"no dataset {dataset!r}; there are: {', '.join(names) or 'none'}")
        found = [
            (table, row)
            for table in kinds
            for row in connection.execute(_log_of(table, dataset, limit + 1, after))
        ]
        found.sort(key=lambda one: int(one[1].seq), reverse=after is None)
        shown = sorted(found[:limit], key=lambda one: int(one[1].seq))
        events = [
            _logged(table, row)
            | {"by": covering(connection, table.name, str(row.seq), row).actor.id}
            for table, row in shown
        ]
    return Page(events, len(found) > limit)


def _log_of(table: sa.Table, dataset: str, limit: int, after: int | None) -> sa.Select[Any]:
    query = sa.select(table).where(table.c.dataset == dataset).limit(limit)
    if after is None:
        return query.order_by(table.c.seq.desc())
    return query.where(table.c.seq > after).order_by(table.c.seq)


def _logged(table: sa.Table, row: Row[Any]) -> dict[str, Any]:
    if table is tables.recall:
        return _happened(row, row.at, "RECALL", -row.records, f"{row.id}: {row.reason}")
    if table is tables.lost_part:
        return _happened(row, row.at, "LOST", -row.rows, f"{row.batch}: its files are gone")
    if table is tables.compaction:
        return _happened(row, row.at, "COMPACT", row.rows, "the same records in fewer files")
    if table is tables.snapshot:
        return _happened(row, row.at, "SNAPSHOT", row.rows, f"digest {row.digest[:16]}")
    what = "ADMIT" if row.part == "cleared" else "PUBLISH"
    about = f"{row.batch} under policy {row.policy['sha256'][:12]}"
    return _happened(row, row.admitted_at, what, row.rows, about)


def _happened(row: Row[Any], at: Any, what: str, rows: int, about: str) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "version": row.version,
        "at": at,
        "what": what,
        "rows": rows,
        "about": about,
    }


def listed(row: Row[Any]) -> dict[str, Any]:
    """What lists say of a batch: identity, newest verdict, counts, case."""
    return {name: getattr(row, name) for name in LISTED} | {"case": row.case_id}
