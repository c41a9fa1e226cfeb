"""Writes many rows that may be there already, past SQLAlchemy, and gives back what is there now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lazaretto.lineage.claims.bits import Basis, Why
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import lineage_gap, lineage_link, lineage_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

_MOST_VALUES = 16_000  # parameters of one statement


class Merge(NamedTuple):
    """How a row is merged with the one that is there.

    Attributes:
        table: name of the table.
        columns: in the order of the values.
        key: columns that make a row the same.
        update: what becomes of the other columns, in SQL; ``{t}`` is the row that is there. Empty:
            the row that is there stays, and is not given back.
        returning: columns that are given back.
    """

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    update: str = ""
    returning: tuple[str, ...] = ()


GAPS = Merge("lineage_gap", ("node", "kind", "owner", "until"), ("node", "kind", "owner"))
LINKS = Merge(
    "lineage_link",
    ("src", "dst", "owner", "basis", "why"),
    ("src", "dst", "owner"),
    "basis = {smaller}({t}.basis, excluded.basis)",
)


def merge(
    connection: Connection, how: Merge, rows: Sequence[Sequence[object]]
) -> Iterator[tuple[Any, ...]]:
    """Merges rows into a table.

    Args:
        connection: of an open `Catalog.transaction`.
        how: the table, and how rows are merged.
        rows: values as the driver takes them; no two have the same key.

    Yields:
        What `Merge.returning` asks for, of each row in no order.
    """
    driver: Any = connection.connection
    cursor = driver.cursor()
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    smaller = "LEAST" if connection.dialect.name == "postgresql" else "MIN"
    larger = "GREATEST" if connection.dialect.name == "postgresql" else "MAX"
    update = how.update.format(t=how.table, smaller=smaller, larger=larger)
    one = f"({', '.join([mark] * len(how.columns))})"
    step = max(1, _MOST_VALUES // len(how.columns))
    try:
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            statement = (
                f"INSERT INTO {how.table} ({', '.join(_quoted(how.columns))}) "  # noqa: S608
                f"VALUES {', '.join([one] * len(part))} "
                f"ON CONFLICT ({', '.join(_quoted(how.key))}) "
                + (f"DO UPDATE SET {update}" if update else "DO NOTHING")
                + (f" RETURNING {', '.join(_quoted(how.returning))}" if how.returning else "")
            )
            cursor.execute(statement, [value for row in part for value in row])
            if how.returning:
                yield from cursor.fetchall()
    finally:
        cursor.close()


def run(connection: Connection, how: Merge, rows: Sequence[Sequence[object]]) -> None:
    """Merges rows where nothing is to be given back."""
    for _ in merge(connection, how, rows):
        pass


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def settle(connection: Connection, names: Sequence[int]) -> None:
    """Makes each of some new names the same as itself alone."""
    name = lineage_name.c
    connection.execute(
        lineage_name.update()
        .where(among(connection, name.id, names), name.same_as == 0)
        .values(same_as=name.id)
    )


def replace_gaps(
    connection: Connection,
    nodes: Sequence[int],
    gaps: Sequence[tuple[int, str, int, int | None]],
) -> None:
    """Says which of some nodes are gaps by themselves.

    Args:
        connection: of an open `Catalog.transaction`.
        nodes: the nodes.
        gaps: those that are, as node, kind, owner, and until when something may have come in.
    """
    gap = lineage_gap.c
    connection.execute(
        lineage_gap.delete().where(among(connection, gap.node, nodes), gap.owner == 0)
    )
    run(connection, GAPS, gaps)


def rebase(connection: Connection, happened: Mapping[int, bool]) -> None:
    """Says whether what runs named as outputs is known to have been written.

    Args:
        connection: of an open `Catalog.transaction`.
        happened: by the end of links that a run is.
    """
    link = lineage_link.c
    for basis, wanted in ((Basis.KNOWN, True), (Basis.POSSIBLE, False)):
        runs = [end for end, did in happened.items() if did is wanted]
        why = Why.NAMED if wanted else Why.NOT_FINISHED
        if runs:
            connection.execute(
                lineage_link.update()
                .where(among(connection, link.src, runs), link.owner == 0)
                .where((link.basis != basis) | (link.why != why))
                .values(basis=int(basis), why=int(why))
            )
