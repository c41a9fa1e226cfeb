"""How rows of the catalog differ from what the ledger says of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from lazaretto.values import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Problem: TypeAlias = Literal["changed", "missing", "added"]
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not what the ledger says.

    Attributes:
        table: of the catalog.
        key: of the row, in words.
        problem: ``changed``; ``missing``: the ledger tells of it and the table does not have it;
            ``added``: the table has it and the ledger tells nothing of it.
        columns: of a changed row, by column: what is there, and what the ledger says, each as text
            of at most 200 characters.
    """

    table: str
    key: str
    problem: Problem
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __str__(self) -> str:
        """The same as a sentence."""
        row = f"{self.table} {self.key}"
        if self.problem == "missing":
            return f"{row} is gone: the ledger tells of it"
        if self.problem == "added":
            return f"{row} was added: the ledger tells nothing of it"
        return f"{row} was changed: " + "; ".join(
            f"{name} is {found}, the ledger says {told}"
            for name, (found, told) in self.columns.items()
        )


@dataclass(slots=True)
class Differences:
    """Counts differences, and keeps the first ones of each table.

    Attributes:
        keep: how many to keep per table.
        counts: rows by table and problem.
        first: the kept ones, in order.
    """

    keep: int = 20
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    first: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        """Takes one."""
        counted = self.counts.setdefault(difference.table, {})
        if sum(counted.values()) < self.keep:
            self.first.append(difference)
        counted[difference.problem] = counted.get(difference.problem, 0) + 1

    def include(self, others: Differences) -> None:
        """Takes those of other tables."""
        self.counts |= others.counts
        self.first += others.first

    @property
    def total(self) -> int:
        """All rows that differ."""
        return sum(sum(counted.values()) for counted in self.counts.values())


def changed(
    table: str, key: str, found: Mapping[str, object], told: Mapping[str, object]
) -> Difference | None:
    """The difference between a row and what the ledger says of it; None where there is none.

    Args:
        table: of the catalog.
        key: of the row, in words.
        found: the row, by column.
        told: what the ledger says, by column; other columns are not looked at.
    """
    columns = dict(_columns(found, told))
    return Difference(table, key, "changed", columns) if columns else None


def _columns(
    found: Mapping[str, object], told: Mapping[str, object]
) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, value in told.items():
        if found[name] != value and to_json(found[name]) != to_json(value):
            yield name, (repr(found[name])[:_SHOWN], repr(value)[:_SHOWN])
