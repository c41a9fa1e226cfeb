"""Robust objectives: their closed forms, their gradients, and what libraries give."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import huber as scipy_huber
from torch import Tensor
from torch.nn.functional import cross_entropy, huber_loss

from lazaretto.errors import UsageError
from lazaretto.training import (
    GroupDRO,
    capped_losses,
    generalised_cross_entropy,
    huber,
    penalty,
    trimmed,
    tukey_biweight,
    weighted_mean,
)


def _numbers(*shape: int) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(0)
    return (
        3 * torch.randn(*shape, generator=chance, dtype=torch.float64),
        torch.randn(*shape, generator=chance, dtype=torch.float64),
    )


@pytest.mark.parametrize("delta", [0.5, 1.0, 1.5])
def test_huber_is_torch_s_and_scipy_s(delta: float) -> None:
    prediction, target = _numbers(200)
    ours = huber(prediction, target, delta=delta, reduction="none")
    residual = (prediction - target).numpy()
    assert torch.allclose(ours, huber_loss(prediction, target, reduction="none", delta=delta))
    assert np.allclose(ours.numpy(), scipy_huber(delta, residual))
    assert torch.allclose(huber(prediction, target, delta=delta), ours.mean())


def test_tukey_s_weights_are_the_textbook_s() -> None:
    """psi(r) / r = (1 - (r / c)²)² inside c, 0 outside, as robust libraries weigh rows."""
    residual = torch.linspace(-8, 8, 101, dtype=torch.float64, requires_grad=True)
    loss = tukey_biweight(residual, torch.zeros_like(residual), scale=1.0, reduction="none")
    (slope,) = torch.autograd.grad(loss.sum(), residual)
    r = residual.detach()
    expected = torch.where(r.abs() <= 4.685, r * (1 - (r / 4.685) ** 2) ** 2, 0)
    assert torch.allclose(slope, expected)
    assert float(loss.detach().max()) == pytest.approx(4.685**2 / 6)


def test_tukey_finds_its_scale_from_most_rows() -> None:
    prediction, target = _numbers(1000)
    target = prediction + (target - target.mean()) * 2
    spoiled = target.clone()
    spoiled[:100] += 1e6
    clean = tukey_biweight(prediction, target, reduction="none")
    with_outliers = tukey_biweight(prediction, spoiled, reduction="none")
    assert torch.allclose(with_outliers[:100], torch.full((100,), 4.685**2 / 6).double())
    assert with_outliers[100:].mean() == pytest.approx(float(clean[100:].mean()), rel=0.4)


def test_generalised_cross_entropy_lies_between_its_ends() -> None:
    logits, _ = _numbers(50, 4)
    target = torch.arange(50) % 4
    p = logits.softmax(1)[torch.arange(50), target]
    for q in (0.3, 0.7, 1.0):
        ours = generalised_cross_entropy(logits, target, q=q, reduction="none")
        assert torch.allclose(ours, (1 - p**q) / q)
    near = generalised_cross_entropy(logits, target, q=1e-7)
    assert float(near) == pytest.approx(float(cross_entropy(logits, target)), rel=1e-5)
    assert math.isfinite(float(generalised_cross_entropy(logits * 1e6, target)))


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: huber(x[:, 0], torch.zeros(6).double(), delta=1.2),
        lambda x: tukey_biweight(x[:, 0], torch.zeros(6).double(), scale=1.0),
        lambda x: generalised_cross_entropy(x, torch.arange(6) % 3),
        lambda x: trimmed(x.square().sum(1), 0.34),
        lambda x: penalty([x], l1=0.3, l2=0.2),
        lambda x: (capped_losses(x.square().sum(1), list("aabbbb"), share=1.0)).sum(),
    ],
)
def test_gradients_are_those_of_the_loss(loss: object) -> None:
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    x.requires_grad_(True)
    assert torch.autograd.gradcheck(loss, (x,))


@given(
    st.lists(st.floats(0, 1e3), min_size=1, max_size=30),
    st.floats(0, 0.99),
)
def test_trimming_leaves_out_the_largest_and_no_more(losses: list[float], share: float) -> None:
    kept = max(1, len(losses) - int(share * len(losses)))
    given_losses = torch.tensor(losses, dtype=torch.float64, requires_grad=True)
    mean = trimmed(given_losses, share)
    mean.backward()  # type: ignore[no-untyped-call]
    assert float(mean) == pytest.approx(sum(sorted(losses)[:kept]) / kept, abs=1e-9)
    assert given_losses.grad is not None
    assert int((given_losses.grad > 0).sum()) == kept


def test_iterating_trims_down_to_the_true_line() -> None:
    x, noise = _numbers(400)
    y = 2 * x + 0.1 * noise
    y[:80] = -20
    slope = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([slope], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        trimmed((slope * x - y).square(), 0.25).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(slope) == pytest.approx(2, abs=0.05)


def test_weights_count() -> None:
    losses, weight = torch.tensor([1.0, 2.0, 9.0]), torch.tensor([1.0, 1.0, 0.0])
    assert float(weighted_mean(losses, weight)) == 1.5
    prediction, target = _numbers(3)
    each = huber(prediction, target, reduction="none")
    weighed = huber(prediction, target, weight=weight.double())
    assert float(weighed) == pytest.approx(float(each[:2].mean()))
    with pytest.raises(UsageError, match="all sample weights are zero"):
        weighted_mean(losses, torch.zeros(3))


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.floats(0, 1e6, allow_subnormal=False)),
        min_size=1,
        max_size=40,
    ),
    st.floats(0.05, 1),
)
def test_no_source_says_more_than_its_share(rows: list[tuple[int, float]], share: float) -> None:
    sources = [source for source, _ in rows]
    losses = torch.tensor([loss for _, loss in rows], dtype=torch.float64)
    capped = capped_losses(losses, sources, share=share)
    assert bool((capped <= losses * (1 + 1e-9)).all())
    said = {one: sum(capped[i] for i, s in enumerate(sources) if s == one) for one in sources}
    allowed = max(share, 1 / len(said)) * float(capped.sum())
    assert all(float(amount) <= allowed * (1 + 1e-6) + 1e-9 for amount in said.values())


def test_sources_below_the_cap_keep_their_losses() -> None:
    losses = torch.tensor([1.0, 1.0, 1.0, 1.0, 50.0])
    capped = capped_losses(losses, list("abcde"), share=0.3)
    assert capped[:4].tolist() == [1.0] * 4
    assert float(capped[4] / capped.sum()) == pytest.approx(0.3)


def test_group_dro_follows_the_worst_group_as_the_paper_says() -> None:
    objective = GroupDRO(["a", "b", "c"], step=0.5)
    losses = torch.tensor([1.0, 3.0, 2.0, 2.0])
    loss = objective(losses, ["a", "a", "b", "b"])
    q = torch.tensor([math.exp(0.5 * 2), math.exp(0.5 * 2), 1.0])
    q /= q.sum()
    assert torch.allclose(objective.weights, q)
    assert float(loss) == pytest.approx(float(q[0] * 2 + q[1] * 2))
    for _ in range(50):
        objective(torch.tensor([0.1, 5.0]), ["a", "b"])
    assert float(objective.weights[1]) > 0.99
    with pytest.raises(UsageError, match="'d' was not named"):
        objective(torch.tensor([1.0]), ["d"])
    other = GroupDRO(["a", "b", "c"])
    other.load_state_dict(objective.state_dict())
    assert torch.equal(other.weights, objective.weights)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: huber(x, x, delta=0),
        lambda x: huber(x, x[:1]),
        lambda x: tukey_biweight(x, x, scale=0.0),
        lambda x: generalised_cross_entropy(x[:, None], x.long(), q=0),
        lambda x: trimmed(x, 1.0),
        lambda x: penalty([x], l1=-1),
        lambda x: capped_losses(x, ["a"], share=0.5),
        lambda x: capped_losses(x, ["a", "b"], share=0),
        lambda x: GroupDRO([]),
    ],
)
def test_what_makes_no_sense_is_refused(call: object) -> None:
    with pytest.raises(UsageError):
        call(torch.ones(2))  # type: ignore[operator]
