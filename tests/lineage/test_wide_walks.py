"""Walks through arrays reach what walks through the database reach, of the graph as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.lineage.claims import network, reach
from lazaretto.lineage.claims.bits import Basis
from lazaretto.storage.tables import lineage_link

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace

ENDS = 12


class Link(NamedTuple):
    src: int
    dst: int
    basis: int


links = st.lists(
    st.builds(Link, *[st.integers(0, ENDS)] * 2, st.sampled_from([int(each) for each in Basis])),
    max_size=30,
    unique_by=lambda link: link[:2],
)


@pytest.fixture(autouse=True)
def kept_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(network, "WORTH_KEEPING", 0)


def put(connection: Connection, some_links: list[Link]) -> None:
    connection.execute(lineage_link.delete())
    for each in some_links:
        connection.execute(lineage_link.insert().values(owner=0, why=1, **each._asdict()))
    network.note_change(connection)


def walk(
    connection: Connection, start: list[int], known: set[int], most: Basis, *, forward: bool
) -> tuple[set[int], reach.Steps]:
    steps = reach.Steps()
    return reach.spread(connection, start, known, steps, most=most, forward=forward), steps


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    links=links,
    start=st.lists(st.integers(0, ENDS), max_size=3),
    known=st.sets(st.integers(0, ENDS), max_size=3),
    most=st.sampled_from(list(Basis)),
    forward=st.booleans(),
    apart=st.sampled_from([1, 1_000]),
)
def test_arrays_and_rows_reach_the_same(
    workspace: Workspace,
    links: list[Link],
    start: list[int],
    known: set[int],
    most: Basis,
    forward: bool,
    apart: int,
) -> None:
    """Of many ends a level holds nearly all, or few."""
    links = [Link(each.src * apart, each.dst * apart, each.basis) for each in links]
    start, known = [end * apart for end in start], {end * apart for end in known}
    with workspace.catalog.transaction() as connection:
        put(connection, links)
    with workspace.catalog.read() as connection, pytest.MonkeyPatch.context() as patch:
        by_rows, before = set(known), set(known)
        expected, _ = walk(connection, start, by_rows, most, forward=forward)
        patch.setattr(reach, "WIDE", 0)
        found, steps = walk(connection, start, before, most, forward=forward)
    assert (found, before) == (expected, by_rows)
    told = {tuple(link) for link in links}
    for end in found - set(start):
        assert steps.into(end), end
        for step in steps.into(end):
            link = (step.src, end) if forward else (end, step.src)
            assert (*link, step.basis) in told
            assert step.src in found


def test_a_restored_catalog_is_not_answered_from_what_came_after_the_backup(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The restored one goes on as far as the lost one had gone, with other links."""
    monkeypatch.setattr(reach, "WIDE", 0)
    for links, reached in (([Link(1, 2, 0)], {1, 2}), ([Link(1, 3, 0)], {1, 3})):
        with workspace.catalog.transaction() as connection:
            connection.execute(network.projection.delete())
            put(connection, links)
        with workspace.catalog.read() as connection:
            assert walk(connection, [1], set(), Basis.KNOWN, forward=True)[0] == reached
