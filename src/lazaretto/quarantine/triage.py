"""The triage of a case: what screening estimated about its batch, for the reviewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.drift.source import SOURCE_DRIFT
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchScreened
from lazaretto.quarantine.cases import find_case

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import ColumnMove

NEVER_RELEASES = "an estimate from the evidence below; it never releases a record"
_WORDS = {
    "NONE": "nothing in particular stands out",
    "ENVIRONMENT": "the whole population moved, as when the world changes",
    "POISONING": "a few records stand out in an otherwise normal batch",
    "PIPELINE": "many columns changed at once, as after a fault in the pipeline",
}


@dataclass(frozen=True, slots=True)
class CaseTriage:
    """What screening reported beside its verdict; names and labels in it come from deliveries.

    Attributes:
        category: ``NONE``, ``ENVIRONMENT``, ``POISONING`` or ``PIPELINE``.
        words: the same for people.
        evidence: the facts behind it, most telling first.
        reference: ``name/version`` that the batch was compared with.
        moved: columns that moved from it; None where that was not measured.
        columns: columns that were compared.
        worst: those that moved most.
        source: the evidence that the source's batches drift together, in words.
    """

    category: str
    words: str
    evidence: list[str]
    reference: str
    moved: int | None
    columns: int | None
    worst: list[ColumnMove]
    source: str | None


def triage_of_case(workspace: Workspace, case: str) -> CaseTriage | None:
    """Of the screening that a case was opened on; None where there was none, or it told nothing.

    Raises:
        NotFoundError: no such case.

    Examples:
        >>> from lazaretto.quarantine.triage import triage_of_case
        >>> bool(triage_of_case(workspace, case).evidence)
        True
    """
    screened = screening_of_case(workspace, case)
    return None if screened is None else as_shown(screened)


def screening_of_case(workspace: Workspace, case: str) -> BatchScreened | None:
    """The screening that a case was opened on; None where there was none.

    Raises:
        NotFoundError: no such case.
    """
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        if row.origin != "gate":
            return None
        subject, kinds = f"batch:{row.batch}", [BatchScreened.kind]
        for entry in entries(connection, subject=subject, kinds=kinds, newest_first=True):
            said, judged_by = entry.event, row.policy["meaning"]
            if (
                isinstance(said, BatchScreened)
                and entry.seq < row.seq
                and said.policy.meaning == judged_by
            ):
                return said
    return None


def as_shown(event: BatchScreened) -> CaseTriage | None:
    """The triage of a screening, for people; None where it was not estimated."""
    if event.triage is None:
        return None
    source = next((test for test in event.tests if test.name == SOURCE_DRIFT), None)
    drift = event.drift
    return CaseTriage(
        category=event.triage.category,
        words=_WORDS.get(event.triage.category, event.triage.category),
        evidence=event.triage.evidence,
        reference=f"{event.reference}/{event.reference_version}",
        moved=None if drift is None else drift.moved,
        columns=None if drift is None else drift.columns,
        worst=[] if drift is None else [move for move in drift.worst if _shows(move)],
        source=None if source is None else source.detail,
    )


def _shows(move: ColumnMove) -> bool:
    return move.band != "none" or move.nulls > 0
