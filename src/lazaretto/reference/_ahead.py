"""Trusted rows that workers encode, for a fit that reads them in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.batch import as_chunks
from lazaretto.batch._lists import as_lists, as_matrix
from lazaretto.embed import load_encoder
from lazaretto.embed.reader import CHUNK_ROWS
from lazaretto.storage.sidecars import read_table, row_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from lazaretto.batch import Batch, Stretch
    from lazaretto.embed import Encoder
    from lazaretto.engine import Engine, Output, Run
    from lazaretto.policy import Policy
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile


@dataclass(frozen=True, slots=True)
class Encoding:
    """Encodes trusted rows.

    Attributes:
        rows: the rows; a row group is encoded at once, as this process would.
        policy: names the encoder.
        encoder: its digest.
        state: what it learned of other trusted rows; None where it learned nothing.
    """

    rows: StoredFile
    policy: Policy
    encoder: str
    state: StoredFile | None

    def open(self, store: Store) -> Run:
        """Loads the encoder on another machine; see `lazaretto.engine.Job`.

        Raises:
            ReferenceMismatchError: it is another one there.
        """
        state = None if self.state is None else read_table(store, self.state)["state"][0].as_py()
        encoder = load_encoder(self.policy, state, digest=self.encoder)

        def run(stretch: Stretch | None) -> Output:
            numbers = None if stretch is None else stretch.numbers
            return {"vectors": _encoded(row_groups(store, self.rows, numbers), encoder)}

        return run


@dataclass(frozen=True, slots=True)
class Ahead:
    """An encoder whose vectors are made elsewhere, in the order in which they are asked for.

    `Encoder` lists its attributes.
    """

    name: str
    digest: str
    weights: str
    dimensions: int
    vectors: Iterator[npt.NDArray[np.float32]]

    def encode(self, chunk: pa.RecordBatch) -> npt.NDArray[np.float32]:
        """The vectors (n, d) of the next chunk."""
        made = next(self.vectors)
        assert len(made) == chunk.num_rows  # noqa: S101  both are cut alike
        return made


def encoded_by(
    engine: Engine, trusted: pa.Table | Batch, policy: Policy, encoder: Encoder, state: bytes | None
) -> Encoder:
    """An encoder for a single reading of the trusted rows, in chunks of `CHUNK_ROWS`.

    Args:
        engine: where they are encoded.
        trusted: all of them.
        policy: names the encoder.
        encoder: loaded here.
        state: what it learned of other trusted rows, if so.

    Returns:
        The same one where the rows bring their vectors, or where this process encodes.
    """
    if policy.embed.encoder == "column":
        return encoder
    extents: list[int] = []

    def chunks() -> Iterator[pa.RecordBatch]:
        for chunk in as_chunks(trusted, size=CHUNK_ROWS):
            extents.append(chunk.num_rows)
            yield chunk

    rows = engine.keep("trusted", chunks())
    if rows is None:
        return encoder
    learned = None
    if state is not None:
        learned = engine.keep("encoder", [pa.table({"state": pa.array([state], pa.binary())})])
    job = Encoding(rows, policy, encoder.digest, learned)

    def here(stretch: Stretch | None) -> Output:  # noqa: ARG001  these engines have workers
        return {"vectors": _encoded(as_chunks(trusted, size=CHUNK_ROWS), encoder)}

    def vectors() -> Iterator[npt.NDArray[np.float32]]:
        for _, output in engine.map(job, here, lambda: extents):
            for table in output["vectors"]:
                yield as_matrix(table["embedding"])

    return Ahead(encoder.name, encoder.digest, encoder.weights, encoder.dimensions, vectors())


def _encoded(
    chunks: Iterable[pa.RecordBatch | pa.Table], encoder: Encoder
) -> Iterator[pa.RecordBatch]:
    for chunk in chunks:
        rows = chunk.combine_chunks().to_batches()[0] if isinstance(chunk, pa.Table) else chunk
        vectors = as_lists(encoder.encode(rows).astype(np.float32, copy=False))
        yield pa.RecordBatch.from_arrays([vectors], names=["embedding"])
