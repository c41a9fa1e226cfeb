"""What the gate cleared of a batch, on its way into a dataset. Long: with all its refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.authority.conditions import kept_envelope, require_admissible
from lazaretto.authority.judgements import (
    Judged,
    judged_datasets,
    shadow_judgements,
    standing_judgement,
    validated_by,
)
from lazaretto.authority.policies import how_to_register, named, policy_in_force
from lazaretto.batch import records
from lazaretto.dataset.admission import CLEARED, is_unused
from lazaretto.dataset.classes import ClassCounts
from lazaretto.dataset.part import Part, added_columns, with_added
from lazaretto.errors import AdmissionRefusedError, ChangedFileError, UsageError
from lazaretto.ledger.chain import head
from lazaretto.ledger.meanwhile import moved_since
from lazaretto.policy import Columns
from lazaretto.policy.effective import settings_told
from lazaretto.quarantine.held import POSITION
from lazaretto.received import find_batch
from lazaretto.sources.recorded import read_source
from lazaretto.stages.clean import open_cleaned
from lazaretto.stages.quota import require_quota
from lazaretto.storage.flags import read_flags
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

    from lazaretto.authority.policies import Registered
    from lazaretto.batch import Batch
    from lazaretto.ledger.events import BatchJudged, BatchValidated
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.stages.quota import Window
    from lazaretto.storage.flags import Flags
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Cleaned, PolicyRef


@dataclass(frozen=True, slots=True)
class Entering:
    """A batch of which something is cleared, and that may enter by what was on record.

    Attributes:
        received: the batch.
        judged: the judgement that admits it.
        envelope: its signed manifest; None: it is unsigned.
        rules: the policy in force.
        found: what validation says of it; None: an older entry does not say it.
        window: what was counted for the quota of its source; None: it has none.
        first: nothing was on record of the dataset yet.
        seen: last ledger entry by then.
    """

    received: Received
    judged: Judged
    envelope: bytes | None
    rules: Policy
    found: BatchValidated | None
    window: Window | None
    first: bool
    seen: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The same with its records.

    Attributes:
        data: all of them, as they are to enter.
        held: positions of those that do not.
        cleaned: what validation says of them.
        part: makes what is to be admitted, with one check more in the transaction that puts it on
            record; the second argument says whether something was admitted meanwhile.
    """

    data: Batch
    held: NDArray[np.int64]
    cleaned: Cleaned | None
    part: Callable[[Callable[[Connection], None], bool], Part]


def find_entering(
    connection: Connection,
    workspace: Workspace,
    batch: str,
    dataset: str,
    policy: PolicyRef | None = None,
) -> Entering | None:
    """What may enter of a batch; None: nothing is cleared.

    Args:
        connection: of the catalog.
        workspace: for the manifest, which is verified again.
        batch: its id.
        dataset: where to.
        policy: when given, it must be the one in force.

    Raises:
        NotFoundError: no such batch.
        UsageError: it is not judged.
        AdmissionRefusedError: it was judged for another dataset, or by another policy, or something
            speaks against its delivery.
    """
    received = find_batch(connection, batch)
    judged = entitled(connection, batch, dataset, policy)
    envelope = kept_envelope(workspace, received)
    if not judged.event.cleared:
        return None
    return Entering(
        received,
        judged,
        envelope,
        window=_check(connection, received, judged, envelope),
        first=is_unused(connection, dataset),
        rules=_in_force(connection, dataset).rules,
        found=validated_by(connection, judged.event),
        seen=head(connection),
    )


def open_entering(workspace: Workspace, entering: Entering) -> Opened:
    """Opens the records of a batch that enters.

    Raises:
        ChangedFileError: a stored file is gone or was changed.
        DeletedPayloadError: retention deleted them.
    """
    received, judged, found = entering.received, entering.judged, entering.found
    event, window = judged.event, entering.window
    held = _held_positions(workspace, event)
    cleaned = None if found is None else found.cleaned
    data = open_cleaned(workspace, received, cleaned)
    flagged = read_flags(workspace.store, None if found is None else found.flags)
    columns = Columns(record_id=event.columns.record_id)

    def part(still: Callable[[Connection], None], again: bool) -> Part:
        classes = ClassCounts(event.columns.label)

        def check(connection: Connection) -> None:
            # Without a quota nothing depends on the rows that were written since it was checked.
            if window is not None or moved_since(connection, entering.seen, received.id):
                _check(connection, received, judged, entering.envelope, classes.counts, window)
            still(connection)

        return Part(
            batch=received.id,
            source=received.source,
            dataset=event.policy.dataset,
            name=CLEARED,
            rows=event.cleared,
            schema=with_added(data.schema),
            chunks=lambda: _cleared(received, data, columns, held, flagged),
            policy=event.policy,
            check=check,
            first=entering.first and not again,
            named=() if found is None else tuple(found.named),
            classes=classes,
            evolve=entering.rules.evolve,
        )

    return Opened(data, held, cleaned, part)


