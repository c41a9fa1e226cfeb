"""Makes tables what the ledger says after a restore, and tells what has to be delivered again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazaretto.dataset.compare import Disagreement, compare_table
from lazaretto.dataset.delta import LOG
from lazaretto.dataset.mend import commit_missing, give_up, set_back
from lazaretto.errors import LedgerError, UsageError
from lazaretto.health.files import NamedFiles, is_there, unknown_batches
from lazaretto.ledger.chain import whole
from lazaretto.ledger.events import BatchReceived, files_of
from lazaretto.names import check_dataset_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch that has to be delivered again.

    Attributes:
        batch: its id.
        uri: where it was delivered; None: the ledger does not know it.
    """

    batch: str
    uri: str | None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What catalog and store disagree on, and what was done about it.

    Attributes:
        done: whether anything was done; otherwise it is only told what would be.
        datasets: where tables and ledger part.
        gone: batches on record whose stored files are gone: the same delivery brings them back.
        unknown: batches in the store that the ledger does not know: of a catalog that was newer, or
            of a receipt that was cut off.
        given_up: lost records went on record as lost.
        seqs: ledger entries.
    """

    done: bool
    datasets: list[Disagreement]
    gone: list[Delivery]
    unknown: list[Delivery]
    given_up: bool = False
    seqs: list[int] = field(default_factory=list)

    @property
    def lost(self) -> bool:
        """Whether admitted records are gone from the store."""
        return any(plan.lost for plan in self.datasets)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be done to tables and store, by this or by a delivery."""
        tables = self.done or not any(plan.table_differs for plan in self.datasets)
        return tables and not self.gone and (self.given_up or not self.lost)


def reconcile(workspace: Workspace, *, apply: bool, accept_loss: bool = False) -> Reconciled:
    """Holds tables and files against the ledger, and makes the tables what the ledger says.

    What a table has and the ledger has not leaves its log and is kept under ``set-aside/``: nothing
    is admitted by it. What the ledger has and the table has not is committed again, where the data
    files are there.

    Args:
        workspace: catalog and store.
        apply: do it; otherwise it is only told what would be done.
        accept_loss: put on record that admitted records whose data files are gone are lost, so that
            the dataset can be used without them and the same batches may be admitted again. Only
            where there is no backup of the files.

    Raises:
        UsageError: a loss is to be accepted, and nothing is to be done.
        LedgerError: the ledger does not hold.
        OtherStoreError: the store is not the catalog's.
        ChangedStateError: the catalog does not say what the ledger says.
        ChangedDatasetError: a table cannot be made anew.
        SystemFaultError: catalog or store cannot be used.

    Examples:
        >>> reconcile(workspace, apply=False).datasets  # none of them needs anything
        []
    """
    if accept_loss and not apply:
        raise UsageError("a loss is accepted with --apply")
    sizes = workspace.store.sizes()  # before the ledger: what is on record later, is there later
    named, received = _named(workspace)
    names = sorted(named.datasets | _in_store(sizes))
    plans = [plan for name in names if (plan := compare_table(workspace, name, sizes)) is not None]
    gone = [
        event
        for event in received
        if not all(
            is_there(file, sizes) for file in files_of(event) if file.path not in named.deleted
        )
    ]
    found = Reconciled(
        done=apply,
        datasets=plans,
        gone=[Delivery(event.batch, event.uri) for event in gone],
        unknown=[Delivery(batch, None) for batch in sorted(unknown_batches(named, sizes))],
        given_up=accept_loss,
    )
    return _apply(workspace, found) if apply else found


def _apply(workspace: Workspace, found: Reconciled) -> Reconciled:
    seqs = []
    for plan in found.datasets:
        seqs.append(set_back(workspace, plan))
        commit_missing(workspace, plan)
        if found.given_up:
            seqs.append(give_up(workspace, plan))
    return Reconciled(
        done=True,
        datasets=found.datasets,
        gone=found.gone,
        unknown=found.unknown,
        given_up=found.given_up,
        seqs=[seq for seq in seqs if seq is not None],
    )


def _named(workspace: Workspace) -> tuple[NamedFiles, list[BatchReceived]]:
    """The files that the whole ledger names, and the receipts.

    Raises:
        LedgerError: the ledger does not hold, so that nothing can be made of it.
    """
    named, received = NamedFiles(), list[BatchReceived]()
    with workspace.catalog.read() as connection:
        try:
            for entry in whole(connection):
                named.add(entry)
                if isinstance(entry.event, BatchReceived):
                    received.append(entry.event)
        except LedgerError as error:
            raise LedgerError(
                f"the ledger does not hold, so that nothing can be made of it: {error}. Restore "
                "the catalog from a backup"
            ) from error
    return named, received


def _in_store(sizes: Iterable[str]) -> set[str]:
    """Names of the datasets that lie in the store as tables."""
    found = set()
    for path in sizes:
        parts = path.split("/")
        if parts[0] == "datasets" and parts[2:3] == [LOG]:
            try:
                found.add(check_dataset_name(parts[1]))
            except UsageError:
                continue  # no dataset of ours can have this name
    return found
