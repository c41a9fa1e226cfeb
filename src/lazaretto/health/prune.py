"""Retention: deletes payload that the policies in force keep no longer, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.health.holdings import Holdings, read_holdings
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import (
    BatchReceived,
    PayloadDeleted,
    PolicyRegistered,
    RowsLost,
    TrainingSanitized,
)
from lazaretto.storage import tables
from lazaretto.storage.verified import LIST

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.health.holdings import Due, Kept
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Deletable:
    """Payload of a batch that is due.

    Attributes:
        batch: its id.
        what: ``delivered``: the delivered file, its canonical copy and its vectors. ``held``: the
            rows of a case.
        case: the case of held rows; None for what was delivered.
        days: so long the policy in force keeps it.
        since: from when on that counts: the receipt, or the end of the case.
        files: paths in the store.
        bytes: of those that are there.
    """

    batch: str
    what: str
    case: str | None
    days: int
    since: datetime
    files: list[str]
    bytes: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What retention deletes, or would delete.

    Attributes:
        done: whether it was done; otherwise it is only told what would be.
        due: payload that the policies keep no longer.
        kept: payload that is old enough, and still needed, with the reason.
        again: files that were deleted by retention before and are there: a run was cut off, or a
            backup of the store brought them back. They are deleted as well.
        seqs: ledger entries, one for each of `due`.
    """

    done: bool
    due: list[Deletable]
    kept: list[Kept]
    again: list[str]
    seqs: list[int] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be deleted."""
        return self.done or not (self.due or self.again)


def prune(workspace: Workspace, *, apply: bool, now: datetime | None = None) -> Pruned:
    """Deletes the payload that is older than the `retention` of the policy in force says.

    Findings, scores, decisions, manifests, admitted rows and the ledger stay. What is deleted goes
    on record first, one entry for each batch or case, then the files go: cut off in between, the
    next run deletes what is left. `lazaretto.health.holdings` says what is needed and so is kept.

    Args:
        workspace: catalog and store; whoever acts through it is on record.
        apply: do it; otherwise it is only told what would be done.
        now: time from which the days count; default the clock.

    Raises:
        LedgerError: the ledger does not hold, so that nobody can say what is needed.
        PolicyError: a policy in force cannot be read by this version.
        ChangedStateError: the catalog does not say what the ledger says.
        OtherStoreError: the store is not the catalog's.
        SystemFaultError: catalog or store cannot be used.

    Examples:
        >>> prune(workspace, apply=False).due  # this policy keeps everything
        []
    """
    at = now or datetime.now(UTC)
    sizes = workspace.store.sizes()
    holdings = read_holdings(workspace, sizes)
    due, kept = holdings.due(at)
    again = sorted(holdings.deleted & sizes.keys())
    told = [_deletable(one, sizes) for one in due]
    if not apply:
        return Pruned(done=False, due=told, kept=kept, again=again)
    done, seqs = [], []
    for one, shown in zip(due, told, strict=True):
        seq = _record(workspace, holdings, one)
        if seq is None:
            kept.append(one.kept("something was done with it meanwhile: run this again"))
            continue
        done.append(shown)
        seqs.append(seq)
        workspace.store.delete(_with_lists(shown.files))
    workspace.store.delete(_with_lists(again))
    return Pruned(done=True, due=done, kept=kept, again=again, seqs=seqs)


def _deletable(due: Due, sizes: dict[str, int]) -> Deletable:
    paths = sorted(file.path for file in due.files)
    return Deletable(
        batch=due.batch,
        what=due.what,
        case=due.case,
        days=due.days,
        since=due.since,
        files=paths,
        bytes=sum(sizes.get(path, 0) for path in _with_lists(paths)),
    )


def _with_lists(paths: list[str]) -> list[str]:
    """Files, and the lists of blocks that lie beside large ones."""
    return [name for path in paths for name in (path, f"{path}{LIST}")]


def _record(workspace: Workspace, holdings: Holdings, due: Due) -> int | None:
    """Puts a deletion on record; None where anything happened to its batch since it was planned."""
    event = PayloadDeleted(
        batch=due.batch,
        what=due.what,
        case=due.case,
        policies=list(due.policies),
        days=due.days,
        since=due.since,
        files=sorted(file.path for file in due.files),
    )
    with workspace.catalog.transaction() as connection:
        if _happened(connection, holdings.until, due):
            return None
        return append(connection, event, actor=workspace.actor).seq


def _happened(connection: Connection, until: int, due: Due) -> bool:
    ledger = tables.ledger.c
    mine = [f"batch:{due.batch}", *(f"case:{case}" for case in due.cases)]
    datasets = [f"dataset:{ref.dataset}" for ref in due.policies]
    of_datasets = (RowsLost.kind, PolicyRegistered.kind, TrainingSanitized.kind)
    query = sa.select(ledger.seq).where(
        ledger.seq > until,
        ledger.kind.not_in([PayloadDeleted.kind, BatchReceived.kind]),
        ledger.subject.in_(mine) | (ledger.subject.in_(datasets) & ledger.kind.in_(of_datasets)),
    )
    return connection.execute(query.limit(1)).first() is not None
