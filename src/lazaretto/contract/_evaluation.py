"""One evaluation: of a batch in one pass, of a piece of it, or of what was found in all pieces."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch import own, records
from lazaretto.contract import _builtin
from lazaretto.contract._piece import Piece, as_table
from lazaretto.contract._report import ContractReport, Failures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lazaretto.batch import Batch
    from lazaretto.contract._gx import SuiteRun
    from lazaretto.contract._known import Known
    from lazaretto.contract._load import Contract
    from lazaretto.contract._run import Prepared, Run
    from lazaretto.policy import Columns

_BUILT_IN = "records"


class Evaluation:
    """Takes records, or what was found in pieces of them, and then says what was found.

    Args:
        data: a batch, a stretch of one, or records in memory.
        contract: what `load_contract` gave; None for the built-in rules alone.
        columns: the policy's columns.
        most_bytes: of the columns that are in memory together; None: any number.
        known: what rules may compare the batch with; None: nothing is known.
        seeds: of hashes; default: at random. The same for all pieces of a batch.
        offset: position of the first record; None: the evaluation is of a whole batch.
    """

    def __init__(
        self,
        data: Batch | pa.Table,
        contract: Contract | None,
        columns: Columns,
        *,
        most_bytes: int | None = None,
        known: Known | None = None,
        seeds: tuple[int, int] | None = None,
        offset: int | None = None,
    ) -> None:
        self._data, self._contract, self._policy = data, contract, columns
        schema = data.schema
        self._ids = _builtin.RecordIds(schema, columns)
        self._embeddings = _builtin.Embeddings(schema, columns)
        built_in = (self._ids, _builtin.Labels(schema, columns), self._embeddings)
        self._rules = built_in
        self._run: Run | None = None
        self._suite: SuiteRun | None = None
        self._texts: list[pa.Array] = []
        suite = None if contract is None else contract.suite
        if contract is not None and suite is None:
            # A batch without such a contract needs nothing of polars and pandera.
            from lazaretto.contract._again import Again
            from lazaretto.contract._run import Run

            prepared = _prepared(contract, schema)
            again = Again(data, prepared.types)
            self._run = Run(
                prepared, schema, known, most_bytes, look=again.look, seeds=seeds, offset=offset
            )
        elif suite is not None and offset is None:
            from lazaretto.contract._gx import SuiteRun

            self._suite = SuiteRun(suite, schema, most_bytes)

    @property
    def columns(self) -> list[str]:
        """Columns of the records that `take` is given."""
        looked_at = [rule.column for rule in self._rules if rule.column is not None]
        run = self._run or self._suite
        return list(dict.fromkeys([*looked_at, *([] if run is None else run.columns)]))

    @property
    def whole(self) -> list[str]:
        """Names of the rules that need all records at once."""
        suite = None if self._contract is None else self._contract.suite
        if suite is not None:
            return [rule.name for rule in suite.rules]
        return [] if self._run is None else self._run.whole

    def take(self, ids: pa.Array, chunk: pa.RecordBatch) -> None:
        """Looks at the next records."""
        self._texts.append(own(ids))
        self._ids.take_ids(self._texts[-1])
        for run in (self._run, self._suite):
            if run is not None:
                run.take(chunk)
        self._look(chunk)

    def take_piece(self) -> dict[str, pa.Table]:
        """Looks at the records of a stretch.

        Returns:
            What was found there, as tables that `absorb` takes.

        Raises:
            SystemFaultError: the records cannot be read.
        """
        for _, chunk in records(self._data, self._policy, columns=self.columns):
            if self._run is not None:
                self._run.take(chunk)
            self._look(chunk)
        found = {} if self._run is None else self._run.piece().tables()
        columns = {name: one for rule in self._rules for name, one in rule.piece().items()}
        # A file has at least one column.
        columns["one"] = pa.nulls(self._data.num_rows)
        return {**found, _BUILT_IN: pa.table(columns)}

    def take_whole(self) -> None:
        """Reads of all records what no piece tells: ids, and columns that rules need as a whole.

        Raises:
            SystemFaultError: the records cannot be read.
            DeliveryError: code ``too_large``: the ids take more than half a gigabyte.
        """
        names = [] if self._run is None else self._run.whole_columns
        names = names if self._suite is None else self._suite.columns
        for ids, chunk in records(self._data, self._policy, columns=names):
            self._texts.append(own(ids))
            self._ids.take_ids(self._texts[-1])
            if self._suite is not None:
                self._suite.take(chunk)
            elif self._run is not None:
                self._run.keep(chunk)
        if self._run is not None:
            self._run.kept()

    def absorb(self, tables: Mapping[str, Iterable[pa.RecordBatch | pa.Table]]) -> str | None:
        """Takes what was found in the next piece.

        Returns:
            Why the pieces cannot be put together; see `Run.absorb`.
        """
        built_in = as_table(tables[_BUILT_IN])
        for rule in self._rules:
            if rule.column is not None:
                rule.absorb(built_in)
        return None if self._run is None else self._run.absorb(Piece.of_tables(tables))

    def report(self) -> ContractReport:
        """What was found in all records."""
        names = list(self._data.schema.names)
        failures = Failures(pa.chunked_array(self._texts, pa.string()))
        _builtin.check_columns_present(names, self._policy, failures)
        for rule in self._rules:
            rule.tell(failures)
        for run in (self._run, self._suite):
            if run is not None:
                run.tell(failures)
        named = _named_columns(self._contract, names)
        return replace(failures.report(), width=self._embeddings.usual, named=named)

    def _look(self, chunk: pa.RecordBatch) -> None:
        for rule in self._rules:
            if rule.column is not None:
                rule.take(chunk)


def _prepared(contract: Contract, schema: pa.Schema) -> Prepared:
    if contract.table is not None:
        from lazaretto.contract import _table

        return _table.prepare(contract.table)
    # pandera takes over a second to import.
    from lazaretto.contract import _pandera

    return _pandera.prepare(contract.schema, schema)


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
