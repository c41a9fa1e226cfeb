"""What is known of a delivery's columns before it is read: by the contract, then by the dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch import Wanted, declared
from lazaretto.dataset.admission import is_unused
from lazaretto.dataset.delta import ADDED, arrow_schema
from lazaretto.dataset.table import open_newest

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace

TEXT_FORMATS = ("csv", "json")
"""Formats whose files do not say types."""


def wanted_columns(workspace: Workspace, policy: Policy | None, kind: str | None) -> Wanted:
    """Columns of ids and labels, and for files without types the types that are declared.

    Args:
        workspace: catalog and store.
        policy: names the columns, the contract and the dataset.
        kind: the format, as `lazaretto.batch.format_by_name` tells it.

    Raises:
        UsageError: the contract cannot be loaded.
        ChangedDatasetError: the dataset's table is not the one that is on record.
        SystemFaultError: store or catalog cannot be used.
    """
    if policy is None:
        return Wanted()
    # The folders of a partitioned delivery are text, too.
    if kind is None or not (kind.startswith(TEXT_FORMATS) or kind.endswith(".tar")):
        return Wanted.of(policy.columns)
    fields = [*_of_contract(policy), *_of_dataset(workspace, policy)]
    return Wanted.of(policy.columns, fields, policy.read.options())


def _of_contract(policy: Policy) -> list[pa.Field]:
    if policy.contract is None:
        return []
    # pandera takes over a second to import, and a policy without a contract needs none of it.
    from lazaretto.contract import contract_of, declared_types

    return declared_types(contract_of(policy))


def _of_dataset(workspace: Workspace, policy: Policy) -> list[pa.Field]:
    """Types of the dataset, without those that a delivery may widen."""
    dataset, names = policy.dataset, (policy.columns.record_id, policy.columns.label)
    with workspace.catalog.read() as connection:
        if is_unused(connection, dataset):
            return []
    table = open_newest(workspace, dataset).table
    if table is None:
        return []
    added = {field.name for field in ADDED}
    by = f"dataset {dataset!r}"
    return [
        declared(field.name, field.type, by)
        for field in arrow_schema(table)
        if field.name not in added
        and not (_may_widen(field.type, policy) and field.name not in names)
    ]


def _may_widen(kind: pa.DataType, policy: Policy) -> bool:
    """Whether what is no value of a column's type may give the column another one."""
    return policy.evolve.widen_types and bool(pa.types.is_integer(kind))
