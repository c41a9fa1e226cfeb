"""Holds a batch against its contract and the rules that every batch must meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch import Batch, records
from lazaretto.contract import _builtin
from lazaretto.contract._report import ContractReport, Failures

if TYPE_CHECKING:
    from lazaretto.contract._load import Contract
    from lazaretto.policy import Columns


def evaluate(
    batch: Batch | pa.Table, contract: Contract | None, columns: Columns
) -> ContractReport:
    """Finds every record that breaks a rule, and every problem of the batch as a whole.

    The records are read in one pass. The built-in rules about record ids, labels and embeddings
    stream. A contract's rules may compare records with one another, so the columns that they read
    are in memory together.

    Args:
        batch: a batch, or its records in memory.
        contract: what `load_contract` gave; None for the built-in rules alone.
        columns: the policy's columns.

    Returns:
        The report. Rules that raise, missing columns and wrong types are in its `broken`, never
        passed over.

    Raises:
        SystemFaultError: the records cannot be read.
    """
    names = list(batch.schema.names)
    rules = [
        rule(batch.schema, columns)
        for rule in (_builtin.RecordIds, _builtin.Labels, _builtin.Embeddings)
    ]
    looked_at = [rule.column for rule in rules if rule.column is not None]
    wanted = _columns_needed(contract, names)
    kept, ids = [], []
    for part, chunk in records(batch, columns, columns=list(dict.fromkeys([*looked_at, *wanted]))):
        ids.append(part)
        kept.append(chunk.select(wanted))
        for rule in rules:
            if rule.column is not None:
                rule.take(chunk)
    failures = Failures(pa.concat_arrays(ids) if ids else pa.array([], pa.string()))
    _builtin.check_columns_present(names, columns, failures)
    for rule in rules:
        rule.tell(failures)
    if contract is not None:
        _walk_contract(kept if wanted else [], contract, names, failures)
    return failures.report()


def _columns_needed(contract: Contract | None, names: list[str]) -> list[str]:
    if contract is None:
        return []
    # pandera takes over a second to import, and a batch without a contract needs none of it.
    from lazaretto.contract import _pandera

    return _pandera.columns_needed(contract.schema, names)


def _walk_contract(
    chunks: list[pa.RecordBatch], contract: Contract, names: list[str], failures: Failures
) -> None:
    import polars as pl

    from lazaretto.contract import _pandera

    frame = pl.from_arrow(pa.Table.from_batches(chunks)) if chunks else pl.DataFrame()
    if not isinstance(frame, pl.DataFrame):
        frame = frame.to_frame()
    _pandera.walk(contract.schema, frame, names, failures)
