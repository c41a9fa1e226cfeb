"""The quota of a source: how much of what enters a dataset in a window may be its own.

Checked in the transaction that puts an admission on record. Writers take turns there, so that two
batches that are admitted at once cannot both take the last of a quota.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.history import find_newest, read_admission, version_files
from lazaretto.errors import AdmissionRefusedError
from lazaretto.storage import tables
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

    from lazaretto.received import Received
    from lazaretto.values import SourceSettings


@dataclass(slots=True)
class _Window:
    """Records that entered in the window and are still there: of the source, and of all."""

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
) -> None:
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

    Raises:
        AdmissionRefusedError: ``over_quota``.
    """
    if settings is None or (settings.max_share == 1 and settings.max_class_share == 1):
        return
    window = _window(connection, received.source, dataset, settings)
    _check(
        received, dataset, settings, settings.max_share, "", window.own + rows, window.all + rows
    )
    for name, count in sorted((classes or {}).items()):
        own = window.own_classes[name] + window.own_unknown + count
        total = window.all_classes[name] + window.own_unknown + count
        share = settings.max_class_share
        _check(received, dataset, settings, share, f" of class {excerpt(name, 80)!r}", own, total)


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


def _window(connection: Connection, source: str, dataset: str, settings: SourceSettings) -> _Window:
    table, batch = tables.admission, tables.batch
    since = datetime.now(UTC) - timedelta(days=settings.window_days)
    query = (
        sa.select(table, batch.c.source.label("by"))
        .join(batch, batch.c.id == table.c.batch)
        .where(table.c.dataset == dataset, table.c.admitted_at >= since)
    )
    newest = find_newest(connection, dataset)
    left: Counter[tuple[str, str]] = Counter()
    if newest is not None:
        for file in version_files(connection, dataset, newest.event.version):
            left[file.batch, file.part] += file.rows
    found, seen = _Window(), set[tuple[str, str]]()
    for row in connection.execute(query.order_by(table.c.seq.desc())).all():
        event = read_admission(connection, row)
        part = (event.batch, event.part)
        rows = 0 if part in seen else min(left[part], event.rows)
        seen.add(part)
        if not rows:
            continue
        mine = row.by == source
        found.all += rows
        found.own += rows if mine else 0
        if event.classes is None:
            found.own_unknown += rows if mine else 0
            continue
        found.all_classes.update(event.classes)
        if mine:
            found.own_classes.update(event.classes)
    return found
