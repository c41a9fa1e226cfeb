"""How a batch's review ended: what was decided, and what people published of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lazaretto.authority.judgements import judged_datasets, standing_judgement
from lazaretto.dataset.admission import find_admission
from lazaretto.ledger.chain import newest
from lazaretto.ledger.events import CaseClosed, RecordsDecided
from lazaretto.quarantine.released import RELEASING
from lazaretto.quarantine.review import list_cases, list_decisions
from lazaretto.quarantine.standing import publications_of
from lazaretto.received import find_batch

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.dataset.admission import Admission
    from lazaretto.quarantine.cases import Case
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ReviewOutcome:
    """A finished review.

    Attributes:
        batch: id of the batch.
        cases: its cases; none when nothing was held.
        actions: how many held records each `lazaretto.values.Action` applies to.
        seqs: ledger entries of the decisions, in order.
    """

    batch: str
    cases: list[str]
    actions: dict[str, int]
    seqs: list[int]


@dataclass(frozen=True, slots=True)
class Published:
    """What people published of a batch's cases for one dataset.

    Attributes:
        admission: all publications as one, under the newest version; None: nothing was published.
        waiting: released records that nobody published yet.
    """

    admission: Admission | None
    waiting: int


def review_outcome(workspace: Workspace, batch: str) -> ReviewOutcome | None:
    """What was decided on a batch's held records, once that is final.

    The last decision does not end a review, because it can be undone until somebody publishes. So a
    review ends when every case of the batch is closed: everything is decided on, and somebody has
    published it, also where nothing was released. A decision on a closed case opens it again.

    Returns:
        None while the batch is not judged yet, or while one of its cases is open.

    Raises:
        NotFoundError: no such batch was received.
    """
    if waiting_cases(workspace, batch) != []:
        return None
    actions: Counter[str] = Counter()
    seqs: list[int] = []
    cases = cases_of(workspace, batch)
    for case in cases:
        actions.update(case.actions)
        seqs += [decision.seq for decision in list_decisions(workspace, case.id)]
    return ReviewOutcome(batch, [case.id for case in cases], dict(actions), sorted(seqs))


def waiting_cases(workspace: Workspace, batch: str) -> list[Case] | None:
    """The cases of a batch that people have to work on.

    Returns:
        None while the batch is not judged yet; none of them where nothing is left to do.

    Raises:
        NotFoundError: no such batch was received.
    """
    with workspace.catalog.read() as connection:
        find_batch(connection, batch)
        if not judged_datasets(connection, batch):
            return None
    cases = cases_of(workspace, batch)
    with workspace.catalog.read() as connection:
        return [case for case in cases if not _is_closed(connection, case.id)]


def find_published(workspace: Workspace, batch: str, dataset: str) -> Published:
    """What people published of a batch, without publishing anything.

    Args:
        workspace: catalog and store.
        batch: its id.
        dataset: that it was published into; cases for others do not count.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    done: list[Admission] = []
    waiting = 0
    for case in cases_of(workspace, batch):
        if case.dataset != dataset:
            continue
        with workspace.catalog.read() as connection:
            publications = publications_of(connection, batch, case.id)
            parts = {one.part: one for one in publications}
            found = [find_admission(connection, workspace, dataset, batch, p) for p in parts]
        done += [admission for admission in found if admission is not None]
        released = sum(case.actions.get(action.value, 0) for action in RELEASING)
        waiting += released - sum(one.rows for one in parts.values())
    if not done:
        return Published(None, waiting)
    done.sort(key=lambda admission: admission.seqs[-1])
    whole = replace(
        done[-1],
        rows=sum(admission.rows for admission in done),
        seqs=[seq for admission in done for seq in admission.seqs],
        recalled=next((one.recalled for one in reversed(done) if one.recalled), None),
    )
    return Published(whole, waiting)


def cases_of(workspace: Workspace, batch: str) -> list[Case]:
    """The cases of a batch that stand, oldest first: not those of a judgement that was replaced."""
    found = list_cases(workspace, batch=batch, state=None, limit=1000)
    with workspace.catalog.read() as connection:
        return [case for case in reversed(found) if _stands(connection, case)]


def _stands(connection: Connection, case: Case) -> bool:
    """Whether the judgement that opened a case was not replaced, by the ledger."""
    if case.origin != "gate":
        return True
    judged = standing_judgement(connection, case.batch, case.dataset)
    return judged is not None and judged.event.case == case.id


def _is_closed(connection: Connection, case: str) -> bool:
    """Whether a case was closed and not decided on since, by the ledger."""
    last = newest(connection, f"case:{case}", [RecordsDecided.kind, CaseClosed.kind])
    return last is not None and last.event.kind == CaseClosed.kind
