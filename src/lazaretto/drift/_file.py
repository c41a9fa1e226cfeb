"""A profile as two tables, for the store: sketches and axes in one, golden rows in the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from lazaretto.drift._golden import Golden
from lazaretto.drift._profile import Profile
from lazaretto.drift._signs_rows import Repeats
from lazaretto.drift._sketch import Axes, Sketch
from lazaretto.errors import ReferenceMismatchError

_CENTER = "center"
_NAMES = "names"
_REPEATS = "repeats"
_SCHEMA = pa.schema(
    [
        ("part", pa.string()),
        ("name", pa.string()),
        ("kind", pa.string()),
        ("rows", pa.int64()),
        ("nulls", pa.float64()),
        ("values", pa.list_(pa.float64())),
        ("categories", pa.list_(pa.string())),
        ("counts", pa.list_(pa.int64())),
        ("direction", pa.list_(pa.float64())),
    ]
)


def to_table(profile: Profile) -> pa.Table:
    """Sketches and axes, a row each."""
    rows = [_row("column", known) for known in profile.columns]
    rows += [
        _row("axis", known) | {"direction": direction}
        for known, direction in zip(profile.coordinates, profile.axes.directions, strict=True)
    ]
    rows.append({"part": _CENTER, "direction": profile.axes.center})
    rows.append({"part": _NAMES, "categories": list(profile.names)})
    if (repeats := profile.repeats) is not None:
        kept = {"categories": list(repeats.columns), "counts": [repeats.pairs]}
        rows.append({"part": _REPEATS, "rows": repeats.rows, **kept})
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def from_table(table: pa.Table, golden: pa.Table | None) -> Profile:
    """Rebuilds a profile.

    Raises:
        ReferenceMismatchError: the table is not a profile.
    """
    if table.schema.names != _SCHEMA.names:
        raise ReferenceMismatchError("the drift figures of the reference cannot be read")
    parts: dict[str, list[dict[str, object]]] = {}
    for row in table.to_pylist():
        parts.setdefault(row["part"], []).append(row)
    center = np.asarray(parts[_CENTER][0]["direction"], dtype=np.float64)
    directions = [row["direction"] for row in parts.get("axis", [])]
    return Profile(
        columns=tuple(_sketch(row) for row in parts.get("column", [])),
        names=tuple(parts[_NAMES][0]["categories"]),  # type: ignore[arg-type]
        axes=Axes(center, np.asarray(directions, dtype=np.float64).reshape(-1, len(center))),
        coordinates=tuple(_sketch(row) for row in parts.get("axis", [])),
        golden=None if golden is None else Golden(golden),
        repeats=_repeats(parts.get(_REPEATS, [])),
    )


def _row(part: str, known: Sketch) -> dict[str, object]:
    return {
        "part": part,
        "name": known.name,
        "kind": known.kind,
        "rows": known.rows,
        "nulls": known.nulls,
        "values": known.values,
        "categories": list(known.counts),
        "counts": list(known.counts.values()),
    }


def _repeats(rows: list[dict[str, object]]) -> Repeats | None:
    """None of a profile that was fitted before they were kept."""
    if not rows:
        return None
    row: dict[str, Any] = rows[0]
    return Repeats(tuple(row["categories"]), int(row["rows"]), int(row["counts"][0]))


def _sketch(row: dict[str, object]) -> Sketch:
    categories, counts = row["categories"] or [], row["counts"] or []
    return Sketch(
        name=str(row["name"]),
        kind=str(row["kind"]),
        rows=int(row["rows"]),  # type: ignore[call-overload]
        nulls=float(row["nulls"]),  # type: ignore[arg-type]
        values=np.asarray(row["values"] or [], dtype=np.float64),
        counts=dict(zip(categories, counts, strict=True)),  # type: ignore[call-overload]
    )
