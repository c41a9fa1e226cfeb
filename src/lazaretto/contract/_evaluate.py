"""Holds a batch against its contract and the rules that every batch must meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.batch import Batch, records
from lazaretto.contract._evaluation import Evaluation

if TYPE_CHECKING:
    import pyarrow as pa

    from lazaretto.contract._known import Known
    from lazaretto.contract._load import Contract
    from lazaretto.contract._report import ContractReport
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
    found = Evaluation(batch, contract, columns, most_bytes=most_bytes, known=known)
    for ids, chunk in records(batch, columns, columns=found.columns):
        found.take(ids, chunk)
    return found.report()


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
