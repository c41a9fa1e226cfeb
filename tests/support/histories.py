"""A workspace in which everything has happened once, so that no state table is empty."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from yard import blobs, make_policy

import lazaretto as lz
from lazaretto import incidents, stages
from lazaretto.authority.policies import register_policy
from lazaretto.dataset.compact import compact
from lazaretto.dataset.recall import recall
from lazaretto.dataset.table import open_dataset
from lazaretto.health import reconcile
from lazaretto.quarantine import handling, review
from lazaretto.sources.keys import keygen
from lazaretto.sources.registry import add_key, add_source, revoke_key
from lazaretto.stages.alias_model import alias_model
from lazaretto.values import (
    Action,
    HoldKind,
    InputKind,
    InputRole,
    ModelInput,
    Question,
    TrustTier,
)

if TYPE_CHECKING:
    from yard import Yard


def eventful(yard: Yard) -> Yard:
    """Sources, keys, judgements, decisions, publications, recalls, losses, models, incidents.

    Returns:
        The yard with the policy that is in force at the end.
    """
    workspace = yard.workspace
    add_source(workspace, "vendor-b", trust_tier=TrustTier.REVOKED)
    key = add_key(workspace, "vendor-a", keygen()[1])
    revoke_key(workspace, "vendor-a", key.key_id, reason="lost")
    add_key(workspace, "vendor-a", keygen()[1])

    judged = yard.judge("monday", blobs(240, seed=5, prefix="m", flips=18))
    stages.admit(workspace, judged.batch)
    case = str(judged.case)
    held = review.held_records(workspace, case)
    one = [held[0].record_id]
    handling.assign(workspace, case, "user:ann")
    handling.comment(workspace, case, "the first looks like a two")
    review.decide(workspace, case, Action.RELABEL, ids=one, label="2", reason="was a two")
    wrong = review.decide(workspace, case, Action.REJECT, ids=[held[1].record_id], reason="no")
    review.undo(workspace, wrong.id, reason="it was fine")
    review.decide(workspace, case, Action.RELEASE, filter={"action": "UNDECIDED"}, reason="fine")
    review.publish(workspace, case)

    taken = stages.snapshot(workspace, "blobs")
    stages.register_model(workspace, "net", "1", "blobs", taken.version)
    (yard.folder / "blobs.w").write_bytes(b"weights")
    recall(workspace, "blobs", ids=[f"{judged.batch}#m100"], reason="found late")
    other = ModelInput(InputKind.TABLE, "s3://lake", "prices", "7", InputRole.EVAL, 10)
    base = ModelInput(InputKind.MODEL, "local", "net", "1", InputRole.FINETUNE)
    stages.register_model(workspace, "net", "2", "blobs", taken.version, inputs=[base])
    stages.register_model(workspace, "net", "2", inputs=[other], artifact=yard.folder / "blobs.w")
    stages.register_model(workspace, "net", "2", "blobs", taken.version, registry="mlflow://eu")
    alias_model(workspace, "net", "1", "live", registry="local", reason="first")
    alias_model(workspace, "net", "2", "live", registry="local", reason="better")
    alias_model(workspace, "net", "1", "canary", registry="local")
    alias_model(workspace, "net", "1", "canary", registry="local", remove=True)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))
    stages.sanitize_training(workspace, "blobs", model, yard.policy, version=taken.version)
    sunday = yard.admit("sunday", blobs(30, seed=7, prefix="s")).batch
    view = stages.snapshot(workspace, "blobs", exclude=[sunday])
    lz.register_model("net", "3", snapshots=[f"blobs@{view.id}"], workspace=workspace)
    _lose(yard, sunday)
    yard.admit("saturday", blobs(30, seed=9, prefix="a"))
    assert compact(workspace, "blobs")
    later = yard.judge("tuesday", blobs(60, seed=6, prefix="t", flips=3))
    policy = make_policy(review={"expire_days": 5})
    register_policy(workspace, policy, reason="reviews must be faster")
    stages.rejudge(workspace, later.batch, policy, reason="by the new policy")
    _handle_incidents(yard)
    return replace(yard, policy=policy)


def _lose(yard: Yard, batch: str) -> None:
    """The data files of a batch are lost, given up, and made again from its stored copy."""
    store = yard.workspace.store
    for file in open_dataset(yard.workspace, "blobs").files:
        if file.batch == batch:
            Path(store.uri(file.file.path)).unlink()
    reconcile(yard.workspace, apply=True, accept_loss=True)
    stages.admit(yard.workspace, batch)


def _handle_incidents(yard: Yard) -> None:
    """One is closed, and its hold lifted; another holds a source and a model."""
    workspace, source = yard.workspace, (HoldKind.SOURCE, "vendor-a")
    asked = Question("source", "vendor-a")
    first = incidents.open_incident(workspace, asked, reason="an open bucket", holds=[source])
    incidents.assign(workspace, first.id, "user:ann")
    incidents.lift_hold(workspace, first.id, *source, reason="the bucket was empty")
    incidents.close(workspace, first.id, "nothing was in it")
    holds = [source, (HoldKind.PROMOTION, "net")]
    window = Question("source", "vendor-a", datetime(2026, 1, 1, tzinfo=UTC), None)
    incidents.open_incident(workspace, window, reason="a stolen key", holds=holds)
