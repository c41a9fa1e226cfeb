"""A trigger that is thin in each batch of a source: seen over its batches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tests.lazaretto.detection_data import classes, policy, table
from yard import blobs

import lazaretto as lz
from lazaretto.drift.source import Evidence
from lazaretto.drift.watch import facts_of, folded
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchScreened
from lazaretto.reference.calibrated import calibration_of
from lazaretto.screen import Earlier
from lazaretto.screen.again import Screened, at_rate, with_rate
from lazaretto.stats.looks import LOOKS, Looks, look_back

if TYPE_CHECKING:
    import pyarrow as pa
    from yard import Yard

NAME = "source_neighbourhood"


def delivery(rng: np.random.Generator, triggers: int) -> pa.Table:
    """120 records; the first few are of class 0, pushed one way, and labelled 1."""
    points, labels = classes(rng, 120)
    bad = np.flatnonzero(labels == 0)[:triggers]
    points[bad, -1] += 2.0
    labels[bad] = 1
    return table(points, labels)


def test_a_drip_is_named_over_batches_and_a_clean_source_is_not() -> None:
    reference = lz.Reference.fit(table(*classes(np.random.default_rng(21), 1600)), policy())
    for triggers in (0, 3):
        rng = np.random.default_rng([22, triggers])
        kept, evidence, named = list[Earlier](), Evidence(), list[str]()
        for number in range(LOOKS[4] if triggers else LOOKS[2]):
            back = look_back(evidence.slow.batches)
            batch, earlier = delivery(rng, triggers), kept[::-1][:back]
            found = lz.screen(batch, reference, policy(), earlier=earlier)
            tests = {test.name: test for test in found.tests}
            assert (NAME in tests) == bool(back)
            named += [tests[NAME].detail] if back and tests[NAME].fired else []
            assert found.suspects is not None
            kept.append(Earlier(f"vendor/{number}", found.suspects))
            evidence = folded(evidence, facts_of(found, policy()), reference.calibration_rows)
        assert evidence.looks.count == (5 if triggers else 3)
        assert evidence.raises(0.001) == bool(triggers)
        if not triggers:
            assert not named
            continue
        assert "of this source" in named[-1]
        assert "vendor/" in named[-1]  # what was let in before is told, so that it can be recalled
        note = str(found.note)
        held = found.records.filter(found.records["held"])
        reasons = " ".join(" ".join(said) for said in held["reasons"].to_pylist())
        assert NAME in note + reasons
        known, rates = calibration_of(reference), (0.002, 0.1)
        screened = Screened.of(found.records, found.tests, known, policy(), None, over_batches=True)
        for rate in rates:
            there = lz.screen(batch, reference, with_rate(policy(), rate), earlier=earlier)
            assert at_rate(screened, rate).held.tolist() == there.records["held"].to_pylist()


def test_a_look_comes_again_and_again_and_spends_less_each_time() -> None:
    places = [number + 1 for number in range(3 * LOOKS[-1]) if look_back(number)]
    assert len(places) == 3 * len(LOOKS)
    assert max(look_back(number) for number in range(200)) < LOOKS[-1]
    looks = Looks()
    spent = 0.0
    for _ in range(200):
        after = looks.after(1e-9)
        spent += 1e-9 / after.p_value
        looks = after
    assert spent < 1


def screenings(yard: Yard) -> list[BatchScreened]:
    with yard.workspace.catalog.read() as connection:
        found = [entry.event for entry in entries(connection, kinds=[BatchScreened.kind])]
    return [event for event in found if isinstance(event, BatchScreened)]


def test_the_stage_reads_what_earlier_screenings_kept_and_no_other_bytes(sqlite_yard: Yard) -> None:
    """A file that is lost or changed costs its own batch's part of the look, and that is told."""
    yard = sqlite_yard
    for number in range(LOOKS[0]):
        yard.judge(f"a{number}", blobs(150, 60 + number), "vendor-a")
    first, second, third = screenings(yard)
    assert [len(event.earlier) for event in (first, second, third)] == [0, 0, 2]
    assert [one.batch for one in third.earlier] == [second.batch, first.batch]
    kept, lost = first.suspects, second.suspects
    assert kept is not None
    assert lost is not None
    assert third.earlier[1].scores == kept.sha256
    assert third.left_out == []
    told = next(test.detail for test in third.tests if test.name == NAME)
    assert "over 3 batches" in told
    place = Path(yard.workspace.store.uri(kept.path))
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    Path(yard.workspace.store.uri(lost.path)).unlink()
    judged = yard.judge("a9", blobs(150, 99), "vendor-a")
    *_, last = screenings(yard)
    assert [one.batch for one in last.earlier] == [third.batch]
    assert [(one.batch, one.suspects) for one in last.left_out] == [
        (second.batch, lost.sha256),
        (first.batch, kept.sha256),
    ]
    told = next(test.detail for test in last.tests if test.name == NAME)
    assert "over 2 batches" in told
    note = next(text for text in judged.notes if "left out of the look" in text)
    assert f"{second.batch}: the file of its odd records is lost" in note
    assert f"{first.batch}: the file of its odd records does not match its digest" in note
    assert last.note == note


def test_where_no_earlier_file_is_left_the_batch_is_judged_by_itself(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    for number in range(LOOKS[0] - 1):
        yard.judge(f"a{number}", blobs(150, 60 + number), "vendor-a")
    for event in screenings(yard):
        assert event.suspects is not None
        Path(yard.workspace.store.uri(event.suspects.path)).unlink()
    yard.judge("a9", blobs(150, 99), "vendor-a")
    *_, last = screenings(yard)
    assert (len(last.earlier), len(last.left_out)) == (0, 2)
    assert NAME not in [test.name for test in last.tests]
    assert last.source_evidence is not None
    assert last.source_evidence.looks == 0  # a look that was not made is no look
