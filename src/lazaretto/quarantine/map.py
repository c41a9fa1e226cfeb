"""The map of a case: trusted, admitted and held records in the plane that tells them apart best."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from lazaretto.errors import ReferenceMismatchError
from lazaretto.ledger.deletions import deletions_told
from lazaretto.quarantine.cases import find_case
from lazaretto.quarantine.map_files import files_of_map
from lazaretto.quarantine.map_plane import FIT_ROWS, fit_plane
from lazaretto.quarantine.map_rows import (
    NONE,
    OTHER,
    HeldIndex,
    place_batch,
    read_held,
    some_held_vectors,
)
from lazaretto.reference._sample import read_trusted
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_chunks
from lazaretto.text import cut, visible

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.quarantine.map_files import MapFiles
    from lazaretto.reference._sample import TrustedRows
    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace

TRUSTED, ADMITTED, HELD = 0, 1, 2
"""What a point is."""
UNKNOWN = 255
"""Quantile of a record that has no score."""
_MOST_TRUSTED = 20_000
_MOST_ADMITTED = 100_000
_COARSE = 64


@dataclass(frozen=True, slots=True)
class EmbeddingMap:
    """The map of a case. N points: trusted ones, then admitted ones, then held ones.

    Attributes:
        place: uint16 (N, 2), from left to right and from the bottom to the top.
        kind: uint8 (N,): `TRUSTED`, `ADMITTED` or `HELD`.
        label: uint8 (N,), index in `classes`; 254: a label that the reference does not know; 255:
            none, or not read (of admitted records).
        quantile: uint8 (N,), share of the batch's records whose score is lower, 0 to 254; 255: no
            score.
        position: uint32 (H,), of the held points, in the batch; ascending.
        apart: bool (H,), whether a held point lies where no trusted one does.
        classes: labels of the reference.
        share: part of the variance that each axis shows, 0 to 1.
        trusted: records of the reference in all.
        admitted: records of the batch that are not held, in all.
        held: held records in all.
        unplaced: held records without a usable vector: they are not on the map.
        reference: ``name/version`` of the trusted records.
    """

    place: npt.NDArray[np.uint16]
    kind: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    quantile: npt.NDArray[np.uint8]
    position: npt.NDArray[np.uint32]
    apart: npt.NDArray[np.bool_]
    classes: list[str]
    share: tuple[float, float]
    trusted: int
    admitted: int
    held: int
    unplaced: int
    reference: str

    @property
    def words(self) -> str:
        """What the map shows, for whoever does not see it; names in it come from deliveries."""
        apart = int(self.apart.sum())
        told = (
            f"Map of {self.held:,} held, {self.admitted:,} admitted and {self.trusted:,} trusted "
            f"records (reference {self.reference}), in two directions that show "
            f"{sum(self.share):.0%} of how they vary. "
        )
        if apart:
            told += f"{apart:,} held records lie where no trusted record lies."
        elif len(self.position):
            told += "Wherever a held record lies, trusted ones lie, too."
        if self.unplaced:
            told += f" {self.unplaced:,} held records have no usable vector and are not on it."
        return told


def map_of_case(workspace: Workspace, case: str, files: MapFiles | None = None) -> EmbeddingMap:
    """Makes the map of a case from the stored vectors; the same files give the same map.

    Of trusted and admitted records a part is shown where there are many; of held ones all. Memory
    holds a chunk of vectors at a time and 25 bytes for each record of the batch.

    Args:
        workspace: catalog and store.
        case: its id.
        files: of `files_of_map`; default: they are looked up.

    Raises:
        NotFoundError: no such case; or there is no map of it, and the error says why not.
        DeletedPayloadError: retention deleted its records or vectors.
        ChangedFileError: a file is gone or was changed.
        ReferenceMismatchError: the reference's files cannot be read.

    Examples:
        >>> found = map_of_case(workspace, case)
        >>> (found.held, found.admitted, len(found.position))
        (6, 54, 6)
        >>> found.place.dtype, found.place.shape == (len(found.kind), 2)
        (dtype('uint16'), True)
    """
    files = files or files_of_map(workspace, case)
    with deletions_told(workspace.catalog.read, files.batch):
        return map_of_files(workspace.store, files)


def map_of_files(store: Store, files: MapFiles) -> EmbeddingMap:
    """The map that some files give; see `map_of_case`.

    Raises:
        ChangedFileError: a file is gone or was changed.
        SystemFaultError: the files do not belong together.
    """
    classes = _classes(store, files)
    with store.open(files.trusted) as opened:
        trusted = read_trusted(opened, _MOST_TRUSTED)
    width = trusted.vectors.shape[1]
    good = np.asarray(np.isfinite(trusted.vectors).all(axis=1), dtype=bool)
    known = trusted.vectors[good]
    held = read_held(store, files, classes)
    few = known[np.linspace(0, len(known) - 1, min(FIT_ROWS, len(known)), dtype=np.int64)]
    plane = fit_plane(few, some_held_vectors(store, files, held, width))
    place, usable = place_batch(store, files, plane, width)
    others = _others(files, held, usable)
    scores = _scores_of(store, files, held, others)
    here = usable[held.position]
    position, near = held.position[here], plane.place(known)
    points = [near, place[others], place[position]]
    sizes = [len(part) for part in points]
    quantile = _quantiles(held.score[here], scores)
    return EmbeddingMap(
        place=np.concatenate(points),
        kind=np.repeat(np.array([TRUSTED, ADMITTED, HELD], np.uint8), sizes),
        label=np.concatenate(
            [_labels(trusted, good), np.full(sizes[1], NONE, np.uint8), held.label[here]]
        ),
        quantile=np.concatenate(
            [np.full(sizes[0], UNKNOWN, np.uint8), quantile[sizes[2] :], quantile[: sizes[2]]]
        ),
        position=position,
        apart=_apart(near, points[2]),
        classes=[cut(visible(name), 80) for name in classes[:OTHER]],
        share=plane.share,
        trusted=trusted.rows,
        admitted=files.rows - files.held,
        held=files.held,
        unplaced=files.held - len(position),
        reference=files.reference,
    )


def decided_of_case(
    workspace: Workspace, case: str
) -> tuple[npt.NDArray[np.uint32], list[str], npt.NDArray[np.uint8]]:
    """The decisions in force on a map's held records, which change while the map stays.

    Returns:
        Positions of the decided records, uint32 (n,), ascending; the actions; and for each record
        the index of its action, uint8 (n,), plus 128 where it is published.

    Raises:
        NotFoundError: no such case.
    """
    table = tables.held_record
    query = (
        sa.select(table.c.position, table.c.action, table.c.part.is_not(None))
        .where(table.c.case_id == case, table.c.action.is_not(None))
        .order_by(table.c.position)
    )
    with workspace.catalog.read() as connection:
        find_case(connection, case)
        rows = connection.execute(query).all()
    actions = sorted({str(row[1]) for row in rows})
    code = {action: number for number, action in enumerate(actions)}
    return (
        np.array([row[0] for row in rows], dtype=np.uint32),
        actions,
        np.array([code[str(row[1])] + 128 * bool(row[2]) for row in rows], dtype=np.uint8),
    )


def _classes(store: Store, files: MapFiles) -> list[str]:
    try:
        return [str(name) for name in json.loads(store.read(files.metadata))["classes"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ReferenceMismatchError(f"reference {files.reference} cannot be read") from error


def _labels(trusted: TrustedRows, good: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    if trusted.label is None:
        return np.full(int(good.sum()), NONE, np.uint8)
    label = trusted.label[good]
    known: npt.NDArray[np.uint8] = np.where((label >= 0) & (label < OTHER), label, OTHER).astype(
        np.uint8
    )
    return known


def _others(
    files: MapFiles, held: HeldIndex, usable: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Positions of the admitted records that are shown, evenly chosen."""
    if files.rows == files.held:
        return np.empty(0, np.int64)
    free = usable.copy()
    free[held.position] = False
    found = np.flatnonzero(free)
    step = -(-len(found) // _MOST_ADMITTED)
    return found[:: max(1, step)]


def _scores_of(
    store: Store, files: MapFiles, held: HeldIndex, others: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Scores of admitted records, float32; NaN where there is none.

    The file has a row for each record that the contract did not fail, in the batch's order.
    """
    if not len(others):
        return np.empty(0, np.float32)
    chunks = read_chunks(store, files.scores, columns=["score"])
    known = [chunk.column(0).to_numpy(zero_copy_only=False).astype(np.float32) for chunk in chunks]
    score = np.concatenate(known) if known else np.empty(0, np.float32)
    row = others - np.searchsorted(held.position[held.broken], others)
    found = np.full(len(others), np.nan, np.float32)
    there = row < len(score)
    found[there] = score[row[there]]
    return found


def _quantiles(
    held: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Share of lower scores, uint8, of held records and then of others."""
    score = np.concatenate([held, others])
    known = ~np.isnan(score)
    found = np.full(len(score), UNKNOWN, np.uint8)
    if known.any():
        part = score[known]
        sample = part[:: max(1, len(part) // 65_536)]
        edges = np.quantile(sample, np.linspace(0, 1, UNKNOWN)[1:-1], method="lower")
        found[known] = np.searchsorted(edges, part, side="left")
    return found


def _apart(near: npt.NDArray[np.uint16], held: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
    """Whether there is no trusted point in or beside the part of the map that a held one is in."""
    size = 2**16 // _COARSE
    taken = np.zeros((_COARSE + 2, _COARSE + 2), bool)
    x, y = (near // size + 1).T
    for step_x in (-1, 0, 1):
        for step_y in (-1, 0, 1):
            taken[x.astype(np.int64) + step_x, y.astype(np.int64) + step_y] = True
    inner = taken[1:-1, 1:-1]
    x, y = (held // size).T
    apart: npt.NDArray[np.bool_] = ~inner[x, y]
    return apart
