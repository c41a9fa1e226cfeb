"""What the stages share: a result is a ledger entry, found again by everything it depends on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import rfc8785

from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append, entries
from lazaretto.ledger.events import (
    BatchEmbedded,
    BatchJudged,
    BatchScreened,
    BatchValidated,
    ShadowJudged,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

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
    connection: Connection, batch: str, stage: str, kind: type[E], inputs: str
) -> StageResult[E] | None:
    """What this stage returned for the same inputs before, from the ledger."""
    found = entries(connection, subject=f"batch:{batch}", kinds=[kind.kind], newest_first=True)
    for entry in found:
        if isinstance(entry.event, kind) and entry.event.inputs == inputs:
            return StageResult(batch, stage, entry.seq, entry.event)
    return None


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


def record_result(workspace: Workspace, stage: str, event: E) -> StageResult[E]:
    """Puts a result on record, once for the same inputs."""
    with workspace.catalog.transaction() as connection:
        before = find_result(connection, event.batch, stage, type(event), event.inputs)
        if before is not None:
            return before
        entry = append(connection, event, actor=workspace.actor)
    return StageResult(event.batch, stage, entry.seq, event)
