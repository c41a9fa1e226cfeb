"""The quota of a source: how much of what enters a dataset in a window may be its own.

Checked in the transaction that puts an admission on record. Writers take turns there, so that two
batches that are admitted at once cannot both take the last of a quota. What entered in the window
is read before it, so that others do not wait for that: in the transaction only what entered
meanwhile is added.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.dataset.history import find_newest, read_admissions, version_files
from lazaretto.errors import AdmissionRefusedError
from lazaretto.ledger.chain import head
from lazaretto.storage import tables
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, Row

    from lazaretto.received import Received
    from lazaretto.values import SourceSettings


_PAGE = 500  # so many entries of the ledger are read at once


@dataclass(frozen=True, slots=True)
class Window:
    """Records that entered in the window and are still there: of the source, and of all.

    Attributes:
        source: whose they are.
        since: begin of the window.
        days: its length.
        seq: ledger entries up to this one are counted.
        own: records of the source.
        all: of all sources.
        own_classes: the same by class.
        all_classes: likewise.
        own_unknown: records of the source of which no class is known.
    """

    source: str
    since: datetime
    days: int
    seq: int
    own: int = 0
    all: int = 0
    own_classes: Counter[str] = field(default_factory=Counter)
    all_classes: Counter[str] = field(default_factory=Counter)
    own_unknown: int = 0


def require_quota(
    connection: Connection,
    received: Received,
    dataset: str,
    settings: SourceSettings | None,
    rows: int,
    classes: Mapping[str, int] | None,
    before: Window | None = None,
) -> Window | None:
    """Refuses records with which a source would have more than its quota.

    What reviewers release is theirs to decide: it is not refused here, and counts. What was
    recalled since does not count.

    Args:
        connection: in the transaction that puts the admission on record.
        received: the batch.
        dataset: that its records are to enter.
        settings: what the policy in force asks of the source; None: no quota.
        rows: that are to enter.
        classes: how many of them are of each class; None: not known, and not checked.
        before: what an earlier call counted: only what entered since is read.

    Returns:
        What was counted; None: nothing, because there is no quota.

    Raises:
        AdmissionRefusedError: ``over_quota``.
    """
    if settings is None or (settings.max_share == 1 and settings.max_class_share == 1):
        return None
    window = _window(connection, received.source, dataset, settings, before)
    _check(
        received, dataset, settings, settings.max_share, "", window.own + rows, window.all + rows
    )
    for name, count in sorted((classes or {}).items()):
        own = window.own_classes[name] + window.own_unknown + count
        total = window.all_classes[name] + window.own_unknown + count
        share = settings.max_class_share
        _check(received, dataset, settings, share, f" of class {excerpt(name, 80)!r}", own, total)
    return window


def _check(
    received: Received,
    dataset: str,
    settings: SourceSettings,
    share: float,
    where: str,
    own: int,
    total: int,
) -> None:
    if own <= settings.free_records or own <= share * total:
        return
    raise AdmissionRefusedError(
        f"no record of {received.id} enters {dataset} now: with it, source {received.source!r} "
        f"would have {own:,} of {total:,} records{where} that entered in {settings.window_days} "
        f"days, and the policy in force gives it {100 * share:.3g} %, beyond "
        f"{settings.free_records:,} records. Run `lazaretto batch admit {received.id}` again once "
        "others have delivered, or change sources.quota or the rules of the source",
        code="over_quota",
        dataset=dataset,
    )


def _window(
    connection: Connection,
    source: str,
    dataset: str,
    settings: SourceSettings,
    before: Window | None,
) -> Window:
    """What is counted, from what was counted before where nothing of that has left since."""
    days, seq = settings.window_days, head(connection)
    if (
        before is not None
        and (before.source, before.days) == (source, days)
        and not _some_left(connection, dataset, "seq", before.seq)
    ):
        return _added(connection, dataset, replace(before, seq=seq), before.seq, None)
    since = datetime.now(UTC) - timedelta(days=days)
    table = tables.admission
    first = connection.scalar(
        sa.select(sa.func.min(table.c.version)).where(
            table.c.dataset == dataset, table.c.admitted_at >= since
        )
    )
    left = None
    if first is not None and _some_left(connection, dataset, "version", first):
        left = _still_there(connection, dataset)
    return _added(connection, dataset, Window(source, since, days, seq), 0, left)


def _some_left(connection: Connection, dataset: str, column: str, bound: int) -> bool:
    """Whether anything was recalled from a dataset, or lost, behind a version or entry."""
    for table in (tables.recall, tables.lost_part):
        query = sa.select(table.c.seq).where(table.c.dataset == dataset, table.c[column] > bound)
        if connection.execute(query.limit(1)).first() is not None:
            return True
    return False


def _still_there(connection: Connection, dataset: str) -> Counter[tuple[str, str]]:
    """Records of each batch and part in the newest version."""
    left: Counter[tuple[str, str]] = Counter()
    newest = find_newest(connection, dataset)
    if newest is not None:
        for file in version_files(connection, dataset, newest.event.version):
            left[file.batch, file.part] += file.rows
    return left


def _added(
    connection: Connection,
    dataset: str,
    window: Window,
    after: int,
    left: Counter[tuple[str, str]] | None,
) -> Window:
    """A window with what was admitted behind a ledger entry.

    Args:
        connection: of the catalog.
        dataset: that was admitted to.
        window: what is counted so far.
        after: the entry.
        left: records that are still there, by batch and part; None: all are.
    """
    table, batch = tables.admission, tables.batch
    query = (
        sa.select(table, batch.c.source.label("by"))
        .join(batch, batch.c.id == table.c.batch)
        .where(table.c.dataset == dataset, table.c.admitted_at >= window.since)
        .where(table.c.seq > after, table.c.seq <= window.seq)
        .order_by(table.c.seq.desc())
    )
    own = entered = unknown = 0
    classes, own_classes = Counter(window.all_classes), Counter(window.own_classes)
    seen = set[tuple[str, str]]()
    for page in _pages(connection.execute(query).all()):
        for row, event in zip(page, read_admissions(connection, page), strict=True):
            part = (event.batch, event.part)
            rows = event.rows if left is None else min(left[part], event.rows)
            rows = 0 if part in seen else rows
            seen.add(part)
            if not rows:
                continue
            mine = row.by == window.source
            entered += rows
            own += rows if mine else 0
            if event.classes is None:
                unknown += rows if mine else 0
                continue
            classes.update(event.classes)
            if mine:
                own_classes.update(event.classes)
    return replace(
        window,
        own=window.own + own,
        all=window.all + entered,
        own_classes=own_classes,
        all_classes=classes,
        own_unknown=window.own_unknown + unknown,
    )


def _pages(rows: Sequence[Row[Any]]) -> Iterator[Sequence[Row[Any]]]:
    for start in range(0, len(rows), _PAGE):
        yield rows[start : start + _PAGE]
