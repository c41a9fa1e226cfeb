"""Promotion: a version is in use only when nothing speaks against it, on both databases."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy

import lazaretto as lz
from lazaretto import incidents, models, stages
from lazaretto.authority.policies import register_policy
from lazaretto.cli.app import app
from lazaretto.dataset.recall import recall
from lazaretto.errors import NotFoundError, PromotionRefusedError, UsageError
from lazaretto.health import check, rebuild
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelAliased, ModelEvaluated, PromotionRefused
from lazaretto.ledger.state import record
from lazaretto.lineage import declare_external
from lazaretto.values import HoldKind, Question, StoredFile

if TYPE_CHECKING:
    from lazaretto.ledger.events import Event

pytestmark = pytest.mark.alike
WEIGHTS = "5e" * 32


def trained(yard: Yard, version: str, name: str, source: str = "vendor-a", **more: Any) -> str:
    """A version that learned from all that is in the dataset, with one more delivery; its batch."""
    batch = yard.admit(name, blobs(30, seed=len(name), prefix=name), source).batch
    taken = stages.snapshot(yard.workspace, "blobs")
    weights = yard.folder / f"{version}.safetensors"
    weights.write_bytes(version.encode())
    stages.register_model(
        yard.workspace, "net", version, "blobs", taken.version, artifact=weights, **more
    )
    return batch


def codes(yard: Yard, version: str) -> list[str]:
    """What speaks against a version."""
    return [one.code for one in models.examine(yard.workspace, "net", version).reasons]


def events(yard: Yard, *kinds: type[Event]) -> list[Event]:
    with yard.workspace.catalog.read() as connection:
        return [e.event for e in entries(connection, kinds=[kind.kind for kind in kinds])]


def evaluated(yard: Yard, version: str, **changes: Any) -> None:
    """An evaluation on record, as `lazaretto model evaluate` leaves it."""
    with yard.workspace.catalog.transaction() as connection:
        digest = stages.show_model(yard.workspace, "net", version)["artifact_digest"]
        event = ModelEvaluated(
            model="net",
            version=version,
            registry="local",
            how="torch",
            code="app:load",
            artifact_digest=digest,
            test_set="7e" * 32,
            rows=500,
            figures={"accuracy": 0.95, "calibration_error": 0.02},
            report=StoredFile("evaluations/report.json", 2, "ab" * 32),
            predictions=StoredFile("evaluations/answers.parquet", 2, "ac" * 32),
        )
        record(connection, replace(event, **changes), lambda _: (), actor=yard.workspace.actor)


def test_a_tainted_version_is_refused_and_a_clean_one_is_in_use(yard: Yard) -> None:
    workspace = yard.workspace
    trained(yard, "1", "monday", "vendor-a")
    assert models.promote(workspace, "net", "1", reason="the first").changed
    assert not models.promote(workspace, "net", "1").changed
    bad = trained(yard, "2", "tuesday", "vendor-b")
    asked = Question("source", "vendor-b")
    incident = incidents.open_incident(workspace, asked, reason="stolen key").id
    with pytest.raises(PromotionRefusedError) as refused:
        models.promote(workspace, "net", "2")
    assert refused.value.code == "open_incident"
    assert f"incident {incident} (source vendor-b) is open: it learned from 1 batch" in str(
        refused.value
    )
    assert bad in str(refused.value)
    with pytest.raises(PromotionRefusedError):
        models.promote(workspace, "net", "2")
    assert len(events(yard, PromotionRefused)) == 1  # a task that is tried again says it once
    recall(workspace, "blobs", batch=bad, reason=incident)
    incidents.close(workspace, incident, "recalled")
    assert codes(yard, "2") == ["recalled"]
    told = models.examine(workspace, "net", "2").reasons[0].text
    assert told.startswith("it learned from records of vendor-b that were recalled from 'blobs'")
    trained(yard, "3", "wednesday", "vendor-a")
    done = models.promote(workspace, "net", "3")
    assert (done.previous, done.version) == ("1", "3")
    moved = [event for event in events(yard, ModelAliased) if isinstance(event, ModelAliased)]
    assert [(one.version, one.promoted is not None) for one in moved] == [("1", True), ("3", True)]
    assert moved[1].promoted is not None
    assert moved[1].promoted.policies.keys() == {"blobs"}
    assert check(workspace, deep=True).sound
    rebuild(workspace, write=True)
    assert [one.version for one in stages.list_aliases(workspace, "local", "net")] == ["3"]


def test_what_was_made_of_a_tainted_version_is_refused_too(yard: Yard) -> None:
    workspace = yard.workspace
    bad = trained(yard, "1", "monday")
    recall(workspace, "blobs", batch=bad, reason="hacked")
    yard.admit("tuesday", blobs(30, seed=9, prefix="t"), "vendor-b")
    taken = stages.snapshot(workspace, "blobs")
    lz.register_model(
        "net", "2", snapshots=[f"blobs@{taken.version}"], base=["net@1"], workspace=workspace
    )
    assert codes(yard, "2") == ["recalled"]
    assert "net@1, which it was made of" in models.examine(workspace, "net", "2").reasons[0].text
    asked = Question("model", "net@1")
    incidents.open_incident(workspace, asked, reason="odd answers")
    assert codes(yard, "2") == ["open_incident", "recalled"]


def test_an_unknown_origin_is_refused_until_it_is_declared_or_allowed(yard: Yard) -> None:
    workspace = yard.workspace
    yard.admit("monday", blobs(30, seed=5, prefix="m"))
    taken = stages.snapshot(workspace, "blobs")
    lz.register_model(
        "net",
        "1",
        snapshots=[f"blobs@{taken.version}"],
        base=["bert@1"],
        workspace=workspace,
    )
    assert codes(yard, "1") == ["unknown_origin"]
    policy = make_policy(model={"unknown_origin": "allow"})
    register_policy(workspace, policy, reason="a public model")
    done = models.promote(workspace, "net", "1")
    assert "bert@1: no run is known that made it" in done.notes[0]
    register_policy(workspace, yard.policy, reason="no longer")
    assert codes(yard, "1") == ["unknown_origin"]
    declare_external(workspace, ("local", "bert"), reason="a public model")
    assert codes(yard, "1") == []


def test_the_policy_asks_for_evidence_and_the_newest_evaluation_decides(yard: Yard) -> None:
    workspace = yard.workspace
    trained(yard, "1", "monday")
    trained(yard, "2", "tuesday")
    wanted = {"accuracy": 0.9, "calibration_error": 0.05, "agreement": 0.8, "rows": 200}
    register_policy(workspace, make_policy(model={"evidence": wanted}), reason="measured first")
    assert codes(yard, "1") == ["no_evidence"]
    for short in ({"rows": 100}, {"artifact_digest": WEIGHTS}, {"how": "predictions"}):
        evaluated(yard, "1", **short)
        assert codes(yard, "1") == ["no_evidence"], short
    evaluated(yard, "1")
    assert models.promote(workspace, "net", "1").changed  # nothing to agree with yet
    evaluated(yard, "1", figures={"accuracy": 0.7})
    told = models.examine(workspace, "net", "1").reasons
    assert [one.code for one in told] == ["falls_short", "no_evidence"]
    assert "accuracy is 0.7, at least 0.9 is asked for" in told[0].text
    evaluated(yard, "2")
    assert codes(yard, "2") == ["no_evidence"]  # not compared with 1
    figures = {"accuracy": 0.95, "calibration_error": 0.02, "agreement": 0.9}
    evaluated(yard, "2", figures=figures, compared_with="1")
    assert models.promote(workspace, "net", "2").previous == "1"
    named = {"accuracy": 0.9, "test_sets": ["7e" * 32, "7f" * 32]}
    register_policy(workspace, make_policy(model={"evidence": named}), reason="two test sets")
    assert codes(yard, "2") == ["no_evidence"]
    evaluated(yard, "2", test_set="7f" * 32)
    assert codes(yard, "2") == []


def test_who_may_promote_and_what_must_be_sanitized_is_the_policys(yard: Yard) -> None:
    workspace = yard.workspace
    trained(yard, "1", "monday")
    rules = {"promoters": ["os:release@host"], "sanitized": True}
    register_policy(workspace, make_policy(model=rules), reason="two people release")
    assert codes(yard, "1") == ["not_listed", "unsanitized"]
    register_policy(
        workspace, make_policy(model={"promoters": [workspace.actor.id]}), reason="one is away"
    )
    models.promote(workspace, "net", "1")
    register_policy(workspace, make_policy(model=rules), reason="she is back")
    with pytest.raises(PromotionRefusedError, match="not among those who may promote and demote"):
        models.demote(workspace, "net", reason="odd")


def test_a_hold_stops_newer_versions_and_going_back_stays_possible(yard: Yard) -> None:
    workspace = yard.workspace
    trained(yard, "1", "monday")
    models.promote(workspace, "net", "1")
    bad = trained(yard, "2", "tuesday", "vendor-b")
    models.promote(workspace, "net", "2")
    trained(yard, "3", "wednesday")
    hold = (HoldKind.PROMOTION, "net")
    asked = Question("batch", bad)
    incidents.open_incident(workspace, asked, reason="odd answers", holds=[hold])
    assert codes(yard, "3") == ["promotion_on_hold", "open_incident"]
    found, skipped = models.last_clean(workspace, "net")
    assert found is not None
    assert (found.version, skipped) == ("1", {})
    assert models.rollback(workspace, "net", reason="incident").version == "1"
    taken = models.demote(workspace, "net", reason="nothing is served")
    assert (taken.previous, taken.version) == ("1", None)
    with pytest.raises(NotFoundError, match="stands for no version"):
        models.demote(workspace, "net", reason="again")
    with pytest.raises(UsageError, match="say why"):
        models.demote(workspace, "net", reason=" ")


def test_by_the_command_line(sqlite_yard: Yard, sqlite_catalog: str) -> None:
    yard = sqlite_yard
    place = {
        "LAZARETTO_CATALOG_URL": sqlite_catalog,
        "LAZARETTO_STORE": yard.workspace.store.root,
        "COLUMNS": "100",
    }

    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["model", *words], env=place)
        assert result.exit_code == code, result.output
        return result.stderr if code == 1 and not result.stdout else result.stdout

    trained(yard, "1", "monday")
    assert "may be promoted" in run("examine", "net@1")
    assert json.loads(run("promote", "net@1", "--reason", "it passed", "--json"))["changed"]
    bad = trained(yard, "2", "tuesday")
    recall(yard.workspace, "blobs", batch=bad, reason="hacked")
    assert "promotion refused (recalled): net@2 may not be 'production'" in run(
        "promote", "net@2", code=1
    )
    assert "recalled" in run("examine", "net@2", code=1)
    trained(yard, "3", "wednesday")
    run("promote", "net@3")
    told = json.loads(run("rollback", "net", "--dry-run", "--json"))
    assert told["last_clean"] == "1"
    assert "net@1" in run("rollback", "net", "--reason", "complaints")
    assert "no version" in run("demote", "net", "--reason", "nothing is served")
