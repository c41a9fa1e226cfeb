"""Whether held records could enter their dataset: asked before somebody decides to release them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lazaretto.authority.judgements import validated_by
from lazaretto.authority.policies import policy_in_force
from lazaretto.dataset.fit import find_fit
from lazaretto.dataset.part import with_added
from lazaretto.dataset.schema import misfit
from lazaretto.ledger.cover import covering
from lazaretto.ledger.events import BatchJudged
from lazaretto.quarantine.held import ADDED_NAMES, POSITION
from lazaretto.storage.sidecars import keyed_chunks, read_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Row

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile


def named_in_contract(connection: Connection, row: Row[Any]) -> list[str]:
    """Columns of a case's records that the contract names, as their validation says.

    Raises:
        ChangedStateError: the case's row does not say what the ledger says.
    """
    event = covering(connection, "review_case", row.id, row).event
    validated = validated_by(connection, event) if isinstance(event, BatchJudged) else None
    return [] if validated is None else validated.named


def require_fits(workspace: Workspace, row: Row[Any], held: StoredFile, selected: pa.Table) -> None:
    """Refuses to release what could not be published, by the policy that is in force now.

    Args:
        workspace: catalog and store.
        row: of the case.
        held: the file with its held records.
        selected: the records, with their positions.

    Raises:
        AdmissionRefusedError: code ``does_not_fit``.
        ChangedFileError: a stored file is gone or was changed.
    """
    with workspace.catalog.read() as connection:
        policy = policy_in_force(connection, row.dataset)
        named = named_in_contract(connection, row)
    if policy is None:
        return  # publishing says so, and it may be registered first
    schema = read_schema(workspace.store, held)
    delivered = pa.schema([field for field in schema if field.name not in ADDED_NAMES])
    positions = selected["position"].combine_chunks()

    def chunks(columns: list[str]) -> Iterator[pa.RecordBatch]:
        for rows in keyed_chunks(workspace.store, held, POSITION, positions):
            yield rows.select(columns)

    rules = policy.rules.evolve
    change = find_fit(workspace, row.dataset, with_added(delivered), chunks, rules, named)
    if change.problems:
        raise misfit(
            f"these records could not be published, so nothing was decided: "
            f"{'; '.join(change.problems)}. After a change of the policy, `lazaretto policy "
            "register FILE --reason TEXT` puts it in force, and they can be released",
            row.dataset,
        )
