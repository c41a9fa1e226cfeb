"""What the catalog knows of batches, datasets and models, read for lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import covering
from lazaretto.received import find_batch
from lazaretto.stages.results import STAGES
from lazaretto.stages.told import told_event
from lazaretto.storage import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Row

    from lazaretto.storage.workspace import Workspace

_LISTED = ("id", "source", "received_at", "rows", "dataset", "verdict", "held", "cleared")
_DELIVERED = ("trust_tier", "uri", "format", "digest", "delivered", "stored", "columns")
_CHECKED = ("signature", "collected_from", "collected_to")
_STAGE_OF = {str(kind.kind): name for name, kind in STAGES.items()}


def list_batches(
    workspace: Workspace, *, source: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Batches, newest first: identity, newest verdict, counts; ``verdict`` is None until judged."""
    query = sa.select(tables.batch).order_by(tables.batch.c.seq.desc()).limit(limit)
    if source is not None:
        query = query.where(tables.batch.c.source == source)
    with workspace.catalog.read() as connection:
        return [_listed(row) for row in connection.execute(query)]


def describe_batch(workspace: Workspace, batch: str) -> dict[str, Any]:
    """One batch: its delivery, the newest result of each stage, and what was admitted of it.

    Raises:
        NotFoundError: there is no such batch.
    """
    admission = tables.admission
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        row = connection.execute(sa.select(tables.batch).where(tables.batch.c.id == batch)).one()
        done = list(entries(connection, subject=f"batch:{batch}", kinds=_STAGE_OF))
        admissions = connection.execute(
            sa.select(admission).where(admission.c.batch == batch).order_by(admission.c.seq)
        ).all()
    delivered = {name: getattr(received.event, name) for name in (*_DELIVERED, *_CHECKED)}
    return {
        **_listed(row),
        "delivery": delivered,
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


def list_models(workspace: Workspace, model: str | None = None) -> list[dict[str, Any]]:
    """Model versions, newest first, each with the recalls of records that it saw."""
    table, mark = tables.model_version, tables.recalled_model
    query = sa.select(table).order_by(table.c.seq.desc())
    if model is not None:
        query = query.where(table.c.model == model)
    with workspace.catalog.read() as connection:
        marks = connection.execute(sa.select(mark)).all()
        rows = connection.execute(query).all()
    recalls: dict[tuple[str, str], list[str]] = {}
    for row in marks:
        recalls.setdefault((row.model, row.version), []).append(row.recall)
    names = ("model", "version", "registry", "dataset", "snapshot", "rows", "purpose", "at")
    more = ("artifact_uri", "artifact_digest")
    return [
        {name: getattr(row, name) for name in (*names, *more)}
        | {"recalls": sorted(recalls.get((row.model, row.version), []))}
        for row in rows
    ]


def dataset_log(workspace: Workspace, dataset: str) -> list[dict[str, Any]]:
    """What happened to a dataset, oldest first: admissions, recalls, losses and snapshots.

    Raises:
        NotFoundError: there is no such dataset.
    """
    admission, recall, snapshot = tables.admission, tables.recall, tables.snapshot
    lost_part = tables.lost_part
    with workspace.catalog.read() as connection:
        known = sa.select(tables.dataset.c.name).where(tables.dataset.c.name == dataset)
        if connection.scalar(known) is None:
            names = connection.scalars(sa.select(tables.dataset.c.name)).all()
            raise NotFoundError(f"no dataset {dataset!r}; there are: {', '.join(names) or 'none'}")
        admitted = connection.execute(
            sa.select(admission).where(admission.c.dataset == dataset)
        ).all()
        recalled = connection.execute(sa.select(recall).where(recall.c.dataset == dataset)).all()
        lost = connection.execute(sa.select(lost_part).where(lost_part.c.dataset == dataset)).all()
        taken = connection.execute(sa.select(snapshot).where(snapshot.c.dataset == dataset)).all()
        who = {
            row.seq: covering(connection, "", str(row.seq), row).actor.id
            for row in (*admitted, *recalled, *lost, *taken)
        }
    events: list[dict[str, Any]] = []
    for row in admitted:
        what = "ADMIT" if row.part == "cleared" else "PUBLISH"
        about = f"{row.batch} under policy {row.policy['sha256'][:12]}"
        events.append(_happened(row, row.admitted_at, what, row.rows, about))
    for row in recalled:
        about = f"{row.id}: {row.reason}"
        events.append(_happened(row, row.at, "RECALL", -row.records, about))
    for row in lost:
        about = f"{row.batch}: its files are gone"
        events.append(_happened(row, row.at, "LOST", -row.rows, about))
    events += [
        _happened(row, row.at, "SNAPSHOT", row.rows, f"digest {row.digest[:16]}") for row in taken
    ]
    for event in events:
        event["by"] = who[event["seq"]]
    return sorted(events, key=lambda event: int(event["seq"]))


def _happened(row: Row[Any], at: Any, what: str, rows: int, about: str) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "version": row.version,
        "at": at,
        "what": what,
        "rows": rows,
        "about": about,
    }


def _listed(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _LISTED} | {"case": row.case_id}
