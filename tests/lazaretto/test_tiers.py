"""Trust that means something: what a tier, a source's own rules and a quota change."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.cli.app import app
from lazaretto.dataset.recall import recall
from lazaretto.errors import AdmissionRefusedError, DeliveryError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, BatchJudged, BatchScreened
from lazaretto.policy.effective import effective_settings, settings_told
from lazaretto.quarantine import review
from lazaretto.quarantine.held import Sample
from lazaretto.received import find_batch
from lazaretto.sources.registry import add_source
from lazaretto.stages.quota import Window, require_quota
from lazaretto.values import Action, TrustTier, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lazaretto.policy import Policy

pytestmark = pytest.mark.alike

REVIEWED, UNTRUSTED = TrustTier.REVIEWED, TrustTier.UNTRUSTED


def policy_with(**sources: Any) -> Policy:
    return make_policy(sources={"require_signature": False} | sources)


def with_policy(yard: Yard, policy: Policy) -> Yard:
    return Yard(yard.workspace, policy, yard.folder)


def said(yard: Yard, kind: Any) -> list[Any]:
    with yard.workspace.catalog.read() as connection:
        return [entry.event for entry in entries(connection, kinds=[kind.kind])]


# One function


def test_a_sources_own_rules_go_before_its_tiers_and_these_before_those_of_all() -> None:
    policy = policy_with(
        tiers={
            "UNTRUSTED": {"review_share": 0.05, "hold": "rate", "max_share": 0.2},
            "TRUSTED": {"false_quarantine_rate": 0.001},
        },
        by_source={"crawl": {"max_share": 0.5, "review_share": 0, "require_signature": True}},
        quota={"max_share": 0.9, "max_class_share": 0.8, "window_days": 7, "free_records": 5},
    )
    found = {
        (name, tier): effective_settings(policy, [name], tier)
        for name in ("crawl", "else")
        for tier in (UNTRUSTED, TrustTier.TRUSTED)
    }
    told = {
        key: (
            one.require_signature,
            one.false_quarantine_rate,
            one.hold,
            one.review_share,
            one.max_share,
            one.max_class_share,
        )
        for key, one in found.items()
    }
    assert told == {
        ("crawl", UNTRUSTED): (True, 0.02, "rate", 0, 0.5, 0.8),
        ("crawl", TrustTier.TRUSTED): (True, 0.001, "evidence", 0, 0.5, 0.8),
        ("else", UNTRUSTED): (False, 0.02, "rate", 0.05, 0.2, 0.8),
        ("else", TrustTier.TRUSTED): (False, 0.001, "evidence", 0, 0.9, 0.8),
    }
    assert {(one.window_days, one.free_records) for one in found.values()} == {(7, 5)}


def test_a_policy_without_such_rules_is_the_same_policy_as_before_there_were_any() -> None:
    plain = make_policy()
    assert settings_told(plain, ["vendor-a"], UNTRUSTED) is None
    empty = policy_with(tiers={}, by_source={}, quota={})
    assert empty.ref(None).meaning == plain.ref(None).meaning
    other = policy_with(tiers={"UNTRUSTED": {"review_share": 0.1}})
    assert other.ref(None).meaning != plain.ref(None).meaning
    assert other.reads("screen", None) == plain.reads("screen", None)


def test_policy_check_says_the_effect_in_words(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        "version: 1\ndataset: d\ncolumns: {label: stars, embedding: e}\nsources:\n"
        "  tiers:\n    UNTRUSTED: {review_share: 0.05, max_share: 0.2, require_signature: true}\n"
        "  by_source:\n    crawl: {hold: rate}\n"
    )
    place = ["--catalog", f"sqlite:///{tmp_path}/c.db", "--store", str(tmp_path / "s")]
    result = CliRunner().invoke(app, ["policy", "check", str(file), *place])
    shown = " ".join(result.output.split())
    assert "5 % of the records that pass are drawn for people" in shown
    assert "at most 20 % of what enters in 30 days, beyond 1,000 records" in shown
    result = CliRunner().invoke(app, ["policy", "check", str(file), *place, "--json"])
    sources = json.loads(result.stdout)["sources"]
    assert any(line.startswith("Source crawl, while UNTRUSTED") for line in sources)
    file.write_text(file.read_text().replace("UNTRUSTED", "UNTRUSTD"))
    result = CliRunner().invoke(app, ["policy", "check", str(file), *place])
    assert result.exit_code == 2
    assert "policy.yaml:6" in result.output


# What stages do with it


def test_the_rate_and_the_hold_rule_are_those_of_the_sources_tier(sqlite_yard: Yard) -> None:
    rules = {"UNTRUSTED": {"false_quarantine_rate": 0.2, "hold": "rate"}}
    yard = with_policy(sqlite_yard, policy_with(tiers=rules))
    add_source(yard.workspace, "vendor-b", trust_tier=UNTRUSTED)
    held = {}
    for source in ("vendor-a", "vendor-b"):
        batch = yard.receive(source, blobs(300, seed=5, prefix=source), source).id
        for stage in (stages.validate, stages.embed, stages.screen):
            stage(yard.workspace, batch, yard.policy)
        held[source] = said(yard, BatchScreened)[-1]
    assert held["vendor-a"].false_quarantine_rate == 0.02
    assert held["vendor-b"].false_quarantine_rate == 0.2
    assert held["vendor-a"].held < held["vendor-b"].held
    assert held["vendor-b"].held > 20  # by the rate, of 300 clean records
    assert held["vendor-b"].settings.tier is UNTRUSTED
    # Another tier is another screening: the gate does not take the old one for it.
    add_source(yard.workspace, "vendor-b", trust_tier=REVIEWED)
    with pytest.raises(UsageError, match="run `screen` first"):
        stages.gate(yard.workspace, batch, yard.policy)
    stages.screen(yard.workspace, batch, yard.policy)
    judged = stages.gate(yard.workspace, batch, yard.policy)
    assert judged.held == said(yard, BatchScreened)[-1].held < held["vendor-b"].held
    assert said(yard, BatchJudged)[-1].settings.tier is REVIEWED


def test_a_tier_may_need_a_signature_and_a_source_be_excused(sqlite_yard: Yard) -> None:
    policy = policy_with(
        tiers={"REVIEWED": {"require_signature": True}},
        by_source={"vendor-b": {"require_signature": False}},
    )
    yard = with_policy(sqlite_yard, policy)
    with pytest.raises(DeliveryError) as refused:
        yard.receive("a", blobs(30, seed=5), "vendor-a")
    assert refused.value.code == "unsigned"
    batch = yard.receive("b", blobs(30, seed=6), "vendor-b").id
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, policy)
    assert stages.gate(yard.workspace, batch, policy).verdict is Verdict.PASS
    # What was received while nothing was asked is held by a policy that asks.
    lax = with_policy(sqlite_yard, policy_with(quota={"window_days": 9}))
    batch = lax.receive("c", blobs(30, seed=7), "vendor-a").id
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, policy)
    assert stages.gate(yard.workspace, batch, policy).verdict is Verdict.HOLD_BATCH


def test_a_share_of_what_passes_is_drawn_for_people(sqlite_yard: Yard) -> None:
    yard = with_policy(sqlite_yard, policy_with(by_source={"vendor-a": {"review_share": 0.1}}))
    judged = yard.judge("monday", blobs(600, seed=5))
    assert judged.verdict is Verdict.HOLD_RECORDS
    event = said(yard, BatchJudged)[-1]
    assert set(event.reasons) <= {"sample", *(r for r in event.reasons if r.startswith("screen"))}
    assert 30 < event.reasons["sample"] < 95  # 60 of 600: beyond 4 standard deviations
    assert event.settings.review_share == 0.1
    case = str(judged.case)
    drawn = review.held_records(yard.workspace, case, {"reason": "sample"})
    assert len(drawn) == event.reasons["sample"]
    assert stages.admit(yard.workspace, judged.batch).rows == 600 - judged.held
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="fine")
    published = review.publish(yard.workspace, case)
    assert published is not None
    assert published.rows == judged.held
    assert yard.judge("other", blobs(60, seed=6, prefix="o"), "vendor-b").verdict is Verdict.PASS


def test_a_lot_draws_each_record_by_itself_the_same_way_every_time() -> None:
    draw = Sample("lot", 0.25).draws()
    parts = np.concatenate([draw(1), draw(0), draw(999), draw(3000)])
    assert np.array_equal(parts, Sample("lot", 0.25).draws()(4000))
    assert not np.array_equal(parts, Sample("other", 0.25).draws()(4000))
    assert abs(parts.mean() - 0.25) < 0.03
    assert Sample("lot", 1.0).draws()(50).all()


# The quota


def deliver(yard: Yard, name: str, rows: int, source: str, seed: int) -> str:
    return yard.judge(name, blobs(rows, seed=seed, prefix=name), source).batch


def refusal(yard: Yard, batch: str) -> AdmissionRefusedError:
    with pytest.raises(AdmissionRefusedError) as refused:
        stages.admit(yard.workspace, batch)
    assert refused.value.code == "over_quota"
    return refused.value


def test_a_source_enters_as_far_as_its_share_of_the_window_goes(sqlite_yard: Yard) -> None:
    quota = {"max_share": 0.5, "free_records": 60}
    others = {"vendor-b": {"max_share": 1.0}}
    yard = with_policy(sqlite_yard, policy_with(quota=quota, by_source=others))
    first = deliver(yard, "a1", 60, "vendor-a", 11)
    assert stages.admit(yard.workspace, first).rows == 60, "the first source can begin"
    second = deliver(yard, "a2", 60, "vendor-a", 12)
    assert "120 of 120 records" in str(refusal(yard, second))
    stages.admit(yard.workspace, deliver(yard, "b1", 60, "vendor-b", 13))
    assert "120 of 180 records" in str(refusal(yard, second))
    stages.admit(yard.workspace, deliver(yard, "b2", 60, "vendor-b", 14))
    assert stages.admit(yard.workspace, second).rows == 60, "once others have delivered"
    assert stages.admit(yard.workspace, second).rows == 60, "again changes nothing"
    # What is recalled does not count any more, on either side.
    for batch in (first, second):
        recall(yard.workspace, "blobs", batch=batch, reason="bad")
    assert stages.admit(yard.workspace, deliver(yard, "a3", 60, "vendor-a", 15)).rows == 60


def test_the_window_ends_and_a_tier_has_its_own_share(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = policy_with(
        tiers={"UNTRUSTED": {"max_share": 0.3}}, quota={"free_records": 0, "window_days": 30}
    )
    yard = with_policy(sqlite_yard, policy)
    add_source(yard.workspace, "vendor-b", trust_tier=UNTRUSTED)
    stages.admit(yard.workspace, deliver(yard, "a1", 90, "vendor-a", 11))
    batch = deliver(yard, "b1", 60, "vendor-b", 12)
    assert "30 %" in str(refusal(yard, batch))
    stages.admit(yard.workspace, deliver(yard, "a2", 90, "vendor-a", 13))
    assert stages.admit(yard.workspace, batch).rows == 60
    later = datetime.now(UTC) + timedelta(days=31)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return later

    monkeypatch.setattr("lazaretto.stages.quota.datetime", Clock)
    assert "60 of 60 records" in str(refusal(yard, deliver(yard, "b2", 60, "vendor-b", 14)))


def test_a_source_may_not_own_a_class(sqlite_yard: Yard) -> None:
    quota = {"max_class_share": 0.5, "free_records": 20}
    others = {"vendor-b": {"max_class_share": 1.0}}
    yard = with_policy(sqlite_yard, policy_with(quota=quota, by_source=others))
    stages.admit(yard.workspace, deliver(yard, "b1", 120, "vendor-b", 11))
    assert said(yard, BatchAdmitted)[-1].classes == {"0": 40, "1": 40, "2": 40}
    rows = blobs(180, seed=12, prefix="a1")
    one_class = rows.filter(np.arange(180) % 3 == 1)  # 60 of class 1, where others have 40
    batch = yard.judge("a1", one_class, "vendor-a").batch
    assert "60 of 100 records of class '1'" in str(refusal(yard, batch))
    half = yard.judge("a2", one_class.slice(0, 40), "vendor-a").batch
    assert stages.admit(yard.workspace, half).rows == 40


def test_what_people_release_is_theirs_to_decide_and_counts(sqlite_yard: Yard) -> None:
    quota = {"max_share": 0.5, "free_records": 20}
    yard = with_policy(sqlite_yard, policy_with(quota=quota))
    judged = yard.judge("a1", blobs(60, seed=5, prefix="a", flips=4), "vendor-a")
    review.decide(yard.workspace, str(judged.case), Action.RELEASE, all=True, reason="fine")
    published = review.publish(yard.workspace, str(judged.case))
    assert published is not None
    assert published.rows == 4
    assert "60 of 60 records" in str(refusal(yard, judged.batch))


def test_what_entered_since_is_added_to_what_was_counted_as_if_all_were_counted_anew(
    yard: Yard,
) -> None:
    """Also where records were recalled meanwhile: then it is."""
    policy = policy_with(quota={"max_share": 0.9, "free_records": 10_000})
    yard = with_policy(yard, policy)
    batches = [
        deliver(yard, f"{s[-1]}{n}", 30 + n, s, 20 + n)
        for n, s in enumerate(["vendor-a", "vendor-b"] * 3)
    ]
    settings = effective_settings(policy, ["vendor-a"], TrustTier.REVIEWED)

    def counted(before: Window | None = None) -> Window:
        if before is not None:
            before = replace(before, since=datetime.now(UTC) - timedelta(days=before.days))
        with yard.workspace.catalog.read() as connection:
            received = find_batch(connection, batches[0])
            asked = (connection, received, "blobs", settings, 1, {"0": 1}, before)
            found = require_quota(*asked)
        assert found is not None
        return replace(found, since=datetime.max)

    windows = [counted()]
    for number, batch in enumerate(batches):
        stages.admit(yard.workspace, batch)
        if number == 3:
            recall(yard.workspace, "blobs", batch=batches[1], reason="bad")
        fresh = counted()
        assert all(counted(before) == fresh for before in windows)
        windows.append(fresh)
    assert fresh.own == 30 + 32 + 34
    assert fresh.all == sum(30 + n for n in range(6)) - 31


SCRIPT = """
import sys
from lazaretto import stages
from lazaretto.errors import AdmissionRefusedError
from lazaretto.storage.workspace import open_workspace
workspace = open_workspace(catalog_url=sys.argv[1], store=sys.argv[2])
try:
    stages.admit(workspace, sys.argv[3])
except AdmissionRefusedError as error:
    assert error.code == "over_quota", error
"""


def test_two_batches_that_are_admitted_at_once_do_not_both_take_the_last_of_a_quota(
    yard: Yard, catalog_url: str, at_once: Callable[..., None]
) -> None:
    policy = policy_with(
        by_source={"vendor-b": {"max_share": 1.0}}, quota={"max_share": 0.5, "free_records": 0}
    )
    yard = with_policy(yard, policy)
    stages.admit(yard.workspace, deliver(yard, "b1", 60, "vendor-b", 11))
    batches = [deliver(yard, f"a{n}", 60, "vendor-a", 12 + n) for n in range(2)]
    place = [catalog_url, str(yard.workspace.store.root)]
    at_once(SCRIPT, *([*place, batch] for batch in batches))
    admitted = [event.batch for event in said(yard, BatchAdmitted)]
    assert len(set(admitted) & set(batches)) == 1
    assert len(admitted) == 2
