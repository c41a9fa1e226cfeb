"""Whether reviewers have decided on everything that is held of a batch, and what they decided."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.authority.judgements import judged_datasets
from lazaretto.quarantine.counts import UNDECIDED
from lazaretto.quarantine.review import list_cases, list_decisions
from lazaretto.received import find_batch

if TYPE_CHECKING:
    from lazaretto.quarantine.cases import Case
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ReviewOutcome:
    """A finished review.

    Attributes:
        batch: id of the batch.
        cases: its cases; none when nothing was held.
        actions: how many held records each `lazaretto.values.Action` applies to.
        seqs: ledger entries of the decisions.
    """

    batch: str
    cases: list[str]
    actions: dict[str, int]
    seqs: list[int]


def review_outcome(workspace: Workspace, batch: str) -> ReviewOutcome | None:
    """What was decided on a batch's held records.

    Returns:
        None while the batch is not judged yet, or while a held record waits for a decision.

    Raises:
        NotFoundError: no such batch was received.
    """
    with workspace.catalog.read() as connection:
        find_batch(connection, batch)
        if not judged_datasets(connection, batch):
            return None
    actions: Counter[str] = Counter()
    seqs: list[int] = []
    cases = cases_of(workspace, batch)
    for case in cases:
        if UNDECIDED in case.actions:
            return None
        actions.update(case.actions)
        seqs += [decision.seq for decision in list_decisions(workspace, case.id)]
    return ReviewOutcome(batch, [case.id for case in cases], dict(actions), sorted(seqs))


def cases_of(workspace: Workspace, batch: str) -> list[Case]:
    """The cases of a batch that stand, oldest first: not those of a judgement that was replaced."""
    found = list_cases(workspace, batch=batch, state=None, limit=1000)
    return [case for case in reversed(found) if case.state != "SUPERSEDED"]
