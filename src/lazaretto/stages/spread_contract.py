"""Contracts on an engine: stretches are judged by themselves, and what is found is put together."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.engine import open_engine
from lazaretto.errors import UsageError
from lazaretto.stages.spread import Records, work_path
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from lazaretto.batch import Batch, Stretch
    from lazaretto.cleaning import CleaningReport
    from lazaretto.contract import Contract, ContractReport, Known
    from lazaretto.engine import Engine, Output, Run
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Beside:
    """What single records are compared with beside the batch.

    Attributes:
        arrived: when the batch was received, UTC.
        listed: dataset, column, and its values as a side-car; or in words why there are none.
    """

    arrived: datetime
    listed: tuple[tuple[str, str, StoredFile | str], ...]

    @classmethod
    def kept(cls, engine: Engine, known: Known) -> Beside:
        """Puts it where workers find it."""
        listed = []
        for number, ((dataset, column), values) in enumerate(known.listed.items()):
            said: StoredFile | str = "it is not here"
            if isinstance(values, str):
                said = values
            else:
                file = engine.keep(f"listed-{number}", [pa.table({"value": values})])
                said = said if file is None else file
            listed.append((dataset, column, said))
        return cls(known.arrived, tuple(listed))

    def open(self, store: Store) -> Known:
        """The same again, on another machine."""
        from lazaretto.contract import Known

        listed: dict[tuple[str, str], pa.Array | str] = {}
        for dataset, column, said in self.listed:
            values = said
            if not isinstance(said, str):
                one = read_table(store, said)["value"]
                values = pa.concat_arrays([pa.array([], one.type), *one.chunks])
            listed[dataset, column] = values
        return Known(self.arrived, (), listed)


@dataclass(frozen=True, slots=True)
class Checking:
    """Holds records against a contract.

    Attributes:
        records: of the batch.
        policy: names the contract and the columns.
        contract: digest of the contract, where it has one.
        beside: what records are compared with beside the batch.
        seeds: of hashes, of the whole batch.
        alike: what the machine of the stage makes of values: another one must make the same.
    """

    records: Records
    policy: Policy
    contract: str | None
    beside: Beside
    seeds: tuple[int, int]
    alike: tuple[str | int, ...]

    def open(self, store: Store) -> Run:
        """Loads the contract on another machine; see `lazaretto.engine.Job`.

        Raises:
            UsageError: it is another one there, or that machine has another polars.
        """
        from lazaretto.contract import contract_of
        from lazaretto.contract._distinct import made_with

        if made_with(self.seeds) != self.alike:
            raise UsageError(
                f"this worker has polars {made_with(self.seeds)[0]}, and the stage "
                f"{self.alike[0]}, or it makes other hashes of the same values: install the same "
                "version on all nodes"
            )
        contract = contract_of(self.policy)
        if contract is not None and contract.digest != self.contract:
            raise UsageError(
                f"contract {contract.name!r} is another one on this worker: files that the policy "
                "names must be the same on all nodes"
            )
        known = self.beside.open(store)
        return self.here(lambda: self.records.open(store), contract, known)

    def here(self, data: Callable[[], Batch], contract: Contract | None, known: Known) -> Run:
        """Judges records in this process.

        Args:
            data: opens the batch.
            contract: loaded.
            known: what records are compared with beside the batch.

        Returns:
            Gives what was found in a stretch.
        """
        from lazaretto.contract._evaluation import Evaluation

        def run(stretch: Stretch | None) -> Output:
            batch = data() if stretch is None else data().stretch(stretch)
            found = Evaluation(
                batch,
                contract,
                self.policy.columns,
                known=known,
                seeds=self.seeds,
                offset=0 if stretch is None else stretch.offset,
            )
            return {name: [table] for name, table in found.take_piece().items()}

        return run


def checked(
    workspace: Workspace,
    received: Received,
    data: Batch,
    policy: Policy,
    contract: Contract | None,
    known: Known,
    cleaned: CleaningReport | None,
) -> ContractReport:
    """Holds a batch against a contract where the policy says; see `lazaretto.contract.evaluate`.

    Records of no more than one task are judged here.

    Args:
        workspace: catalog and store.
        received: the batch.
        data: its records, mended.
        policy: names the engine.
        contract: loaded.
        known: what rules may compare the batch with.
        cleaned: what cleaning found.
    """
    from lazaretto.contract import evaluate

    options = policy.engine_options
    if options.name != "local" and received.rows > options.task_rows:
        with open_engine(policy, workspace.store, work_path(received.id)) as engine:
            fixes = None
            if cleaned is not None and cleaned.fixes.num_rows:
                fixes = engine.keep("fixes", [cleaned.fixes])
            rows = Records(received.id, received.rows, received.stored, fixes)
            found = checked_on(engine, rows, data, policy, contract, known)
        if found is not None:
            return found
    most = policy.limits.memory_bytes
    return evaluate(data, contract, policy.columns, most_bytes=most, known=known)


def checked_on(
    engine: Engine,
    rows: Records,
    data: Batch,
    policy: Policy,
    contract: Contract | None,
    known: Known,
) -> ContractReport | None:
    """Holds a batch against a contract, piece by piece.

    Args:
        engine: where pieces are judged.
        rows: where the records are.
        data: the same here.
        policy: which column is what.
        contract: loaded.
        known: what rules may compare the batch with.

    Returns:
        The same as `lazaretto.contract.evaluate`. None: a rule raised, or a value does not fit the
        contract's type, so that what is to be said hangs on all records together.
    """
    from lazaretto.contract._distinct import made_with
    from lazaretto.contract._evaluation import Evaluation
    from lazaretto.contract._run import new_seeds

    seeds = new_seeds()
    whole = Evaluation(
        data,
        contract,
        policy.columns,
        most_bytes=policy.limits.memory_bytes,
        known=known,
        seeds=seeds,
    )
    if whole.whole:
        _LOG.info(
            "judged in this process, because they need all records at once: %s",
            ", ".join(whole.whole),
        )
    whole.take_whole()
    job = Checking(
        rows,
        policy,
        None if contract is None else contract.digest,
        Beside.kept(engine, known),
        seeds,
        made_with(seeds),
    )
    here = job.here(lambda: data, contract, known)
    for _, output in engine.map(job, here, data.extents):
        problem = whole.absorb(output)
        if problem is not None:
            _LOG.warning("judged again in this process as a whole: %s", problem)
            return None
    return whole.report()
