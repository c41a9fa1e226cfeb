"""Copies of what others admitted since a batch was validated: looked for again at its admission."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.batch import records
from lazaretto.cleaning import Plan, contents
from lazaretto.dataset.admission import admit_part
from lazaretto.dataset.commit import ATTEMPTS
from lazaretto.dataset.history import find_newest
from lazaretto.dataset.record_index import catch_up
from lazaretto.dataset.record_lookup import find_same
from lazaretto.errors import AdmissionRefusedError, SystemFaultError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

    from lazaretto.batch import Batch
    from lazaretto.dataset.admission import Admission
    from lazaretto.dataset.part import Part
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Cleaned


class _MovedError(Exception):
    """Something was admitted while copies were looked for: look again."""


def admit_uncopied(
    workspace: Workspace,
    received: Received,
    data: Batch,
    held: NDArray[np.int64],
    cleaned: Cleaned | None,
    policy: Policy,
    part: Callable[[Callable[[Connection], None], bool], Part],
) -> Admission:
    """Admits what a batch's judgement cleared, where nothing of it was admitted by others since.

    Where the policy only flags copies, nobody looks again.

    Args:
        workspace: catalog and store.
        received: the batch.
        data: its records, as they are to enter.
        held: positions of those that do not enter.
        cleaned: what validation says of them.
        policy: that is in force.
        part: makes what is to be admitted, with a check of its own in the transaction that puts it
            on record; the second argument says whether something was admitted meanwhile.

    Raises:
        AdmissionRefusedError: code ``copied``: there is a copy; or see `admit_part`.
        SystemFaultError: catalog or store cannot be used.
    """
    for attempt in range(ATTEMPTS):
        looked = None
        if forbids_copies(policy):
            looked = _look_for_copies(workspace, received, data, held, cleaned, policy)
        try:
            still = partial(_require_unmoved, policy.dataset, looked)
            return admit_part(workspace, part(still, attempt > 0))
        except _MovedError:
            continue
    raise SystemFaultError(
        f"dataset {policy.dataset!r} changed {ATTEMPTS} times while {received.id} was admitted"
    )


def forbids_copies(policy: Policy) -> bool:
    """Whether no copy of an earlier record may enter by itself."""
    cleaning = policy.cleaning
    if cleaning is None:
        return False
    rule = cleaning.exact_duplicates
    return rule.across and rule.action in ("hold", "drop")


def _look_for_copies(
    workspace: Workspace,
    received: Received,
    data: Batch,
    held: NDArray[np.int64],
    cleaned: Cleaned | None,
    policy: Policy,
) -> int:
    """Looks among what was admitted since a batch was validated.

    Args:
        workspace: catalog and store.
        received: the batch.
        data: its records, as they are to enter.
        held: positions of those that do not enter.
        cleaned: what validation says of them.
        policy: that is in force.

    Returns:
        Version of the dataset that has no copy of its records; 0: there is none yet.

    Raises:
        AdmissionRefusedError: code ``copied``: there is a copy.
        SystemFaultError: catalog or store cannot be used.
    """
    indexed = catch_up(workspace, policy)
    compared = 0 if cleaned is None or cleaned.compared is None else cleaned.compared
    if indexed is None or indexed.version <= compared:
        return 0 if indexed is None else indexed.version
    assert policy.cleaning is not None  # noqa: S101  `forbids_copies` was asked
    plan = replace(Plan.of(data.schema, policy.columns, policy.cleaning), near=[])
    parts = [
        keys
        for _, chunk in records(data, policy.columns, columns=plan.content)
        if (keys := contents(chunk, plan)[0]) is not None
    ]
    keys = np.concatenate(parts) if parts else np.zeros((0, 2), np.int64)
    with workspace.catalog.read() as connection:
        copies = find_same(connection, indexed, keys, received.id, after=compared)
    entering = sorted(set(copies) - set(held.tolist()))
    if entering:
        one = copies[entering[0]]
        raise AdmissionRefusedError(
            f"{len(entering)} records of {received.id} have the content of records that were "
            f"admitted since it was validated, the first that of {one.record!r} of {one.batch}: "
            f"run `lazaretto batch rejudge {received.id} --reason TEXT`, which compares them",
            code="copied",
            dataset=policy.dataset,
        )
    return indexed.version


def _require_unmoved(dataset: str, looked: int | None, connection: Connection) -> None:
    newest = None if looked is None else find_newest(connection, dataset)
    if newest is not None and newest.event.version != looked:
        raise _MovedError
