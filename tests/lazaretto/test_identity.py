"""One workspace: another store, an empty one or another catalog is named; a moved one works."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import pytest
import sqlalchemy as sa
from yard import ANN, Yard, blobs, make_policy

from lazaretto import lineage, stages
from lazaretto.dataset.recall import recall
from lazaretto.errors import LazarettoError, NotFoundError, OtherStoreError
from lazaretto.health import check, rebuild
from lazaretto.ledger.verify import verify
from lazaretto.lineage import trace_source
from lazaretto.sources.registry import add_source
from lazaretto.stages.deliveries import Wanted, list_deliveries
from lazaretto.storage import identity, tables
from lazaretto.storage.identity import MARK, workspace_id
from lazaretto.storage.store import Store
from lazaretto.storage.workspace import Workspace, open_workspace
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.alike

MONDAY, TUESDAY = blobs(60, seed=5, prefix="m"), blobs(60, seed=6, prefix="t")


def _url(workspace: Workspace) -> str:
    return workspace.catalog.engine.url.render_as_string(hide_password=False)


def _with_store(yard: Yard, root: Path) -> Yard:
    """The same catalog with another store, as another process opens them."""
    opened = open_workspace(catalog_url=_url(yard.workspace), store=root, actor=ANN, create=False)
    return Yard(opened, yard.policy, yard.folder)


def _uses(yard: Yard, batch: str) -> list[Callable[[], object]]:
    workspace = yard.workspace
    return [
        lambda: yard.receive("wednesday", blobs(60, seed=7, prefix="w")),
        lambda: stages.admit(workspace, batch),
        lambda: stages.snapshot(workspace, "blobs"),
        lambda: recall(workspace, "blobs", batch=batch, reason="x"),
        lambda: verify(workspace),
        lambda: rebuild(workspace, write=True),
    ]


def _rows(workspace: Workspace) -> int:
    with workspace.catalog.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(tables.ledger)) or 0


def test_two_that_begin_at_once_take_no_store_for_another(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One looks at the empty store; before it looks at the catalog the other has received."""
    add_source(workspace, "vendor-a", trust_tier=TrustTier.REVIEWED)
    first = Yard(workspace, make_policy(), tmp_path)
    second = _with_store(first, Path(workspace.store.root))
    look = identity.store_id

    def slow(store: Store) -> str | None:
        seen = look(store)
        monkeypatch.setattr(identity, "store_id", look)
        second.receive("monday", MONDAY)
        return seen

    monkeypatch.setattr(identity, "store_id", slow)
    assert first.receive("tuesday", TUESDAY).id != first.receive("monday", MONDAY).id


@pytest.mark.parametrize("where", ["empty", "not there", "another workspace's", "a forged mark"])
def test_a_store_that_is_another_is_named_by_whatever_uses_it(
    yard: Yard, where: str, tmp_path: Path
) -> None:
    batch = yard.admit("monday", MONDAY).batch
    place = tmp_path / "elsewhere"
    if where == "empty":
        place.mkdir()
    elif where == "a forged mark":
        place.mkdir()
        (place / MARK).write_text('{"workspace": ["' + "0" * 32 + '"]}')
    elif where != "not there":
        other = open_workspace(catalog_url=f"sqlite:///{tmp_path / 'other.db'}", store=place)
        other.store.put("held/x", [b"x"])
    entries = _rows(yard.workspace)
    files = sorted(place.rglob("*"))
    wrong = _with_store(yard, place)
    for use in _uses(wrong, batch):
        with pytest.raises(OtherStoreError, match="elsewhere is not the store"):
            use()
    (finding,) = check(wrong.workspace).findings
    assert finding.kind == "wrong_store"
    assert "elsewhere" in finding.what
    assert sorted(place.rglob("*")) == files
    assert place.exists() == (where != "not there")
    assert _rows(yard.workspace) == entries


def test_what_needs_no_store_asks_for_none(yard: Yard, tmp_path: Path) -> None:
    yard.admit("monday", MONDAY)
    wrong = _with_store(yard, tmp_path / "elsewhere")
    assert len(list_deliveries(wrong.workspace, Wanted()).rows) == 1
    add_source(wrong.workspace, "vendor-c", trust_tier=TrustTier.REVIEWED)


