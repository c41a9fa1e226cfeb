"""Adversarial steps: within bounds, uphill, and what they cost is what they say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lazaretto.errors import UsageError
from lazaretto.training import Adversary, adversarial_batch, curriculum, free_steps, perturb


class Counting(nn.Module):
    """Two layers that count the rows that go through."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        self.rows = 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        answer: Tensor = self.layers(x)
        return answer


def _batch() -> tuple[Tensor, Tensor]:
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(40) % 3


@pytest.mark.parametrize("kind", ["fgsm", "pgd"])
@pytest.mark.parametrize("epsilon", [0.05, 0.4, 2.0])
def test_rows_stay_near_and_valid_and_the_loss_rises(kind: str, epsilon: float) -> None:
    model, (x, y) = Counting(), _batch()
    adversary = Adversary(kind, epsilon=epsilon, steps=5)  # type: ignore[arg-type]
    before = [one.clone() for one in model.parameters()]
    moved = perturb(model, x, y, adversary)
    assert float((moved - x).abs().max()) <= epsilon + 1e-6
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1
    with torch.no_grad():
        assert float(cross_entropy(model(moved), y)) > float(cross_entropy(model(x), y))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(one.grad is None for one in model.parameters())


def test_one_step_from_the_row_is_the_paper_s_fgsm() -> None:
    """Goodfellow, Shlens, Szegedy (2015), section 4: x + epsilon sign(gradient)."""
    model, (x, y) = Counting(), _batch()
    x = x * 0.5 + 0.25
    adversary = Adversary("fgsm", epsilon=0.1, step_size=0.1)
    leaf = x.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(cross_entropy(model(leaf), y), leaf)
    assert torch.allclose(
        perturb(model, x, y, adversary, start=False), (x + 0.1 * slope.sign()), atol=1e-7
    )


def test_only_the_share_is_attacked() -> None:
    model, (x, y) = Counting(), _batch()
    batch = adversarial_batch(model, x, y, Adversary("pgd", epsilon=0.2, share=0.25))
    assert torch.equal(batch[10:], x[10:])
    assert bool((batch[:10] != x[:10]).any(1).all())


@pytest.mark.parametrize(
    "adversary",
    [
        Adversary("fgsm", share=0.5),
        Adversary("pgd", steps=4, share=0.25),
        Adversary("pgd", steps=3, share=1.0),
        Adversary("free", steps=6),
    ],
)
def test_the_cost_is_what_was_said(adversary: Adversary) -> None:
    model, (x, y) = Counting(), _batch()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        if adversary.kind == "free":
            free_steps(model, optimizer, x, y, adversary)
        else:
            model(adversarial_batch(model, x, y, adversary))
    assert model.rows == adversary.passes * 2 * len(x)
    assert adversary.cost(len(x), 2).startswith(f"{model.rows:,} passes")


def test_free_steps_train_and_stay_within_bounds() -> None:
    model, (x, y) = Counting(), _batch()
    adversary = Adversary("free", epsilon=0.05, steps=5)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    before, delta = float(cross_entropy(model(x), y).detach()), None
    for _ in range(30):
        delta = free_steps(model, optimizer, x, y, adversary, delta=delta)
        assert float(delta.abs().max()) <= 0.05 + 1e-7
    assert float(cross_entropy(model(x), y).detach()) < before


def test_training_on_worst_cases_makes_worst_cases_better() -> None:
    chance = torch.Generator().manual_seed(3)
    y = torch.arange(200) % 2
    # One strong feature, and many weak ones that an attack within epsilon turns around.
    strong = torch.where(y == 1, 0.75, 0.25)[:, None] + 0.15 * torch.randn(200, 1, generator=chance)
    weak = torch.where(y == 1, 0.53, 0.47)[:, None] + 0.03 * torch.randn(200, 30, generator=chance)
    x = torch.cat([strong, weak], 1).clamp(0, 1)
    adversary = Adversary("pgd", epsilon=0.08, steps=5, share=1.0)
    accuracy = {}
    for hardened in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(31, 2)
        optimizer = torch.optim.Adam(model.parameters(), 0.05)
        for epsilon in curriculum(0.08, 60):
            now = Adversary("pgd", epsilon=epsilon, steps=5, share=1.0)
            rows = adversarial_batch(model, x, y, now, generator=chance) if hardened else x
            optimizer.zero_grad()
            cross_entropy(model(rows), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        worst = perturb(model, x, y, adversary, generator=chance)
        accuracy[hardened] = float((model(worst).argmax(1) == y).float().mean())
    assert accuracy[True] > accuracy[False] + 0.05


def test_epsilon_rises_to_what_was_asked_for() -> None:
    given = list(curriculum(0.2, 10, ramp=0.4))
    assert given == pytest.approx([0.05, 0.1, 0.15, 0.2, *[0.2] * 6])
    assert list(curriculum(0.2, 3, ramp=0)) == [0.2] * 3
    assert list(curriculum(0.2, 0)) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: Adversary("cw"),  # type: ignore[arg-type]
        lambda: Adversary(epsilon=0),
        lambda: Adversary(steps=0),
        lambda: Adversary(share=0),
        lambda: Adversary(valid=(1, 0)),
        lambda: curriculum(0, 3),
        lambda: perturb(nn.Linear(2, 2), torch.full((1, 2), 3.0), torch.tensor([0]), Adversary()),
    ],
)
def test_what_makes_no_sense_is_refused(call: object) -> None:
    with pytest.raises(UsageError):
        call()  # type: ignore[operator]
