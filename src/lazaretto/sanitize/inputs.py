"""Check what `sanitize` is given and turn it into arrays; set apart rows that cannot be scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lazaretto.errors import UsageError
from lazaretto.sanitize.dynamics import LAYER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from lazaretto.sanitize.dynamics import Dynamics

Activations = Mapping[str, "NDArray[np.floating]"]

_BOUND = 1e15


@dataclass(frozen=True, slots=True)
class Inputs:
    """Checked input. *Scorable* rows are finite in every layer; only they are judged.

    Attributes:
        layers: {layer: (s, d) floats} of the scorable rows.
        record_ids: string array (n,), of all rows.
        classes: class names; codes index into it.
        codes: int64 (n,), of all rows.
        scorable: int64 (s,), positions of the scorable rows.
        unscorable: int64 (n - s,), positions of the others.
        groups: positions of each class's rows among the scorable ones.
        trusted: {layer: (m, d)}, finite rows only; None without a reference.
        trusted_codes: int64 (m,).
        trusted_groups: positions of each class's rows among the trusted ones.
    """

    layers: dict[str, NDArray[np.floating]]
    record_ids: pa.Array
    classes: list[str]
    codes: NDArray[np.int64]
    scorable: NDArray[np.int64]
    unscorable: NDArray[np.int64]
    groups: list[NDArray[np.int64]]
    trusted: dict[str, NDArray[np.floating]] | None
    trusted_codes: NDArray[np.int64]
    trusted_groups: list[NDArray[np.int64]]


def check_inputs(
    activations: Activations | NDArray[np.floating],
    labels: ArrayLike | pa.Array | pa.ChunkedArray,
    record_ids: Sequence[str] | pa.Array | pa.ChunkedArray,
    trusted: tuple[Activations | NDArray[np.floating], Any] | None,
) -> Inputs:
    """Checks shapes, types and agreement of the two sides.

    Raises:
        UsageError: lengths, layers or widths differ, there is no row, or a label is missing.
    """
    layers = _layers(activations, "activations")
    n = len(next(iter(layers.values())))
    names = _labels(labels, n, "labels")
    ids = _strings(record_ids)
    if len(ids) != n:
        message = f"{len(ids)} record ids for {n} rows of activations; give one per row"
        raise UsageError(message)
    if n == 0:
        message = "there is no row to sanitize"
        raise UsageError(message)
    good = _finite(layers)
    clean: dict[str, NDArray[np.floating]] | None = None
    clean_names = pa.array([], pa.string())
    if trusted is not None:
        clean = _layers(trusted[0], "trusted activations")
        _agree(layers, clean)
        clean_names = _labels(trusted[1], len(next(iter(clean.values()))), "trusted labels")
        usable = _finite(clean)
        clean = _take(clean, usable)
        clean_names = clean_names.filter(pa.array(usable))
    classes, codes, clean_codes = _encode(names, clean_names)
    return Inputs(
        _take(layers, good),
        ids,
        classes,
        codes,
        np.flatnonzero(good),
        np.flatnonzero(~good),
        rows_of_classes(codes[good], len(classes)),
        clean,
        clean_codes,
        rows_of_classes(clean_codes, len(classes)),
    )


def with_dynamics(
    activations: Activations | NDArray[np.floating],
    trusted: tuple[Activations | NDArray[np.floating], Any] | None,
    record_ids: Sequence[str] | pa.Array | pa.ChunkedArray,
    dynamics: Dynamics,
    trusted_dynamics: Dynamics | None,
) -> tuple[Activations, tuple[Activations, Any] | None]:
    """Both sides with their trajectories as one layer more.

    Raises:
        UsageError: a record has no trajectory, or the two sides have other numbers of epochs.
    """
    layers = dict(_layers(activations, "activations"))
    layers[LAYER] = dynamics.of(_strings(record_ids)).features()
    if trusted is None or trusted_dynamics is None:
        return layers, None
    return layers, (
        {**_layers(trusted[0], "trusted activations"), LAYER: trusted_dynamics.features()},
        trusted[1],
    )


def _take(
    layers: dict[str, NDArray[np.floating]], good: NDArray[np.bool_]
) -> dict[str, NDArray[np.floating]]:
    return layers if good.all() else {name: rows[good] for name, rows in layers.items()}


def rows_of_classes(codes: NDArray[np.int64], n_classes: int) -> list[NDArray[np.int64]]:
    """Positions of the rows of each class."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=n_classes))[:-1])


def _layers(
    activations: Activations | NDArray[np.floating], what: str
) -> dict[str, NDArray[np.floating]]:
    given = activations if isinstance(activations, Mapping) else {"activations": activations}
    layers = {name: np.asarray(rows) for name, rows in given.items()}
    if not layers:
        message = f"{what}: no layer given"
        raise UsageError(message)
    lengths = set()
    for name, rows in layers.items():
        if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating) or rows.shape[1] == 0:
            message = (
                f"{what} of layer {name!r} have shape {rows.shape} and type {rows.dtype}; "
                "a float array (rows, features) is needed: pool or flatten them first"
            )
            raise UsageError(message)
        lengths.add(len(rows))
    if len(lengths) > 1:
        message = f"{what}: layers have different numbers of rows: {sorted(lengths)}"
        raise UsageError(message)
    return layers


def _agree(layers: dict[str, NDArray[np.floating]], clean: dict[str, NDArray[np.floating]]) -> None:
    for name, rows in layers.items():
        if name not in clean:
            message = f"trusted activations lack layer {name!r}; they have {sorted(clean)}"
            raise UsageError(message)
        if clean[name].shape[1] != rows.shape[1]:
            message = (
                f"layer {name!r} has {rows.shape[1]} features, trusted rows have "
                f"{clean[name].shape[1]}: capture both with the same model and pooling"
            )
            raise UsageError(message)


def _strings(values: Any) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    array = values if isinstance(values, pa.Array) else pa.array(np.asarray(values).tolist())
    return array.cast(pa.string())


def _labels(values: Any, n: int, what: str) -> pa.Array:
    array = _strings(values)
    if len(array) != n:
        message = f"{len(array)} {what} for {n} rows of activations; give one per row"
        raise UsageError(message)
    if array.null_count:
        message = (
            f"{array.null_count} of {n} {what} are missing; sanitizing judges rows class by class"
        )
        raise UsageError(message)
    return array


def _encode(
    names: pa.Array, clean: pa.Array
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    both = pa.concat_arrays([names, clean]).dictionary_encode()
    labels = both.dictionary.to_pylist()
    order = sorted(range(len(labels)), key=lambda i: _natural(labels[i]))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    codes = place[both.indices.to_numpy(zero_copy_only=False)]
    return [labels[i] for i in order], codes[: len(names)], codes[len(names) :]


def _natural(name: str) -> tuple[int, float, str]:
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)


def _finite(layers: dict[str, NDArray[np.floating]], step: int = 65_536) -> NDArray[np.bool_]:
    n = len(next(iter(layers.values())))
    good = np.ones(n, bool)
    for rows in layers.values():
        for first in range(0, n, step):
            # NaN compares false; beyond the bound float32 squares overflow.
            good[first : first + step] &= (
                np.abs(rows[first : first + step], dtype=np.float64) < _BOUND
            ).all(1)
    return good
