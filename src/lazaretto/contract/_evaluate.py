"""Holds a batch against its contract and the rules that every batch must meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch import Batch, all_record_ids, as_chunks
from lazaretto.contract import _builtin
from lazaretto.contract._report import ContractReport, Failures

if TYPE_CHECKING:
    from lazaretto.contract._load import Contract
    from lazaretto.policy import Columns


def evaluate(
    batch: Batch | pa.Table, contract: Contract | None, columns: Columns
) -> ContractReport:
    """Finds every record that breaks a rule, and every problem of the batch as a whole.

    The built-in rules about record ids, labels and embeddings stream. A contract's rules may
    compare records with one another, so the columns that they read are in memory together.

    Args:
        batch: a batch, or its records in memory.
        contract: what `load_contract` gave; None for the built-in rules alone.
        columns: the policy's columns.

    Returns:
        The report. Rules that raise, missing columns and wrong types are in its `broken`, never
        passed over.

    Raises:
        DeliveryError: the records cannot be read.
    """
    names = list(batch.schema.names)
    failures = Failures(all_record_ids(batch, columns))
    _builtin.check_columns_present(names, columns, failures)
    _builtin.check_record_ids(batch, columns, failures)
    _builtin.check_labels(batch, columns, failures)
    _builtin.check_embeddings(batch, columns, failures)
    if contract is not None:
        _walk_contract(batch, contract, names, failures)
    return failures.report()


def _walk_contract(
    batch: Batch | pa.Table, contract: Contract, names: list[str], failures: Failures
) -> None:
    # pandera takes over a second to import, and a batch without a contract needs none of it.
    import polars as pl

    from lazaretto.contract import _pandera

    wanted = _pandera.columns_needed(contract.schema, names)
    chunks = list(as_chunks(batch, columns=wanted))
    frame = pl.from_arrow(pa.Table.from_batches(chunks)) if chunks and wanted else pl.DataFrame()
    if not isinstance(frame, pl.DataFrame):
        frame = frame.to_frame()
    _pandera.walk(contract.schema, frame, names, failures)
