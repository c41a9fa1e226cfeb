"""From wrong predictions of a registered model to the records, batches and sources behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from lazaretto.batch import file_digest
from lazaretto.batch._columns import label_texts
from lazaretto.dataset.damage import damage_on_record
from lazaretto.dataset.delta import BATCH, SOURCE, WEIGHT
from lazaretto.errors import DeliveryError, NotFoundError, UsageError
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import ModelRegistered
from lazaretto.stages.sanitize_training import record_names
from lazaretto.stages.taken import find_snapshot
from lazaretto.storage import tables
from lazaretto.values import InputKind, to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from lazaretto.attribution import Attribution, Queries
    from lazaretto.stages.query_rows import Reader
    from lazaretto.stages.taken import Snapshot
    from lazaretto.storage.workspace import Workspace

    Progress = Callable[[str, int, int], None]

_MOST_RECORDS = 100


@dataclass(frozen=True, slots=True)
class PredictionTrace:
    """Who drove wrong predictions of a model version.

    Attributes:
        model: ``name@version``.
        dataset: admitted dataset that it learned from.
        snapshot: Delta version of it.
        rows: records of the snapshot.
        found: records, batches and sources, and whether one is accused.
        gaps: what the model learned from that could not be looked at: if nobody is accused, it
            cannot be said that nobody is to blame.
        notes: what else the reader should know.
    """

    model: str
    dataset: str
    snapshot: int
    rows: int
    found: Attribution
    gaps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def accused(self) -> list[str]:
        """Names of the accused sources."""
        return self.found.accused

    @property
    def cannot_say(self) -> list[str]:
        """Why no answer can be given; empty where there is one."""
        return [*self.found.cannot_say, *([] if self.accused else self.gaps)]

    def to_json(self, records: int = _MOST_RECORDS) -> dict[str, Any]:
        """JSON values; of the training records, those that drove the predictions most.

        Args:
            records: how many of them.
        """
        found = self.found
        return {
            "model": self.model,
            "dataset": self.dataset,
            "snapshot": self.snapshot,
            "rows": self.rows,
            "accused": self.accused,
            "cannot_say": self.cannot_say,
            "level": found.level,
            "smallest_p": found.smallest_p,
            "wrong": found.wrong,
            "right": found.right,
            "agreement": {"wrong": found.agreement_wrong, "right": found.agreement_right},
            "planted": to_json(found.planted),
            "notes": [*self.notes, *found.notes],
            "gaps": self.gaps,
            "sources": to_json(found.sources),
            "batches": to_json(found.batches),
            "records": found.records.slice(0, records).to_pylist(),
        }


def trace_prediction(
    workspace: Workspace,
    model: str,
    version: str,
    wrong: pa.Table,
    reader: Reader,
    *,
    label: str,
    right: pa.Table | None = None,
    truth: str | None = None,
    weights: str | Path | None = None,
    registry: str | None = None,
    level: float = 0.01,
    progress: Progress | None = None,
) -> PredictionTrace:
    """Says which records of a model's snapshot, and so which batches and sources, drove mistakes.

    Nothing is put on record; see `lazaretto.attribution.attribute` for how it is told.

    Args:
        workspace: catalog and store.
        model: name of the model.
        version: its version, which is registered on a snapshot.
        wrong: rows that the model got wrong.
        reader: the model, or what was captured of it before.
        label: the dataset's column of labels.
        right: rows that the model did not learn from and got right.
        truth: column of both with the true label: rows of `wrong` that the model gets right count
            as right, and rows of `right` that it gets wrong are left out.
        weights: file of the model's weights, to compare with what is on record.
        registry: of the model, where several have one of this name and version.
        level: chance of accusing anybody where nobody is to blame.
        progress: called with what is done, steps done and steps in all.

    Raises:
        NotFoundError: no such model version, or no file of features.
        UsageError: the model is of no snapshot, or rows and features do not fit together.
        ChangedFileError: a data file of the snapshot is gone, or is not the one that is on record.

    Examples:
        >>> import torch
        >>> from lazaretto import stages
        >>> from lazaretto.stages.query_rows import Network
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
        >>> rows = stages.snapshot(workspace, "reviews").table().slice(0, 20)
        >>> found = stages.trace_prediction(
        ...     workspace, "net", "1", rows, Network(net, "vector"), label="label"
        ... )
        >>> found.accused
        []
    """
    from lazaretto.attribution import Queries, Training, attribute

    tell: Progress = progress or (lambda *_: None)
    event = _registered(workspace, model, version, registry)
    taken = _snapshot(workspace, event)
    with damage_on_record(workspace, taken.dataset, "trace", taken.files):
        rows = taken.table()
    labels = label_texts(rows, label)
    names = sorted(set(labels.drop_null().to_pylist()))
    against, notes = _weights(event, weights)
    training = Training(
        features=reader.training(rows, tell),
        labels=labels.to_pylist(),
        record_ids=record_names(rows).to_pylist(),
        batches=rows[BATCH].to_pylist(),
        sources=rows[SOURCE].to_pylist(),
        weights=rows[WEIGHT].to_numpy(),
    )
    first = Queries(*reader.queries(wrong, names, tell))
    second = Queries(np.empty((0, training.features.shape[1])), [])
    if right is not None and right.num_rows:
        second = Queries(*reader.queries(right, names, tell))
    if truth is not None:
        first, second, told = _by_truth(truth, (wrong, first), (right, second))
        notes += told
    found = attribute(training, first, second, level=level, against=against, progress=progress)
    return PredictionTrace(
        model=f"{event.model}@{event.version}",
        dataset=taken.dataset,
        snapshot=taken.version,
        rows=taken.rows,
        found=found,
        gaps=_gaps(event),
        notes=notes,
    )


def _registered(
    workspace: Workspace, model: str, version: str, registry: str | None
) -> ModelRegistered:
    table, words = tables.model_version, f"{model}@{version}"
    query = sa.select(table).where(table.c.model == model, table.c.version == version)
    if registry is not None:
        query = query.where(table.c.registry == registry)
    with workspace.catalog.read() as connection:
        rows = connection.execute(query).all()
        if not rows:
            raise NotFoundError(f"no model version {words}: `lazaretto model list` shows them")
        if len(rows) > 1:
            several = ", ".join(sorted(row.registry for row in rows))
            raise UsageError(f"{words} is in several registries: name one of {several}")
        _, event = event_of(connection, table.name, words, rows[0], ModelRegistered)
    columns = ("model", "version", "registry", "dataset", "snapshot", "artifact_digest")
    agree(table.name, words, rows[0], {name: getattr(event, name) for name in columns})
    return event


def _snapshot(workspace: Workspace, event: ModelRegistered) -> Snapshot:
    words = f"{event.model}@{event.version}"
    if event.dataset is None or event.snapshot is None:
        raise UsageError(f"{words} learned from no admitted dataset, so no record of it is known")
    with workspace.catalog.read() as connection:
        taken = find_snapshot(connection, workspace, event.dataset, event.snapshot)
    if taken is None:
        raise NotFoundError(f"no snapshot {event.dataset}@{event.snapshot}, which {words} names")
    return taken


def _gaps(event: ModelRegistered) -> list[str]:
    """What else the model learned from; what it was only measured on left nothing in it."""
    first = (InputKind.SNAPSHOT, event.dataset, str(event.snapshot))
    return [
        f"it also learned from the {one.kind.value.lower()} {one.name}"
        f"{'' if one.version is None else f'@{one.version}'}, whose records were not looked at"
        for one in event.inputs
        if (one.kind, one.name, one.version) != first and one.role.weighs
    ]


def _weights(event: ModelRegistered, weights: str | Path | None) -> tuple[list[str], list[str]]:
    """What the weights say against an answer, and what else is to be told of them."""
    words = f"{event.model}@{event.version}"
    if event.artifact_digest is None:
        return [], [f"no weights of {words} are on record: that this is the model is not checked"]
    if weights is None:
        return [], [f"the weights were not compared with those of {words} on record"]
    try:
        digest = file_digest(weights)
    except DeliveryError as error:
        raise NotFoundError(f"the weights cannot be read: {error}") from error
    if digest == event.artifact_digest:
        return [], []
    return [
        f"the weights are not those of {words}: sha256 {digest[:16]}…, on record is "
        f"{event.artifact_digest[:16]}…"
    ], []


def _by_truth(
    truth: str, wrong: tuple[pa.Table, Queries], right: tuple[pa.Table | None, Queries]
) -> tuple[Queries, Queries, list[str]]:
    """Sorts rows by whether the model gives them their true label."""
    mistaken, moved = _split(truth, *wrong)
    _, known = (None, right[1]) if right[0] is None else _split(truth, right[0], right[1])
    both = [part for part in (moved, known) if len(part)]
    left = len(right[1]) - len(known)
    told = [f"{len(moved)} rows are not wrong: they were counted as right"] if len(moved) else []
    told += [f"{left} rows are not right: they were left out"] if left else []
    return mistaken, _joined(both, right[1]), told


def _split(truth: str, rows: pa.Table, queries: Queries) -> tuple[Queries, Queries]:
    from lazaretto.attribution import Queries

    actual = label_texts(rows, truth).to_pylist()
    same = np.array([a == p for a, p in zip(actual, queries.predicted, strict=True)], bool)
    parts = []
    for mask in (~same, same):
        kept = [name for name, use in zip(queries.predicted, mask, strict=True) if use]
        parts.append(Queries(queries.features[mask], kept))
    return parts[0], parts[1]


def _joined(parts: list[Queries], otherwise: Queries) -> Queries:
    from lazaretto.attribution import Queries

    if not parts:
        return Queries(otherwise.features[:0], [])
    return Queries(
        np.concatenate([part.features for part in parts]),
        [name for part in parts for name in part.predicted],
    )
