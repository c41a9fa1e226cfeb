"""Keeps which names are of one dataset, and which of them stands for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.lineage.claims import rows
from lazaretto.lineage.claims.bits import Kind
from lazaretto.lineage.claims.names import PART
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import lineage_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.claims.names import Name

_SAME = rows.Merge("lineage_same", ("one", "other"), ("one", "other"))


def unite(connection: Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Makes names the same.

    Args:
        connection: of an open `Catalog.transaction`.
        pairs: ids of names.
    """
    rows.run(connection, _SAME, sorted({(min(pair), max(pair)) for pair in pairs}))
    for one, other in pairs:
        roots = _roots(connection, (one, other))
        if len(roots) > 1:
            connection.execute(
                lineage_name.update()
                .where(lineage_name.c.same_as.in_(roots))
                .values(same_as=min(roots), stale=True)
            )


def members(connection: Connection, name: int) -> list[int]:
    """Ids of all names that are the same as one, that included."""
    root = sa.select(lineage_name.c.same_as).where(lineage_name.c.id == name).scalar_subquery()
    query = sa.select(lineage_name.c.id).where(lineage_name.c.same_as == root)
    return sorted(connection.scalars(query.order_by(lineage_name.c.id)))


def _roots(connection: Connection, names: Iterable[int]) -> set[int]:
    query = sa.select(lineage_name.c.same_as).where(lineage_name.c.id.in_(list(names)))
    return set(connection.scalars(query))


def unite_shared(connection: Connection, names: Mapping[Name, int]) -> None:
    """Makes an exported file the same under the name of any host: it is on a shared disk.

    Args:
        connection: of an open `Catalog.transaction`.
        names: names that are written, by which their ids are known.
    """
    name = lineage_name.c
    on_disk = name.namespace.startswith("file://") | (name.namespace == "file")
    for file in names:
        if file.namespace != "file" and not file.namespace.startswith("file://"):
            continue
        query = sa.select(name.id, name.types).where(name.name == file.name, on_disk)
        found = connection.execute(query).all()
        if len(found) > 1 and any(row.types & Kind.EXPORTED for row in found):
            ids = sorted(row.id for row in found)
            unite(connection, [(ids[0], other) for other in ids[1:]])


def unite_parts(connection: Connection, names: Collection[int]) -> None:
    """Makes a partition the same under all names of its table.

    Args:
        connection: of an open `Catalog.transaction`.
        names: ids of tables, of which partitions, or other names, may be new.
    """
    name = lineage_name.c
    for table in names:
        ids = members(connection, table)
        if len(ids) == 1:
            continue
        parts: dict[str, list[int]] = {}
        for row in connection.execute(sa.select(lineage_name).where(name.id.in_(ids))).all():
            start, end = f"{row.name}{PART}", f"{row.name}{chr(ord(PART) + 1)}"
            query = sa.select(name.id, name.name).where(
                name.namespace == row.namespace, name.name >= start, name.name < end
            )
            for part in connection.execute(query):
                parts.setdefault(part.name[len(start) :], []).append(part.id)
        unite(connection, [(each[0], other) for each in parts.values() for other in each[1:]])
        every = [part for each in parts.values() for part in each]
        connection.execute(
            lineage_name.update().where(among(connection, name.id, every)).values(stale=True)
        )
