"""A golden set: trusted rows and their vectors, to see whether the encoder still gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from lazaretto.batch import Batch
    from lazaretto.policy import Policy

ROWS = 32
MOST_BYTES = 4 * 2**20
"""Fewer rows are kept where they are larger than this together."""
TOLERANCE = 1e-3
"""Relative distance from which a vector is another one; other hardware moves it by far less."""
VECTOR = "_lazaretto_vector"


@dataclass(frozen=True, slots=True)
class Golden:
    """Trusted rows.

    Attributes:
        rows: as delivered, and their vectors in `VECTOR`, list<float>.
    """

    rows: pa.Table

    @classmethod
    def take(
        cls, data: pa.Table | Batch, policy: Policy, state: bytes | None = None
    ) -> Golden | None:
        """The first rows, encoded; None for the encoder ``column``, or where a row is too large.

        Args:
            data: trusted rows.
            policy: names the encoder.
            state: of the encoder, as `lazaretto.embed.load_encoder` takes it.
        """
        from lazaretto.batch import as_chunks
        from lazaretto.embed import load_encoder

        if policy.embed.encoder == "column":
            return None
        first = next(as_chunks(data, size=ROWS))
        while first.num_rows and first.nbytes > MOST_BYTES:
            first = pa.concat_batches([first.slice(0, first.num_rows // 2)])
        if not first.num_rows:
            return None
        vectors = load_encoder(policy, state).encode(first)
        listed = pa.array(list(np.asarray(vectors, dtype=np.float32)), pa.list_(pa.float32()))
        return cls(pa.Table.from_batches([first]).append_column(VECTOR, listed))

    def replay(self, policy: Policy, state: bytes | None = None) -> float:
        """Share of the rows whose vectors the policy's encoder no longer gives."""
        from lazaretto.embed import load_encoder

        stored = np.stack(self.rows[VECTOR].to_numpy()).astype(np.float64)
        rows = self.rows.drop_columns([VECTOR]).combine_chunks().to_batches()[0]
        found = np.asarray(load_encoder(policy, state).encode(rows), dtype=np.float64)
        if found.shape != stored.shape:
            return 1.0
        distance = np.linalg.norm(found - stored, axis=1)
        size = np.maximum(np.linalg.norm(stored, axis=1), 1e-12)
        return float((~(distance <= TOLERANCE * size)).mean())
