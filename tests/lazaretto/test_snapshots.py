"""Snapshots are kept as differences, and read back as what a version really holds."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from tampering import intruder
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.dataset.recall import recall
from lazaretto.dataset.snapshots import WholeSnapshot, as_differences, cost_of, members
from lazaretto.errors import ChangedStateError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import SnapshotTaken
from lazaretto.stages.taken import find_snapshot
from lazaretto.storage.tables import ledger
from lazaretto.values import DataFile, Member, StoredFile


def _admitted(yard: Yard, number: int) -> str:
    batch = yard.judge(f"d{number}", blobs(60, 10 + number, prefix=f"{number}-")).batch
    stages.admit(yard.workspace, batch, policy=yard.policy)
    return batch


def _taken(yard: Yard) -> list[SnapshotTaken]:
    with yard.workspace.catalog.read() as connection:
        found = [entry.event for entry in entries(connection, kinds=[SnapshotTaken.kind])]
    return [event for event in found if isinstance(event, SnapshotTaken)]


def test_a_snapshot_names_what_changed_and_is_read_back_whole(yard: Yard) -> None:
    workspace = yard.workspace
    first, *others = [_admitted(yard, number) for number in range(4)]
    stages.snapshot(workspace, "blobs")
    last = _admitted(yard, 4)
    stages.snapshot(workspace, "blobs")
    recall(workspace, "blobs", batch=first, reason="poisoned")
    newest = stages.snapshot(workspace, "blobs")
    whole, came, left = _taken(yard)
    assert whole.since is None
    assert [member.batch for member in whole.members] == sorted([first, *others])
    assert (came.since, [member.batch for member in came.members]) == (4, [last])
    assert (came.batches, len(came.files), came.removed) == (5, 1, [])
    assert (left.since, left.members, left.files) == (5, [Member(first, 0)], [])
    assert (left.batches, len(left.removed)) == (4, 1)
    with workspace.catalog.read() as connection:
        again = find_snapshot(connection, workspace, "blobs", 6)
    assert again == newest
    assert {member.batch for member in newest.members} == {*others, last}
    assert newest.rows == newest.table().num_rows == sum(m.rows for m in newest.members)
    # One of an older version builds on none that came later.
    old = stages.snapshot(workspace, "blobs", version=1)
    assert _taken(yard)[-1].since is None
    assert [member.batch for member in old.members] == [first]


def test_nothing_is_used_of_a_snapshot_whose_base_was_changed(sqlite_yard: Yard) -> None:
    workspace = sqlite_yard.workspace
    for number in range(2):
        _admitted(sqlite_yard, number)
        stages.snapshot(workspace, "blobs")
    base = sa.select(sa.func.min(ledger.c.seq)).where(ledger.c.kind == SnapshotTaken.kind)
    with intruder(workspace, stay=True) as connection:
        seq = connection.scalar(base)
        connection.execute(ledger.delete().where(ledger.c.seq == seq))
    with (
        workspace.catalog.read() as connection,
        pytest.raises(ChangedStateError, match="no earlier snapshot"),
    ):
        find_snapshot(connection, workspace, "blobs", 2)


def _file(batch: int, part: int) -> DataFile:
    path = f"datasets/d/{batch}-{part}.parquet"
    return DataFile(f"v/{batch}", "cleared", 10 + part, StoredFile(path, 9, "ab" * 32))


contents = st.lists(
    st.sets(st.tuples(st.integers(0, 12), st.integers(0, 1)), max_size=16), max_size=12
)


@given(contents)
def test_differences_add_up_to_the_whole_and_never_cost_more(
    versions: list[set[tuple[int, int]]],
) -> None:
    base: WholeSnapshot | None = None
    kept: dict[str, DataFile] = {}
    told: dict[str, int] = {}
    written = 0
    for version, names in enumerate(versions, start=1):
        files = [_file(*name) for name in sorted(names)]
        event = SnapshotTaken(
            "d", version, 0, "", members(files), "t", "s", files, len(members(files))
        )
        short = as_differences(event, base)
        if short.since is None:
            kept, told = {}, {}
        kept = {path: file for path, file in kept.items() if path not in short.removed}
        kept |= {file.file.path: file for file in short.files}
        told |= {member.batch: member.rows for member in short.members}
        assert kept == {file.file.path: file for file in files}
        assert {batch: rows for batch, rows in told.items() if rows} == {
            member.batch: member.rows for member in members(files)
        }
        cost = 0 if short.since is None or base is None else base.cost + cost_of(short)
        assert cost < cost_of(event)
        assert cost_of(short) <= cost_of(event)
        base = WholeSnapshot(version, short, dict(kept), cost)
        written += cost_of(short)
    assert written <= sum(1 + 4 * len(names) for names in versions)
