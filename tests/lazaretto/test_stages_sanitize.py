"""Sanitizing a version of the dataset: what stands out is held, recalled, and marked in models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.errors import UsageError
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import RecordsRecalled, TrainingSanitized
from lazaretto.quarantine import review
from lazaretto.values import Action

if TYPE_CHECKING:
    from lazaretto.ledger.events import Event

FLIPPED = {f"m{number}" for number in range(18)}


def _model() -> torch.nn.Module:
    """Random features tell these classes apart: no training is needed to have activations."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))


def _poisoned(yard: Yard) -> stages.Snapshot:
    """A dataset into which a reviewer let mislabelled records."""
    judged = yard.judge("monday", blobs(240, seed=5, prefix="m", flips=18))
    stages.admit(yard.workspace, judged.batch)
    case = str(judged.case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="looks fine")
    review.publish(yard.workspace, case)
    assert not FLIPPED - set(yard.ids())
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", "1", "blobs", taken.version)
    return taken


def _events(yard: Yard, kind: str) -> list[Event]:
    with yard.workspace.catalog.read() as connection:
        return [entry.event for entry in ledger.entries(connection, kinds=[kind])]


def test_poison_is_held_recalled_and_marked_once(yard: Yard) -> None:
    taken = _poisoned(yard)
    call = {"version": taken.version}
    found = stages.sanitize_training(yard.workspace, "blobs", _model(), yard.policy, **call)
    assert found.calibrated
    assert found.model == "net@1"
    assert found.models == ["net@1"]
    assert not FLIPPED & set(yard.ids())
    assert found.held == 240 - len(yard.ids())
    assert found.held <= 18 + 5
    assert not FLIPPED - set(yard.ids(taken.version))
    (case,) = [review.show_case(yard.workspace, name) for name in found.cases]
    assert (case.origin, case.held, case.state) == ("sanitize", found.held, "OPEN")
    assert all(reason.startswith("sanitize:") for reason in case.reasons)
    assert stages.sanitize_training(yard.workspace, "blobs", _model(), yard.policy, **call) == found
    (event,) = _events(yard, "training_sanitized")
    assert isinstance(event, TrainingSanitized)
    assert sum(summary.n_held for summary in event.classes) == found.held
    (recalled,) = _events(yard, "records_recalled")
    assert isinstance(recalled, RecordsRecalled)
    assert recalled.models == ["net@1"]


def test_a_reviewer_may_put_a_recalled_record_back_under_the_right_label(yard: Yard) -> None:
    taken = _poisoned(yard)
    found = stages.sanitize_training(
        yard.workspace, "blobs", _model(), yard.policy, version=taken.version
    )
    case = found.cases[0]
    review.decide(yard.workspace, case, Action.RELABEL, ids=["m0"], label="0", reason="is a 0")
    review.publish(yard.workspace, case)
    back = [row for row in yard.dataset().to_pylist() if row["id"] == "m0"]
    assert [row["label"] for row in back] == [0]
    assert [row["_lazaretto_source"] for row in back] == ["vendor-a"]


def test_a_clean_dataset_comes_back_whole(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    yard.admit("monday", blobs(240, seed=5))
    before = yard.ids()
    found = stages.sanitize_training(yard.workspace, "blobs", _model(), yard.policy)
    assert (found.held, found.cases, found.recall) == (0, [], None)
    assert yard.ids() == before


def test_what_cannot_be_sanitized_is_said(sqlite_yard: Yard) -> None:
    workspace = sqlite_yard.workspace
    sqlite_yard.admit("monday", blobs(60, seed=5))
    unlabelled = make_policy(columns={"record_id": "id", "embedding": "vector"})
    with pytest.raises(UsageError, match="name the label"):
        stages.sanitize_training(workspace, "blobs", _model(), unlabelled)
    with pytest.raises(UsageError, match="give `trusted`"):
        stages.sanitize_training(
            workspace, "blobs", _model(), sqlite_yard.policy, inputs=["vector", "text"]
        )
