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


def verdict_of(
    rows: int, validated: BatchValidated, screened: BatchScreened | None, policy: Policy
) -> tuple[Verdict, list[str]]:
    """The verdict, and in words why the whole batch is held."""
    if validated.broken or screened is None:
        return Verdict.HOLD_BATCH, list(validated.broken)
    if screened.verdict.holds_batch:
        fired = [f"{test.name}: {test.detail}" for test in screened.tests if test.fired]
        return screened.verdict, [screened.note or "; ".join(fired)]
    held = validated.failing_rows + screened.held
    limit = policy.screen.batch.hold_when_held_fraction
    if held and held >= limit * rows:
        return Verdict.HOLD_BATCH, [
            f"{held} of {rows} records are held ({validated.failing_rows} by the contract, "
            f"{screened.held} by screening); screen.batch.hold_when_held_fraction is {limit:g}"
        ]
    return (Verdict.HOLD_RECORDS if held else Verdict.PASS), []


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
