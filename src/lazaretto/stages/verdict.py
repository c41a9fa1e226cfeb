"""The verdict on a batch, of what contract and screening found; their files must say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import ChangedFileError
from lazaretto.storage.sidecars import read_table
from lazaretto.values import Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from lazaretto.ledger.events import BatchScreened, BatchValidated
    from lazaretto.policy import Policy
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile


def verdict_of(
    rows: int, validated: BatchValidated, screened: BatchScreened | None, policy: Policy
) -> tuple[Verdict, list[str]]:
    """The verdict, and in words why the whole batch is held."""
    if validated.broken or (screened is None and policy.screen.runs):
        return Verdict.HOLD_BATCH, list(validated.broken)
    if screened is not None and screened.verdict.holds_batch:
        fired = [f"{test.name}: {test.detail}" for test in screened.tests if test.fired]
        return screened.verdict, [screened.note or "; ".join(fired)]
    dropped = 0 if validated.cleaned is None else validated.cleaned.dropped
    failing = validated.failing_rows - dropped
    suspect = 0 if screened is None else screened.held
    held = failing + suspect
    limit = policy.screen.batch.hold_when_held_fraction
    if held and held >= limit * rows:
        return Verdict.HOLD_BATCH, [
            f"{held} of {rows} records are held ({failing} by the contract, "
            f"{suspect} by screening); screen.batch.hold_when_held_fraction is {limit:g}"
        ]
    return (Verdict.HOLD_RECORDS if held or dropped else Verdict.PASS), []


def told_cleaning(validated: BatchValidated, policy: Policy) -> list[str]:
    """What cleaning dropped and mended, and what it could not judge, in words."""
    cleaned, rules = validated.cleaned, policy.cleaning
    if cleaned is None or rules is None:
        return []
    counts = {"dropped": cleaned.dropped, "mended": cleaned.fixed, "flagged": cleaned.flagged}
    told = [f"{count} {what}" for what, count in counts.items() if count]
    # What only flags, and cannot yet, is no news of each batch; the validation says it.
    silent = rules.lengths.action == "flag"
    notes = [n for n in cleaned.notes if not (silent and n.startswith("cleaning.lengths"))]
    return [*([f"cleaning: records {', '.join(told)}"] if told else []), *notes]


def dropped_records(store: Store, validated: BatchValidated) -> tuple[StoredFile, pa.Table] | None:
    """The records that cleaning drops, which must be as many as the ledger says; None: none.

    Raises:
        ChangedFileError: the file is gone, was changed, or does not say what its stage said.
    """
    cleaned = validated.cleaned
    if cleaned is None or cleaned.dropped_records is None:
        return None
    file = cleaned.dropped_records
    dropped = read_table(store, file)
    if dropped.num_rows != cleaned.dropped:
        found = f"it has {dropped.num_rows} records, cleaning dropped {cleaned.dropped}"
        raise ChangedFileError(file.path, expected=file.sha256, found=found)
    return file, dropped


def read_findings(
    store: Store, validated: BatchValidated, screened: BatchScreened | None
) -> tuple[pa.Table, pa.Table | None]:
    """Failures and scores, which must count what the ledger says of them.

    Raises:
        ChangedFileError: a file is gone, was changed, or does not say what its stage said.
    """
    failures = read_table(store, validated.failures)
    failing = len(failures["position"].unique())
    if failing != validated.failing_rows:
        found = f"it has {failing} failing records, validation found {validated.failing_rows}"
        file = validated.failures
        raise ChangedFileError(file.path, expected=file.sha256, found=found)
    if screened is None:
        return failures, None
    scores = read_table(store, screened.scores)
    held = int(scores["held"].to_numpy().sum())
    if (scores.num_rows, held) != (screened.rows, screened.held):
        found = (
            f"it has {scores.num_rows} records and holds {held}, screening judged "
            f"{screened.rows} and held {screened.held}"
        )
        file = screened.scores
        raise ChangedFileError(file.path, expected=file.sha256, found=found)
    return failures, scores
