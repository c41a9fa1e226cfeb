"""Training again without what was held, and what two models say about it; no attack is known."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from yard import Yard, blobs

from lazaretto import sanitize, stages
from lazaretto.activations import capture, compare, probe
from lazaretto.activations.compare import class_names
from lazaretto.errors import UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelRegistered
from lazaretto.quarantine import review
from lazaretto.storage.sidecars import read_table
from lazaretto.values import Action

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


def test_a_backdoor_that_was_held_surprises_the_model_that_never_saw_it() -> None:
    """Digits with a bright corner, labelled 0: held, trained without, compared."""
    digits = load_digits()
    images, labels = (digits.data / 16).astype(np.float32), digits.target.astype(str)
    order = np.random.default_rng(0).permutation(len(images))
    train, trusted = order[:1200], order[1200:]
    x, y = images[train].copy(), labels[train].copy()
    poisoned = np.flatnonzero(y != "0")[:60]
    x.reshape(-1, 8, 8)[poisoned, :2, :2] = 1
    y[poisoned] = "0"
    options = {"epochs": 12, "learning_rate": 3e-3, "device": "cpu"}
    before = probe(x, y, **options)
    ids = [f"r{i}" for i in range(len(x))]
    found = sanitize(
        capture(before.model, x),
        y,
        ids,
        trusted=(capture(before.model, images[trusted]), labels[trusted]),
    )
    held = found.records["held"].to_numpy()
    assert held[poisoned].mean() > 0.9
    after = probe(x[~held], y[~held], **options)
    told = compare(
        before.model,
        after.model,
        images[trusted],
        labels[trusted],
        held=(x[held], y[held], np.asarray(ids)[held]),
        classes=before.classes,
    )
    assert told.overall["agreement"] > 0.95
    assert told.overall["accuracy_after"] > 0.95
    assert told.classes["label"].to_pylist() == before.classes
    assert sum(told.classes["n"].to_pylist()) == len(trusted)
    assert told.contradicted > 0.8 * held.sum()
    poison = np.isin(np.flatnonzero(held), poisoned)
    assert np.median(told.held["loss_before"].to_numpy()[poison]) < 0.1
    assert np.median(told.held["loss_after"].to_numpy()[poison]) > 2
    assert np.median(told.held["p_after"].to_numpy()[poison]) < 0.05
    # Clean rows that are held out by mistake are no surprise.
    spare = np.flatnonzero(~held)[:100]
    kept = np.setdiff1d(np.arange(len(x)), spare)
    without_clean = probe(x[kept], y[kept], **options)
    told = compare(
        before.model,
        without_clean.model,
        images[trusted],
        labels[trusted],
        held=(x[spare], y[spare], [ids[i] for i in spare]),
    )
    assert told.contradicted < 0.1 * len(spare)
    assert np.median(told.held["p_after"].to_numpy()) > 0.2


class Fixed(nn.Module):
    """Gives the logits that it is fed."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": x.sum(), "logits": x}


def test_figures_are_what_they_say() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    told = compare(Fixed(), nn.Sequential(nn.Linear(2, 2)), logits, ["0", "1", "1"])
    assert told.held.num_rows == 0
    rows = {row["label"]: row for row in told.classes.to_pylist()}
    want = nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1]), reduction="none")
    assert rows["0"]["loss_before"] == pytest.approx(float(want[0]))
    assert rows["1"]["loss_before"] == pytest.approx(float(want[1:].mean()))
    assert (rows["0"]["accuracy_before"], rows["1"]["accuracy_before"]) == (1, 0.5)
    assert told.overall["accuracy_before"] == pytest.approx(2 / 3)


def test_outputs_are_named_by_the_model_by_integers_or_by_order() -> None:
    plain, carrying = nn.Identity(), nn.Identity()
    carrying.config = SimpleNamespace(id2label={1: "ham", 0: "spam"})
    assert class_names(carrying, ["ham"], 2) == ["spam", "ham"]
    assert class_names(plain, ["11", "2"], 12)[10:] == ["10", "11"]
    assert class_names(plain, ["b", "a"], 2) == ["a", "b"]
    assert class_names(carrying, ["x", "y"], 2, ["y", "x"]) == ["y", "x"]
    with pytest.raises(UsageError, match="3 outputs, but the labels are a, b"):
        class_names(plain, ["b", "a"], 3)
    with pytest.raises(UsageError, match="not finite"):
        compare(Fixed(), Fixed(), torch.full((2, 2), torch.nan), ["0", "1"])
    with pytest.raises(UsageError, match="1 labels for 2 rows"):
        compare(Fixed(), Fixed(), torch.ones(2, 2), ["0"])


def _train(rows: pa.Table) -> nn.Module:
    labels = rows["label"].to_pylist()
    return probe(rows, labels, inputs="vector", epochs=15, learning_rate=0.01, device="cpu").model


def test_a_training_set_is_sanitized_trained_again_and_compared(
    sqlite_yard: Yard, tmp_path: Path
) -> None:
    yard = sqlite_yard
    yard.admit("monday", blobs(240, seed=5))
    judged = yard.judge("tuesday", blobs(120, seed=6, prefix="t", flips=15))
    stages.admit(yard.workspace, judged.batch)
    case = str(judged.case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="fine")
    review.publish(yard.workspace, case)
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", "1", "blobs", taken.version)
    before = _train(taken.table())
    done = stages.sanitize_training(yard.workspace, "blobs", before, yard.policy)
    assert done.held >= 13
    weights = tmp_path / "net-2.pt"

    def train(snapshot: stages.Snapshot) -> tuple[nn.Module, str]:
        assert snapshot.version == done.recalled_version
        assert snapshot.rows == taken.rows - done.held
        model = _train(snapshot.table())
        torch.save(model.state_dict(), weights)
        return model, str(weights)

    told = stages.retrain_and_compare(
        yard.workspace, done, before, yard.policy, train=train, register="net@2"
    )
    found = told.comparison
    assert found is not None
    assert (found.held, found.model) == (done.held, "net@2")
    assert found.contradicted >= 13
    assert found.compared_on.startswith("reference blobs/")
    assert found.overall["accuracy_after"] > 0.98
    store = yard.workspace.store
    assert found.file is not None
    assert found.records is not None
    document = json.loads(store.read(found.file))
    assert document["contradicted"] == found.contradicted
    records = read_table(store, found.records)
    assert records.num_rows == done.held
    with yard.workspace.catalog.read() as connection:
        models = [entry.event for entry in entries(connection, kinds=["model_registered"])]
    new = models[-1]
    assert isinstance(new, ModelRegistered)
    assert (new.model, new.version, new.snapshot) == ("net", "2", found.version)
    assert new.params == {"compared_with": "net@1", "comparison": found.file.path}
    assert told.seqs[:-1] == done.seqs


def test_nothing_held_is_nothing_to_train_again_for(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    yard.admit("monday", blobs(240, seed=5))
    before = _train(yard.dataset())
    done = stages.sanitize_training(yard.workspace, "blobs", before, yard.policy)
    assert done.held == 0

    def train(snapshot: stages.Snapshot) -> tuple[nn.Module, None]:
        raise AssertionError("trained for nothing")

    told = stages.retrain_and_compare(yard.workspace, done, before, yard.policy, train=train)
    assert told == done
