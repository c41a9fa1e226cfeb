"""Admit: what was not held of a judged batch enters the dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.authority.conditions import refusals_on_record
from lazaretto.authority.judgements import judged_datasets
from lazaretto.authority.policies import named, policy_ref
from lazaretto.dataset.admission import CLEARED, Admission, find_admission
from lazaretto.dataset.files import dataset_uri
from lazaretto.dataset.table import open_newest
from lazaretto.errors import AdmissionRefusedError, UsageError
from lazaretto.names import check_dataset_name
from lazaretto.received import find_batch, on_record
from lazaretto.stages.admit_with import admit_alone, admit_with_others
from lazaretto.stages.entering import find_entering, unjudged

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.policy import Policy
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
            find_batch(connection, batch)
            target = _target(connection, batch, dataset, ref)
            uri = dataset_uri(workspace, target)
            done = find_admission(connection, workspace, target, batch, CLEARED)
            if done is None:
                entering = find_entering(connection, workspace, batch, target, ref)
        if done is not None:
            open_newest(workspace, target)  # cut off behind its record, it is finished by that
            return done
        if entering is None:
            return Admission(batch, target, uri, None, 0)
        if entering.rules.admit.window.batches > 1:
            return admit_with_others(workspace, entering)
        return admit_alone(workspace, entering)


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
        raise unjudged(batch)
    return found[0]
