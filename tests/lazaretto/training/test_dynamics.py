"""Training dynamics: recorded in bounded memory, read back as they were, and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import torch

import lazaretto as lz
from lazaretto.errors import UsageError
from lazaretto.policy import Sanitize
from lazaretto.sanitize.dynamics import Dynamics, read_dynamics
from lazaretto.training import record_dynamics

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def test_what_was_noted_comes_back(tmp_path: Path) -> None:
    ids, labels = [f"b#{i}" for i in range(50)], [str(i % 3) for i in range(50)]
    target = torch.arange(50) % 3
    chance, losses = torch.Generator().manual_seed(0), []
    with record_dynamics(tmp_path / "run.arrow", ids, labels) as recorder:
        for _ in range(4):
            logits = torch.randn(50, 3, generator=chance)
            order = torch.randperm(50, generator=chance)
            for part in order.split(16):
                recorder.note([ids[i] for i in part], logits[part], target[part])
            recorder.end_epoch()
            losses.append(torch.nn.functional.cross_entropy(logits, target, reduction="none"))
    read = read_dynamics(tmp_path / "run.arrow", recorder.sha256)
    assert read.record_ids.to_pylist() == ids
    assert np.allclose(read.loss, torch.stack(losses, 1).numpy(), atol=1e-6)
    assert np.allclose(read.confidence, np.exp(-read.loss), atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["run.arrow"]


def test_a_training_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def failing() -> None:
        with record_dynamics(tmp_path / "run.arrow", ["a"], ["x"]) as recorder:
            recorder.end_epoch()
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    with (
        pytest.raises(UsageError, match="no epoch"),
        record_dynamics(tmp_path / "run.arrow", ["a"], ["x"]),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.arrow"
    with record_dynamics(path, ["a", "b"], ["x", "y"]) as recorder:
        recorder.note(["a", "b"], torch.eye(2), torch.tensor([0, 1]))
        recorder.end_epoch()
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UsageError, match="not the file that was recorded"):
        read_dynamics(path, recorder.sha256)
    path.write_bytes(b"no arrow")
    with pytest.raises(UsageError, match="holds no trajectories"):
        read_dynamics(path)


def test_who_was_not_named_cannot_be_noted(tmp_path: Path) -> None:
    with record_dynamics(tmp_path / "run.arrow", ["a"], ["x"]) as recorder:
        with pytest.raises(UsageError, match="'z' was not named"):
            recorder.note(["z"], torch.eye(2)[:1], torch.tensor([0]))
        recorder.end_epoch()
    with (
        pytest.raises(UsageError, match="twice"),
        record_dynamics(tmp_path / "two.arrow", ["a", "a"], ["x", "x"]),
    ):
        pass


def test_what_was_not_seen_counts_as_before() -> None:
    lost = np.array([[1.0, np.nan, 3.0], [np.nan, 2.0, np.nan], [4.0, 2.0, 1.0]], np.float32)
    dynamics = Dynamics(pa.array(["a", "b", "c"]), lost, lost)
    seen = dynamics.features()[:, 3:]
    assert seen.tolist() == [[1, 1, 3], [2.5, 2, 2], [4, 2, 1]]
    assert np.isfinite(dynamics.features()).all()


def _learned(count: int, late: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Losses of five classes that fall over ten epochs; the first rows, of class 0, fall late."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 5
    labels[:late] = 0
    speed = random.lognormal(0, 0.3, count) * (1 + 0.1 * labels)
    speed[:late] *= 0.15
    epochs = np.arange(10)
    return (2 * np.exp(-epochs * speed[:, None])).astype(np.float32) + 1e-3, labels


@pytest.mark.parametrize("trusted", [False, True])
def test_rows_that_are_learned_late_are_held_by_their_losses_alone(trusted: bool) -> None:
    """Activations say nothing here."""
    random = np.random.default_rng(0)
    loss, labels = _learned(1000, 12, seed=1)
    clean, clean_labels = _learned(600, 0, seed=2)
    ids = [f"r{i}" for i in range(1000)]
    shuffled = random.permutation(1000)
    done = lz.sanitize(
        random.normal(size=(1000, 4)),
        labels,
        ids,
        trusted=(random.normal(size=(600, 4)), clean_labels) if trusted else None,
        dynamics=Dynamics(
            pa.array([ids[i] for i in shuffled]), loss[shuffled], np.exp(-loss[shuffled])
        ),
        trusted_dynamics=Dynamics(pa.array([f"t{i}" for i in range(600)]), clean, np.exp(-clean))
        if trusted
        else None,
        policy=Sanitize(methods=["slow_to_learn"]),
    )
    held = done.records["held"].to_numpy(zero_copy_only=False)
    assert held[:12].mean() >= 0.9
    assert held.mean() <= 0.02
    assert done.calibrated is trusted


def test_dynamics_join_the_default_methods_only_where_nothing_is_trusted() -> None:
    random = np.random.default_rng(0)
    loss, labels = _learned(300, 0, seed=1)
    ids = [f"r{i}" for i in range(300)]
    rows, dynamics = random.normal(size=(300, 4)), Dynamics(pa.array(ids), loss, np.exp(-loss))
    plain = lz.sanitize(rows, labels, ids)
    learned = lz.sanitize(rows, labels, ids, dynamics=dynamics)
    assert set(learned.methods) - set(plain.methods) == {"slow_to_learn"}
    judged = lz.sanitize(rows, labels, ids, trusted=(rows, labels), dynamics=dynamics)
    assert "slow_to_learn" not in judged.methods


def test_what_is_learned_in_the_first_epoch_is_not_judged_by_how_it_was_learned() -> None:
    """The rows with the largest losses are hard ones then: others must not go free for them."""
    random = np.random.default_rng(0)
    loss = random.lognormal(-3, 1, (300, 5)).astype(np.float32)
    loss[:6] = 4.0
    rows, ids = random.normal(size=(300, 4)), [f"r{i}" for i in range(300)]
    labels, dynamics = np.arange(300) % 5, Dynamics(pa.array(ids), loss, np.exp(-loss))
    plain = lz.sanitize(rows, labels, ids)
    learned = lz.sanitize(rows, labels, ids, dynamics=dynamics)
    assert learned.records["held"] == plain.records["held"]
    assert "learned in the first epoch" in (learned.note or "")
    with pytest.raises(UsageError, match="learned in the first epoch"):
        lz.sanitize(
            rows, labels, ids, dynamics=dynamics, policy=Sanitize(methods=["slow_to_learn"])
        )


def test_methods_of_dynamics_ask_for_dynamics() -> None:
    rows, ids = np.random.default_rng(0).normal(size=(60, 3)), [str(i) for i in range(60)]
    labels = np.arange(60) % 3
    with pytest.raises(UsageError, match="record how the training went"):
        lz.sanitize(rows, labels, ids, policy=Sanitize(methods=["early_loss"]))
    short = Dynamics(pa.array(ids[:-1]), rows[:-1].astype("f4") ** 2, rows[:-1].astype("f4"))
    with pytest.raises(UsageError, match="1 of 60 records have no trajectory"):
        lz.sanitize(rows, labels, ids, dynamics=short)


def test_every_method_of_dynamics_judges_without_looking_at_activations() -> None:
    loss, labels = _learned(400, 8, seed=3)
    ids = [str(i) for i in range(400)]
    for method in ("slow_to_learn", "early_loss", "loss_trajectories"):
        found = [
            lz.sanitize(
                np.random.default_rng(seed).normal(size=(400, 3)),
                labels,
                ids,
                dynamics=Dynamics(pa.array(ids), loss, np.exp(-loss)),
                policy=Sanitize(methods=[method]),
            ).records
            for seed in (0, 1)
        ]
        assert found[0]["held"].equals(found[1]["held"])
        assert found[0]["score"].null_count == 0