def test_a_moved_store_goes_on_where_it_was(yard: Yard, tmp_path: Path) -> None:
    batch = yard.admit("monday", MONDAY).batch
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", "1", "blobs", taken.version)
    lineage.catch_up(yard.workspace)
    shutil.move(yard.workspace.store.root, tmp_path / "moved")
    moved = _with_store(yard, tmp_path / "moved")
    again = stages.snapshot(moved.workspace, "blobs")
    assert (again.digest, again.table().num_rows) == (taken.digest, 60)
    later = moved.admit("tuesday", TUESDAY)
    assert later.version == 2
    assert recall(moved.workspace, "blobs", batch=batch, reason="x").models == ["net@1"]
    newest = stages.snapshot(moved.workspace, "blobs").version
    stages.register_model(moved.workspace, "net", "2", "blobs", newest)
    since = datetime.now(UTC) - timedelta(days=1)
    trace = trace_source(moved.workspace, "vendor-a", since=since)
    assert {model.id for model in trace.models} == {"net@1", "net@2"}
    assert {found.id for found in trace.batches} == {batch, later.batch}
    assert [finding.kind for finding in check(moved.workspace, deep=True).findings] == [
        "moved_index"
    ]
    rebuild(moved.workspace, write=True)
    assert check(moved.workspace, deep=True).sound
    trace = trace_source(moved.workspace, "vendor-a", since=since)
    assert {model.id for model in trace.models} == {"net@1", "net@2"}


def test_a_store_that_goes_away_while_it_is_used_is_not_begun_anew(sqlite_yard: Yard) -> None:
    sqlite_yard.admit("monday", MONDAY)
    root = Path(sqlite_yard.workspace.store.root)
    shutil.move(root, root.with_name("unmounted"))
    with pytest.raises(OtherStoreError, match="not mounted"):
        sqlite_yard.receive("tuesday", TUESDAY)
    assert not root.exists()


def test_a_slip_in_the_catalogs_name_starts_no_second_one(
    sqlite_yard: Yard, tmp_path: Path
) -> None:
    sqlite_yard.admit("monday", MONDAY)
    root = sqlite_yard.workspace.store.root
    slip = f"sqlite:///{tmp_path / 'slip.db'}"
    with pytest.raises(NotFoundError):
        open_workspace(catalog_url=slip, store=root, create=False)
    with pytest.raises(OtherStoreError, match=r"no catalog yet, and the store is of workspace"):
        open_workspace(catalog_url=slip, store=root)
    assert not (tmp_path / "slip.db").exists()


def test_another_catalog_cannot_use_the_store(sqlite_yard: Yard, tmp_path: Path) -> None:
    other = open_workspace(
        catalog_url=f"sqlite:///{tmp_path / 'other.db'}", store=tmp_path / "other"
    )
    sqlite_yard.admit("monday", MONDAY)
    wrong = open_workspace(
        catalog_url=_url(other), store=sqlite_yard.workspace.store.root, create=False
    )
    with pytest.raises(OtherStoreError, match=workspace_id(other.catalog)):
        wrong.store.put("held/x", [b"x"])


def test_a_reader_writes_no_mark(workspace: Workspace) -> None:
    root = Path(workspace.store.root)
    check(workspace)
    verify(workspace)
    with pytest.raises(LazarettoError):
        stages.snapshot(workspace, "blobs")
    assert not root.exists()


def test_a_deleted_id_of_the_catalog_is_named(sqlite_yard: Yard) -> None:
    sqlite_yard.admit("monday", MONDAY)
    with sqlite_yard.workspace.catalog.transaction() as connection:
        connection.execute(tables.workspace.delete())
    again = _with_store(sqlite_yard, Path(sqlite_yard.workspace.store.root))
    with pytest.raises(LazarettoError, match="no workspace id"):
        stages.snapshot(again.workspace, "blobs")


class _Bucket(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
    """fsspec's own store in memory under the name of an object store: folders can be counted."""

    protocol = "r2"
    store: dict[str, object] = {}  # noqa: RUF012  as in its base
    pseudo_dirs = [""]  # noqa: RUF012


def test_a_bucket_is_never_made() -> None:
    fsspec.register_implementation("r2", _Bucket, clobber=True)
    store = Store.at("r2://bucket/lazaretto")
    store.put("held/x", [b"x"])
    assert _Bucket.pseudo_dirs == [""]
