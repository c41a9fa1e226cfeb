"""Retention: what is deleted and when, what is never, and what everything else says afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.cli.app import app
from lazaretto.errors import DeletedPayloadError, DeliveryError, SystemFaultError
from lazaretto.health import check, prune, rebuild, reconcile
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import PayloadDeleted, StoredFileChanged
from lazaretto.quarantine import review
from lazaretto.quarantine.publish import publish
from lazaretto.stages.listing import describe_batch
from lazaretto.values import Action

if TYPE_CHECKING:
    from lazaretto.health import Pruned

pytestmark = pytest.mark.alike

KEPT = {"retention": {"delivered_days": 100, "held_days": 30}}
NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=101)


@pytest.fixture
def kept(yard: Yard) -> Yard:
    """A yard whose policy names retention."""
    return replace(yard, policy=make_policy(**KEPT))


def _files(yard: Yard, below: str) -> set[str]:
    root = Path(yard.workspace.store.root)
    return {path.name.split("-")[0] for path in root.glob(f"{below}/**/*") if path.is_file()}


def _deletions(yard: Yard) -> list[PayloadDeleted]:
    with yard.workspace.catalog.read() as connection:
        found = entries(connection, kinds=[PayloadDeleted.kind])
        return [entry.event for entry in found if isinstance(entry.event, PayloadDeleted)]


def _admitted(yard: Yard, name: str = "clean", seed: int = 5) -> str:
    """A batch that was admitted, and is in a snapshot."""
    batch = yard.admit(name, blobs(60, seed=seed, prefix=f"{name}-")).batch
    stages.snapshot(yard.workspace, yard.policy.dataset)
    return batch


def _rejected(yard: Yard, name: str = "bad") -> stages.Judgement:
    """A batch of which some records were held and rejected, and the others admitted."""
    judged = yard.judge(name, blobs(90, seed=6, flips=6, prefix=f"{name}-"))
    assert judged.case is not None
    stages.admit(yard.workspace, judged.batch)
    review.decide(yard.workspace, judged.case, Action.REJECT, all=True, reason="wrong labels")
    publish(yard.workspace, judged.case)
    stages.snapshot(yard.workspace, yard.policy.dataset)
    return judged


def _why(found: Pruned) -> list[str]:
    return [one.why for one in found.kept]


def test_what_is_old_and_not_needed_is_deleted_and_put_on_record(kept: Yard) -> None:
    batch, judged = _admitted(kept), _rejected(kept)
    told = prune(kept.workspace, apply=False, now=LATER)
    assert [(one.batch, one.what) for one in told.due] == [
        (batch, "delivered"),
        (judged.batch, "delivered"),
        (judged.batch, "held"),
    ]
    assert not told.done
    assert not told.settled
    assert not _deletions(kept)
    assert _files(kept, f"batches/{batch}") >= {"delivered", "data"}
    done = prune(kept.workspace, apply=True, now=LATER)
    assert done.settled
    assert [one.files for one in done.due] == [one.files for one in told.due]
    assert sum(one.bytes for one in done.due) > 0
    for name in (batch, judged.batch):
        assert _files(kept, f"batches/{name}") == {"findings", "scores"}
    assert not _files(kept, f"held/{judged.batch}")
    (first, *_) = _deletions(kept)
    assert (first.batch, first.days, first.case) == (batch, 100, None)
    assert first.policies[0].dataset == kept.policy.dataset
    again = prune(kept.workspace, apply=True, now=LATER)
    assert (again.due, again.again, again.seqs) == ([], [], [])
    assert len(kept.ids()) == 60 + judged.cleared


def test_nothing_is_deleted_too_early_or_without_a_policy_that_says_so(yard: Yard) -> None:
    _admitted(yard)
    never = prune(yard.workspace, apply=True, now=NOW + timedelta(days=10_000))
    assert (never.due, never.kept) == ([], [])
    register_policy(yard.workspace, make_policy(**KEPT), reason="retention")
    early = prune(yard.workspace, apply=True, now=NOW + timedelta(days=99))
    assert early.due == []
    mine = {"retention": {"delivered_days": 1}}
    unregistered = replace(yard, policy=make_policy(**mine))
    unregistered.judge("other", blobs(60, seed=9, prefix="o"))  # judges in shadow
    assert prune(yard.workspace, apply=True, now=NOW + timedelta(days=99)).due == []
    assert [one.what for one in prune(yard.workspace, apply=False, now=LATER).due] == ["delivered"]


def test_what_is_needed_is_kept_with_the_reason(kept: Yard) -> None:
    workspace = kept.workspace
    judged = kept.judge("open", blobs(90, seed=6, flips=6))
    assert judged.case is not None
    found = prune(workspace, apply=True, now=LATER)
    assert found.due == []
    assert all("is open" in why for why in _why(found))
    assert {one.what for one in found.kept} == {"delivered", "held"}
    review.decide(workspace, judged.case, Action.REJECT, all=True, reason="wrong")
    publish(workspace, judged.case)
    found = prune(workspace, apply=False, now=LATER)
    assert [one.what for one in found.due] == ["held"]
    assert _why(found) == ["its cleared records are not admitted to 'blobs' yet"]
    stages.admit(workspace, judged.batch)
    found = prune(workspace, apply=True, now=LATER)
    assert found.due == []
    assert all("no snapshot" in why for why in _why(found))
    stages.snapshot(workspace, kept.policy.dataset)
    assert len(prune(workspace, apply=True, now=LATER).due) == 2


def test_a_table_that_is_not_what_the_ledger_says_keeps_all(kept: Yard) -> None:
    _admitted(kept)
    log = Path(kept.workspace.store.root) / "datasets/blobs/_delta_log"
    newest = sorted(log.glob("*.json"))[-1]
    text = newest.read_bytes()
    newest.unlink()
    found = prune(kept.workspace, apply=True, now=LATER)
    assert found.due == []
    assert "catalog reconcile" in _why(found)[0]
    newest.write_bytes(text)
    assert prune(kept.workspace, apply=False, now=LATER).due


def test_rows_of_a_case_that_was_opened_again_are_kept(kept: Yard) -> None:
    judged = _rejected(kept)
    assert judged.case is not None
    (decision,) = review.list_decisions(kept.workspace, judged.case)
    review.undo(kept.workspace, decision.id, reason="look again")
    found = prune(kept.workspace, apply=True, now=LATER)
    assert found.due == []


def test_a_case_that_was_judged_again_ends_and_its_rows_go(kept: Yard) -> None:
    judged = kept.judge("again", blobs(90, seed=6, flips=6))
    assert judged.case is not None
    register_policy(
        kept.workspace, make_policy(**KEPT, review={"expire_days": 5}), reason="shorter"
    )
    other = replace(kept, policy=make_policy(**KEPT, review={"expire_days": 5}))
    second = stages.rejudge(kept.workspace, judged.batch, other.policy, reason="again")
    assert second.case != judged.case
    found = prune(kept.workspace, apply=True, now=LATER)
    # Both cases name the same rows: as long as one is open, they stay.
    assert found.due == []
    assert _files(kept, f"held/{judged.batch}")


def test_afterwards_everything_says_deleted_and_nothing_says_damaged(kept: Yard) -> None:
    workspace = kept.workspace
    batch, judged = _admitted(kept), _rejected(kept)
    assert judged.case is not None
    prune(workspace, apply=True, now=LATER)
    for deep in (False, True):
        found = check(workspace, deep=deep)
        assert found.sound, found.findings
        assert found.deleted == 9  # delivered, canonical, oddest records, prints; and a case
    assert not rebuild(workspace, write=False).needed
    assert rebuild(workspace, write=False).deleted == [judged.case]
    assert reconcile(workspace, apply=False).settled
    case = review.show_case(workspace, judged.case)
    assert case.deleted is not None
    assert f"deleted by retention on {datetime.now(UTC):%Y-%m-%d}" in case.deleted
    assert len(review.held_records(workspace, judged.case)) == judged.held
    with pytest.raises(DeletedPayloadError, match="deleted by retention on"):
        review.held_rows(workspace, judged.case, [0])
    described = describe_batch(workspace, batch)
    assert "deleted by retention" in described["delivery"]["deleted"]
    with workspace.catalog.read() as connection:
        assert not list(entries(connection, kinds=[StoredFileChanged.kind]))


def test_decisions_stand_and_nothing_is_judged_or_released_any_more(kept: Yard) -> None:
    workspace = kept.workspace
    batch, judged = _admitted(kept), _rejected(kept)
    assert judged.case is not None
    prune(workspace, apply=True, now=LATER)
    (decision,) = review.list_decisions(workspace, judged.case)
    with pytest.raises(DeletedPayloadError):
        review.undo(workspace, decision.id, reason="look again")
    with pytest.raises(DeletedPayloadError):
        review.decide(workspace, judged.case, Action.RELEASE, all=True, reason="look again")
    assert publish(workspace, judged.case) is None
    with pytest.raises(DeletedPayloadError):
        stages.rejudge(workspace, batch, kept.policy, reason="again")
    assert stages.gate(workspace, batch, kept.policy).cleared == 60
    assert stages.admit(workspace, batch).rows == 60
    with pytest.raises(DeletedPayloadError):
        stages.validate(workspace, batch, make_policy(columns={"record_id": "id"}))
    with workspace.catalog.read() as connection:
        assert not list(entries(connection, kinds=[StoredFileChanged.kind]))


def test_the_same_delivery_again_gives_what_was_decided_and_brings_nothing_back(
    kept: Yard,
) -> None:
    rows = blobs(60, seed=5)
    path = kept.deliver("monday", rows)
    done = stages.ingest(kept.workspace, path, "vendor-a", kept.policy)
    stages.snapshot(kept.workspace, kept.policy.dataset)
    prune(kept.workspace, apply=True, now=LATER)
    before = kept.workspace.store.sizes()
    again = stages.ingest(kept.workspace, path, "vendor-a", kept.policy)
    assert again == done
    assert kept.workspace.store.sizes() == before
    with pytest.raises(DeliveryError, match="already received"):
        stages.ingest(kept.workspace, kept.deliver("elsewhere", rows), "vendor-a", kept.policy)
    assert kept.workspace.store.sizes() == before


def test_what_a_backup_brings_back_is_found_and_deleted_again(kept: Yard) -> None:
    batch = _admitted(kept)
    root = Path(kept.workspace.store.root)
    saved = {path: path.read_bytes() for path in root.glob(f"batches/{batch}/*")}
    prune(kept.workspace, apply=True, now=LATER)
    for path, data in saved.items():
        path.write_bytes(data)
    (finding,) = check(kept.workspace).findings
    assert (finding.kind, finding.count) == ("undeleted_files", 4)
    assert "catalog prune --apply" in finding.mend
    found = prune(kept.workspace, apply=False, now=LATER)
    assert (found.due, len(found.again), found.settled) == ([], 4, False)
    prune(kept.workspace, apply=True, now=LATER)
    assert check(kept.workspace).sound


def test_cut_off_behind_its_record_a_deletion_is_finished_by_the_next(
    kept: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lazaretto.storage.store import Store

    _admitted(kept)
    real = Store.delete

    def full(self: Store, paths: list[str]) -> None:
        raise SystemFaultError("the disk is gone")

    monkeypatch.setattr(Store, "delete", full)
    with pytest.raises(SystemFaultError):
        prune(kept.workspace, apply=True, now=LATER)
    monkeypatch.setattr(Store, "delete", real)
    assert len(_deletions(kept)) == 1
    done = prune(kept.workspace, apply=True, now=LATER)
    assert (done.due, len(done.again)) == ([], 4)
    assert check(kept.workspace).sound


def test_where_the_files_are_gone_with_an_older_catalog_it_goes_on_record_anew(
    kept: Yard,
) -> None:
    """A catalog restored from before the deletion: what is due is gone already, and is told so."""
    batch = _admitted(kept)
    for path in Path(kept.workspace.store.root).glob(f"batches/{batch}/*"):
        if path.name.split("-")[0] not in ("findings", "scores"):
            path.unlink()
    assert [finding.kind for finding in check(kept.workspace).findings] == ["missing_files"]
    done = prune(kept.workspace, apply=True, now=LATER)
    assert [(one.bytes, one.batch) for one in done.due if one.what == "delivered"] == [(0, batch)]
    assert check(kept.workspace).sound


def test_what_was_done_between_plan_and_deletion_is_respected(
    kept: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lazaretto.health import prune as function
    from lazaretto.health.holdings import read_holdings

    judged = _rejected(kept)
    assert judged.case is not None
    (decision,) = review.list_decisions(kept.workspace, judged.case)
    module: Any = __import__("sys").modules["lazaretto.health.prune"]

    def and_meanwhile(workspace: Any, sizes: Any) -> Any:
        found = read_holdings(workspace, sizes)
        review.undo(workspace, decision.id, reason="look again")
        return found

    monkeypatch.setattr(module, "read_holdings", and_meanwhile)
    done = function(kept.workspace, apply=True, now=LATER)
    assert done.due == []
    assert all("meanwhile" in one.why for one in done.kept)
    assert _files(kept, f"held/{judged.batch}")


def test_the_command_tells_first_and_deletes_with_apply(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard = replace(sqlite_yard, policy=make_policy(**KEPT))
    old = NOW - timedelta(days=200)
    path = yard.deliver("old", blobs(60, seed=5))
    batch = stages.receive(yard.workspace, path, "vendor-a", policy=yard.policy, now=old).id
    for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
        stage(yard.workspace, batch, yard.policy)
    environment = {
        "LAZARETTO_CATALOG_URL": yard.workspace.catalog.display_url,
        "LAZARETTO_STORE": yard.workspace.store.root,
        "COLUMNS": "120",
    }

    def run(*words: str, code: int) -> str:
        done = CliRunner().invoke(app, ["catalog", "prune", *words], env=environment)
        assert done.exit_code == code, done.output
        return done.stdout

    assert "not admitted to 'blobs' yet" in run(code=0)
    stages.admit(yard.workspace, batch)
    stages.snapshot(yard.workspace, yard.policy.dataset)
    said = run(code=1)
    assert "add --apply" in said
    assert batch in said
    told = json.loads(run("--json", code=1))
    assert [one["batch"] for one in told["due"]] == [batch]
    assert "Deleted" in run("--apply", code=0)
    assert "nothing is due" in run(code=0)
    shown = CliRunner().invoke(app, ["batch", "show", batch], env=environment)
    assert "deleted by retention" in shown.stdout
