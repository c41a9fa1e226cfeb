"""A golden set: trusted rows and their vectors, to see whether the encoder still gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lazaretto.embed import load_encoder
from lazaretto.embed.options import ColumnOptions, read_options
from lazaretto.policy.folder import importing_from
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable

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
        """The first rows, with their vectors; None where a row is too large.

        None as well where vectors come with the rows, and no function makes them again.

        Args:
            data: trusted rows.
            policy: names the encoder.
            state: of the encoder, as `lazaretto.embed.load_encoder` takes it.
        """
        from lazaretto.batch import as_chunks

        again = encoder_of(policy, state)
        if again is None:
            return None
        first = next(as_chunks(data, size=ROWS))
        while first.num_rows and first.nbytes > MOST_BYTES:
            first = pa.concat_batches([first.slice(0, first.num_rows // 2)])
        if not first.num_rows:
            return None
        # Vectors that came with the rows are what the function must still give.
        encoder = load_encoder(policy, state)
        vectors = encoder.encode(first)
        listed = pa.array(list(np.asarray(vectors, dtype=np.float32)), pa.list_(pa.float32()))
        return cls(pa.Table.from_batches([first]).append_column(VECTOR, listed))

    def replay(self, policy: Policy, state: bytes | None = None) -> float | None:
        """Share of the rows whose vectors the encoder, or the user's function, no longer gives.

        None where there is nothing to encode them with.

        Raises:
            PolicyError: the user's function cannot be imported, raises, or gives no vectors.
        """
        encode = encoder_of(policy, state)
        if encode is None:
            return None
        stored = np.stack(self.rows[VECTOR].to_numpy()).astype(np.float64)
        rows = self.rows.drop_columns([VECTOR]).combine_chunks().to_batches()[0]
        found = np.asarray(encode(rows), dtype=np.float64)
        if found.shape != stored.shape:
            return 1.0
        distance = np.linalg.norm(found - stored, axis=1)
        size = np.maximum(np.linalg.norm(stored, axis=1), 1e-12)
        return float((~(distance <= TOLERANCE * size)).mean())


def encoder_of(policy: Policy, state: bytes | None) -> Callable[[pa.RecordBatch], Any] | None:
    """What makes vectors of rows: the policy's encoder, or the function that it names.

    None where vectors come with the rows, and the policy names no function that makes them.

    Raises:
        PolicyError: the function cannot be imported.
    """
    if policy.embed.encoder != "column":
        return load_encoder(policy, state).encode
    path = read_options(policy, ColumnOptions).replay
    if path is None:
        return None
    place = ("embed", "options", "replay")
    try:
        with importing_from(policy.folder):
            function = resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise policy.mistake(place, f"cannot import {path!r}: {error_line(error)}") from error
    column = policy.columns.embedding

    def again(rows: pa.RecordBatch) -> Any:
        table = pa.Table.from_batches([rows])
        kept = [name for name in table.schema.names if name != column]
        try:
            found = np.asarray(function(table.select(kept)), dtype=np.float64)
        except Exception as error:  # code of the user's
            raise policy.mistake(place, f"{path!r} raised {error_line(error)}") from error
        if found.ndim != 2:
            raise policy.mistake(place, f"{path!r} gave no vectors (n, d): shape {found.shape}")
        return found

    return again
