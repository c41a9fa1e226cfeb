"""Embed: turn the records of a batch into vectors, in a side-car keyed by record id."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.contract import contract_digest
from lazaretto.engine import open_engine
from lazaretto.ledger.events import BatchEmbedded
from lazaretto.received import find_batch, on_record
from lazaretto.registry.references import load_encoder_state, read_reference
from lazaretto.stages.clean import open_cleaned
from lazaretto.stages.results import (
    Reading,
    StageResult,
    record_result,
    skipped,
    stage_key,
)
from lazaretto.stages.spread import Embedding, Records, embedding, vector_schema, work_path
from lazaretto.storage.sidecars import write_parquet

if TYPE_CHECKING:
    from lazaretto.batch import Batch
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace


def embed(workspace: Workspace, batch: str, policy: Policy) -> StageResult[BatchEmbedded]:
    """Encodes a batch with the policy's encoder; a batch that brings its vectors needs no side-car.

    A batch whose contract is broken as a whole is not encoded: the gate holds it anyway. Nor is
    any where the policy's `screen.mode` is off.

    Args:
        workspace: catalog and store.
        batch: id of a validated batch.
        policy: names the encoder.

    Returns:
        What the batch was judged by, where a judgement stands. Its event names the encoder, and the
        file with columns ``record_id`` and ``embedding``; the batch's own copy where a column holds
        the vectors.

    Raises:
        NotFoundError: no such batch; or the encoder is the reference's, and there is none.
        UsageError: the batch is not validated under this policy.
        ChangedFileError: the batch's stored copy is gone or was changed.

    Examples:
        >>> from lazaretto import stages
        >>> batch = stages.receive(workspace, "wednesday.parquet", "vendor", policy=policy).id
        >>> _ = stages.validate(workspace, batch, policy)
        >>> embed(workspace, batch, policy).event.dimensions
        8
    """
    from lazaretto.embed import is_fitted, load_encoder

    contract = contract_digest(policy)
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        reading = Reading.of(connection, batch, policy, contract)
        settled = reading.settled(connection, "embed", BatchEmbedded)
        if settled is not None:
            return settled
        validated = reading.require_validated(connection)
        if validated.said.broken or not policy.screen.runs:
            return skipped("embed", validated)
        before = list(reading.results(connection, "embed", BatchEmbedded))
        stored = None
        if is_fitted(policy):
            stored = read_reference(connection, policy.screen.reference or policy.dataset)
    state = None if stored is None else load_encoder_state(workspace, stored)
    encoder, reads = load_encoder(policy, state), reading.reads("embed")
    fixes = None if validated.said.cleaned is None else validated.said.cleaned.fixes
    mended = {} if fixes is None else {"fixes": fixes.sha256}
    inputs = stage_key(reads=reads, batch=received.digest, encoder=encoder.digest, **mended)
    for result in before:
        if result.said.inputs == inputs:
            return result
    with on_record(workspace, batch, "embed"):
        data = open_cleaned(workspace, received, validated.said.cleaned)
        if policy.embed.encoder == "column":
            vectors, dimensions = received.stored, _width(data, policy)
        else:
            job = Embedding(
                Records.of(received, validated.said.cleaned),
                policy,
                encoder.digest,
                None if stored is None or len(stored.files) < 3 else stored.files[2],
            )
            with open_engine(policy, workspace.store, work_path(batch)) as engine:
                done = engine.map(job, embedding(lambda: data, encoder, policy), data.extents)
                encoded = (chunk for _, output in done for chunk in output["vectors"])
                first = next(encoded)
                dimensions = first.schema.field("embedding").type.list_size
                vectors = write_parquet(
                    workspace.store,
                    f"batches/{batch}/embeddings-{{sha256}}.parquet",
                    vector_schema(dimensions),
                    chain([first], encoded),
                )
    event = BatchEmbedded(
        batch=batch,
        policy=reading.ref,
        encoder=encoder.name,
        encoder_digest=encoder.digest,
        dimensions=dimensions,
        rows=received.rows,
        vectors=vectors,
        inputs=inputs,
        reads=reads,
    )
    return record_result(workspace, reading, "embed", event)


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
