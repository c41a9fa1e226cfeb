"""Maintenance of a dataset: small files put together, a log checkpoint, old files deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lazaretto.dataset.compact import Compaction, compact
from lazaretto.dataset.history import find_newest
from lazaretto.dataset.log_checkpoint import write_checkpoint
from lazaretto.dataset.table import open_newest
from lazaretto.errors import SystemFaultError
from lazaretto.health.unused import Unused, changed_since, find_unused
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import DatasetPruned
from lazaretto.storage.verified import LIST

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.health.unused import Plan
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Maintained:
    """What was done to a dataset, and which of its files nothing needs.

    Attributes:
        dataset: its name.
        version: its newest version now.
        compactions: files that were put together, each a version.
        checkpoint: version of which the table's log has a checkpoint now; None: none was written,
            because Delta could not read it from the store's server.
        days: so long the policy in force keeps data files that the newest version has no longer;
            None: for ever.
        due: files that nothing needs and the policy keeps no longer.
        waiting: how many files nothing needs, and the policy still keeps.
        needed: how many files snapshots need, and traces of what reviewers released; they are kept
            for good.
        again: files that were deleted before and are there: a run was cut off, or a backup of the
            store brought them back. They are deleted as well.
        kept: why nothing is deleted now, in words.
        deleted: whether what is due was deleted; otherwise it is only told.
        seqs: ledger entries: one for each compaction, and that of the deletion.
    """

    dataset: str
    version: int
    compactions: list[Compaction]
    checkpoint: int | None
    days: int | None
    due: list[Unused] = field(default_factory=list)
    waiting: int = 0
    needed: int = 0
    again: list[str] = field(default_factory=list)
    kept: str | None = None
    deleted: bool = False
    seqs: list[int] = field(default_factory=list)

    @property
    def before(self) -> int:
        """How many files were put together."""
        return sum(one.before for one in self.compactions)

    @property
    def after(self) -> int:
        """How many came of them."""
        return sum(one.after for one in self.compactions)

    @property
    def settled(self) -> bool:
        """Whether nothing is left that could be deleted."""
        return self.deleted or self.kept is not None or not (self.due or self.again)


def maintain(
    workspace: Workspace,
    dataset: str,
    *,
    apply: bool = False,
    now: datetime | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Maintained:
    """Keeps a dataset quick to open and to read, while others admit and recall.

    Small data files are put together, each group in a version of its own with the same records.
    Delta gets a checkpoint of its log at the newest version. Then data files are told that the
    newest version has no longer, and that no snapshot and no trace needs; `apply` deletes those
    that the policy's `retention.replaced_days` keeps no longer. Nothing is deleted while an
    incident is open or the dataset is on hold. Versions of the log are never deleted: snapshots
    are opened by them.

    Killed at any moment, the same call goes on.

    Args:
        workspace: catalog and store; whoever acts through it is on record.
        dataset: its name.
        apply: delete what is due; otherwise it is only told.
        now: time from which the days count; default the clock.
        progress: is told a step's name, how much of it is done, and how much there is.

    Raises:
        NotFoundError: there is no such dataset.
        ChangedDatasetError: the table is not the one that is on record.
        ChangedFileError: a data file is gone or was changed.
        LedgerError: the ledger does not hold, so that nobody can say what is needed.
        SystemFaultError: store or catalog cannot be used.

    Examples:
        >>> done = maintain(workspace, "reviews")
        >>> [(one.before, one.after) for one in done.compactions], done.days
        ([(2, 1)], None)
    """
    compactions = compact(workspace, dataset, progress=progress)
    newest = open_newest(workspace, dataset)
    checkpoint = None
    if newest.table is not None and write_checkpoint(workspace.store, dataset, newest.table):
        checkpoint = newest.version
    plan = find_unused(workspace, dataset, now or datetime.now(UTC))
    again = [path for path in plan.again if workspace.store.exists(path)]
    seqs = [one.seq for one in compactions]
    if apply and plan.kept is None:
        seqs += _record(workspace, dataset, plan)
        paths = [*(one.path for one in plan.due), *again]
        for number, path in enumerate(paths, start=1):
            workspace.store.delete([path, f"{path}{LIST}"])
            progress("files deleted", number, len(paths))
    return Maintained(
        dataset=dataset,
        version=newest.version,
        compactions=compactions,
        checkpoint=checkpoint,
        days=plan.days,
        due=plan.due,
        waiting=len(plan.waiting),
        needed=plan.needed,
        again=again,
        kept=plan.kept,
        deleted=apply and plan.kept is None,
        seqs=seqs,
    )


def _record(workspace: Workspace, dataset: str, plan: Plan) -> list[int]:
    """Puts a deletion on record; no entry where nothing is due.

    Raises:
        SystemFaultError: something happened since that may need one of the files.
    """
    if not plan.due or plan.policy is None or plan.days is None:
        return []
    with workspace.catalog.transaction() as connection:
        newest = find_newest(connection, dataset)
        if newest is None or changed_since(connection, plan, dataset):
            raise SystemFaultError(
                f"snapshots, holds or policies changed while old files of dataset {dataset!r} were "
                "looked for: nothing was deleted; run this again"
            )
        event = DatasetPruned(
            dataset=dataset,
            version=newest.event.version,
            policy=plan.policy,
            days=plan.days,
            files=[one.path for one in plan.due],
        )
        return [append(connection, event, actor=workspace.actor).seq]
