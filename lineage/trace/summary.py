"""Turns what a walk reached into the batches, snapshots, models and sources of an answer."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from lazaretto.lineage.trace.answer import TracedBatch, TracedModel, TracedSnapshot, TracedSource
from lazaretto.lineage.trace.walk import BATCH, Reached, paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Row

    from lazaretto.lineage.trace.answer import Question

_MATCHED = {"batch": "named", "record": "named", "model": "member"}


def label(row: Row[Any]) -> str:
    """Short name: the batch id, ``dataset@version``, ``model@version`` or ``run ID``."""
    if row.kind == "BATCH":
        return str(row.version)
    if row.kind == "RUN":
        return f"run {row.version}"
    name = row.name if row.kind == "MODEL" else posixpath.basename(row.name.rstrip("/"))
    return f"{name or row.name}@{row.version}"


def traced_batches(
    question: Question, reached: Reached, rows: Sequence[Row[Any]], recalled: Mapping[str, int]
) -> list[TracedBatch]:
    """Batches of the answer, oldest first."""
    used = reached.held.most
    found = [
        TracedBatch(
            id=row.version,
            source=row.source or "",
            received_at=row.received_at,
            collected_from=row.t_from,
            collected_to=row.t_to,
            matched=_MATCHED.get(question.kind) or _matched(row),
            signature=row.signature,
            digest=row.digest,
            rows=row.rows,
            used_rows=used.get(row.id),
            recalled_rows=recalled.get(row.version, 0),
        )
        for row in rows
    ]
    return sorted(
        found, key=lambda batch: (_stamp(batch.collected_from or batch.received_at), batch.id)
    )


def snapshots_of(reached: Reached) -> list[TracedSnapshot]:
    """Dataset versions of the answer, in order of their making."""
    tainted = _tainted(reached)
    named = {edge.dst for edge in reached.edges}
    return [
        TracedSnapshot(
            id=label(row),
            namespace=row.namespace,
            name=row.name,
            version=row.version,
            rows=row.rows,
            tainted_rows=tainted.get(row.id),
            members_known=row.digest is not None or row.id in named,
        )
        for row in _ordered(reached, "SNAPSHOT")
    ]


def models_of(reached: Reached, *, paths: int, forward: bool) -> list[TracedModel]:
    """Model versions of the answer, in order of registration."""
    rows = _ordered(reached, "MODEL")
    tainted = _tainted(reached)
    into: dict[int, list[Row[Any]]] = {}
    for edge in reached.edges:
        into.setdefault(edge.dst, []).append(edge)
    ways = _ways(reached, [row.id for row in rows], limit=paths, forward=forward)
    found = []
    for row in rows:
        direct = [e for e in into.get(row.id, ()) if _from_data(reached, into, e.src)]
        counts = [tainted.get(edge.src) for edge in direct]
        known = [count for count in counts if count is not None]
        found.append(
            TracedModel(
                id=label(row),
                registry=row.namespace,
                name=row.name,
                version=row.version,
                registered_at=row.received_at,
                roles=sorted({edge.role for edge in direct}),
                inherited=not direct,
                rows=row.rows,
                tainted_rows=sum(known) if len(known) == len(counts) and known else None,
                paths=[[label(reached.nodes[key]) for key in way] for way in ways[row.id]],
            )
        )
    return found


def _from_data(reached: Reached, into: Mapping[int, list[Row[Any]]], node: int) -> bool:
    """Whether a node is data, or a run that read some; else it is a model, or a run of models."""
    kind = reached.nodes[node].kind
    if kind == "RUN":
        return any(reached.nodes[edge.src].kind != "MODEL" for edge in into.get(node, ()))
    return bool(kind != "MODEL")


def sources_of(batches: Sequence[TracedBatch]) -> list[TracedSource]:
    """Share of each source, the largest first."""
    counted: dict[str, list[int]] = {}
    for batch in batches:
        counted.setdefault(batch.source, []).append(batch.used_rows or 0)
    found = [TracedSource(name, len(rows), sum(rows)) for name, rows in counted.items()]
    return sorted(found, key=lambda share: (-share.used_rows, share.source))


def _ways(
    reached: Reached, models: Sequence[int], *, limit: int, forward: bool
) -> dict[int, list[list[int]]]:
    """Paths from batches to models; upstream they all lead to the one model that was asked for."""
    if forward:
        return paths(reached, models, limit=limit)
    used = reached.held.most
    largest = sorted(reached.batches, key=lambda key: (-used.get(key, 0), key))
    found = paths(reached, largest[:limit], limit=1, forward=False)
    to_start = [way[::-1] for ways in found.values() for way in ways]
    return {key: to_start if key in reached.start else [] for key in models}


def _tainted(reached: Reached) -> dict[int, int]:
    """Records in question per dataset version that batches went into; absent where not known."""
    total = dict(reached.held.rows)
    for edge in reached.edges:
        # What somebody else made of a batch: a claim, which names no records.
        if reached.nodes[edge.src].kind == BATCH:
            total[edge.dst] = None
    return {key: count for key, count in total.items() if count is not None}


def _ordered(reached: Reached, kind: str) -> list[Row[Any]]:
    rows = [row for row in reached.nodes.values() if row.kind == kind]
    return sorted(rows, key=lambda row: (_stamp(row.received_at), row.id))


def _matched(row: Row[Any]) -> str:
    if row.t_from is not None or row.t_to is not None:
        return "collected"
    return "undated" if row.received_at is None else "received"


def _stamp(moment: Any) -> float:
    return moment.timestamp() if moment is not None else float("-inf")
