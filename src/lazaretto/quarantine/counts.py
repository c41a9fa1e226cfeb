"""How many held records of a case are decided, and how: kept, because counting a million is slow.

The table changes in the transaction that changes the records, by what these were before and after.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.errors import ChangedStateError
from lazaretto.storage import tables
from lazaretto.storage.bulk import upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.engine import Connection, Row

UNDECIDED = "UNDECIDED"
"""Stands for the action of a record on which no decision is in force."""
Counts = Counter[tuple[str, str]]
"""Records by the signature of their first reason and the action in force."""
KEPT = frozenset(("reason", "action"))
"""Filters whose records are counted already; see `lazaretto.quarantine.filters`."""

_held = tables.held_record
_count = tables.case_count
_action = sa.func.coalesce(_held.c.action, UNDECIDED)


def count_now(
    connection: Connection, conditions: Sequence[sa.ColumnElement[bool]]
) -> tuple[Counts, int]:
    """Counts some held records of a case in the index, and those of them that are published."""
    sizes = (sa.func.count(), sa.func.count(_held.c.part))
    query = sa.select(_held.c.reason, _action, *sizes).where(*conditions)
    rows = connection.execute(query.group_by(_held.c.reason, _action)).all()
    counts = Counter({(reason, action): int(count) for reason, action, count, _ in rows})
    return counts, sum(int(row[3]) for row in rows)


def all_under(counts: Counts, action: str) -> Counts:
    """The same records with another action in force on all of them."""
    found: Counts = Counter()
    for (reason, _), records in counts.items():
        found[reason, action] += records
    return found


def open_counts(connection: Connection, case: str, reasons: Mapping[str, int]) -> None:
    """Puts down the counts of a new case, of which nothing is decided.

    Args:
        connection: of the transaction that opens it.
        case: its id.
        reasons: its records by the signature of their first reason.
    """
    undecided = Counter({(reason, UNDECIDED): records for reason, records in reasons.items()})
    move_counts(connection, case, Counter(), undecided)


def move_counts(connection: Connection, case: str, before: Counts, after: Counts) -> None:
    """Takes over what a decision changed.

    Args:
        connection: of the transaction that puts the decision in force.
        case: whose records.
        before: `count_now` of the records that it is about, before it.
        after: the same, behind it.
    """
    moved = [
        {"case_id": case, "reason": reason, "action": action, "records": more}
        for reason, action in sorted(before.keys() | after.keys())
        if (more := after[reason, action] - before[reason, action])
    ]
    if not moved:
        return
    insert = upsert(connection, _count)
    more = _count.c.records + insert.excluded.records
    keys = [column.name for column in _count.primary_key]
    connection.execute(
        insert.on_conflict_do_update(index_elements=keys, set_={"records": more}), moved
    )
    connection.execute(_count.delete().where(_count.c.case_id == case, _count.c.records == 0))


def kept_counts(connection: Connection, cases: Collection[str]) -> dict[str, Counts]:
    """The counts that are kept of some cases.

    Raises:
        ChangedStateError: SQLite keeps anything in any column, and something else lies there.
    """
    found: dict[str, Counts] = {case: Counter() for case in cases}
    query = sa.select(_count).where(_count.c.case_id.in_(sorted(cases)))
    for row in connection.execute(query):
        if not isinstance(row.records, int):
            problem = f"it has {str(row.records)[:80]!r} records"
            raise ChangedStateError(_count.name, f"of {row.case_id}", problem)
        found[row.case_id][row.reason, row.action] = row.records
    return found


def by_action(counts: Counts) -> dict[str, int]:
    """Records by the action in force; `UNDECIDED` for none."""
    found: Counter[str] = Counter()
    for (_, action), records in counts.items():
        found[action] += records
    return dict(found)


def taken_by(counts: Counts, filter: Mapping[str, str]) -> int:  # noqa: A002
    """How many records a filter takes that names nothing but what is `KEPT`."""
    reason, action = filter.get("reason"), filter.get("action")
    return sum(
        records
        for (first, stands), records in counts.items()
        if reason in (None, first) and action in (None, stands)
    )


def require_counts(row: Row[Any], counts: Counts) -> None:
    """Makes sure that the counts of a case are of the records that the ledger tells of.

    Args:
        row: of the case, found true by its ledger entry.
        counts: that are kept of it.

    Raises:
        ChangedStateError: they were changed.
    """
    found: Counter[str] = Counter()
    for (reason, _), records in counts.items():
        found[reason] += records
    if found != Counter(row.reasons):
        problem = f"it has {found.total()} records, or other reasons, than the {row.held} held ones"
        raise ChangedStateError(_count.name, f"of {row.id}", problem)
