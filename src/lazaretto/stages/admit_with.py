"""Admits a batch by itself, or with others that are ready, where the policy in force allows it.

Nobody waits for others to come. Of several admissions to one dataset at a time, one has the turn:
it takes along what is ready by then, and those that waited for the turn find that they are done.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.admission import CLEARED, find_admission, is_unused
from lazaretto.dataset.group import admit_group
from lazaretto.dataset.table import open_newest
from lazaretto.errors import LazarettoError
from lazaretto.ledger.chain import as_written
from lazaretto.ledger.events import BatchJudged
from lazaretto.stages.copied import admit_uncopied, forbids_copies
from lazaretto.stages.entering import find_entering, open_entering
from lazaretto.storage import tables
from lazaretto.storage.turns import turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.dataset.admission import Admission
    from lazaretto.dataset.part import Part
    from lazaretto.policy.admit import AdmitWindow
    from lazaretto.stages.entering import Entering
    from lazaretto.storage.workspace import Workspace

_SMALL = 16 * 2**20
"""Bytes of the stored copy of a batch that is small."""
_MOST = 64 * 2**20
"""Bytes of all stored copies that enter together."""
_LOOKED_AT = 3
"""So many times as many batches as may enter are looked at: some turn out to be unfit."""


def admit_alone(workspace: Workspace, entering: Entering) -> Admission:
    """Admits the cleared records; where no copy may enter, none that came meanwhile either.

    Raises:
        LazarettoError: as `lazaretto.stages.admit`.
    """
    opened = open_entering(workspace, entering)
    return admit_uncopied(
        workspace,
        entering.received,
        opened.data,
        opened.held,
        opened.cleaned,
        entering.rules,
        opened.part,
    )


def admit_with_others(workspace: Workspace, entering: Entering) -> Admission:
    """Admits the cleared records of a batch, and of those that are ready and may enter with it.

    Raises:
        LazarettoError: as `lazaretto.stages.admit`, of the batch itself.
    """
    dataset, batch = entering.judged.event.policy.dataset, entering.received.id
    with turn(workspace.catalog, f"admit:{dataset}"):
        with workspace.catalog.read() as connection:
            done = find_admission(connection, workspace, dataset, batch, CLEARED)
            entering = replace(entering, first=is_unused(connection, dataset))
        if done is not None:  # somebody has taken it along
            open_newest(workspace, dataset)
            return done
        if _may_join(entering):
            others = list(_others(workspace, entering))
            if others:
                mine = _part(workspace, entering)
                done = admit_group(workspace, [mine, *others])
        return admit_alone(workspace, entering) if done is None else done


def _may_join(entering: Entering) -> bool:
    """Whether nothing of the admission depends on what others admit, and it is small."""
    return not (
        entering.first
        or entering.window is not None
        or forbids_copies(entering.rules)
        or entering.received.stored.size > _SMALL
    )


def _part(workspace: Workspace, entering: Entering) -> Part:
    return open_entering(workspace, entering).part(lambda _: None, False)


def _others(workspace: Workspace, entering: Entering) -> Iterator[Part]:
    """What enters with a batch: what is wrong with any other, its own admission tells."""
    window = entering.rules.admit.window
    dataset, mine = entering.judged.event.policy.dataset, entering.received.id
    with workspace.catalog.read() as connection:
        ready = _ready(connection, dataset, mine, window)
    left, size = window.batches - 1, entering.received.stored.size
    for batch, judged in ready:
        if not left:
            return
        try:
            with workspace.catalog.read() as connection:
                other = find_entering(connection, workspace, batch, dataset)
            if other is None or other.judged.seq != judged or not _may_join(other):
                continue
            if size + other.received.stored.size > _MOST:
                continue
            part = _part(workspace, other)
        except LazarettoError:
            continue
        left, size = left - 1, size + other.received.stored.size
        yield part


def _ready(
    connection: Connection, dataset: str, mine: str, window: AdmitWindow
) -> list[tuple[str, int]]:
    """Batches that were judged for a dataset within the window, and of which nothing entered it.

    Returns:
        Each with the ledger entry of its judgement, oldest first. It is for the ledger to say
        whether they may enter.
    """
    batch, ledger, admission = tables.batch.c, tables.ledger.c, tables.admission.c
    since = as_written(datetime.now(UTC) - timedelta(seconds=window.seconds))
    before = sa.select(ledger.seq).where(ledger.at < since).order_by(ledger.seq.desc()).limit(1)
    entered = sa.exists().where(admission.batch == batch.id, admission.dataset == dataset)
    query = (
        sa.select(batch.id, ledger.seq)
        .join_from(tables.ledger, tables.batch, ledger.subject == "batch:" + batch.id)
        .where(ledger.kind == BatchJudged.kind, ledger.seq > (connection.scalar(before) or 0))
        .where(batch.dataset == dataset, batch.cleared > 0, batch.id != mine, ~entered)
        .order_by(ledger.seq)
        .limit(_LOOKED_AT * window.batches)
    )
    return [(row.id, row.seq) for row in connection.execute(query)]
