"""Holds the lineage index against the ledger: what was edited, deleted or added there is found.

The ledger's part of the index is a function of the ledger, and it is computed anew here: its nodes
one by one, its edges as one sum of keyed digests for each node that they lead to, so that memory
does not grow with the edges. Only where a sum differs the edges themselves are compared.

What other tools claim (`lazaretto.lineage.claims`) is on no record, and is not looked at.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.ledger.chain import entry, whole
from lazaretto.ledger.differences import Difference, Differences, changed
from lazaretto.lineage.graph.graph import NodeKey
from lazaretto.lineage.graph.told import KINDS, stray_batch, told
from lazaretto.storage.tables import lineage_edge, lineage_node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.chain import Entry
    from lazaretto.lineage.graph.graph import Node
    from lazaretto.lineage.graph.told import Told

_COMPARED = [column.name for column in lineage_node.c if column.name != "id"]
_ADDRESS = ("namespace", "name")
_values = attrgetter(*_COMPARED)
_MODULUS = 2**128

EdgeFacts = tuple[NodeKey, str, str, int | None]
"""Source, run, role, rows: what an edge into a node says."""


@dataclass(slots=True)
class IndexCheck:
    """What a comparison found.

    Attributes:
        differences: rows of `lineage_node` and `lineage_edge` that are not what the ledger says.
        moved: nodes that name another address of the store than the one it was opened by; they are
            right otherwise, and no difference.
        keys: by id of a node in the catalog, the node that it is.
        ours: ids of the nodes that the ledger tells of.
    """

    differences: Differences = field(default_factory=Differences)
    moved: int = 0
    keys: dict[int, NodeKey] = field(default_factory=dict)
    ours: set[int] = field(default_factory=set)

    @property
    def sound(self) -> bool:
        """Whether the index can be answered from as it is."""
        return not self.differences.total and not self.moved


def verify_index(
    connection: Connection, store_root: str, *, until: int, keep: int = 20
) -> IndexCheck:
    """Compares the index with the whole ledger, which is checked on the way; linear in both.

    Args:
        connection: of `Catalog.read`.
        store_root: root of the store.
        until: the ledger entry up to which the index was brought.
        keep: how many differences to keep per table.

    Raises:
        LedgerError: the ledger does not hold.
    """
    expected = _Expected(store_root)
    for found in whole(connection, kinds=KINDS):
        if found.seq <= until:
            expected.add(found)
    check = IndexCheck(Differences(keep))
    _compare_nodes(connection, expected, check)
    _compare_edges(connection, expected, check)
    return check


class _Expected:
    """The ledger's nodes, and for each node a sum over the edges into it."""

    def __init__(self, store_root: str) -> None:
        self.store_root = store_root
        self.nodes: dict[NodeKey, Node] = {}
        self.made_by: dict[NodeKey, list[int]] = {}
        self.sums: dict[NodeKey, int] = {}
        self._batches: dict[str, NodeKey] = {}
        self._numbers: dict[NodeKey, int] = {}
        # Whoever chose the rows beforehand could choose them so that the sums of others agree.
        self._secret = secrets.token_bytes(32)

    def add(self, found: Entry) -> None:
        """Takes the next entry."""
        what = told(found, self.store_root)
        if what is None:
            return
        for node in what.nodes:
            self._put(node)
            if node.kind == "BATCH":
                self._batches[node.version] = node.key
        made = what.made.key
        for edge in self.edges(what, found.seq):
            if edge[0] not in self.nodes:
                self._put(stray_batch(self.store_root, edge[0].version, found.seq))
            self.sums[made] = (self.sums.get(made, 0) + self.digest(made, edge)) % _MODULUS
        if made in self.sums:
            self.made_by.setdefault(made, []).append(found.seq)

    def edges(self, what: Told, seq: int) -> Iterator[EdgeFacts]:
        """The edges that an entry tells of, into the node that it made."""
        for member in what.members:
            key = self._batches.get(member.batch)
            key = key or stray_batch(self.store_root, member.batch, seq).key
            yield key, what.run, what.role, member.rows
        for read in what.read:
            yield read.node.key, what.run, read.role, read.rows

    @cached_property
    def elsewhere(self) -> dict[tuple[str, str, str], NodeKey]:
        """Batches and dataset versions by what does not depend on the store's address."""
        return {_local(node): key for key, node in self.nodes.items() if node.kind != "MODEL"}

    def digest(self, made: NodeKey, edge: EdgeFacts) -> int:
        """A number of an edge that nobody can foresee."""
        source, run, role, rows = edge
        ends = f"{self._number(made)}\x1f{self._number(source)}"
        text = f"{ends}\x1f{run}\x1f{role}\x1f{rows}"
        raw = text.encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(raw, digest_size=16, key=self._secret).digest())

    def _number(self, key: NodeKey) -> int:
        """A number of a node, which is shorter to hash than its names for each of its edges."""
        return self._numbers.setdefault(key, len(self._numbers))

    def _put(self, node: Node) -> None:
        """As `Writer.add`: what was said first stays, what it left open is filled in."""
        before = self.nodes.get(node.key)
        if before is not None:
            said = {name: getattr(before, name) for name in _COMPARED}
            node = replace(
                node, **{name: value for name, value in said.items() if value is not None}
            )
        self.nodes[node.key] = node


