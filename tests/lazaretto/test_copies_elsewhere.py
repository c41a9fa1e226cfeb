"""One record in many batches: named where the copies are more than chance explains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples
from yard import blobs, make_policy

from lazaretto import stages
from lazaretto.drill import run_drill
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchScreened
from lazaretto.screen import _copies_index
from lazaretto.screen._copies_index import NEAR, count_copies, near_pairs
from lazaretto.screen._prints import Prints, content_keys, label_keys, sketches
from lazaretto.stages.policy_replay import replay_policy
from lazaretto.values import Verdict

if TYPE_CHECKING:
    from yard import Yard

NAME = "copies_elsewhere"
SIZE = 4


def screen(**copies: object) -> dict[str, object]:
    quiet = dict.fromkeys(("mmd", "class_spread", "near_duplicates", "neighbourhood"), "off")
    return {
        "false_quarantine_rate": 0.02,
        "min_poison_share": 0.5,
        "detectors": {"mahalanobis": {}, "knn_label": {"k": 5}},
        "batch": {"alpha": 0.001, "hold_when_held_fraction": 0.9, "tests": quiet},
        "copies": copies,
    }


def wide(yard: Yard, **copies: object) -> Yard:
    return replace(yard, policy=make_policy(screen=screen(**copies)))


def planted(number: int, rows: int = 30, *, label: int = 0, copies: int = 1) -> pa.Table:
    """A clean delivery, the first rows of which are one record, the same in each delivery."""
    table = blobs(rows, 200 + number, prefix=f"d{number}-")
    again = [6.05, 0.1, -0.1, 0.05, 0.0, 0.1, -0.05, 0.02]  # nothing odd by itself
    vectors, labels = table["vector"].to_pylist(), table["label"].to_pylist()
    vectors[:copies], labels[:copies] = [again] * copies, [label] * copies
    table = table.set_column(2, "vector", pa.array(vectors, table.schema.field("vector").type))
    return table.set_column(1, "label", pa.array(labels, pa.int64()))


def screenings(yard: Yard) -> list[BatchScreened]:
    with yard.workspace.catalog.read() as connection:
        found = [entry.event for entry in entries(connection, kinds=[BatchScreened.kind])]
    return [event for event in found if isinstance(event, BatchScreened)]


words = st.lists(st.integers(0, 2**64 - 1), max_size=12)


@settings(max_examples=examples(100), deadline=None)
@given(words, words, st.data(), st.integers(0, NEAR), st.booleans())
def test_all_pairs_within_some_bits_are_found_once(
    one: list[int], two: list[int], data: st.DataObject, bits: int, banded: bool
) -> None:
    for sketch in one:  # what is drawn at random is never near
        places = data.draw(st.lists(st.integers(0, 63), unique=True, max_size=NEAR + 2))
        two = [*two, sketch ^ sum(1 << place for place in places)]
    first, second = np.array(one, np.uint64), np.array(two, np.uint64)
    wanted = [
        (i, j) for i, a in enumerate(one) for j, b in enumerate(two) if (a ^ b).bit_count() <= bits
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_copies_index, "_DIRECT", 0 if banded else 2**21)
        patch.setattr(_copies_index, "_BLOCK", 16)
        found = [
            pair
            for here, there in near_pairs(first, second, bits)
            for pair in zip(here.tolist(), there.tolist(), strict=True)
        ]
    assert sorted(found) == wanted


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 255)), min_size=1))
def test_copies_are_counted_as_by_hand_whatever_the_order(rows: list[tuple[int, int, int]]) -> None:
    def prints(given: list[tuple[int, int, int]]) -> Prints:
        columns = np.array(given, np.int64).T
        return Prints(columns[0], columns[1], columns[2].astype(np.uint64))

    half = max(1, len(rows) // 2)
    own, other = rows[:half], rows[half:] or rows
    counted = count_copies(prints(own), [prints(other)], content=[True], near=[True], bits=2)
    for place, (content, label, sketch) in enumerate(own):
        equal = [one for one in other if one[0] == content]
        near = [one for one in other if (one[2] ^ sketch).bit_count() <= 2]
        assert counted.equal.all[place, 0] == len(equal)
        assert counted.equal.other[place, 0] == sum(one[1] != label for one in equal)
        assert counted.near.all[place, 0] == max(len(equal), len(near))
    back = count_copies(prints(own), [prints(other[::-1])], content=[True], near=[True], bits=2)
    assert (back.near.all == counted.near.all).all()
    bounded = count_copies(prints(own), [prints(other)], content=[True], near=[True], most=0)
    assert bounded.searched == (False,)
    assert (bounded.near.all == counted.equal.all).all()


def test_fingerprints_are_the_same_for_ever() -> None:
    """Files of years ago are compared with new ones: what they hold may never change."""
    vectors = np.arange(24, dtype=np.float32).reshape(2, 12) - 7
    assert sketches(vectors).tolist() == [7090774270115758259, 4681581599850790651]
    content = content_keys([pa.array(["a", None]), pa.array([1, 2])])
    assert content.tolist() == [-6898162081981869254, 5429874454214237204]
    assert label_keys(["a", None]).tolist() == [-1909937012106883782, 0]
    turned = vectors * np.float32(3)  # only the direction counts
    assert sketches(turned).tolist() == sketches(vectors).tolist()


@pytest.mark.alike
def test_one_record_a_batch_is_named_from_the_batch_where_the_copies_are_enough(yard: Yard) -> None:
    yard = wide(yard)
    for number in range(12):
        judged = yard.judge(f"a{number}", planted(number), "vendor-a" if number % 2 else "vendor-b")
        assert judged.verdict is Verdict.PASS  # it watches by default
    found = screenings(yard)
    named = [event.copies.named if event.copies else 0 for event in found]
    assert named == [0, 0, 0, *[1] * 9]
    for number, event in enumerate(found):
        assert event.copies is not None
        assert [one.batch for one in event.copies.looked] == [
            one.batch for one in found[:number][::-1]
        ]
        fired = [test for test in event.tests if test.name == NAME and test.fired]
        assert bool(fired) == (number >= SIZE - 1)
        for group in event.copies.groups:
            assert group.records == [f"d{number}-0"]
            assert (group.copies, group.batches, group.labels) == (number + 1, number + 1, 1)
            assert group.sources == ["vendor-a", "vendor-b"]
            assert group.elsewhere[0] == f"{found[number - 1].batch}#d{number - 1}-0"


def test_what_trusted_rows_repeat_is_usual_and_never_named(sqlite_yard: Yard) -> None:
    """Rows that the reference has, and repeats within one batch, are no copies from elsewhere."""
    yard = wide(sqlite_yard, mode="enforce")
    trusted = blobs(900, seed=1)
    kind = trusted.schema.field("vector").type
    for number in range(SIZE + 2):
        rows = blobs(30, 300 + number, prefix=f"h{number}-")
        vectors, labels = rows["vector"].to_pylist(), rows["label"].to_pylist()
        for place in range(5):  # what everybody says, as the reference has it
            vectors[place], labels[place] = trusted["vector"][place].as_py(), place % 3
        vectors[6:12], labels[6:12] = [vectors[6]] * 6, [0] * 6  # one form, sent six times at once
        rows = rows.set_column(2, "vector", pa.array(vectors, kind))
        rows = rows.set_column(1, "label", pa.array(labels, pa.int64()))
        assert yard.judge(f"h{number}", rows).verdict is Verdict.PASS
    last = screenings(yard)[-1].copies
    assert last is not None
    assert (last.reaching, last.usual, last.named) == (5, 5, 0)


def test_enforced_it_holds_the_records_and_says_that_labels_differ(sqlite_yard: Yard) -> None:
    yard = wide(sqlite_yard, mode="enforce")
    for number in range(SIZE - 1):
        yard.judge(f"a{number}", planted(number, label=1), "vendor-a")
    judged = yard.judge("b", planted(9, copies=2), "vendor-b")
    assert judged.verdict is Verdict.HOLD_RECORDS
    event = screenings(yard)[-1]
    assert event.held == 2
    assert event.copies is not None
    (group,) = event.copies.groups
    assert (group.labels, group.here, group.copies, group.batches) == (2, 2, SIZE + 1, SIZE)
    (detail,) = [test.detail for test in event.tests if test.name == NAME]
    assert "under different labels" in detail
    assert detail in str(event.note)  # the gate tells it, and so does whoever reads the batch
    assert judged.reasons == {f"screen:{NAME}": 2}


def test_a_file_of_other_bytes_is_left_out_and_told(sqlite_yard: Yard) -> None:
    yard = wide(sqlite_yard)
    for number in range(SIZE):
        yard.judge(f"a{number}", planted(number), "vendor-a")
    first, second, *_ = screenings(yard)
    assert first.prints is not None
    assert second.prints is not None
    changed = Path(yard.workspace.store.uri(first.prints.file.path))
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    Path(yard.workspace.store.uri(second.prints.file.path)).unlink()
    judged = yard.judge("a9", planted(9), "vendor-b")
    last = screenings(yard)[-1]
    assert last.copies is not None
    assert [one.batch for one in last.copies.left_out] == [second.batch, first.batch]
    assert len(last.copies.looked) == SIZE - 2
    assert last.copies.named == 0  # three copies are left
    note = next(text for text in judged.notes if "left out of the search for copies" in text)
    assert f"{second.batch}: the file of its fingerprints is lost" in note
    assert f"{first.batch}: the file of its fingerprints does not match" in note


def test_a_batch_does_not_count_itself_nor_what_it_delivers_again(sqlite_yard: Yard) -> None:
    yard = wide(sqlite_yard)
    rows = planted(1)
    yard.judge("a", rows, "vendor-a")
    yard.judge("same", rows, "vendor-b")  # the same content counts once, and not for itself
    mended = rows.set_column(3, "text", pa.array(["mended", *rows["text"].to_pylist()[1:]]))
    for number in range(SIZE):
        text = pa.array([f"mended {number}", *mended["text"].to_pylist()[1:]])
        yard.judge(f"m{number}", mended.set_column(3, "text", text), "vendor-a")
    again, first, second, *_, last = screenings(yard)[1:]
    assert again.copies is not None
    assert again.copies.looked == []
    assert first.copies is not None
    assert first.copies.again == [again.batch]
    assert second.copies is not None
    assert second.copies.again == [first.batch]
    assert last.copies is not None
    assert (last.copies.reaching, len(last.copies.again)) == (0, 1)


def test_screened_again_it_says_the_same_and_a_trial_leaves_nothing(sqlite_yard: Yard) -> None:
    yard = wide(sqlite_yard)
    judged = [yard.admit(f"a{number}", planted(number)) for number in range(SIZE)]
    before = screenings(yard)
    assert stages.screen(yard.workspace, judged[-1].batch, yard.policy).event == before[-1]
    tight = make_policy(screen=screen(mode="enforce", size=2))
    replayed = replay_policy(yard.workspace, tight)
    assert sum(one.after.verdict == "HOLD_RECORDS" for one in replayed.batches) >= 1
    run_drill(yard.workspace, yard.policy, attacks=["flood"], doses=[0.1], draws=1)
    assert screenings(yard) == before
    yard.judge("next", planted(SIZE))
    last = screenings(yard)[-1].copies
    assert last is not None
    assert [one.batch for one in last.looked] == [one.batch for one in judged[::-1]]
    stages.screen(yard.workspace, judged[-1].batch, tight)  # anew, by another policy
    anew = screenings(yard)[-1]
    assert anew.copies is not None
    assert anew.prints == before[-1].prints
    assert anew.copies.looked == before[-1].copies.looked  # type: ignore[union-attr]


def test_filler_that_is_sent_each_time_does_not_hide_copies_unseen(sqlite_yard: Yard) -> None:
    yard = wide(sqlite_yard)
    filler = blobs(40, 500, prefix="f-")
    for number in range(3):
        ids = pa.array([f"f{number}-{row}" for row in range(40)])
        own = planted(number)
        both = pa.concat_tables([own, filler.set_column(0, "id", ids).cast(own.schema)])
        yard.judge(f"a{number}", both, "vendor-a")
    first, *later = screenings(yard)
    assert first.note is None or NAME not in first.note
    for event in later:
        assert event.copies is not None
        assert event.copies.again
        assert event.note is not None
        assert f"most of {event.copies.again[0]} is delivered again by this batch" in event.note
