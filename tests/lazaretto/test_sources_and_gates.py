"""What is told of sources and gates is what the ledger tells, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples
from yard import ANN, Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.authority.policies import changes_since, register_policy
from lazaretto.errors import ChangedStateError, DeliveryError, NotFoundError
from lazaretto.sources.history import KeyState, key_state, source_history
from lazaretto.sources.keys import keygen
from lazaretto.sources.registry import add_key, add_source, revoke_key
from lazaretto.sources.source_key import SourceKey
from lazaretto.stages.deliveries import Wanted, list_deliveries
from lazaretto.stages.gates import list_gates, show_gate
from lazaretto.stages.source_counts import list_overviews
from lazaretto.stages.sources import drift_of_source, show_source
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.alike

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def _refused(yard: Yard, name: str, source: str) -> None:
    file: Path = yard.folder / f"{name}.csv"
    file.write_text("id\n1\n")
    with pytest.raises(DeliveryError):
        stages.receive(yard.workspace, file, source, policy=make_policy(sources={}))


def test_counts_are_those_of_the_deliveries(yard: Yard) -> None:
    workspace = yard.workspace
    held = [
        yard.judge(f"d{n}", blobs(60, 5 + n, prefix=f"{n}-", flips=6 * n)).held for n in range(3)
    ]
    yard.receive("waits", blobs(30, 9, prefix="w"))
    yard.judge("other", blobs(60, 10, prefix="o"), source="vendor-b")
    for number in range(2):
        _refused(yard, f"bad{number}", "vendor-a")
    first, second = list_overviews(workspace)
    assert (first.source.name, second.source.name) == ("vendor-a", "vendor-b")
    counts = first.counts
    assert (counts.deliveries, counts.records) == (4, 210)
    assert (counts.judged, counts.judged_records) == (3, 180)
    assert (counts.held, counts.refused) == (sum(held), 2)
    assert counts.open_cases == sum(map(bool, held)) > 1
    assert (second.counts.held, second.counts.refused, second.counts.open_cases) == (0, 0, 0)
    assert [one.source.name for one in list_overviews(workspace, limit=1)] == ["vendor-a"]
    assert [one.source.name for one in list_overviews(workspace, after="vendor-a")] == ["vendor-b"]

    found = show_source(workspace, "vendor-a")
    assert found.counts == counts
    assert [share.held for share in found.shares] == [*held, None]
    assert [share.share for share in found.shares] == [*(one / 60 for one in held), None]
    assert [refusal.code for refusal in found.refusals] == ["unsigned", "unsigned"]
    assert found.drift == drift_of_source(workspace, "vendor-a")
    assert (found.drift.batches, found.drift.alarm, found.drift.enforced) == (3, 2000.0, False)
    assert len(show_source(workspace, "vendor-a", steps=2).shares) == 2

    hidden = show_source(workspace, "vendor-a", hidden=["blobs"])
    assert (hidden.counts.deliveries, hidden.counts.held, hidden.counts.open_cases) == (1, 0, 0)
    assert ([share.held for share in hidden.shares], hidden.drift.steps) == ([None], [])
    rows = list_deliveries(workspace, Wanted("vendor-a", hidden=("blobs",))).rows
    assert [row["verdict"] for row in rows] == ["REFUSED", "REFUSED", None]
    with pytest.raises(NotFoundError):
        show_source(workspace, "nobody")
    with workspace.catalog.transaction() as connection:
        connection.exec_driver_sql("UPDATE batch SET held = 0 WHERE held > 0")
    with pytest.raises(ChangedStateError):
        show_source(workspace, "vendor-a")


def test_a_source_that_delivered_nothing_is_no_error(yard: Yard) -> None:
    found = show_source(yard.workspace, "vendor-b")
    assert (found.counts.deliveries, found.counts.last, found.shares) == (0, None, [])
    assert (found.drift.reference, found.drift.evidence) == (None, 1.0)
    assert found.history.keys == []
    with pytest.raises(NotFoundError, match="no dataset 'blobs'"):
        show_gate(yard.workspace, "blobs")


def test_keys_and_tiers_tell_who_changed_them_and_why(yard: Yard) -> None:
    workspace = yard.workspace
    key = add_key(workspace, "vendor-a", keygen()[1], valid_from=NOW - 9 * DAY)
    revoke_key(workspace, "vendor-a", key.key_id, at=NOW, reason="lost")
    revoke_key(workspace, "vendor-a", key.key_id, at=NOW - DAY, reason="lost the day before")
    revoke_key(workspace, "vendor-a", key.key_id, at=NOW + DAY, reason="changes nothing")
    add_source(workspace, "vendor-a", trust_tier=TrustTier.REVOKED)
    with workspace.catalog.read() as connection:
        found = source_history(connection, "vendor-a", NOW)
        before = source_history(connection, "vendor-a", NOW - 2 * DAY)
    (told,) = found.keys
    assert (told.state, told.by) == (KeyState.REVOKED, ANN)
    assert told.revocation is not None
    assert (told.revocation.at, told.revocation.reason) == (NOW - DAY, "lost the day before")
    assert before.keys[0].state is KeyState.VALID
    assert [change.tier for change in found.tiers] == [TrustTier.REVOKED, TrustTier.REVIEWED]
    assert all(change.by == ANN for change in found.tiers)
    assert found.source.revoked_at == found.tiers[0].at


_moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 2, 1), timezones=st.just(UTC))


@given(start=_moments, end=st.none() | _moments, revoked=st.none() | _moments, now=_moments)
@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow])
def test_a_key_is_valid_only_within_its_time_and_before_its_revocation(
    start: datetime, end: datetime | None, revoked: datetime | None, now: datetime
) -> None:
    state = key_state(SourceKey("s", "k", "ed25519", "pem", start, end, revoked), now)
    ended = end is not None and end <= now
    gone = revoked is not None and revoked <= now
    assert (state is KeyState.VALID) == (start <= now and not ended and not gone)
    assert (state is KeyState.REVOKED) == gone


def test_a_gate_tells_its_policies_and_what_is_in_shadow(yard: Yard) -> None:
    workspace = yard.workspace
    screen = yard.policy.screen.model_dump(exclude={"drift", "batch"})
    screen["detectors"] = {"mahalanobis": {}, "knn_label": {"k": 5, "mode": "shadow"}}
    screen["batch"] = {"alpha": 1e-9, "hold_when_held_fraction": 0.9, "tests": {"mmd": "shadow"}}
    yard = replace(yard, policy=make_policy(screen=screen))
    judged = yard.judge("monday", blobs(90, 5, flips=6))
    strict = make_policy(screen=screen | {"false_quarantine_rate": 0.3, "hold": "rate"})
    for policy in (strict, yard.policy):
        for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
            stage(workspace, judged.batch, policy)
    gate = show_gate(workspace, "blobs")
    assert (gate.batches, gate.records, gate.held) == (1, 90, judged.held)
    assert {(one.name, one.mode): one.batches for one in gate.detectors} == {
        ("knn_label", "shadow"): 1,
        ("mahalanobis", "enforce"): 1,
    }
    assert next(one for one in gate.tests if one.name == "mmd").mode == "shadow"
    (shadow,) = gate.policies
    assert (shadow.batches, shadow.records, shadow.in_force) == (1, 90, judged.held)
    assert shadow.held > judged.held
    now, before = register_policy(workspace, strict, reason="see more")
    assert before is not None
    gate = show_gate(workspace, "blobs")
    assert gate.policy == now
    assert [one.policy for one in gate.history] == [now, before]
    assert gate.history[0].changes == changes_since(before.event, now.event)
    assert gate.history[0].changes == [
        "screen.false_quarantine_rate: 0.02 before, 0.3 since",
        'screen.hold: "evidence" before, "rate" since',
    ]
    assert [one.dataset for one in list_gates(workspace)] == ["blobs"]
    assert list_gates(workspace, hidden=["blobs"]) == list_gates(workspace, after="blobs") == []
    with workspace.catalog.transaction() as connection:
        connection.exec_driver_sql("UPDATE dataset_policy SET meaning = 'ff'")
    for tell in (lambda: show_gate(workspace, "blobs"), lambda: list_gates(workspace)):
        with pytest.raises(ChangedStateError):
            tell()
