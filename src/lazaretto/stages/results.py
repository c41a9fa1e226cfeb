"""What the stages share: a result is a ledger entry, found again by everything it depends on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import rfc8785
import sqlalchemy as sa

from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append, entries
from lazaretto.ledger.cover import event_of
from lazaretto.ledger.events import (
    BatchEmbedded,
    BatchJudged,
    BatchScreened,
    BatchValidated,
    ShadowJudged,
)
from lazaretto.storage import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Written
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import PolicyRef

StageEvent = BatchValidated | BatchEmbedded | BatchScreened | BatchJudged | ShadowJudged

STAGES: dict[str, type[StageEvent]] = {
    "validate": BatchValidated,
    "embed": BatchEmbedded,
    "screen": BatchScreened,
    "gate": BatchJudged,
    "shadow": ShadowJudged,
}
"""What each stage puts on record; ``shadow``: the gate, under a policy that is not in force."""

E = TypeVar("E", BatchValidated, BatchEmbedded, BatchScreened)


@dataclass(frozen=True, slots=True)
class StageResult(Generic[E]):
    """What a stage did to a batch.

    Attributes:
        batch: its id.
        stage: ``validate``, ``embed`` or ``screen``.
        seq: ledger entry of the result; of the validation where the stage was skipped.
        event: what that entry says; None where the stage was skipped.
        skipped: why the stage had nothing to do, in words.
    """

    batch: str
    stage: str
    seq: int
    event: E | None
    skipped: str | None = None

    @property
    def said(self) -> E:
        """What is on record.

        Raises:
            UsageError: the stage was skipped, so nothing is.
        """
        if self.event is None:
            raise UsageError(f"{self.stage} of {self.batch} was skipped: {self.skipped}")
        return self.event


def stage_key(**inputs: object) -> str:
    """sha256 (hex) of everything a stage's result depends on."""
    return hashlib.sha256(rfc8785.dumps(inputs)).hexdigest()  # type: ignore[arg-type]


def find_result(
    connection: Connection, batch: str, stage: str, kind: type[E], key: str
) -> StageResult[E] | None:
    """What this stage returned for the same inputs before.

    Raises:
        ChangedStateError: its row in the catalog does not say what the ledger says.
    """
    query = sa.select(tables.stage).where(
        tables.stage.c.batch == batch, tables.stage.c.name == stage, tables.stage.c.key == key
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    entry, event = event_of(connection, "stage", f"{stage} {batch}", row, kind)
    return StageResult(batch, stage, entry.seq, event)


def all_results(
    connection: Connection, batch: str, stage: str, kind: type[E], policy: PolicyRef
) -> list[StageResult[E]]:
    """Every result of a stage under what this policy means, newest first, from the ledger."""
    subject = f"batch:{batch}"
    return [
        StageResult(batch, stage, entry.seq, entry.event)
        for entry in reversed(list(entries(connection, subject=subject, kinds=[kind.kind])))
        if isinstance(entry.event, kind) and entry.event.policy.meaning == policy.meaning
    ]


def newest_result(
    connection: Connection, batch: str, stage: str, kind: type[E], policy: PolicyRef
) -> StageResult[E] | None:
    """The newest result of a stage under what this policy means."""
    return next(iter(all_results(connection, batch, stage, kind, policy)), None)


def require_validated(
    connection: Connection, batch: str, policy: PolicyRef
) -> StageResult[BatchValidated]:
    """What `validate` found under this policy.

    Raises:
        UsageError: it did not run.
    """
    validated = newest_result(connection, batch, "validate", BatchValidated, policy)
    if validated is None:
        raise UsageError(f"{batch} is not validated under this policy: run `validate` first")
    return validated


def skipped(stage: str, validated: StageResult[BatchValidated]) -> StageResult[Any]:
    """The result of a stage that a broken contract makes pointless; it points to that finding."""
    why = f"the contract is broken: {'; '.join(validated.said.broken)}"
    return StageResult(validated.batch, stage, validated.seq, None, why)


def record_result(workspace: Workspace, stage: str, key: str, event: E) -> StageResult[E]:
    """Commits a stage: its row and its ledger entry in one transaction, once per key."""
    with workspace.catalog.transaction() as connection:
        before = find_result(connection, event.batch, stage, type(event), key)
        if before is not None:
            return before
        written = append(connection, event, actor=workspace.actor)
        insert_result(connection, stage, key, event, written)
    return StageResult(event.batch, stage, written.seq, event)


def insert_result(
    connection: Connection, stage: str, key: str, event: StageEvent, written: Written
) -> None:
    """Writes the row by which `find_result` finds an entry."""
    connection.execute(
        tables.stage.insert().values(
            batch=event.batch,
            name=stage,
            key=key,
            policy=event.policy.meaning,
            at=datetime.now(UTC),
            seq=written.seq,
            entry=written.hash,
        )
    )
