"""Holds a batch against its contract and the rules that every batch must meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch import Batch, own, records
from lazaretto.contract import _builtin
from lazaretto.contract._report import ContractReport, Failures

if TYPE_CHECKING:
    from lazaretto.contract._load import Contract
    from lazaretto.policy import Columns


def evaluate(
    batch: Batch | pa.Table,
    contract: Contract | None,
    columns: Columns,
    *,
    most_bytes: int | None = None,
) -> ContractReport:
    """Finds every record that breaks a rule, and every problem of the batch as a whole.

    The records are read in one pass. The built-in rules about record ids, labels and embeddings
    stream. A contract's rules may compare records with one another, so the columns that they read
    are in memory together.

    Args:
        batch: a batch, or its records in memory.
        contract: what `load_contract` gave; None for the built-in rules alone.
        columns: the policy's columns.
        most_bytes: of the columns that the contract reads. Where they take more, it is not
            evaluated, and the report says so; default: no bound.

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
    rules = [
        rule(batch.schema, columns)
        for rule in (_builtin.RecordIds, _builtin.Labels, _builtin.Embeddings)
    ]
    looked_at = [rule.column for rule in rules if rule.column is not None]
    wanted = _columns_needed(contract, names)
    kept, ids = _Kept(wanted, most_bytes), []
    for part, chunk in records(batch, columns, columns=list(dict.fromkeys([*looked_at, *wanted]))):
        ids.append(own(part))
        kept.take(chunk)
        for rule in rules:
            if rule.column is not None:
                rule.take(chunk, ids[-1])
    failures = Failures(pa.chunked_array(ids, pa.string()))
    _builtin.check_columns_present(names, columns, failures)
    for rule in rules:
        rule.tell(failures)
    if contract is not None and kept.too_large:
        failures.broken.append(
            f"the columns that the contract reads take more than {most_bytes:,} bytes "
            "(limits.memory_bytes), so that it was not evaluated"
        )
    elif contract is not None:
        _walk_contract(kept.chunks, contract, batch.schema, failures, most_bytes)
    return failures.report()


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
    if contract is None or contract.kind == "gx":  # a suite declares none
        return []
    from lazaretto.contract import _pandera

    return _pandera.declared_types(contract.schema)


class _Kept:
    """The columns that a contract reads, in memory together up to a bound."""

    def __init__(self, columns: list[str], most_bytes: int | None) -> None:
        self._columns, self._most = columns, most_bytes
        self._size = 0
        self.too_large = False
        self.chunks: list[pa.RecordBatch] = []

    def take(self, chunk: pa.RecordBatch) -> None:
        if not self._columns or self.too_large:
            return
        columns = [own(chunk.column(name)) for name in self._columns]
        self.chunks.append(pa.RecordBatch.from_arrays(columns, names=self._columns))
        self._size += self.chunks[-1].nbytes
        if self._most is not None and self._size > self._most:
            self.too_large = True
            self.chunks.clear()


def _columns_needed(contract: Contract | None, names: list[str]) -> list[str]:
    if contract is None:
        return []
    if contract.kind == "gx":
        from lazaretto.contract import _gx

        return _gx.columns_needed(contract.schema, names)
    # pandera takes over a second to import, and a batch without a contract needs none of it.
    from lazaretto.contract import _pandera

    return _pandera.columns_needed(contract.schema, names)


def _walk_contract(
    chunks: list[pa.RecordBatch],
    contract: Contract,
    schema: pa.Schema,
    failures: Failures,
    most_bytes: int | None,
) -> None:
    names = list(schema.names)
    if contract.kind == "gx":
        from lazaretto.contract import _gx

        parts = chunks or [pa.RecordBatch.from_pylist([], schema=schema)]
        _gx.walk(contract.schema, parts, names, failures, most_bytes=most_bytes)
        return
    from lazaretto.contract import _pandera
    from lazaretto.contract._frame import make_frame

    frame = make_frame(chunks, _pandera.arrow_types(contract.schema, names))
    _pandera.walk(contract.schema, frame, names, failures)
