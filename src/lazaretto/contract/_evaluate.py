"""Holds a batch against its contract and the rules that every batch must meet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch import Batch, own, records
from lazaretto.contract import _builtin
from lazaretto.contract._report import ContractReport, Failures

if TYPE_CHECKING:
    from lazaretto.contract._gx import SuiteRun
    from lazaretto.contract._known import Known
    from lazaretto.contract._load import Contract
    from lazaretto.contract._run import Run
    from lazaretto.policy import Columns


def evaluate(
    batch: Batch | pa.Table,
    contract: Contract | None,
    columns: Columns,
    *,
    most_bytes: int | None = None,
    known: Known | None = None,
) -> ContractReport:
    """Finds every record that breaks a rule, and every problem of the batch as a whole.

    The records are read in one pass, and memory holds a chunk of them and what fails. A check of
    pandera that is not its own may compare records with one another, so the columns that such
    checks read are in memory together. So are those that a suite of Great Expectations reads.

    Args:
        batch: a batch, or its records in memory.
        contract: what `load_contract` gave; None for the built-in rules alone.
        columns: the policy's columns.
        most_bytes: of the columns that are in memory together. Where they take more, the checks
            that read them are not evaluated, and the report says so; default: no bound.
        known: what rules may compare the batch with. None: nothing is known, and rules that ask
            are in the report's `broken`.

    Returns:
        The report. Rules that raise, missing columns and wrong types are in its `broken`, never
        passed over.

    Raises:
        SystemFaultError: the records cannot be read.

    Examples:
        >>> import pyarrow as pa
        >>> from lazaretto.policy import Columns
        >>> report = evaluate(pa.table({"id": ["a", "a", "b"]}), None, Columns(record_id="id"))
        >>> report.failures["record_id"].to_pylist()
        ['a', 'a']
    """
    names = list(batch.schema.names)
    embeddings = _builtin.Embeddings(batch.schema, columns)
    rules: list[_builtin.RecordIds | _builtin.Labels | _builtin.Embeddings] = [
        _builtin.RecordIds(batch.schema, columns),
        _builtin.Labels(batch.schema, columns),
        embeddings,
    ]
    looked_at = [rule.column for rule in rules if rule.column is not None]
    run = None if contract is None else _run_of(contract, batch.schema, known, most_bytes)
    wanted = [] if run is None else run.columns
    ids = []
    for part, chunk in records(batch, columns, columns=list(dict.fromkeys([*looked_at, *wanted]))):
        ids.append(own(part))
        if run is not None:
            run.take(chunk)
        for rule in rules:
            if rule.column is not None:
                rule.take(chunk, ids[-1])
    failures = Failures(pa.chunked_array(ids, pa.string()))
    _builtin.check_columns_present(names, columns, failures)
    for rule in rules:
        rule.tell(failures)
    if run is not None:
        run.tell(failures)
    named = _named_columns(contract, names)
    return replace(failures.report(), width=embeddings.usual, named=named)


def declared_types(contract: Contract | None) -> list[pa.Field]:
    """Types that a contract says for columns, for files that say none themselves.

    Returns:
        Fields as `lazaretto.batch._wanted.declared` makes them.

    Examples:
        >>> import pandera.polars
        >>> from lazaretto.contract import Contract
        >>> schema = pandera.polars.DataFrameSchema({"price": pandera.polars.Column(float)})
        >>> [field.name for field in declared_types(Contract("prices", schema))]
        ['price']
    """
    if contract is None or contract.suite is not None:  # a suite declares none
        return []
    if contract.table is not None:
        from lazaretto.contract import _table

        return _table.declared_types(contract.table)
    from lazaretto.contract import _pandera

    return _pandera.declared_types(contract.schema)


def _named_columns(contract: Contract | None, names: list[str]) -> list[str]:
    if contract is None:
        return []
    if contract.suite is not None:
        read = {one for rule in contract.suite.rules for one in rule.reads or ()}
        return [name for name in names if name in read]
    if contract.table is not None:
        described = {column.name for column in contract.table.columns}
        return [name for name in names if name in described]
    from lazaretto.contract import _pandera

    return _pandera.named_columns(contract.schema, names)


def _run_of(
    contract: Contract, schema: pa.Schema, known: Known | None, most_bytes: int | None
) -> Run | SuiteRun:
    if contract.suite is not None:
        from lazaretto.contract._gx import SuiteRun

        return SuiteRun(contract.suite, schema, most_bytes)
    # pandera takes over a second to import, and a batch without such a contract needs none of it.
    from lazaretto.contract._run import Run

    if contract.table is not None:
        from lazaretto.contract import _table

        return Run(_table.prepare(contract.table), schema, known, most_bytes)
    from lazaretto.contract import _pandera

    return Run(_pandera.prepare(contract.schema, schema), schema, known, most_bytes)
