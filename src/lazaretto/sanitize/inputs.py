"""Check what `sanitize` is given and turn it into arrays; set apart rows that cannot be scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Activations = Mapping[str, "NDArray[np.floating]"]

_BOUND = 1e15


@dataclass(frozen=True, slots=True)
class Inputs:
    """Checked input.

    Attributes:
        layers: {layer: (n, d) floats}, as given.
        record_ids: string array (n,).
        classes: class names; codes index into it.
        codes: int64 (n,).
        scorable: bool (n,), rows that are finite in every layer.
        trusted: {layer: (m, d)}, finite rows only; None without a reference.
        trusted_codes: int64 (m,), or None.
    """

    layers: dict[str, NDArray[np.floating]]
    record_ids: pa.Array
    classes: list[str]
    codes: NDArray[np.int64]
    scorable: NDArray[np.bool_]
    trusted: dict[str, NDArray[np.floating]] | None
    trusted_codes: NDArray[np.int64] | None


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
    scorable = _finite(layers)
    if trusted is None:
        classes, codes = _encode(names, [])
        return Inputs(layers, ids, classes, codes[0], scorable, None, None)
    clean = _layers(trusted[0], "trusted activations")
    _agree(layers, clean)
    m = len(next(iter(clean.values())))
    clean_names = _labels(trusted[1], m, "trusted labels")
    usable = _finite(clean)
    classes, (codes_a, codes_b) = _encode(names, clean_names)
    kept = {name: rows if usable.all() else rows[usable] for name, rows in clean.items()}
    return Inputs(layers, ids, classes, codes_a, scorable, kept, codes_b[usable])


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


def _encode(names: pa.Array, clean: Any) -> tuple[list[str], list[NDArray[np.int64]]]:
    sides = [names, clean] if len(clean) else [names]
    both = pa.concat_arrays(sides).dictionary_encode()
    order = sorted(range(len(both.dictionary)), key=lambda i: _natural(both.dictionary[i].as_py()))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    codes = place[both.indices.to_numpy(zero_copy_only=False)]
    classes = [both.dictionary[i].as_py() for i in order]
    return classes, [codes[: len(names)], codes[len(names) :]]


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
