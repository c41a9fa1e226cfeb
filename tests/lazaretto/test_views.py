"""Training views: a snapshot without the batches that a retraining leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner
from yard import Yard, blobs

import lazaretto as lz
from lazaretto import lineage, stages
from lazaretto.cli.app import app
from lazaretto.dataset.recall import recall
from lazaretto.errors import ChangedFileError, NotFoundError, UsageError
from lazaretto.health import check
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ViewTaken
from lazaretto.stages.exclusions import read_exclusions

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.alike


def _admit(yard: Yard) -> list[str]:
    days = {"monday": "vendor-a", "tuesday": "vendor-b", "sunday": "vendor-a"}
    found = []
    for number, (day, source) in enumerate(days.items()):
        rows = blobs(30, seed=5 + number, prefix=day)
        found.append(yard.admit(day, rows, source).batch)
    return found


def _batches(snapshot: stages.Snapshot) -> Sequence[str]:
    return sorted(set(snapshot.table(["_lazaretto_batch"])["_lazaretto_batch"].to_pylist()))


def test_a_view_leaves_out_what_it_says_and_nothing_else(yard: Yard) -> None:
    workspace = yard.workspace
    monday, tuesday, sunday = _admit(yard)
    view = stages.snapshot(workspace, "blobs", exclude=[tuesday, tuesday])
    assert view.id == view.view
    assert view.id.startswith(f"{view.version}-")
    assert (view.rows, view.excluded) == (60, [tuesday])
    assert _batches(view) == sorted([monday, sunday])
    assert [member.batch for member in view.members] == sorted([monday, sunday])
    assert stages.snapshot(workspace, "blobs", exclude=[tuesday]) == view
    assert stages.open_snapshot(workspace, "blobs", view.id) == view
    whole = stages.snapshot(workspace, "blobs")
    assert whole.rows == 90
    assert view.digest != whole.digest
    with workspace.catalog.read() as connection:
        (event,) = [e.event for e in entries(connection, kinds=[ViewTaken.kind])]
    assert isinstance(event, ViewTaken)
    assert (event.excluded, event.rows, event.batches) == ([tuesday], 60, 2)
    assert check(workspace).sound


def test_a_model_of_a_view_is_not_accused_of_what_was_left_out(yard: Yard) -> None:
    workspace = yard.workspace
    monday, tuesday, _ = _admit(yard)
    view = stages.snapshot(workspace, "blobs", exclude=[tuesday])
    lz.register_model("old", "1", snapshots=[f"blobs@{view.version}"], workspace=workspace)
    made = lz.register_model("new", "1", snapshots=[f"blobs@{view.id}"], workspace=workspace)
    assert [(one.version, one.rows) for one in made.inputs] == [(view.id, 60)]
    assert [m.id for m in lineage.trace_batch(workspace, tuesday).models] == ["old@1"]
    reached = lineage.trace_batch(workspace, monday).models
    assert sorted(model.id for model in reached) == ["new@1", "old@1"]
    assert recall(workspace, "blobs", batch=tuesday, reason="hacked").models == ["old@1"]
    assert recall(workspace, "blobs", batch=monday, reason="hacked").models == ["new@1", "old@1"]
    late = lz.register_model("late", "1", snapshots=[f"blobs@{view.id}"], workspace=workspace)
    assert len(late.recalls) == 1
    assert check(workspace).sound


def test_what_cannot_be_left_out_is_said(yard: Yard) -> None:
    workspace = yard.workspace
    batches = _admit(yard)
    with pytest.raises(NotFoundError, match="1 of the batches to leave out were never received"):
        stages.snapshot(workspace, "blobs", exclude=[batches[0], "vendor-a/typo"])
    with pytest.raises(UsageError, match="nothing is left of blobs@3"):
        stages.snapshot(workspace, "blobs", exclude=batches)
    recall(workspace, "blobs", batch=batches[0], reason="hacked")
    plain = stages.snapshot(workspace, "blobs", exclude=[batches[0]])
    assert (plain.view, plain.id, plain.excluded) == (None, "4", [])
    with pytest.raises(NotFoundError, match="no snapshot 4-0123456789abcdef"):
        stages.open_snapshot(workspace, "blobs", "4-0123456789abcdef")
    with pytest.raises(UsageError, match="names no snapshot"):
        stages.open_snapshot(workspace, "blobs", "4-or-so")
    with pytest.raises(NotFoundError, match="no snapshot"):
        lz.register_model("n", "1", snapshots=["blobs@4-0123456789abcdef"], workspace=workspace)


def test_a_changed_file_of_a_view_is_found_when_it_is_read(sqlite_yard: Yard) -> None:
    workspace = sqlite_yard.workspace
    batches = _admit(sqlite_yard)
    view = stages.snapshot(workspace, "blobs", exclude=batches[:1])
    path = Path(workspace.store.uri(view.files[0].file.path))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ChangedFileError):
        stages.open_snapshot(workspace, "blobs", view.id).table()


def test_by_the_command_line(sqlite_yard: Yard, sqlite_catalog: str, tmp_path: Path) -> None:
    monday, tuesday, _ = _admit(sqlite_yard)
    root = sqlite_yard.workspace.store.root
    place = {"LAZARETTO_CATALOG_URL": sqlite_catalog, "LAZARETTO_STORE": root}
    listed = tmp_path / "exclude.json"
    listed.write_text(json.dumps({"batches": [monday, tuesday], "why": "incident 7"}))
    words = ["dataset", "snapshot", "blobs", "--exclude", str(listed), "--json"]
    result = CliRunner().invoke(app, words, env=place)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["rows"], said["excluded"]) == (30, sorted([monday, tuesday]))
    listed.write_text(f"\ufeff{monday}\n\n  {tuesday}\r\n")
    again = CliRunner().invoke(app, words, env=place)
    assert json.loads(again.stdout) == said
    told = CliRunner().invoke(app, words[:-1], env=place).stdout
    assert f"blobs@{said['view']}" in told
    assert "2 batches" in told


@pytest.mark.parametrize(
    "data",
    [b"", b" \n", b"\xff\xfe", b"{}", b'{"batches": "a"}', b'{"batches": [1]}', b'{"batches"'],
)
def test_what_is_no_exclusion_list_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="one batch id in each line, or JSON"):
        read_exclusions(data)
