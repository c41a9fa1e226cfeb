"""Long lists are read page by page: every row comes once, and the last page says that it is it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.dataset.recall import recall
from lazaretto.errors import NotFoundError
from lazaretto.stages.deliveries import Wanted, list_deliveries
from lazaretto.stages.listing import Page, dataset_log
from lazaretto.stages.models import list_models

if TYPE_CHECKING:
    from collections.abc import Callable


def _read(page_behind: Callable[[dict[str, Any] | None], Page]) -> list[dict[str, Any]]:
    """All rows, page by page."""
    rows: list[dict[str, Any]] = []
    while True:
        page = page_behind(rows[-1] if rows else None)
        rows += page.rows
        if not page.more:
            return rows


def test_pages_join_to_the_whole_list(yard: Yard) -> None:
    workspace = yard.workspace
    batches = []
    for number in range(4):
        batch = yard.judge(f"d{number}", blobs(60, 10 + number, prefix=f"{number}-")).batch
        stages.admit(workspace, batch, policy=yard.policy)
        taken = stages.snapshot(workspace, "blobs")
        stages.register_model(workspace, "net", str(number), "blobs", taken.version)
        batches.append(batch)
    recall(workspace, "blobs", batch=batches[0], reason="poisoned")

    def of_batches(last: dict[str, Any] | None) -> Page:
        return list_deliveries(
            workspace, Wanted(), limit=3, after=None if last is None else last["id"]
        )

    def of_models(last: dict[str, Any] | None) -> Page:
        after = None if last is None else (last["model"], last["version"])
        return list_models(workspace, "net", limit=3, after=after)

    def of_log(last: dict[str, Any] | None) -> Page:
        return dataset_log(workspace, "blobs", limit=2, after=0 if last is None else last["seq"])

    assert [row["id"] for row in _read(of_batches)] == batches[::-1]
    models = _read(of_models)
    assert [row["version"] for row in models] == ["3", "2", "1", "0"]
    assert all(len(row["recalls"]) == 1 for row in models)
    log = _read(of_log)
    assert log == dataset_log(workspace, "blobs").rows
    assert [row["what"] for row in log] == ["ADMIT", "SNAPSHOT"] * 4 + ["RECALL"]
    newest = dataset_log(workspace, "blobs", limit=3)
    assert newest.more
    assert newest.rows == log[-3:]


def test_a_page_behind_what_is_not_there_is_an_error(sqlite_yard: Yard) -> None:
    with pytest.raises(NotFoundError, match="no batch"):
        list_deliveries(sqlite_yard.workspace, Wanted(), after="nobody/1")
    with pytest.raises(NotFoundError, match="net@1"):
        list_models(sqlite_yard.workspace, after=("net", "1"))
