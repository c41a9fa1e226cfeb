"""What the stages share: results, and how a stage finds a batch and what was done to it before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785
import sqlalchemy as sa

from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append
from lazaretto.storage import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.events import Event
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace


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


def require_validated(workspace: Workspace, batch: str, policy: Policy) -> StageResult:
    """What `validate` found under this policy.

    Raises:
        UsageError: it did not run.
    """
    validated = latest_result(workspace, batch, "validate", policy)
    if validated is None:
        raise UsageError(f"{batch} is not validated under this policy: run `validate` first")
    return validated


def skipped(stage: str, validated: StageResult) -> StageResult:
    """The result of a stage that a broken contract makes pointless; it points to that finding."""
    why = f"the contract is broken: {'; '.join(validated.summary['broken'])}"
    return StageResult(validated.batch, stage, validated.seq, {"skipped": why})
