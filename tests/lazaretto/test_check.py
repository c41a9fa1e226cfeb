"""What a check finds: rows, files and datasets that are not what the ledger says; cut-off work."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from deltalake import write_deltalake
from histories import eventful
from tampering import intruder
from yard import Yard, blobs, make_yard

from lazaretto import lineage
from lazaretto.health import check
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import files_of
from lazaretto.quarantine import publish as publish_module
from lazaretto.quarantine import review
from lazaretto.storage import tables
from lazaretto.storage.catalog import Catalog
from lazaretto.storage.store import Store
from lazaretto.storage.workspace import Workspace, open_workspace
from lazaretto.values import Action

if TYPE_CHECKING:
    from lazaretto.health import Finding, Health
    from lazaretto.values import StoredFile

pytestmark = pytest.mark.alike


class _Cut(Exception):  # noqa: N818  not an error: the power goes
    pass


def _cut(*_: object) -> None:
    raise _Cut


def _kinds(health: Health) -> list[str]:
    return [finding.kind for finding in health.findings]


def _only(health: Health) -> Finding:
    (finding,) = health.findings
    assert not health.sound
    return finding


def _stored(workspace: Workspace, kind: str) -> StoredFile:
    """A file that an entry of some kind names."""
    with workspace.catalog.read() as connection:
        return next(file for e in entries(connection, kinds=[kind]) for file in files_of(e.event))


def _rows(workspace: Workspace) -> dict[str, int]:
    with workspace.catalog.read() as connection:
        count = sa.func.count()
        found = sa.inspect(connection).get_table_names()
        return {
            name: connection.scalar(sa.select(count).select_from(sa.table(name))) or 0
            for name in found
        }


@pytest.mark.parametrize("deep", [False, True])
def test_an_eventful_workspace_is_sound_and_stays_as_it_is(yard: Yard, deep: bool) -> None:
    assert check(yard.workspace, deep=deep).sound
    eventful(yard)
    lineage.catch_up(yard.workspace)
    rows, sizes = _rows(yard.workspace), yard.workspace.store.sizes()
    told: list[tuple[str, int, int]] = []
    health = check(yard.workspace, deep=deep, progress=lambda *step: told.append(step))
    assert health.findings == []
    assert health.sound
    assert health.behind == {"index": 0, "openlineage": health.entries}
    assert health.rows > 30
    assert {step for step, _, _ in told} == ({"ledger entries", "files"} if deep else {told[0][0]})
    assert all(done <= total for _, done, total in told)
    assert (_rows(yard.workspace), yard.workspace.store.sizes()) == (rows, sizes)


def test_a_changed_row_is_named_by_table_key_and_column(yard: Yard) -> None:
    batch = yard.judge("monday", blobs(60, seed=5, flips=4)).batch
    change = tables.batch.update().values(held=0, verdict="PASS")
    with yard.workspace.catalog.transaction() as connection:
        connection.execute(change)
    health = check(yard.workspace)
    finding = _only(health)
    assert (finding.kind, finding.count) == ("changed_rows", 1)
    (difference,) = health.differences
    assert (difference.table, difference.key, difference.problem) == ("batch", batch, "changed")
    assert difference.columns["verdict"] == ("'PASS'", "'HOLD_RECORDS'")
    assert set(difference.columns) == {"held", "verdict"}
    assert "`lazaretto catalog rebuild`" in finding.mend


def test_a_publication_that_was_cut_off_is_found_and_gone_when_done_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = str(yard.judge("monday", blobs(60, seed=5, flips=4)).case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="fine")
    with monkeypatch.context() as patch:
        patch.setattr(publish_module, "admit_part", _cut)
        with pytest.raises(_Cut):
            review.publish(yard.workspace, case)
    for deep in (False, True):
        finding = _only(check(yard.workspace, deep=deep))
        assert finding.kind == "unfinished_publication"
        assert "goes on where it stopped" in finding.mend
    review.publish(yard.workspace, case)
    assert check(yard.workspace, deep=True).sound


def test_rows_around_the_gate_are_found(sqlite_yard: Yard) -> None:
    uri = sqlite_yard.admit("monday", blobs(60, seed=5)).uri
    write_deltalake(uri, sqlite_yard.dataset().slice(0, 2), mode="append")
    finding = _only(check(sqlite_yard.workspace))
    assert finding.kind == "changed_dataset"
    assert "2 rows were written around the gate" in finding.what


def test_a_lost_dataset_is_found(sqlite_yard: Yard) -> None:
    shutil.rmtree(sqlite_yard.admit("monday", blobs(60, seed=5)).uri)
    health = check(sqlite_yard.workspace)
    assert _kinds(health) == ["missing_files", "changed_dataset"]
    assert "Restore datasets/blobs from a backup" in health.findings[1].mend


@pytest.mark.parametrize("kind", ["batch_received", "batch_validated", "reference_saved"])
def test_a_lost_file_is_named(sqlite_yard: Yard, kind: str) -> None:
    workspace = sqlite_yard.workspace
    sqlite_yard.judge("monday", blobs(60, seed=5))
    file = _stored(workspace, kind)
    Path(workspace.store.uri(file.path)).unlink()
    finding = _only(check(workspace))
    assert (finding.kind, finding.first) == ("missing_files", [file.path])


def test_a_file_of_another_size_is_named_and_one_of_the_same_size_by_its_bytes(
    sqlite_yard: Yard,
) -> None:
    workspace = sqlite_yard.workspace
    sqlite_yard.judge("monday", blobs(60, seed=5))
    file = _stored(workspace, "batch_received")
    path = Path(workspace.store.uri(file.path))
    before = path.read_bytes()
    path.write_bytes(before + b"x")
    assert _only(check(workspace)).first == [file.path]
    path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    assert check(workspace).sound
    finding = _only(check(workspace, deep=True))
    assert (finding.kind, finding.first) == ("changed_files", [file.path])


def test_the_list_of_a_large_files_blocks_belongs_to_it(sqlite_yard: Yard) -> None:
    workspace = sqlite_yard.workspace
    large = blobs(30_000, seed=5)
    sqlite_yard.receive("large", large.append_column("noise", pa.array(_noise(30_000))))
    file = _stored(workspace, "batch_received")
    assert file.blocks
    listed = Path(workspace.store.uri(f"{file.path}.blocks"))
    there = listed.read_bytes()
    listed.write_bytes(there[:-1])
    assert _only(check(workspace)).first == [f"{file.path}.blocks"]
    listed.write_bytes(bytes(len(there)))
    assert _only(check(workspace, deep=True)).first == [file.path]
    listed.unlink()
    assert _only(check(workspace)).kind == "missing_files"


def _noise(rows: int) -> list[str]:
    """Texts that cannot be compressed."""
    return [row.tobytes().hex() for row in np.random.default_rng(1).random((rows, 20))]


def test_another_store_is_named_once(sqlite_yard: Yard, tmp_path: Path) -> None:
    sqlite_yard.judge("monday", blobs(60, seed=5))
    elsewhere = replace(sqlite_yard.workspace, store=Store.at(tmp_path / "elsewhere"))
    finding = _only(check(elsewhere))
    assert (finding.kind, finding.count) == ("wrong_store", 1)
    assert "is not the store of this catalog" in finding.what


def test_a_catalog_older_than_its_store_is_named(
    sqlite_yard: Yard, sqlite_catalog: str, tmp_path: Path
) -> None:
    workspace = sqlite_yard.workspace
    sqlite_yard.admit("monday", blobs(60, seed=5))
    workspace.catalog.engine.dispose()
    shutil.copy(tmp_path / "catalog.db", tmp_path / "older.db")
    sqlite_yard.admit("tuesday", blobs(60, seed=6, prefix="t"))
    held = sqlite_yard.judge("wednesday", blobs(60, seed=7, prefix="w", flips=50))
    older = open_workspace(
        catalog_url=f"sqlite:///{tmp_path / 'older.db'}", store=tmp_path / "store"
    )
    health = check(older)
    assert _kinds(health) == ["unknown_batches", "changed_dataset"]
    assert held.batch in health.findings[0].first
    assert health.findings[0].count == 2
    assert health.leftovers.count > 0  # what was held of them, and the rows of the dataset


def test_a_store_with_a_second_catalog_is_named(
    sqlite_yard: Yard, fitted_reference: str, tmp_path: Path
) -> None:
    # Opened without comparing ids, so that what lies in the store has to tell.
    second = Workspace(
        Catalog.open(f"sqlite:///{tmp_path / 'second.db'}"), Store.at(tmp_path / "store")
    )
    make_yard(second, fitted_reference, tmp_path)
    sqlite_yard.admit("monday", blobs(60, seed=5))
    health = check(second)
    assert _kinds(health) == ["unknown_batches", "unknown_datasets"]
    assert health.findings[1].first == ["blobs"]


def test_what_refused_work_leaves_behind_is_told_and_harmless(sqlite_yard: Yard) -> None:
    sqlite_yard.judge("monday", blobs(60, seed=5))
    stray = f"held/{'x' * 8}/gate-1.parquet"
    sqlite_yard.workspace.store.put(stray, [b"stray"])
    health = check(sqlite_yard.workspace)
    assert health.sound
    assert (health.leftovers.count, health.leftovers.first) == (1, [stray])


def test_records_whose_file_is_gone_are_not_called_changed(yard: Yard) -> None:
    yard.judge("monday", blobs(60, seed=5, flips=4))
    file = _stored(yard.workspace, "batch_judged")
    Path(yard.workspace.store.uri(file.path)).unlink()
    finding = _only(check(yard.workspace, deep=True))
    assert (finding.kind, finding.first) == ("missing_files", [file.path])


def test_a_projection_that_is_ahead_of_the_ledger_is_named(yard: Yard) -> None:
    lineage.catch_up(yard.workspace)
    with yard.workspace.catalog.transaction() as connection:
        connection.execute(tables.projection.update().values(seq=1000))
    health = check(yard.workspace)
    assert "projection_ahead" in _kinds(health)
    assert health.behind["index"] == 0


def test_with_a_ledger_that_does_not_hold_nothing_is_compared_and_nothing_sound(
    yard: Yard,
) -> None:
    yard.judge("monday", blobs(60, seed=5, flips=4))
    edited = tables.ledger.update().where(tables.ledger.c.seq == 2)
    with intruder(yard.workspace, stay=True) as connection:
        connection.execute(edited.values(actor_id="somebody"))
        connection.execute(tables.batch.update().values(held=0))
    health = check(yard.workspace)
    assert not health.sound
    assert _kinds(health) == ["ledger"]
    assert "entry 2 was edited" in health.findings[0].what
    assert health.differences == []


def test_an_edited_lineage_index_is_named(yard: Yard) -> None:
    eventful(yard)
    lineage.catch_up(yard.workspace)
    with yard.workspace.catalog.transaction() as connection:
        connection.execute(tables.lineage_edge.update().values(role="EVAL"))
    finding = _only(check(yard.workspace))
    assert finding.kind == "changed_rows"
    assert "lineage_edge" in finding.what
    assert finding.first
