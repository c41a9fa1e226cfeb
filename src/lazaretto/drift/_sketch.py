"""Sketches: what is kept of a reference's columns and vectors, bounded, to compare batches with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

KNOTS = 1000
"""Quantiles kept of a numeric column; all values where there are no more."""
MOST_CATEGORIES = 50
FEW_INTEGERS = 50
"""Whole numbers with at most so many values are categories."""
TEXT_SHARE = 0.5
"""A column of strings most of whose values are its own is text, and is compared by length."""
LONGEST_CATEGORY = 200
LARGEST = 1e15
"""Numbers beyond it are kept as it, so that differences stay finite."""
TEXT_TRAITS = {
    "upper": r"\p{Lu}",
    "lower": r"\p{Ll}",
    "space": r"\s",
    "other": r"[^\x00-\x7f]",
    "markup": r"</?[A-Za-z][^<>]{0,200}>",
    "entity": r"&(amp|lt|gt|quot|apos|nbsp|#\d{1,6}|#x[0-9A-Fa-f]{1,6});",
    "escaped": r"\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|%[0-9A-Fa-f]{2}%[0-9A-Fa-f]{2}",
    "mojibake": r"\x{c3}[\x{80}-\x{bf}]|\x{e2}\x{20ac}|\x{fffd}",
}
"""What is counted of texts, by name: how many match a pattern (RE2)."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """One column.

    Attributes:
        name: of the column.
        kind: ``numeric``, ``categorical`` or ``text``.
        rows: values that count: finite numbers, or values that are not null.
        nulls: share of the others.
        values: sorted quantiles of numbers or lengths, float64, at most `KNOTS`; else empty.
        counts: rows by category, most frequent first, at most `MOST_CATEGORIES`; of text, how many
            have each of the `TEXT_TRAITS`; else empty.
        total: how many values there were; None: as `rows` and `nulls` say.
    """

    name: str
    kind: str
    rows: int
    nulls: float
    values: Floats = field(default_factory=lambda: np.empty(0))
    counts: dict[str, int] = field(default_factory=dict)
    total: int | None = None

    @property
    def is_categorical(self) -> bool:
        """Whether it is compared by categories."""
        return self.kind == "categorical"

    @property
    def null_rows(self) -> int:
        """How many values do not count."""
        return self.all_rows - self.rows

    @property
    def all_rows(self) -> int:
        """How many values there were; 0 for a column that is missing, or of another kind."""
        if self.total is not None:
            return self.total
        return round(self.rows / (1 - self.nulls)) if self.nulls < 1 else 0


def flat_columns(schema: pa.Schema) -> list[str]:
    """Names of the columns that can be compared: numbers, booleans and strings."""
    return [f.name for f in schema if _is_number(f.type) or _is_category(f.type)]


def sketch(name: str, column: pa.ChunkedArray | None, *, like: Sketch | None = None) -> Sketch:
    """Sketches a column.

    Args:
        name: of the column.
        column: numbers, booleans or strings; None for a column that is missing.
        like: read it as this one was, and count this one's categories; default: as its values look.
    """
    if column is None or (like is not None and not _readable(column.type)):
        return Sketch(name, like.kind if like else "numeric", 0, 1.0)
    kind = like.kind if like is not None else _kind(column)
    if kind == "categorical":
        return _categories(name, column, like)
    if kind == "text" and not _is_text(column.type):
        column = _as_text(column)
    if kind != "text":
        return _numbers(name, kind, column)
    return replace(_numbers(name, kind, pc.utf8_length(column)), counts=traits(column))


def traits(column: pa.ChunkedArray) -> dict[str, int]:
    """How many texts have each of the `TEXT_TRAITS`."""
    found = {
        name: pc.sum(pc.match_substring_regex(column, pattern)).as_py() or 0
        for name, pattern in TEXT_TRAITS.items()
    }
    return {name: int(count) for name, count in found.items()}


@dataclass(frozen=True, slots=True)
class Axes:
    """The first principal axes of trusted vectors.

    Attributes:
        center: float64 (d,).
        directions: float64 (a, d), orthonormal.
    """

    center: Floats
    directions: Floats

    def project(self, vectors: npt.NDArray[np.floating]) -> dict[str, pa.ChunkedArray]:
        """Coordinates of vectors (m, d), a column per axis."""
        with np.errstate(over="ignore", invalid="ignore"):
            coordinates = (vectors - self.center) @ self.directions.T
        return {
            f"embedding[{i}]": pa.chunked_array([pa.array(column)])
            for i, column in enumerate(coordinates.T)
        }

    def sketches(self, vectors: npt.NDArray[np.floating]) -> list[Sketch]:
        """Sketches of the coordinates of vectors (n, d)."""
        return [_numbers(name, "numeric", c) for name, c in self.project(vectors).items()]


def principal_axes(vectors: npt.NDArray[np.floating], axes: int) -> Axes:
    """The first `axes` principal axes of vectors (n, d), by the eigenvectors of their scatter."""
    center = vectors.mean(0, dtype=np.float64)
    centered = vectors - center
    _, directions = np.linalg.eigh(centered.T @ centered)
    return Axes(center, np.ascontiguousarray(directions[:, ::-1][:, :axes].T))


def _kind(column: pa.ChunkedArray) -> str:
    if _is_number(column.type):
        if not pa.types.is_integer(column.type):
            return "numeric"
        return "categorical" if pc.count_distinct(column).as_py() <= FEW_INTEGERS else "numeric"
    known = len(column) - column.null_count
    if not _is_text(column.type) or known <= MOST_CATEGORIES:
        return "categorical"
    return "text" if pc.count_distinct(column).as_py() > TEXT_SHARE * known else "categorical"


def _numbers(name: str, kind: str, column: pa.ChunkedArray) -> Sketch:
    if not _is_number(column.type):
        column = _parsed(column)
    values = np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    finite = np.sort(np.clip(values[np.isfinite(values)], -LARGEST, LARGEST))
    nulls = 1 - len(finite) / max(1, len(values))
    kept = finite
    if len(finite) > KNOTS:
        kept = np.quantile(finite, (np.arange(KNOTS) + 0.5) / KNOTS, method="inverted_cdf")
    return Sketch(name, kind, len(finite), nulls, kept, total=len(values))


def category_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What the values of a column are called as categories."""
    return pc.utf8_slice_codeunits(_as_text(column), 0, LONGEST_CATEGORY)


