"""Whether a received batch fits its dataset, whose columns it may change by the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.dataset.fit import find_fit
from lazaretto.received import open_stored

if TYPE_CHECKING:
    from collections.abc import Collection

    from lazaretto.dataset.evolve import Fit
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace


def batch_fit(
    workspace: Workspace, received: Received, policy: Policy, named: Collection[str]
) -> Fit:
    """What the dataset needs so that a batch fits it, and why it does not, if so.

    Args:
        workspace: catalog and store.
        received: the batch.
        policy: names the dataset, and says how its columns may change.
        named: columns of the batch that the contract names.

    Raises:
        ChangedFileError: the batch's stored copy is gone or was changed.
        ChangedDatasetError: the dataset's table is not the one that is on record.
    """
    data = open_stored(workspace, received)
    return find_fit(
        workspace,
        policy.dataset,
        data.schema,
        lambda columns: data.chunks(columns=columns),
        policy.evolve,
        named,
    )
