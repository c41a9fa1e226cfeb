"""Looks records up in the index of a dataset: which earlier ones they are copies of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from lazaretto.cleaning import BANDS, HASHES, Original, similarity
from lazaretto.storage import tables
from lazaretto.storage.bulk import among

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

    from lazaretto.dataset.record_index import Indexed

_file, _record, _band = tables.indexed_file, tables.indexed_record, tables.indexed_band
_AT_ONCE = 20_000


def find_same(
    connection: Connection, indexed: Indexed, keys: NDArray[np.int64], batch: str, *, after: int = 0
) -> dict[int, Original]:
    """Records of other batches with the same content.

    Args:
        connection: of the catalog.
        indexed: the index.
        keys: of the records; see `lazaretto.cleaning.content_keys`.
        batch: theirs: its own records are no others.
        after: only what versions behind this one admitted.

    Returns:
        By position the record that was admitted first.
    """
    found: dict[tuple[int, int], tuple[str, str]] = {}
    for some in _chunks(np.unique(keys[:, 0])):
        order = (_file.c.since, _record.c.file, _record.c.number)
        same = (_record.c.high, _record.c.low)
        rank = sa.func.row_number().over(partition_by=same, order_by=order).label("rank")
        ranked = (
            sa.select(*same, _file.c.batch, _record.c.record, rank)
            .join(_file, _file.c.id == _record.c.file)
            .where(_file.c.index == indexed.id, _file.c.batch != batch, _file.c.since > after)
            .where(among(connection, _record.c.high, some))
            .subquery()
        )
        for row in connection.execute(sa.select(ranked).where(ranked.c.rank == 1)):
            found[row.high, row.low] = row.batch, row.record
    if not found:
        return {}
    sources = _sources(connection, {batch for batch, _ in found.values()})
    return {
        position: Original(sources[found[key][0]], *found[key])
        for position, key in enumerate(zip(*keys.T.tolist(), strict=True))
        if key in found
    }


def find_near(
    connection: Connection,
    indexed: Indexed,
    sketches: NDArray[np.uint8],
    bands: NDArray[np.int64],
    *,
    there: NDArray[np.bool_],
    batch: str,
    least: float,
) -> dict[int, Original]:
    """Records of other batches with nearly the same text.

    Args:
        connection: of the catalog.
        indexed: the index.
        sketches: of the texts.
        bands: of them.
        there: which texts are compared at all.
        batch: theirs: its own records are no others.
        least: estimated similarity from which on texts are nearly the same.

    Returns:
        By position the most similar of at most `BANDS` records.
    """
    best: dict[int, tuple[float, str, str]] = {}
    rows = np.flatnonzero(there)
    for number in range(BANDS):
        mine = bands[rows, number]
        known: dict[int, tuple[str, str, bytes]] = {}
        for some in _chunks(np.unique(mine)):
            query = (
                sa.select(_band.c.band, _file.c.batch, _record.c.record, _record.c.sketch)
                .join(_file, _file.c.id == _band.c.file)
                .join(
                    _record, (_record.c.file == _band.c.file) & (_record.c.number == _band.c.number)
                )
                .where(_band.c.index == indexed.id, _file.c.batch != batch)
                .where(among(connection, _band.c.band, some))
            )
            for row in connection.execute(query):
                known[row.band] = row.batch, row.record, row.sketch
        pairs = [
            (at, known[key])
            for at, key in zip(rows.tolist(), mine.tolist(), strict=True)
            if key in known and known[key][2] is not None
        ]
        if not pairs:
            continue
        theirs = np.frombuffer(b"".join(one[2] for _, one in pairs), np.uint8).reshape(-1, HASHES)
        how = similarity(sketches[[at for at, _ in pairs]], theirs)
        for (at, one), value in zip(pairs, how.tolist(), strict=True):
            if value >= least and value > best.get(at, (0.0, "", ""))[0]:
                best[at] = value, one[0], one[1]
    sources = _sources(connection, {batch for _, batch, _ in best.values()})
    return {at: Original(sources[b], b, record, how) for at, (how, b, record) in best.items()}


def _sources(connection: Connection, batches: Iterable[str]) -> dict[str, str]:
    names, found = sorted(batches), {}
    for start in range(0, len(names), 500):
        some = names[start : start + 500]
        query = sa.select(tables.batch.c.id, tables.batch.c.source)
        rows = connection.execute(query.where(tables.batch.c.id.in_(some)))
        found.update({row.id: row.source for row in rows})
    return found


def _chunks(values: NDArray[np.int64]) -> Iterator[list[int]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE].tolist()
