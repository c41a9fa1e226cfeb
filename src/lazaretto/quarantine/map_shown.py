"""A map as it is sent: bytes for the page's script, and a picture where there is no WebGL."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.quarantine.map import ADMITTED, HELD, TRUSTED

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.quarantine.map import EmbeddingMap

MOST_POINTS = 500_000
"""More held records than this are sent as how many there are in each cell."""
CELLS = 256
"""Cells of a density grid, to each side."""
_ALIGNED = 8
_PICTURE_CELLS = 64
_COLOURS = {TRUSTED: "#8893a5", ADMITTED: "#2f7fd0", HELD: "#d1495b"}


def map_bytes(found: EmbeddingMap) -> bytes:
    """A map in one answer: a head in JSON, then arrays, all little-endian.

    Four bytes with the length of the head; the head, padded with spaces so that the first array
    begins at a multiple of 8; then the arrays that the head names, each with its type and shape,
    padded with zeros to a multiple of 8.

    With up to `MOST_POINTS` held records (``shown`` is ``points``) these are ``x`` and ``y`` of
    `EmbeddingMap.place`, and its `kind`, `label`, `quantile`, `position` and `apart`. With more
    (``grid``) they are ``trusted``, ``admitted`` and ``held``: records in each cell, uint16 (256,
    256), row by row from the bottom; 65535 stands for as many or more.

    Examples:
        >>> from lazaretto.quarantine.map import map_of_case
        >>> answer = map_bytes(map_of_case(workspace, case))
        >>> size = int.from_bytes(answer[:4], "little")
        >>> head = json.loads(answer[4 : 4 + size])
        >>> head["shown"], head["held"]
        ('points', 6)
    """
    arrays: dict[str, npt.NDArray[np.generic]]
    if found.held > MOST_POINTS:
        shown = "grid"
        names = {"trusted": TRUSTED, "admitted": ADMITTED, "held": HELD}
        arrays = {name: density(found, kind) for name, kind in names.items()}
    else:
        shown = "points"
        arrays = {
            "x": np.ascontiguousarray(found.place[:, 0]),
            "y": np.ascontiguousarray(found.place[:, 1]),
            "kind": found.kind,
            "label": found.label,
            "quantile": found.quantile,
            "position": found.position,
            "apart": found.apart.astype(np.uint8),
        }
    head = {
        "shown": shown,
        "words": found.words,
        "classes": found.classes,
        "trusted": found.trusted,
        "admitted": found.admitted,
        "held": found.held,
        "unplaced": found.unplaced,
        "apart": int(found.apart.sum()),
        "share": [round(part, 4) for part in found.share],
        "arrays": [[name, array.dtype.name, list(array.shape)] for name, array in arrays.items()],
    }
    text = json.dumps(head, ensure_ascii=True).encode()
    text += b" " * (-(4 + len(text)) % _ALIGNED)
    parts = [len(text).to_bytes(4, "little"), text]
    for array in arrays.values():
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        parts += [data, bytes(-len(data) % _ALIGNED)]
    return b"".join(parts)


def density(found: EmbeddingMap, kind: int, cells: int = CELLS) -> npt.NDArray[np.uint16]:
    """How many points of a kind are in each cell, uint16 (cells, cells), from the bottom up.

    Args:
        found: the map.
        kind: `TRUSTED`, `ADMITTED` or `HELD`.
        cells: to each side; a power of two.
    """
    size = 2**16 // cells
    x, y = (found.place[found.kind == kind] // size).astype(np.int64).T
    counts = np.bincount(y * cells + x, minlength=cells * cells)
    few: npt.NDArray[np.uint16] = np.minimum(counts, 65_535).astype(np.uint16)
    return few.reshape(cells, cells)


def map_picture(found: EmbeddingMap) -> str:
    """The density of a map as an SVG picture, for browsers without WebGL, and for print.

    Examples:
        >>> from lazaretto.quarantine.map import map_of_case
        >>> map_picture(map_of_case(workspace, case)).split()[0]
        '<svg'
    """
    cells = _PICTURE_CELLS
    words = escape(found.words)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {cells} {cells}" role="img" '
        f'aria-label="{words}" shape-rendering="crispEdges"><title>{words}</title>'
    ]
    for kind, colour in _COLOURS.items():
        counts = density(found, kind, cells)
        most = float(np.log1p(counts.max()))
        parts.append(f'<g fill="{colour}">')
        for row, column in np.argwhere(counts).tolist():
            seen = 0.25 + 0.75 * float(np.log1p(counts[row, column])) / most
            parts.append(
                f'<rect x="{column}" y="{cells - 1 - row}" width="1" height="1" '
                f'opacity="{seen:.2f}"/>'
            )
        parts.append("</g>")
    return "".join([*parts, "</svg>"])
