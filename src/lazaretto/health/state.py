"""Holds every state table against the ledger: its rows are made anew, and compared one by one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.health.compare import compare_rows
from lazaretto.health.fold import RECORDS, STATE, Fold
from lazaretto.ledger.differences import Difference
from lazaretto.quarantine.counts import UNDECIDED
from lazaretto.storage import tables
from lazaretto.storage.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.health.compare import Pair
    from lazaretto.ledger.differences import Differences
    from lazaretto.storage.store import Store


@dataclass(frozen=True, slots=True)
class StateCheck:
    """The catalog's rows beside those that the ledger asks for.

    Attributes:
        catalog: connection of the catalog.
        fold: of the ledger, which takes its entries.
    """

    catalog: Connection
    fold: Fold

    @property
    def deep(self) -> bool:
        """Whether records are compared one by one, which takes the files of held records."""
        return self.fold.store is not None

    def compare(self, differences: Differences) -> int:
        """Compares all tables, once the fold has all entries.

        Args:
            differences: takes what differs.

        Returns:
            How many rows were compared.
        """
        if self.deep:
            for difference in self.fold.finish(self.catalog):
                differences.add(difference)
        else:
            for difference in self._counts():
                differences.add(difference)
        compared = [table for table in STATE if self.deep or table not in RECORDS]
        for table in compared:
            for pair in self.pairs(table):
                differences.add(pair.difference)
        counts = (sa.select(sa.func.count()).select_from(table) for table in compared)
        return sum(self.catalog.scalar(count) or 0 for count in counts)

    def pairs(self, table: sa.Table) -> Iterator[Pair]:
        """Rows of one table that differ; those of cases whose files cannot be read are left out."""
        self.fold.pending.flush()
        unknown = self._unknown() if table in RECORDS else frozenset[str]()
        for pair in compare_rows(self.fold.rows, self.catalog, table):
            row = pair.told or pair.found or {}
            if row[_owner(table).name] not in unknown:
                yield pair

    def readable(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """Which rows of a table of records are known: those of cases whose files can be read."""
        return _owner(table).not_in(sorted(self._unknown()))

    def _unknown(self) -> frozenset[str]:
        """Cases whose files cannot be read, and the decisions on them."""
        of_case = tables.decision.c.case_id.in_(self.fold.unreadable)
        decided = self.fold.rows.scalars(sa.select(tables.decision.c.id).where(of_case))
        return frozenset((*self.fold.unreadable, *decided))

    def _counts(self) -> Iterator[Difference]:
        """Cases and decisions with another number of records than the ledger says.

        What is kept of a case by reason and action is compared with the case's records, where
        their number is right.
        """
        self.fold.pending.flush()
        held, decided, decision = tables.held_record, tables.decision_record, tables.decision.c
        lost = yield from self._count(held.c.case_id, tables.case.c.id, tables.case.c.held)
        yield from self._count(decided.c.decision, decision.id, decision.records)
        kept = tables.case_count
        by = (held.c.case_id, held.c.reason, sa.func.coalesce(held.c.action, UNDECIDED))
        counted = self.catalog.execute(sa.select(*by, sa.func.count()).group_by(*by))
        told = {tuple(row[:3]): row[3] for row in counted}
        found = {tuple(row[:3]): row[3] for row in self.catalog.execute(sa.select(kept))}
        for key in sorted(found.keys() | told.keys(), key=repr):
            if key[0] not in lost and found.get(key, 0) != told.get(key, 0):
                yield _other_count(kept, " ".join(map(str, key)), found.get(key), told.get(key))

    def _count(
        self, owner: sa.Column[str], key: sa.Column[str], records: sa.Column[int]
    ) -> Generator[Difference, None, set[str]]:
        there = self.catalog.execute(sa.select(owner, sa.func.count()).group_by(owner))
        found = {str(row[0]): int(row[1]) for row in there}
        asked = self.fold.rows.execute(sa.select(key, records))
        told = {str(row[0]): int(row[1]) for row in asked}
        names = found.keys() | told.keys()
        wrong = {name for name in names if found.get(name, 0) != told.get(name, 0)}
        for name in sorted(wrong):
            yield _other_count(owner.table, name, found.get(name), told.get(name))
        return wrong


def _other_count(
    table: sa.FromClause, name: str, found: object | None, told: object | None
) -> Difference:
    columns = {"records": (str(found or 0), str(told or 0))}
    return Difference(str(table.name), f"of {name}", "changed", columns)  # type: ignore[attr-defined]


def _owner(table: sa.Table) -> sa.Column[str]:
    """First part of a key: of a record, the case or decision that it belongs to."""
    return next(iter(table.primary_key))


@contextmanager
def state_check(catalog: Connection, store: Store | None) -> Iterator[StateCheck]:
    """Begins a comparison.

    Args:
        catalog: connection of the catalog, of `Catalog.read`.
        store: where the files of held and decided records are; None: these are only counted.
    """
    with scratch(STATE) as rows:
        yield StateCheck(catalog, Fold(rows, store))
