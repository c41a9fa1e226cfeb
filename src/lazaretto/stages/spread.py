"""Encoding on an engine: the same work, in this process and in another one."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.batch import open_canonical, records
from lazaretto.batch._lists import as_lists
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazaretto.batch import Batch, Stretch
    from lazaretto.embed import Encoder
    from lazaretto.engine import Output, Run
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.storage.store import Store
    from lazaretto.values import Cleaned, StoredFile

CHUNK = 8192
"""Records that are encoded at once."""


@dataclass(frozen=True, slots=True)
class Records:
    """Where the records of a batch are, as they go on after validation.

    Attributes:
        batch: its id.
        rows: of the batch.
        stored: the canonical copy.
        fixes: mended values, where there are any.
    """

    batch: str
    rows: int
    stored: StoredFile
    fixes: StoredFile | None

    @classmethod
    def of(cls, received: Received, cleaned: Cleaned | None) -> Records:
        """Those of a received batch, by what its validation says."""
        fixes = None if cleaned is None else cleaned.fixes
        return cls(received.id, received.rows, received.stored, fixes)

    def open(self, store: Store) -> Batch:
        """Opens them; the bytes are checked while they are read."""
        data = open_canonical(store.open(self.stored), rows=self.rows, name=self.batch)
        return data if self.fixes is None else data.fixed(read_table(store, self.fixes))


@dataclass(frozen=True, slots=True)
class Embedding:
    """Encodes records.

    Attributes:
        records: of the batch.
        policy: names the encoder.
        encoder: its digest.
        state: what it learned, where the reference fitted it.
    """

    records: Records
    policy: Policy
    encoder: str
    state: StoredFile | None

    def open(self, store: Store) -> Run:
        """Loads the encoder on another machine; see `lazaretto.engine.Job`.

        Raises:
            ReferenceMismatchError: it is another one there.
        """
        from lazaretto.embed import load_encoder

        state = None if self.state is None else store.read(self.state)
        encoder = load_encoder(self.policy, state, digest=self.encoder)
        return embedding(lambda: self.records.open(store), encoder, self.policy)


def embedding(data: Callable[[], Batch], encoder: Encoder, policy: Policy) -> Run:
    """Encodes records here.

    Args:
        data: opens the batch.
        encoder: loaded.
        policy: which column is what.

    Returns:
        Gives `vectors` of a stretch: ``record_id`` and ``embedding``.
    """

    def run(stretch: Stretch | None) -> Output:
        return {"vectors": _encoded(cut_out(data(), stretch), encoder, policy)}

    return run


def work_path(batch: str) -> str:
    """Where workers of one run leave what they made of a batch, until the run puts it together."""
    return f"batches/{batch}/work-{uuid.uuid4().hex}"


def vector_schema(dimensions: int) -> pa.Schema:
    """Columns of a side-car of vectors, whichever way they come."""
    vectors = pa.list_(pa.float32(), dimensions)
    return pa.schema([("record_id", pa.string()), ("embedding", vectors)])


def _encoded(data: Batch, encoder: Encoder, policy: Policy) -> Iterator[pa.RecordBatch]:
    for ids, chunk in records(data, policy.columns, size=CHUNK):
        vectors = as_lists(encoder.encode(chunk).astype(np.float32, copy=False))
        yield pa.RecordBatch.from_arrays([ids, vectors], names=["record_id", "embedding"])


def cut_out(data: Batch, stretch: Stretch | None) -> Batch:
    """The records of a stretch; of the whole batch where there is none."""
    return data if stretch is None else data.stretch(stretch)
