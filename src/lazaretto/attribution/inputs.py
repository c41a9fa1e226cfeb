"""Check what `attribute` is given, and bring it into an order that does not depend on the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_BOUND = 1e15


@dataclass(frozen=True, slots=True)
class Training:
    """The records that the model learned from.

    Attributes:
        features: floats (n, d), what goes into the model's last layer.
        labels: (n,) given labels.
        record_ids: (n,) unique ids.
        batches: (n,) batch of each; null where it is not known.
        sources: (n,) source of each; null where it is not known.
        weights: (n,) sample weights; default all one.
    """

    features: npt.NDArray[np.floating]
    labels: Sequence[str]
    record_ids: Sequence[str]
    batches: Sequence[str | None]
    sources: Sequence[str | None]
    weights: npt.NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True)
class Queries:
    """Predictions of the model.

    Attributes:
        features: floats (m, d), of the same layer as the training records'.
        predicted: (m,) the class that the model gave to each.
    """

    features: npt.NDArray[np.floating]
    predicted: Sequence[str]

    def __len__(self) -> int:
        return len(self.predicted)


@dataclass(frozen=True, slots=True)
class Checked:
    """Checked input, in the order of record ids and of feature values.

    Attributes:
        features: float64 (n, d).
        ids: (n,) record ids.
        classes: class names; labels and predictions index into them.
        labels: int64 (n,).
        batch_names: sorted.
        batches: int64 (n,), index of each record's batch.
        source_names: sorted.
        sources: int64 (n,).
        batch_source: int64, source of each batch.
        weights: float64 (n,).
        wrong: float64 (m, d).
        wrong_class: int64 (m,).
        right: float64 (r, d).
        right_class: int64 (r,).
        left_out: number of records that have no batch, no source, or features that are not finite.
    """

    features: Floats
    ids: list[str]
    classes: list[str]
    labels: Ints
    batch_names: list[str]
    batches: Ints
    source_names: list[str]
    sources: Ints
    batch_source: Ints
    weights: Floats
    wrong: Floats
    wrong_class: Ints
    right: Floats
    right_class: Ints
    left_out: int


def check(training: Training, wrong: Queries, right: Queries) -> Checked:
    """Checks shapes and names.

    Raises:
        UsageError: lengths or widths differ, an id is there twice, a batch has two sources, or
            nothing is left to work with.
    """
    features = _matrix(training.features, "features of the training records")
    n, columns = len(features), (training.labels, training.record_ids, training.batches)
    if any(len(column) != n for column in (*columns, training.sources)):
        raise UsageError("labels, record ids, batches and sources: give one per training record")
    weights = np.ones(n) if training.weights is None else np.asarray(training.weights, np.float64)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise UsageError("weights of the training records: one number per record, none below 0")
    known = _finite(features)
    for names in (training.labels, training.batches, training.sources):
        known &= np.array([name is not None for name in names], bool)
    ids = [str(name) for name in training.record_ids]
    if len(set(ids)) != n:
        raise UsageError("a record id is there twice: ids of training records are unique")
    order = np.array(sorted(np.flatnonzero(known), key=ids.__getitem__), np.int64)
    if not len(order):
        raise UsageError("no training record has features, a label, a batch and a source")
    first = _queries(wrong, features.shape[1], "wrong predictions")
    second = _queries(right, features.shape[1], "right predictions")
    labels = [str(training.labels[row]) for row in order]
    classes = sorted({*labels, *first[1], *second[1]})
    if len(set(labels)) < 2:
        raise UsageError("all training records have one label: nothing is learned from that")
    if not len(first[0]):
        raise UsageError("there is no wrong prediction to trace")
    batch_names, batches = _encoded([str(training.batches[row]) for row in order])
    source_names, sources = _encoded([str(training.sources[row]) for row in order])
    return Checked(
        features=features[order],
        ids=[ids[row] for row in order],
        classes=classes,
        labels=_codes(labels, classes),
        batch_names=batch_names,
        batches=batches,
        source_names=source_names,
        sources=sources,
        batch_source=_sources_of(batch_names, batches, sources),
        weights=weights[order],
        wrong=first[0],
        wrong_class=_codes(first[1], classes),
        right=second[0],
        right_class=_codes(second[1], classes),
        left_out=n - len(order),
    )


def _queries(queries: Queries, width: int, what: str) -> tuple[Floats, list[str]]:
    if not len(queries):
        return np.empty((0, width)), []
    features = _matrix(queries.features, f"features of the {what}")
    if len(features) != len(queries.predicted):
        raise UsageError(f"{what}: give one predicted class per row")
    if features.shape[1] != width:
        raise UsageError(
            f"{what} have {features.shape[1]} features, the training records {width}: capture both "
            "from the same layer of the same model"
        )
    good = np.flatnonzero(_finite(features))
    order = good[np.lexsort(features[good].T)]
    return features[order], [str(queries.predicted[row]) for row in order]


def _matrix(values: npt.NDArray[np.floating], what: str) -> Floats:
    rows = np.asarray(values)
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating) or rows.shape[1] == 0:
        raise UsageError(
            f"{what} have shape {rows.shape}: a float array (rows, features) is needed"
        )
    return rows.astype(np.float64)


def _finite(features: Floats) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(features) < _BOUND).all(1))


def _encoded(names: list[str]) -> tuple[list[str], Ints]:
    distinct = sorted(set(names))
    return distinct, _codes(names, distinct)


def _codes(names: Sequence[str], known: list[str]) -> Ints:
    place = {name: index for index, name in enumerate(known)}
    return np.array([place[name] for name in names], np.int64)


def _sources_of(batch_names: list[str], batches: Ints, sources: Ints) -> Ints:
    found = np.full(len(batch_names), -1)
    found[batches] = sources
    two = np.flatnonzero(found[batches] != sources)
    if len(two):
        raise UsageError(f"batch {batch_names[batches[two[0]]]!r} has records of two sources")
    return found
