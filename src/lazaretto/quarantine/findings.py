"""What was found in a held record, in plain words: by contract, screening or sanitizing.

The file of held records has the texts in the order in which they speak. Which column and which
value broke a rule is in the findings of the contract, by the position of the record in its batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.ledger.chain import entry as entry_of
from lazaretto.ledger.deletions import deletions_told
from lazaretto.ledger.events import BatchJudged, BatchValidated
from lazaretto.quarantine.cases import find_case
from lazaretto.storage.sidecars import read_chunks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lazaretto.storage.workspace import Workspace

_SEES = {
    "autoencoder": "It is put together unlike trusted records",
    "clusters": "It belongs to no group of trusted records",
    "density": "It lies where few trusted records do, or much closer to one than they lie",
    "duplicates": "It is all but a copy of a trusted record",
    "isolation_forest": "Few questions tell it from all trusted records",
    "knn_distance": "It lies far from every trusted record",
    "knn_label": "Its label is not that of the trusted records around it",
    "mahalanobis": "It lies far from the trusted records of its label",
    "self_confidence": "A classifier of trusted records gives it another label",
    "tukey": "A number in it is far out of the usual range",
    "zscore": "A number in it is far from the usual one",
    "copies_elsewhere": "Copies of it stand in other batches, too",
    "near_duplicates": "The batch has many near copies of it",
    "embedding": "It could not be compared with trusted records",
    "label": "It could not be compared with the trusted records of its label",
}
"""What each detector looks at, for people who do not know its name."""
_CODE = "."


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that speaks against a record; all texts may come from an attacker.

    Attributes:
        kind: ``contract``, ``screen``, ``sanitize`` or ``batch`` (nothing against the record but
            its company).
        by: the rule or detector; empty for the batch as a whole.
        title: in plain words what that means; empty where the text says it.
        text: what was found.
        column: whose value broke the rule; None: none in particular.
        value: that value, as text of at most 120 characters; None likewise.
    """

    kind: str
    by: str
    title: str
    text: str
    column: str | None = None
    value: str | None = None


def failures_of(
    workspace: Workspace, case: str, positions: Collection[int]
) -> dict[int, list[dict[str, Any]]]:
    """Which rules of the contract some records of a case broke, by position.

    Each has ``rule``, ``column``, ``text`` and ``value``, as
    `lazaretto.contract.failures_schema` says. Memory holds one part of the file.

    Raises:
        NotFoundError: no such case.
        DeletedPayloadError: retention deleted the findings.
        ChangedFileError: their file is gone or was changed.
    """
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        judged = entry_of(connection, row.seq).event
        if not isinstance(judged, BatchJudged) or judged.validated is None:
            return {}
        validated = entry_of(connection, judged.validated).event
    found: dict[int, list[dict[str, Any]]] = {}
    if not isinstance(validated, BatchValidated) or not validated.failures.size:
        return found
    wanted = pa.array(sorted(set(positions)), pa.uint64())
    with deletions_told(workspace.catalog.read, row.batch):
        for chunk in read_chunks(workspace.store, validated.failures):
            there = chunk.filter(pc.is_in(chunk.column("position"), wanted))
            for failure in there.to_pylist():
                found.setdefault(failure["position"], []).append(failure)
    return found


def findings_of(
    reasons: Sequence[str],
    failures: Sequence[Mapping[str, Any]] = (),
    *,
    origin: str = "gate",
    notes: Collection[str] = (),
) -> list[Finding]:
    """Every finding of a record, in the order in which they speak.

    Args:
        reasons: the texts in the file of held records.
        failures: of the record; see `failures_of`.
        origin: of the case: ``gate`` or ``sanitize``.
        notes: what is wrong with the batch as a whole, of the case.

    Example:
        >>> found = findings_of(["knn_label: labelled '1', but its neighbours are '0'"])
        >>> found[0].title
        'Its label is not that of the trusted records around it'
        >>> found[0].text
        "labelled '1', but its neighbours are '0'"
    """
    broken = {f"{failure['rule']}: {failure['text']}": failure for failure in failures}
    return [_finding(text, broken.get(text), origin, notes) for text in reasons]


def _finding(
    text: str, failure: Mapping[str, Any] | None, origin: str, notes: Collection[str]
) -> Finding:
    if failure is not None:
        return Finding(
            kind="contract",
            by=failure["rule"],
            title="It breaks a rule of the contract",
            text=failure["text"],
            column=failure["column"],
            value=failure["value"],
        )
    by, colon, rest = text.partition(": ")
    if text in notes:
        return Finding("batch", "", "The batch as a whole is held", text)
    if origin != "gate":
        return Finding(origin, by if colon else "", "", rest if colon else text)
    title = _SEES.get(by.partition(_CODE)[0]) if colon else None
    if title is not None:
        return Finding("screen", by, title, rest)
    return Finding("contract" if colon else "batch", by if colon else "", "", rest or text)