def _compare_nodes(connection: Connection, expected: _Expected, check: IndexCheck) -> None:
    seen: set[NodeKey] = set()
    query = sa.select(lineage_node.c.id, *(lineage_node.c[name] for name in _COMPARED))
    for row in connection.execute(query.execution_options(yield_per=1000)):
        key = NodeKey(row.namespace, row.name, row.version)
        moved = None
        if key not in expected.nodes:
            moved = expected.elsewhere.get(_local(row))
        check.keys[row.id] = moved or key
        node = expected.nodes.get(moved or key)
        if node is None:
            check.differences.add(Difference(lineage_node.name, _words(key), "added"))
            continue
        check.ours.add(row.id)
        check.moved += moved is not None
        if moved is not None and moved in seen:
            continue  # the same version, written twice under two addresses of the store
        seen.add(moved or key)
        if moved is None and _values(node) == tuple(row[1:]):
            continue  # as nearly all are: names and differences are only made of the others
        said = {name: getattr(node, name) for name in _COMPARED if not (moved and name in _ADDRESS)}
        difference = changed(lineage_node.name, _words(key), row._asdict(), said)
        if difference is not None:
            check.differences.add(difference)
    for key in expected.nodes.keys() - seen:
        check.differences.add(Difference(lineage_node.name, _words(key), "missing"))


def _compare_edges(connection: Connection, expected: _Expected, check: IndexCheck) -> None:
    sums: dict[NodeKey, int] = {}
    query = sa.select(lineage_edge).execution_options(yield_per=1000)
    for row in connection.execute(query):
        if row.dst in check.ours:
            made = check.keys[row.dst]
            sums[made] = (sums.get(made, 0) + expected.digest(made, _facts(row, check))) % _MODULUS
        elif row.dst not in check.keys:
            words = f"{row.src} to {row.dst} of run {row.run}"
            check.differences.add(Difference(lineage_edge.name, words, "added"))
    both = expected.sums.keys() | sums.keys()
    wrong = {key for key in both if expected.sums.get(key, 0) != sums.get(key, 0)}
    ids: dict[NodeKey, list[int]] = {}
    for id_, key in check.keys.items():
        if key in wrong:
            ids.setdefault(key, []).append(id_)
    for made in sorted(wrong):
        for difference in _edges_into(connection, made, ids.get(made, []), expected, check):
            check.differences.add(difference)


def _edges_into(
    connection: Connection, made: NodeKey, ids: list[int], expected: _Expected, check: IndexCheck
) -> Iterator[Difference]:
    """Differences of the edges into one node."""
    said: dict[tuple[NodeKey, str], EdgeFacts] = {}
    for seq in expected.made_by.get(made, ()):
        what = told(entry(connection, seq), expected.store_root)
        if what is not None:
            said |= {(edge[0], edge[1]): edge for edge in expected.edges(what, seq)}
    for row in connection.execute(sa.select(lineage_edge).where(lineage_edge.c.dst.in_(ids))):
        edge = _facts(row, check)
        words = f"{_words(edge[0])} to {_words(made)} of run {edge[1]}"
        here = said.pop((edge[0], edge[1]), None)
        if here is None:
            yield Difference(lineage_edge.name, words, "added")
        elif difference := changed(lineage_edge.name, words, _named(edge), _named(here)):
            yield difference
    for source, run in said:
        words = f"{_words(source)} to {_words(made)} of run {run}"
        yield Difference(lineage_edge.name, words, "missing")


def _facts(row: Row[Any], check: IndexCheck) -> EdgeFacts:
    source = check.keys.get(row.src) or NodeKey("", "", f"node {row.src}")
    return source, row.run, row.role, row.rows


def _named(edge: EdgeFacts) -> dict[str, object]:
    return dict(zip(("role", "rows"), edge[2:], strict=True))


def _words(key: NodeKey) -> str:
    return f"{key.namespace} {key.name}@{key.version}"


def _local(node: Any) -> tuple[str, str, str]:
    return node.kind, "/".join(node.name.rsplit("/", 2)[-2:]), node.version
