"""A page's trace is the whole answer or none: never a part that looks like one."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.lineage import trace_source
from lazaretto.lineage.trace.bounded import Bounds, trace_command, trace_source_within
from lazaretto.sources.registry import add_source
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROOM = 10**9


def test_what_is_small_enough_is_answered_and_what_is_not_is_said(workspace: Workspace) -> None:
    add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
    window = (NOW - timedelta(days=3), NOW)
    found = trace_source_within(workspace, "vendor", *window)
    assert (found.why, found.trace is None) == (None, False)
    assert found.trace is not None
    whole = trace_source(workspace, "vendor", *window)
    assert found.trace.completeness == whole.completeness
    too_much = trace_source_within(workspace, "vendor", bounds=Bounds(0, ROOM, ROOM))
    assert too_much.trace is None
    assert too_much.why is not None
    assert "the ledger has 1 entries" in too_much.why
    with pytest.raises(NotFoundError):
        trace_source_within(workspace, "nobody", bounds=Bounds(0, 0, 0))
    with pytest.raises(UsageError, match="empty"):
        trace_source_within(workspace, "vendor", NOW, NOW)


def test_nodes_and_edges_are_counted_up_to_the_bound(workspace: Workspace) -> None:
    from lazaretto.storage.tables import lineage_edge, lineage_link, lineage_node

    add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
    node = {"namespace": "n", "version": "1", "kind": "SNAPSHOT"}
    edge = {"run": "r", "role": "ADMITTED", "rows": 1}
    link = {"owner": 0, "basis": 0, "why": 0}
    with workspace.catalog.transaction() as connection:
        for number in (1, 2, 3):
            connection.execute(lineage_node.insert().values(id=number, name=str(number), **node))
        for number in (2, 3):
            connection.execute(lineage_edge.insert().values(src=1, dst=number, **edge))
        for number in (1, 2, 3, 4):
            connection.execute(lineage_link.insert().values(src=0, dst=number, **link))
    for bounds, word in (
        (Bounds(ROOM, 2, ROOM), "versions"),
        (Bounds(ROOM, 3, 1), "edges"),
        (Bounds(ROOM, 3, 3), "links"),
    ):
        found = trace_source_within(workspace, "vendor", bounds=bounds)
        assert found.trace is None
        assert word in str(found.why)
    assert trace_source_within(workspace, "vendor", bounds=Bounds(ROOM, 3, 4)).why is None


def test_the_command_asks_the_same_question(workspace: Workspace) -> None:
    from lazaretto.cli.app import app

    add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
    command = trace_command("vendor", NOW - timedelta(days=3), NOW)
    url = workspace.catalog.engine.url.render_as_string(hide_password=False)
    environment = {"LAZARETTO_CATALOG_URL": url, "LAZARETTO_STORE": workspace.store.root}
    words = shlex.split(command)[1:]
    result = CliRunner().invoke(app, words, env=environment)
    assert result.exit_code in (0, 1, 4), result.output
    assert "source vendor from 2026-04-28 12:00:00Z to 2026-05-01 12:00:00Z" in result.output
