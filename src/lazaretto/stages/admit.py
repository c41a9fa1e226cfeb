"""Admit: what was not held of a judged batch enters the dataset. Long: with all its refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.authority.conditions import kept_envelope, refusals_on_record, require_admissible
from lazaretto.authority.judgements import (
    Judged,
    judged_datasets,
    shadow_judgements,
    standing_judgement,
    validated_by,
)
from lazaretto.authority.policies import how_to_register, named, policy_in_force, policy_ref
from lazaretto.batch import records
from lazaretto.dataset.admission import (
    CLEARED,
    Admission,
    find_admission,
    is_unused,
)
from lazaretto.dataset.classes import ClassCounts
from lazaretto.dataset.files import dataset_uri
from lazaretto.dataset.part import Part, added_columns, with_added
from lazaretto.dataset.table import open_newest
from lazaretto.errors import AdmissionRefusedError, ChangedFileError, UsageError
from lazaretto.ledger.chain import head
from lazaretto.ledger.meanwhile import moved_since
from lazaretto.names import check_dataset_name
from lazaretto.policy import Columns
from lazaretto.policy.effective import settings_told
from lazaretto.quarantine.held import POSITION
from lazaretto.received import find_batch, on_record
from lazaretto.sources.recorded import read_source
from lazaretto.stages.clean import open_cleaned
from lazaretto.stages.copied import admit_uncopied
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
    from lazaretto.values import PolicyRef


def admit(
    workspace: Workspace, batch: str, dataset: str | None = None, *, policy: Policy | None = None
) -> Admission:
    """Writes the cleared records of a batch into the admitted dataset, once however often called.

    What the ledger says is held stays out, whatever the catalog's tables say. Only the verdict of
    the policy that is in force for the dataset admits, and only while source, key and signature of
    the delivery are in order by that policy.

    Args:
        workspace: catalog and store.
        batch: id of a judged batch.
        dataset: default: the policy's, or else the one that the batch was judged for.
        policy: when given, it must be the one in force.

    Returns:
        The admission; ``rows`` is 0 and ``version`` None when nothing was cleared. Of a batch that
        was recalled since, ``recalled`` names the recall, and ``rows`` is what is left.

    Raises:
        NotFoundError: no such batch.
        UsageError: it is not judged, or no dataset can have this name.
        AdmissionRefusedError: the batch was not judged for this dataset, or not by the policy in
            force, or something speaks against the delivery now, or its columns or values have no
            place in the dataset; it is on record.
        ChangedFileError: a stored file is gone or was changed.
        ChangedStateError: the catalog does not say what the ledger says.
        ChangedDatasetError: the dataset's table is not the one that is on record.
        SystemFaultError: store or catalog cannot be used; the same call goes on later.

    Examples:
        >>> admit(workspace, monday).rows  # it was judged before; again changes nothing
        60
    """
    if dataset is not None:
        check_dataset_name(dataset)
    ref = None if policy is None else policy_ref(policy)
    with on_record(workspace, batch, "admit"), refusals_on_record(workspace, batch):
        with workspace.catalog.read() as connection:
            received = find_batch(connection, batch)
            target = _target(connection, batch, dataset, ref)
            uri = dataset_uri(workspace, target)
            done = find_admission(connection, workspace, target, batch, CLEARED)
            if done is None:
                judged = _entitled(connection, batch, target, ref)
                envelope = kept_envelope(workspace, received)
                if judged.event.cleared:
                    window = _check(connection, received, judged, envelope)
                    first = is_unused(connection, target)
                    rules = _in_force(connection, target).rules
                    found = validated_by(connection, judged.event)
                    seen = head(connection)
        if done is not None:
            open_newest(workspace, target)  # cut off behind its record, it is finished by that
            return done
        if not judged.event.cleared:
            return Admission(batch, target, uri, None, 0)

        return _admit(workspace, received, judged, envelope, rules, found, window, first, seen)


def _admit(
    workspace: Workspace,
    received: Received,
    judged: Judged,
    envelope: bytes | None,
    rules: Policy,
    found: BatchValidated | None,
    window: Window | None,
    first: bool,
    seen: int,
) -> Admission:
    """Admits the cleared records; where no copy may enter, none that came meanwhile either."""
    event, held = judged.event, _held_positions(workspace, judged.event)
    cleaned = None if found is None else found.cleaned
    data = open_cleaned(workspace, received, cleaned)
    flagged = read_flags(workspace.store, None if found is None else found.flags)
    columns = Columns(record_id=event.columns.record_id)

    def part(still: Callable[[Connection], None], again: bool) -> Part:
        classes = ClassCounts(event.columns.label)

        def check(connection: Connection) -> None:
            # Without a quota nothing depends on the rows that were written since it was checked.
            if window is not None or moved_since(connection, seen, received.id):
                _check(connection, received, judged, envelope, classes.counts, window)
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
            first=first and not again,
            named=() if found is None else tuple(found.named),
            classes=classes,
            evolve=rules.evolve,
        )

    return admit_uncopied(workspace, received, data, held, cleaned, rules, part)


def _target(
    connection: Connection, batch: str, dataset: str | None, policy: PolicyRef | None
) -> str:
    """The dataset to admit to.

    Raises:
        AdmissionRefusedError: the policy is another dataset's.
        UsageError: several come into question.
    """
    if policy is not None and dataset not in (None, policy.dataset):
        raise AdmissionRefusedError(
            f"{named(policy)} is of dataset {policy.dataset!r}, and admits nothing to {dataset!r}",
            code="other_dataset",
            dataset=str(dataset),
        )
    if dataset is not None or policy is not None:
        return dataset if dataset is not None else str(policy and policy.dataset)
    found = judged_datasets(connection, batch)
    if len(found) > 1:
        raise UsageError(f"{batch} was judged for {', '.join(found)}: say which, with --dataset")
    if not found:
        raise _unjudged(batch)
    return found[0]


def _entitled(connection: Connection, batch: str, dataset: str, policy: PolicyRef | None) -> Judged:
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
        raise _unjudged(batch)
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


def _unjudged(batch: str) -> UsageError:
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
    if _entitled(connection, received.id, dataset, None).seq != judged.seq:
        raise UsageError(f"{received.id} was judged again meanwhile: run `admit` again")
    rules = _in_force(connection, dataset).rules
    source = read_source(connection, received.source)
    require_admissible(connection, received, envelope, rules, source=source)
    settings = settings_told(rules, source.names, source.trust_tier)
    rows = judged.event.cleared
    return require_quota(connection, received, dataset, settings, rows, classes, before)


def _in_force(connection: Connection, dataset: str) -> Registered:
    found = policy_in_force(connection, dataset)
    assert found is not None  # noqa: S101  `_entitled` has just seen it
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