def _categories(name: str, column: pa.ChunkedArray, like: Sketch | None) -> Sketch:
    texts = category_texts(column)
    known = len(texts) - texts.null_count
    found = pc.value_counts(texts.drop_null().combine_chunks())
    if like is not None:
        wanted = pa.array(list(like.counts), pa.string())
        found = found.filter(pc.is_in(found.field("values"), wanted))
    counts = zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)
    ordered = sorted(counts, key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES]
    nulls = 1 - known / max(1, len(texts))
    return Sketch(name, "categorical", known, nulls, counts=dict(ordered), total=len(texts))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_floating(kind):  # 3.0 is the category "3" where a column became floats
        whole = pc.cast(column, pa.int64(), safe=False)
        same = pc.equal(pc.cast(whole, pa.float64()), pc.cast(column, pa.float64()))
        as_integer = pc.cast(pc.if_else(pc.fill_null(same, False), whole, None), pa.string())
        return pc.coalesce(as_integer, pc.cast(column, pa.string()))
    return pc.cast(column, pa.string())


def _parsed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers that came as text or booleans; null where they are none."""
    if pa.types.is_boolean(column.type):
        return pc.cast(column, pa.int8())
    pattern = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
    texts = pc.cast(column, pa.string())
    looks = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    return pc.cast(pc.if_else(looks, texts, None), pa.float64())


def _readable(kind: pa.DataType) -> bool:
    return _is_number(kind) or _is_category(kind)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_category(kind: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(kind)) or _is_text(kind)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
