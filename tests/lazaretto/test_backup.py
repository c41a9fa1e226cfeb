"""Backups: made and restored while others write, verified, and of no other workspace."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from yard import ANN, Yard, blobs

from lazaretto.errors import (
    LazarettoError,
    NotFoundError,
    OtherStoreError,
    SystemFaultError,
    UsageError,
)
from lazaretto.health import backup, check, restore
from lazaretto.ledger.report import Outcome
from lazaretto.ledger.verify import verify
from lazaretto.sources.registry import add_source
from lazaretto.storage.catalog import Catalog
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazaretto.storage.workspace import Workspace


@pytest.fixture
def writers(reopen: Callable[[], Workspace]) -> Iterator[threading.Event]:
    """Two that register sources until they are told to stop; what fails is tried again."""
    stop, failures = threading.Event(), list[Exception]()

    def write(number: int) -> None:
        workspace = reopen().acting(ANN)
        count = 0
        while not stop.is_set():
            try:
                add_source(workspace, f"w{number}-{count}", trust_tier=TrustTier.REVIEWED)
                count += 1
            except LazarettoError:
                continue
            except Exception as error:
                failures.append(error)
                return
        workspace.catalog.engine.dispose()

    threads = [threading.Thread(target=write, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    yield stop
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def _url(workspace: Workspace) -> str:
    return workspace.catalog.engine.url.render_as_string(hide_password=False)


def test_a_backup_is_of_one_moment_while_others_write(
    workspace: Workspace, writers: threading.Event, tmp_path: Path
) -> None:
    made = [backup(workspace.catalog, tmp_path / f"{number}.backup") for number in range(4)]
    writers.set()
    assert [one.problem for one in made] == [None] * 4
    entries = [one.head.entries for one in made]
    assert entries == sorted(entries)
    left = {path.name for path in tmp_path.glob("*backup*")}
    assert left == {f"{number}.backup" for number in range(4)}


def test_what_is_restored_is_what_was_copied(yard: Yard, tmp_path: Path) -> None:
    workspace = yard.workspace
    yard.admit("monday", blobs(60, seed=5, prefix="m"))
    made = backup(workspace.catalog, tmp_path / "catalog.backup")
    assert verify(workspace).entries == made.head.entries
    add_source(workspace, "vendor-c", trust_tier=TrustTier.REVIEWED)
    done = restore(
        tmp_path / "catalog.backup", catalog_url=_url(workspace), store=yard.workspace.store.root
    )
    assert done.head == made.head
    assert done.before is not None
    assert done.before.entries == made.head.entries + 1
    assert check(workspace, deep=True).sound
    assert verify(workspace).entries == made.head.entries
    yard.admit("tuesday", blobs(60, seed=6, prefix="t"))
    assert check(workspace, deep=True).sound


def test_a_catalog_that_is_gone_is_restored(
    yard: Yard, tmp_path: Path, reopen: Callable[[], Workspace]
) -> None:
    yard.admit("monday", blobs(60, seed=5))
    made = backup(yard.workspace.catalog, tmp_path / "catalog.backup")
    url = _url(yard.workspace)
    yard.workspace.catalog.engine.dispose()
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).unlink()
    else:
        with yard.workspace.catalog.engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
    with pytest.raises(NotFoundError):
        Catalog.open(url, create=False)
    done = restore(tmp_path / "catalog.backup", catalog_url=url, store=yard.workspace.store.root)
    assert (done.head, done.before) == (made.head, None)
    assert check(reopen(), deep=True).sound


def test_a_catalog_is_restored_while_others_write(
    workspace: Workspace, writers: threading.Event, tmp_path: Path, reopen: Callable[[], Workspace]
) -> None:
    """Whoever writes goes on, on what was restored; the chain holds at every moment."""
    add_source(workspace.acting(ANN), "vendor", trust_tier=TrustTier.REVIEWED)
    made = backup(workspace.catalog, tmp_path / "catalog.backup")
    for _ in range(3):
        done = restore(
            tmp_path / "catalog.backup", catalog_url=_url(workspace), store=workspace.store.root
        )
        assert done.head == made.head
    writers.set()
    report = verify(reopen())
    assert report.outcome is Outcome.HOLDS
    assert report.entries >= made.head.entries


def test_a_backup_of_another_workspace_is_refused(yard: Yard, tmp_path: Path) -> None:
    other = Catalog.open(f"sqlite:///{tmp_path / 'other.db'}")
    backup(other, tmp_path / "other.backup")
    yard.admit("monday", blobs(60, seed=5))
    mine = verify(yard.workspace).entries
    with pytest.raises((OtherStoreError, UsageError), match=r"workspace|postgresql"):
        restore(
            tmp_path / "other.backup",
            catalog_url=_url(yard.workspace),
            store=yard.workspace.store.root,
        )
    assert verify(yard.workspace).entries == mine


def test_a_backup_keeps_what_is_there(workspace: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "catalog.backup"
    backup(workspace.catalog, target)
    before = target.read_bytes()
    with pytest.raises(UsageError, match="kept"):
        backup(workspace.catalog, target)
    with pytest.raises(UsageError, match="does not exist"):
        backup(workspace.catalog, tmp_path / "nowhere" / "catalog.backup")
    assert target.read_bytes() == before


def test_a_damaged_backup_changes_nothing(yard: Yard, tmp_path: Path) -> None:
    target = tmp_path / "catalog.backup"
    backup(yard.workspace.catalog, target)
    size = target.stat().st_size
    os.truncate(target, size - size // 2)
    entries = verify(yard.workspace).entries
    with pytest.raises(SystemFaultError):
        restore(target, catalog_url=_url(yard.workspace), store=yard.workspace.store.root)
    target.write_bytes(b"not a backup")
    with pytest.raises(UsageError, match="no backup"):
        restore(target, catalog_url=_url(yard.workspace), store=yard.workspace.store.root)
    assert verify(yard.workspace).entries == entries


def test_a_backup_says_that_the_ledger_does_not_hold(workspace: Workspace, tmp_path: Path) -> None:
    add_source(workspace.acting(ANN), "vendor", trust_tier=TrustTier.REVIEWED)
    with workspace.catalog.transaction() as connection:
        connection.exec_driver_sql("UPDATE ledger SET actor_id = 'user:eve'")
    made = backup(workspace.catalog, tmp_path / "catalog.backup")
    assert "entry 1 was edited" in str(made.problem)
