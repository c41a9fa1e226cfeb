"""Tables to vectors: scaled or quantile-mapped numbers, one-hot categories."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.embed.columns import column
from lazaretto.errors import NotFoundError, PolicyError, ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

Scaling = Literal["standard", "quantile"]
MOST_CATEGORIES = 64
QUANTILES = 101
FORMAT = 1


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """One numeric column: ascending reference quantiles, mean and spread of the trusted rows."""

    name: str
    quantiles: tuple[float, ...]
    mean: float
    spread: float


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """One categorical column: its known values; anything else is one more."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TabularEncoder:
    """A reference fits it, or `fit_tabular`, whose file the policy names in ``embed.model``.

    A number becomes two entries: its value (standardised, clipped at 10 spreads; or mapped by the
    reference's quantiles to a normal score) and whether it is null. A category becomes one entry
    per known value, and one for "another".

    Attributes:
        numbers: numeric columns.
        categories: categorical columns.
        scaling: of numbers.
    """

    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]
    scaling: Scaling

    @property
    def name(self) -> str:
        """Encoder name."""
        return "tabular"

    @property
    def dimensions(self) -> int:
        """Width of the vectors."""
        return 2 * len(self.numbers) + sum(len(c.values) + 1 for c in self.categories)

    @property
    def digest(self) -> str:
        """sha256 of the state."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @property
    def weights(self) -> str:
        """The same: all of it was learned from the reference."""
        return self.digest

    def to_json(self) -> bytes:
        """The state."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True).encode()

    def save(self, path: str | Path) -> None:
        """Writes the state."""
        from pathlib import Path as LocalPath

        LocalPath(path).write_bytes(self.to_json())

    def encode(self, chunk: pa.RecordBatch) -> Floats:
        """Float32 (n, d).

        Raises:
            ReferenceMismatchError: a column is missing, or is no longer of the kind that it was.
        """
        parts = [self._number(chunk, number) for number in self.numbers]
        parts += [_one_hot(chunk, category) for category in self.categories]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def _number(self, chunk: pa.RecordBatch, number: NumberColumn) -> Floats:
        values = _floats(column(chunk, number.name), number.name)
        null = ~np.isfinite(values)
        values = np.where(null, number.mean, values)
        if self.scaling == "quantile":
            from scipy.special import ndtri

            share = np.interp(values, number.quantiles, np.linspace(0, 1, QUANTILES))
            scaled = ndtri(np.clip(share, 1e-3, 1 - 1e-3))
        else:
            scaled = np.clip((values - number.mean) / number.spread, -10, 10)
        return np.stack([scaled, null], 1).astype(np.float32)


def fit_tabular(
    trusted: pa.Table, columns: Sequence[str], *, scaling: Scaling = "standard"
) -> TabularEncoder:
    """Fits the encoder on trusted rows.

    Args:
        trusted: rows.
        columns: which to encode; numbers and booleans are numeric, all else categorical.
        scaling: ``standard``, or ``quantile`` for columns with long tails.

    Raises:
        ReferenceMismatchError: a column is missing or nested.
        PolicyError: no column, or another scaling.

    Examples:
        >>> rows = pa.table({"age": [20.0, 30.0, 40.0], "city": ["Rom", "Bari", "Rom"]})
        >>> encoder = fit_tabular(rows, ["age", "city"])
        >>> encoder.encode(rows.to_batches()[0]).shape
        (3, 5)
    """
    if not columns or scaling not in ("standard", "quantile"):
        raise PolicyError("embed: name embed.columns, and scaling 'standard' or 'quantile'")
    chunk = trusted.combine_chunks().to_batches()[0]
    numbers, categories = [], []
    for name in columns:
        values = column(chunk, name)
        kind = values.type
        if _is_number(kind):
            known = _floats(values, name)
            known = known[np.isfinite(known)]
            known = known if len(known) else np.zeros(1)
            cuts = np.quantile(known, np.linspace(0, 1, QUANTILES))
            spread = float(known.std()) or 1e-6 * max(1.0, abs(float(known.mean())))
            numbers.append(NumberColumn(name, tuple(cuts.tolist()), float(known.mean()), spread))
        else:
            counts = pc.value_counts(_words(values, name)).to_pylist()
            common = sorted(
                (entry for entry in counts if entry["values"] is not None),
                key=lambda entry: (-entry["counts"], entry["values"]),
            )[:MOST_CATEGORIES]
            categories.append(CategoryColumn(name, tuple(sorted(e["values"] for e in common))))
    return TabularEncoder(tuple(numbers), tuple(categories), scaling)


def load_tabular(path: str | Path) -> TabularEncoder:
    """Reads what `TabularEncoder.save` wrote.

    Raises:
        PolicyError: not such a file.
        NotFoundError: there is no file.
    """
    from pathlib import Path as LocalPath

    try:
        data = LocalPath(path).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"embed.model: there is no file {str(path)!r}") from error
    return read_tabular(data, f"embed.model: {str(path)!r}")


def read_tabular(data: bytes, name: str) -> TabularEncoder:
    """The encoder whose state `TabularEncoder.to_json` gave; `name` is for messages.

    Raises:
        PolicyError: it is not such a state.
    """
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise PolicyError(f"{name} has format {document['format']!r}, not {FORMAT}")
        return TabularEncoder(
            tuple(
                NumberColumn(**{**entry, "quantiles": tuple(entry["quantiles"])})
                for entry in document["numbers"]
            ),
            tuple(
                CategoryColumn(entry["name"], tuple(entry["values"]))
                for entry in document["categories"]
            ),
            document["scaling"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyError(f"{name} is no state of the tabular encoder") from error


def _one_hot(chunk: pa.RecordBatch, category: CategoryColumn) -> Floats:
    values = _words(column(chunk, category.name), category.name)
    known = pc.index_in(values, pa.array(list(category.values), pa.string()))
    place = np.asarray(pc.fill_null(known, len(category.values)), dtype=np.int64)
    return np.eye(len(category.values) + 1, dtype=np.float32)[place]


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def _words(values: pa.Array, name: str) -> pa.Array:
    try:
        return pc.cast(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ReferenceMismatchError(
            f"embed.columns: column {name!r} has type {values.type}, which cannot be encoded"
        ) from error


def _floats(values: pa.Array, name: str) -> npt.NDArray[np.float64]:
    if not _is_number(values.type) and not pa.types.is_null(values.type):
        raise ReferenceMismatchError(
            f"embed.columns: column {name!r} has type {values.type}, and the encoder was fitted on "
            "numbers"
        )
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.int8())
    numbers = pc.cast(values, pa.float64(), safe=False)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
