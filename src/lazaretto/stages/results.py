"""What the stages share: a result is a ledger entry, found again by everything it depends on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import rfc8785

from lazaretto.authority.judgements import settled_judgement
from lazaretto.authority.policies import counted_policies
from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append, entries
from lazaretto.ledger.chain import entry as entry_of
from lazaretto.ledger.events import (
    BatchEmbedded,
    BatchJudged,
    BatchScreened,
    BatchValidated,
    ShadowJudged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import PolicyRef

StageName = Literal["validate", "embed", "screen"]
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


@dataclass(frozen=True, slots=True)
class Reading:
    """Which results of a batch count for a policy.

    A result counts for every policy that says the same of what its stage reads, if it was made
    under one that is or was in force for the dataset, or under this one: what somebody tried out
    in shadow never becomes what production judges by.

    Attributes:
        batch: its id.
        policy: the policy.
        contract: sha256 (hex) of the contract that it names.
        ref: what the policy is known by.
        counted: meanings of the policies whose screenings are evidence; see `counted_policies`.
    """

    batch: str
    policy: Policy
    contract: str | None
    ref: PolicyRef
    counted: frozenset[str]

    @classmethod
    def of(
        cls, connection: Connection, batch: str, policy: Policy, contract: str | None
    ) -> Reading:
        """What counts for a policy now.

        Args:
            connection: of the catalog.
            batch: its id.
            policy: the policy.
            contract: sha256 (hex) of the contract that it names, as it was loaded: a file that is
                changed meanwhile is another contract.
        """
        ref = policy.ref(contract)
        counted = counted_policies(connection, policy.dataset, ref.meaning)
        return cls(batch, policy, contract, ref, counted)

    def reads(self, stage: StageName) -> str:
        """sha256 (hex) of what a stage reads of the policy."""
        return self.policy.reads(stage, self.contract)

    def results(
        self, connection: Connection, stage: StageName, kind: type[E]
    ) -> Iterator[StageResult[E]]:
        """Every result of a stage that counts, newest first, from the ledger."""
        reads, subject = self.reads(stage), f"batch:{self.batch}"
        for entry in entries(connection, subject=subject, kinds=[kind.kind], newest_first=True):
            event = entry.event
            if not isinstance(event, kind) or event.reads != reads:
                continue
            if event.policy.meaning in self.counted | {self.ref.meaning}:
                yield StageResult(self.batch, stage, entry.seq, event)

    def find(
        self, connection: Connection, stage: StageName, kind: type[E], inputs: str
    ) -> StageResult[E] | None:
        """What a stage returned for the same inputs before."""
        found = self.results(connection, stage, kind)
        return next((result for result in found if result.said.inputs == inputs), None)

    def require_validated(self, connection: Connection) -> StageResult[BatchValidated]:
        """What `validate` found.

        Raises:
            UsageError: it did not run.
        """
        found = next(self.results(connection, "validate", BatchValidated), None)
        if found is None:
            raise UsageError(
                f"{self.batch} is not validated under this policy: run `validate` first"
            )
        return found

    def settled(
        self, connection: Connection, stage: StageName, kind: type[E]
    ) -> StageResult[E] | None:
        """The result that the batch was judged by, where a judgement stands.

        Raises:
            ChangedStateError: the catalog does not say what the ledger says.
        """
        judged = settled_judgement(connection, self.batch, self.ref)
        if judged is None or judged.event.validated is None:
            return None
        seq = {
            "validate": judged.event.validated,
            "embed": judged.event.embedded,
            "screen": judged.event.screened,
        }[stage]
        if seq is not None:
            event = entry_of(connection, seq).event
            return StageResult(self.batch, stage, seq, event) if isinstance(event, kind) else None
        validated = entry_of(connection, judged.event.validated)
        if not isinstance(validated.event, BatchValidated) or judged.event.screened is not None:
            return None
        return skipped(stage, StageResult(self.batch, "validate", validated.seq, validated.event))


def skipped(stage: str, validated: StageResult[BatchValidated]) -> StageResult[Any]:
    """The result of a stage that has nothing to do; it points to what the contract found.

    Either the contract is broken, and the gate holds the batch anyway, or the policy screens none.
    """
    why = "screen.mode is off"
    if validated.said.broken:
        why = f"the contract is broken: {'; '.join(validated.said.broken)}"
    return StageResult(validated.batch, stage, validated.seq, None, why)


def record_result(
    workspace: Workspace, reading: Reading, stage: StageName, event: E
) -> StageResult[E]:
    """Puts a result on record, once for the same inputs."""
    with workspace.catalog.transaction() as connection:
        before = reading.find(connection, stage, type(event), event.inputs)
        if before is not None:
            return before
        entry = append(connection, event, actor=workspace.actor)
    return StageResult(event.batch, stage, entry.seq, event)
