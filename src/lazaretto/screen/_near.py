"""A second pass over a batch: which of its records lie close to some vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.detect.base import Chunk
from lazaretto.detect.neighbours import NeighbourIndex
from lazaretto.embed import load_encoder
from lazaretto.embed.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.detect.arrays import Floats
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference


def positions_near(
    batch: Batch | pa.Table | str | Path,
    reference: Reference,
    policy: Policy,
    *,
    exclude: Collection[str],
    embeddings: pa.Table | None,
    centers: Floats,
    radius: float,
) -> npt.NDArray[np.int64]:
    """Positions of the scorable records within a distance of one of some vectors.

    Args:
        batch: read once more.
        reference: gives the width of the vectors.
        policy: gives columns and encoder.
        exclude: ids of records that are not judged, and so have no position.
        embeddings: vectors made earlier.
        centers: float32 (s, d).
        radius: Euclidean.
    """
    encoder = load_encoder(policy, reference.encoder_state)
    reader = Reader(policy.columns, encoder, reference.encoder.dimensions, (), embeddings)
    excluded = pa.array(sorted(exclude), pa.string())
    index = NeighbourIndex(centers)
    found, judged = [], 0
    for rows in reader.rows(batch):
        keep = np.ones(len(rows), dtype=bool)
        if len(excluded):
            keep = ~pc.is_in(rows.ids, excluded).to_numpy(zero_copy_only=False)
        place = np.cumsum(keep) - 1
        keep[list(rows.vectors.problems)] = False
        if keep.any():
            chunk = Chunk(rows.vectors.values[keep])
            close = index.search(chunk, 1).distance[:, 0] <= radius
            found.append(judged + place[keep][close])
        judged += int(place[-1]) + 1
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
