"""The judgement that stands for a batch and a dataset, as the ledger tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.policies import policy_in_force
from lazaretto.errors import UsageError
from lazaretto.ledger.chain import entries, entry, newest
from lazaretto.ledger.cover import agree
from lazaretto.ledger.events import (
    BatchAdmitted,
    BatchJudged,
    BatchValidated,
    JudgementSetAside,
    RecordsDecided,
    ShadowJudged,
)
from lazaretto.ledger.state import Update, record
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import PolicyRef

_KINDS = (BatchJudged.kind, JudgementSetAside.kind)
_SUPERSEDED = {"state": "SUPERSEDED"}


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement under the policy that was in force when it was made.

    Attributes:
        seq: ledger entry.
        event: what the entry says.
    """

    seq: int
    event: BatchJudged


def validated_by(connection: Connection, judged: BatchJudged) -> BatchValidated | None:
    """The validation that a judgement is made of; None: an older entry does not say it."""
    event = None if judged.validated is None else entry(connection, judged.validated).event
    return event if isinstance(event, BatchValidated) else None


def standing_judgement(connection: Connection, batch: str, dataset: str) -> Judged | None:
    """The newest judgement of a batch for one dataset; one for another dataset never counts.

    Returns:
        None where there is none, or where it was set aside since.

    Raises:
        ChangedStateError: the batch's row in the catalog is not of its newest judgement.
    """
    found = list(entries(connection, subject=f"batch:{batch}", kinds=_KINDS, newest_first=True))
    _check_verdict(connection, batch, found[0] if found else None)
    for one in found:
        match one.event:
            case JudgementSetAside() as event if event.dataset == dataset:
                return None
            case BatchJudged() as event if event.policy.dataset == dataset:
                return Judged(one.seq, event)
    return None


def settled_judgement(connection: Connection, batch: str, policy: PolicyRef) -> Judged | None:
    """What was decided on a batch before, which doing the same delivery again gives back.

    A judgement stands whatever became of policy and reference since, until a person sets it aside.
    One by a policy that is no longer in force, by which nothing was held or admitted, has no effect
    and is made anew without that.

    Returns:
        None where the batch is to be judged: it is not yet, or its judgement has no effect, or this
        policy is not in force and judges in shadow.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    in_force = policy_in_force(connection, policy.dataset)
    if in_force is None or in_force.meaning != policy.meaning:
        return None
    judged = standing_judgement(connection, batch, policy.dataset)
    if judged is None or judged.event.policy.meaning == in_force.meaning:
        return judged
    without_effect = judged.event.case is None and not acted_on(connection, judged)
    return None if without_effect else judged


def set_aside(workspace: Workspace, batch: str, dataset: str, *, reason: str) -> None:
    """Takes back a judgement that nobody acted on, so that the batch is judged again.

    Its case ends: what reviewers see is the case of the next judgement. One that was taken back
    already, and not made anew since, stays as it is.

    Args:
        workspace: catalog and store; whoever acts through it is on record.
        batch: id of a judged batch.
        dataset: that it was judged for.
        reason: why; stays on record.

    Raises:
        UsageError: no reason, or there is no such judgement, or records of it were admitted or
            decided on since.
    """
    if not reason.strip():
        raise UsageError("say why it is judged again: the reason stays on record")
    with workspace.catalog.transaction() as connection:
        judged = standing_judgement(connection, batch, dataset)
        if judged is None:
            if dataset in _ever_judged(connection, batch):
                return
            raise UsageError(f"{batch} has no judgement for dataset {dataset!r}")
        if acted_on(connection, judged):
            raise UsageError(
                f"{batch} was judged {judged.event.verdict}, and admitted or decided on since: "
                "what is admitted can be recalled, not judged again"
            )
        event = JudgementSetAside(batch, dataset, judged.seq, judged.event.case, reason)
        record(connection, event, changes, actor=workspace.actor)


def judged_datasets(connection: Connection, batch: str) -> list[str]:
    """The datasets that a batch has a judgement for that stands, by name."""
    standing: dict[str, bool] = {}
    for one in entries(connection, subject=f"batch:{batch}", kinds=_KINDS):
        if isinstance(one.event, BatchJudged):
            standing[one.event.policy.dataset] = True
        elif isinstance(one.event, JudgementSetAside):
            standing[one.event.dataset] = False
    return sorted(name for name, stands in standing.items() if stands)


def _ever_judged(connection: Connection, batch: str) -> set[str]:
    found = entries(connection, subject=f"batch:{batch}", kinds=[BatchJudged.kind])
    return {e.event.policy.dataset for e in found if isinstance(e.event, BatchJudged)}


def shadow_judgements(
    connection: Connection, batch: str, dataset: str
) -> list[tuple[int, ShadowJudged]]:
    """What policies that were not in force said of a batch, with the entries; newest first."""
    found = entries(
        connection, subject=f"batch:{batch}", kinds=[ShadowJudged.kind], newest_first=True
    )
    return [
        (entry.seq, entry.event)
        for entry in found
        if isinstance(entry.event, ShadowJudged) and entry.event.policy.dataset == dataset
    ]


def check_verdict(connection: Connection, batch: str) -> None:
    """Compares the verdict in a batch's row with its newest judgement, whatever the dataset.

    Raises:
        ChangedStateError: the row says something else.
    """
    _check_verdict(connection, batch, newest(connection, f"batch:{batch}", _KINDS))


def _check_verdict(connection: Connection, batch: str, found: Entry | None) -> None:
    event = found.event if found is not None else None
    row = connection.execute(sa.select(tables.batch).where(tables.batch.c.id == batch)).one()
    agree("batch", batch, row, judged_columns(event if isinstance(event, BatchJudged) else None))


def judged_columns(event: BatchJudged | None) -> dict[str, object]:
    """The catalog's columns of a batch's newest judgement, by what the ledger says."""
    if event is None:
        return dict.fromkeys(("dataset", "verdict", "held", "cleared", "case_id"))
    return {
        "dataset": event.policy.dataset,
        "verdict": event.verdict.value,
        "held": event.held,
        "cleared": event.cleared,
        "case_id": event.case,
    }


def changes(entry: Entry) -> Iterator[Change]:
    """What a judgement does to its batch and to the case that it replaces, and what ends it."""
    if isinstance(event := entry.event, BatchJudged):
        if event.replaces is not None:
            opened = {"batch": event.batch, "seq": event.replaces}
            yield Update(tables.case, opened, _SUPERSEDED)
        yield Update(tables.batch, {"id": event.batch}, judged_columns(event))
    elif isinstance(event, JudgementSetAside):
        yield Update(tables.case, {"batch": event.batch, "seq": event.judged}, _SUPERSEDED)
        yield Update(tables.batch, {"id": event.batch}, judged_columns(None))


def acted_on(connection: Connection, judged: Judged) -> bool:
    """Whether records of a judgement were admitted, or are on their way, or decided on."""
    batch, dataset = judged.event.batch, judged.event.policy.dataset
    admitted = entries(connection, subject=f"batch:{batch}", kinds=[BatchAdmitted.kind])
    if any(isinstance(e.event, BatchAdmitted) and e.event.dataset == dataset for e in admitted):
        return True
    intended = sa.exists().where(
        tables.admission.c.batch == batch, tables.admission.c.dataset == dataset
    )
    if connection.scalar(sa.select(intended)):
        return True
    return newest(connection, f"case:{judged.event.case}", [RecordsDecided.kind]) is not None
