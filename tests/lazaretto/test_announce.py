"""Which versions of a dataset wait to be announced, in whatever order they were told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltalake import DeltaTable, write_deltalake
from yard import Yard, blobs

from lazaretto.dataset.announce import record_announced, unannounced, was_announced
from lazaretto.health import reconcile

if TYPE_CHECKING:
    from lazaretto.dataset.admission import Admission


def _admit(yard: Yard, number: int) -> Admission:
    return yard.admit(f"day-{number}", blobs(40, seed=number, prefix=f"d{number}-"))


def _tell(yard: Yard, admission: Admission) -> int | None:
    made = admission.seqs[-1]
    return record_announced(yard.workspace, "blobs", int(admission.version or 0), made)


def test_two_tasks_tell_in_either_order_and_nothing_twice(yard: Yard) -> None:
    first, second, third = (_admit(yard, number) for number in (5, 6, 7))
    assert _tell(yard, second) is not None
    assert _tell(yard, first) is not None
    assert [news.version for news in unannounced(yard.workspace, "blobs")] == [third.version]
    assert _tell(yard, third) is not None
    assert _tell(yard, third) is None
    assert unannounced(yard.workspace, "blobs") == []


def test_a_version_number_that_comes_again_is_told_again(yard: Yard) -> None:
    """What a restored table had too much is set aside; the next admission takes its number."""
    admission = _admit(yard, 5)
    assert _tell(yard, admission) is not None
    table = DeltaTable(admission.uri)
    write_deltalake(admission.uri, table.to_pyarrow_table().slice(0, 2), mode="append")
    assert reconcile(yard.workspace, apply=True).done
    again = _admit(yard, 6)
    assert again.version == int(admission.version or 0) + 1
    assert not was_announced(yard.workspace, "blobs", again.seqs[-1])
    assert [news.made for news in unannounced(yard.workspace, "blobs")] == again.seqs
