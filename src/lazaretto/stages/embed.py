"""Embed: turn the records of a batch into vectors, in a side-car keyed by record id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch import record_ids
from lazaretto.ledger.events import BatchEmbedded
from lazaretto.stages.results import (
    StageResult,
    find_result,
    record_result,
    require_validated,
    skipped,
    stage_key,
)
from lazaretto.storage.batches import batch_row, open_stored
from lazaretto.storage.sidecars import write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch import Batch
    from lazaretto.embed import Encoder
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace

_CHUNK = 8192


def embed(workspace: Workspace, batch: str, policy: Policy) -> StageResult:
    """Encodes a batch with the policy's encoder; a batch that brings its vectors needs no side-car.

    A batch whose contract is broken as a whole is not encoded: the gate holds it anyway.

    Args:
        workspace: catalog and store.
        batch: id of a validated batch.
        policy: names the encoder.

    Returns:
        ``summary``: ``encoder``, ``encoder_digest``, ``dimensions``, ``rows``, or ``skipped``
        with the reason. ``uri``: columns ``record_id`` and ``embedding``; the batch itself where a
        column holds the vectors.

    Raises:
        NotFoundError: no such batch.
        UsageError: the batch is not validated under this policy.
    """
    from lazaretto.embed import load_encoder

    row = batch_row(workspace, batch)
    validated = require_validated(workspace, batch, policy)
    if validated.summary["broken"]:
        return skipped("embed", validated)
    encoder = load_encoder(policy)
    key = stage_key(policy=policy.sha256, batch=row.digest, encoder=encoder.digest)
    with workspace.catalog.read() as connection:
        before = find_result(connection, batch, "embed", key)
    if before is not None:
        return before
    data = open_stored(row, policy)
    if policy.embed.encoder == "column":
        uri, digest, dimensions = row.stored_uri, row.file_digest, _width(data, policy)
    else:
        first = encoder.encode(next(data.chunks(size=1)))
        dimensions = int(first.shape[1])
        uri, digest = write_parquet(
            workspace.store,
            f"batches/{batch}/embeddings-{key[:16]}.parquet",
            _schema(dimensions),
            _vectors(data, encoder, policy, dimensions),
        )
    event = BatchEmbedded(
        batch=batch,
        policy=policy.ref(),
        encoder=encoder.name,
        encoder_digest=encoder.digest,
        dimensions=dimensions,
        rows=row.rows,
        uri=uri,
        digest=digest,
    )
    summary = {
        "encoder": encoder.name,
        "encoder_digest": encoder.digest,
        "dimensions": dimensions,
        "rows": row.rows,
    }
    result = StageResult(batch, "embed", 0, summary, uri, digest)
    return record_result(workspace, result, key, policy, event)


def _schema(dimensions: int) -> pa.Schema:
    vector = pa.list_(pa.float32(), dimensions)
    return pa.schema([("record_id", pa.string()), ("embedding", vector)])


def _vectors(
    data: Batch, encoder: Encoder, policy: Policy, dimensions: int
) -> Iterator[pa.RecordBatch]:
    offset = 0
    for chunk in data.chunks(size=_CHUNK):
        flat = pa.array(encoder.encode(chunk).reshape(-1), pa.float32())
        vectors = pa.FixedSizeListArray.from_arrays(flat, dimensions)
        ids = record_ids(chunk, policy.columns, offset=offset)
        yield pa.RecordBatch.from_arrays([ids, vectors], schema=_schema(dimensions))
        offset += chunk.num_rows


def _width(data: Batch, policy: Policy) -> int:
    """Width of the vectors that a batch brings; validation holds rows of other widths."""
    name = str(policy.columns.embedding)
    kind = data.schema.field(name).type
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for chunk in data.chunks(columns=[name]):
        lengths = chunk.column(0).value_lengths().drop_null()
        if len(lengths):
            return int(lengths[0].as_py())
    return 0