def entitled(connection: Connection, batch: str, dataset: str, policy: PolicyRef | None) -> Judged:
    """The judgement that admits: the one that stands for the dataset, by the policy in force.

    Raises:
        AdmissionRefusedError: there is none, or the policy that is named is not in force.
        UsageError: the batch is not judged at all.
    """
    in_force = policy_in_force(connection, dataset)
    if in_force is not None and policy is not None and policy.meaning != in_force.meaning:
        raise AdmissionRefusedError(
            f"{named(policy)} is not in force for dataset {dataset!r}, and admits nothing to it: "
            f"{how_to_register(policy)}",
            code="other_policy",
            dataset=dataset,
        )
    judged = standing_judgement(connection, batch, dataset)
    if judged is None or in_force is None:
        _explain_unjudged(connection, batch, dataset)
        raise unjudged(batch)
    # Where nothing was cleared, nothing is admitted, whoever judged.
    if judged.event.cleared and judged.event.policy.meaning != in_force.meaning:
        raise AdmissionRefusedError(
            f"{batch} was judged by {named(judged.event.policy)}, and since "
            f"{in_force.at:%Y-%m-%d %H:%M} {named(in_force.event.policy)} is in force for dataset "
            f"{dataset!r}: {_again(batch, in_force.event.policy.path)}",
            code="other_policy",
            dataset=dataset,
        )
    return judged


def _explain_unjudged(connection: Connection, batch: str, dataset: str) -> None:
    shadows = shadow_judgements(connection, batch, dataset)
    if shadows:
        raise AdmissionRefusedError(
            f"{batch} was judged for dataset {dataset!r} in shadow alone: "
            f"{how_to_register(shadows[0][1].policy)}, then run `lazaretto batch gate` again",
            code="shadow",
            dataset=dataset,
        )
    others = judged_datasets(connection, batch)
    if others:
        raise AdmissionRefusedError(
            f"{batch} was judged for {', '.join(others)}, and by nobody for dataset {dataset!r}: "
            "run `lazaretto batch validate`, `embed`, `screen` and `gate` on it with the policy of "
            "that dataset",
            code="other_dataset",
            dataset=dataset,
        )


def unjudged(batch: str) -> UsageError:
    """The error for a batch that the gate has not judged."""
    return UsageError(f"{batch} is not judged: run `gate` first: `lazaretto batch gate {batch}`")


def _again(batch: str, policy: str | None) -> str:
    """The commands by which a batch gets the judgement that it lacks."""
    return (
        f"run `lazaretto batch rejudge {batch} --reason TEXT --policy {policy or 'FILE'}`, then "
        f"`lazaretto batch admit {batch}`"
    )


def _check(
    connection: Connection,
    received: Received,
    judged: Judged,
    envelope: bytes | None,
    classes: Mapping[str, int] | None = None,
    before: Window | None = None,
) -> Window | None:
    """The judgement stands, its policy is in force, and nothing speaks against the delivery.

    Nor would its source have more than its quota: of each class, once its rows are counted. What
    was counted for that is returned, and given to the next check.
    """
    dataset = judged.event.policy.dataset
    if entitled(connection, received.id, dataset, None).seq != judged.seq:
        raise UsageError(f"{received.id} was judged again meanwhile: run `admit` again")
    rules = _in_force(connection, dataset).rules
    source = read_source(connection, received.source)
    require_admissible(connection, received, envelope, rules, source=source)
    settings = settings_told(rules, source.names, source.trust_tier)
    rows = judged.event.cleared
    return require_quota(connection, received, dataset, settings, rows, classes, before)


def _in_force(connection: Connection, dataset: str) -> Registered:
    found = policy_in_force(connection, dataset)
    assert found is not None  # noqa: S101  `entitled` has just seen it
    return found


def _held_positions(workspace: Workspace, judged: BatchJudged) -> NDArray[np.int64]:
    """Rows of the batch that the gate holds, from the held records themselves.

    Raises:
        ChangedFileError: the file is gone, was changed, or holds another number of records.
    """
    if judged.held_records is None:
        return np.zeros(0, np.int64)
    file = judged.held_records
    positions = read_table(workspace.store, file, columns=[POSITION])[POSITION]
    if len(positions) != judged.held:
        found = f"it holds {len(positions)} records instead of {judged.held}"
        raise ChangedFileError(file.path, expected=file.sha256, found=found)
    return np.sort(positions.to_numpy())


def _cleared(
    batch: Received,
    data: Batch,
    columns: Columns,
    held: NDArray[np.int64],
    flags: Flags | None,
) -> Iterator[pa.RecordBatch]:
    offset = 0
    for ids, chunk in records(data, columns):
        keep = np.ones(chunk.num_rows, dtype=bool)
        here = held[(held >= offset) & (held < offset + chunk.num_rows)] - offset
        keep[here] = False
        kept = np.flatnonzero(keep) + offset
        offset += chunk.num_rows
        mask = pa.array(keep)
        rows = chunk.filter(mask)
        if rows.num_rows:
            mine = None if flags is None else flags.of(kept)
            yield added_columns(rows, batch.id, batch.source, ids.filter(mask), flags=mine)
