"""What the stages share: results, and how a stage finds a batch and what was done to it before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785
import sqlalchemy as sa

from lazaretto.batch import Batch, open_batch
from lazaretto.errors import NotFoundError
from lazaretto.ledger import append
from lazaretto.quarantine import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from lazaretto.events import Event
    from lazaretto.policy import Policy
    from lazaretto.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage did to a batch.

    Attributes:
        batch: its id.
        stage: ``validate``, ``embed`` or ``screen``.
        seq: ledger entry of the result.
        summary: a few counts and words, JSON values.
        uri: the stage's side-car in the store.
        digest: sha256 (hex) of the side-car's bytes.
    """

    batch: str
    stage: str
    seq: int
    summary: dict[str, Any] = field(default_factory=dict)
    uri: str | None = None
    digest: str | None = None


def batch_row(workspace: Workspace, batch: str) -> Row[Any]:
    """The catalog's row of a batch.

    Raises:
        NotFoundError: no such batch was received.
    """
    with workspace.catalog.read() as connection:
        return find_batch(connection, batch)


def find_batch(connection: Connection, batch: str) -> Row[Any]:
    """The same, inside a transaction."""
    row = connection.execute(
        sa.select(tables.batch).where(tables.batch.c.id == batch)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"no batch {batch!r} was received: see `lazaretto batch list`")
    return row


def open_stored(row: Row[Any], policy: Policy | None = None) -> Batch:
    """Opens the immutable copy of a batch in the store."""
    return open_batch(row.stored_uri, format=row.format, limits=policy.limits if policy else None)


def stage_key(**inputs: object) -> str:
    """sha256 (hex) of everything a stage's result depends on."""
    return hashlib.sha256(rfc8785.dumps(inputs)).hexdigest()  # type: ignore[arg-type]


def contract_base(policy: Policy) -> Path | None:
    """Folder that a policy's relative paths start from."""
    return None if policy.path is None else Path(policy.path).absolute().parent


def find_result(connection: Connection, batch: str, stage: str, key: str) -> StageResult | None:
    """What this stage returned for the same inputs before."""
    query = sa.select(tables.stage).where(
        tables.stage.c.batch == batch, tables.stage.c.name == stage, tables.stage.c.key == key
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _result(row)


def latest_result(
    workspace: Workspace, batch: str, stage: str, policy: Policy
) -> StageResult | None:
    """The newest result of a stage under this policy."""
    return next(iter(all_results(workspace, batch, stage, policy)), None)


def all_results(workspace: Workspace, batch: str, stage: str, policy: Policy) -> list[StageResult]:
    """Every result of a stage under this policy, newest first."""
    query = (
        sa.select(tables.stage)
        .where(tables.stage.c.batch == batch, tables.stage.c.name == stage)
        .order_by(tables.stage.c.seq.desc())
    )
    with workspace.catalog.read() as connection:
        rows = connection.execute(query).all()
    return [_result(row) for row in rows if row.summary["policy"] == policy.sha256]


def record_result(
    workspace: Workspace, result: StageResult, key: str, policy: Policy, event: Event
) -> StageResult:
    """Commits a stage: its row and its ledger entry in one transaction, once per key."""
    with workspace.catalog.transaction() as connection:
        before = find_result(connection, result.batch, result.stage, key)
        if before is not None:
            return before
        seq = append(connection, event)
        connection.execute(
            tables.stage.insert().values(
                batch=result.batch,
                name=result.stage,
                key=key,
                uri=result.uri,
                digest=result.digest,
                summary=result.summary | {"policy": policy.sha256},
                at=datetime.now(UTC),
                seq=seq,
            )
        )
        recorded = find_result(connection, result.batch, result.stage, key)
    assert recorded is not None  # noqa: S101  written two lines above
    return recorded


def _result(row: Row[Any]) -> StageResult:
    return StageResult(row.batch, row.name, row.seq, dict(row.summary), row.uri, row.digest)
