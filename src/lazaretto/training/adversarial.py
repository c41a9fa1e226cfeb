"""Adversarial training: FGSM, PGD and free steps, their cost, and a curriculum over epsilon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn.functional import cross_entropy

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Generator, Tensor, nn
    from torch.optim import Optimizer

    Loss = Callable[[Tensor, Tensor], Tensor]

Kind = Literal["fgsm", "pgd", "free"]


@dataclass(frozen=True, slots=True)
class Adversary:
    """What a training defends against, and how.

    Attributes:
        kind: ``fgsm``: one step from a random start (Wong, Rice, Kolter 2020); ``pgd``: several
            (Madry et al. 2018); ``free``: the gradient of each step serves weights and rows, and
            each batch is replayed (Shafahi et al. 2019).
        epsilon: largest change of any number of a row, above 0, in the unit of the rows.
        steps: of ``pgd``, or replays of ``free``; ``fgsm`` takes one.
        step_size: None: 1.25 epsilon for ``fgsm``, 2.5 epsilon / steps for ``pgd``, epsilon for
            ``free``.
        share: of each batch that is attacked, above 0 to 1; the rest stays as it is. Half and half
            keeps more accuracy on clean rows. ``free`` attacks all.
        valid: least and greatest value of a number; rows never leave it.
    """

    kind: Kind = "pgd"
    epsilon: float = 0.1
    steps: int = 7
    step_size: float | None = None
    share: float = 0.5
    valid: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        low, high = self.valid
        fits = self.kind in ("fgsm", "pgd", "free") and self.epsilon > 0 and self.steps >= 1
        sized = self.step_size is None or self.step_size > 0
        if not (fits and sized and 0 < self.share <= 1 and low < high):
            raise UsageError(
                "an adversary is fgsm, pgd or free, with epsilon and step size above 0, at least "
                "one step, a share above 0 and at most 1, and a least below a greatest value"
            )

    @property
    def size(self) -> float:
        """Of one step."""
        if self.step_size is not None:
            return self.step_size
        return self.epsilon * {"fgsm": 1.25, "pgd": 2.5 / self.steps, "free": 1.0}[self.kind]

    @property
    def passes(self) -> float:
        """Forward and backward passes over each row and epoch; plain training makes one.

        Examples:
            >>> Adversary("pgd", steps=7, share=0.5).passes
            4.5
        """
        if self.kind == "free":
            return float(self.steps)
        return 1 + self.share * (self.steps if self.kind == "pgd" else 1)

    def cost(self, rows: int, epochs: int) -> str:
        """What a training will cost, in words, to say before it runs.

        Args:
            rows: of the training set.
            epochs: that are planned. ``free`` needs that many divided by its steps.

        Examples:
            >>> Adversary("fgsm", share=1.0).cost(1000, 10)
            '20,000 passes over a row: 2.0 times a plain training of 10 epochs'
        """
        total = round(self.passes * rows * epochs)
        return (
            f"{total:,} passes over a row: {self.passes:.1f} times a plain training of {epochs} "
            "epochs"
        )


def perturb(
    model: nn.Module,
    x: Tensor,
    target: Tensor,
    adversary: Adversary,
    *,
    loss: Loss = cross_entropy,
    start: bool = True,
    generator: Generator | None = None,
) -> Tensor:
    """Rows changed within epsilon so that the model does worst on them: FGSM or PGD.

    The model's mode and gradients stay what they were.

    Args:
        model: gives logits.
        x: floats (n, ...), within ``adversary.valid``.
        target: int64 (n,), the right classes.
        adversary: epsilon, steps and valid range; ``free`` perturbs as ``pgd`` does.
        loss: that is made large.
        start: begin at a random place within epsilon; False: at the row itself.
        generator: of chance, on the CPU.

    Returns:
        Floats of the shape of `x`, each number within epsilon of it and within the valid range.

    Raises:
        UsageError: `x` is outside the valid range.

    Examples:
        >>> import torch
        >>> model, x = torch.nn.Linear(4, 2), torch.full((3, 4), 0.5)
        >>> moved = perturb(model, x, torch.tensor([0, 1, 0]), Adversary("fgsm", epsilon=0.1))
        >>> bool(((moved - x).abs() <= 0.1 + 1e-6).all())
        True
    """
    low, high = adversary.valid
    if len(x) and not (low <= float(x.min()) and float(x.max()) <= high):
        raise UsageError(f"rows go from {float(x.min())} to {float(x.max())}, beyond {low}..{high}")
    least = (x - adversary.epsilon).clamp(min=low)
    most = (x + adversary.epsilon).clamp(max=high)
    moved = x.detach()
    if start:
        drawn = torch.rand(x.shape, generator=generator).to(x)
        moved = x.detach() + adversary.epsilon * (2 * drawn - 1)
    for _ in range(1 if adversary.kind == "fgsm" else adversary.steps):
        moved = moved.clamp(least, most).detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(loss(model(moved), target), moved)
        moved = moved.detach() + adversary.size * slope.sign()
    return moved.clamp(least, most).detach()


def adversarial_batch(
    model: nn.Module,
    x: Tensor,
    target: Tensor,
    adversary: Adversary,
    *,
    loss: Loss = cross_entropy,
    generator: Generator | None = None,
) -> Tensor:
    """A batch of which the first rows are attacked and the rest is as it was.

    Train on it as on any batch: `target` stays. Batches must be shuffled.

    Args:
        model: gives logits.
        x: floats (n, ...).
        target: int64 (n,).
        adversary: its share says how many rows.
        loss: that is made large.
        generator: of chance, on the CPU.

    Examples:
        >>> import torch
        >>> model, x = torch.nn.Linear(4, 2), torch.full((4, 4), 0.5)
        >>> batch = adversarial_batch(model, x, torch.tensor([0, 1, 0, 1]), Adversary(share=0.5))
        >>> bool((batch[2:] == x[2:]).all())
        True
    """
    attacked = max(1, round(adversary.share * len(x)))
    moved = perturb(
        model, x[:attacked], target[:attacked], adversary, loss=loss, generator=generator
    )
    return torch.cat([moved, x[attacked:]])


def free_steps(
    model: nn.Module,
    optimizer: Optimizer,
    x: Tensor,
    target: Tensor,
    adversary: Adversary,
    *,
    delta: Tensor | None = None,
    loss: Loss = cross_entropy,
) -> Tensor:
    """Trains on one batch, replayed, with one backward pass for weights and rows alike.

    Shafahi et al. (2019), "Adversarial training for free!", algorithm 1. Each replay is a step of
    the optimizer: divide the number of epochs by the steps.

    Args:
        model: gives logits; in training mode.
        optimizer: of its parameters.
        x: floats (n, ...), within ``adversary.valid``.
        target: int64 (n,).
        adversary: epsilon, steps and valid range.
        delta: what the batch before left, of the same shape; the paper goes on from there.
        loss: that the optimizer makes small.

    Returns:
        The change of the rows, to hand to the next batch.

    Examples:
        >>> import torch
        >>> model, x = torch.nn.Linear(4, 2), torch.full((4, 4), 0.5)
        >>> optimizer = torch.optim.SGD(model.parameters(), 0.1)
        >>> free_steps(model, optimizer, x, torch.tensor([0, 1, 0, 1]), Adversary("free")).shape
        torch.Size([4, 4])
    """
    low, high = adversary.valid
    moved = torch.zeros_like(x) if delta is None or delta.shape != x.shape else delta
    for _ in range(adversary.steps):
        rows = (x + moved).clamp(low, high).detach().requires_grad_(True)
        optimizer.zero_grad()
        loss(model(rows), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if rows.grad is None:
            raise UsageError("the model's answers do not depend on the rows")
        moved = moved + adversary.size * rows.grad.sign()
        moved = moved.clamp(-adversary.epsilon, adversary.epsilon).detach()
    return moved


def curriculum(epsilon: float, epochs: int, *, ramp: float = 0.5) -> Iterator[float]:
    """The epsilon of each epoch: rising in a line, then what it shall be (Cai, Du, Liu, Song 2018).

    A model that has learned nothing yet learns nothing from worst cases.

    Args:
        epsilon: in the end, above 0.
        epochs: in all.
        ramp: share of the epochs in which it rises, 0..1.

    Raises:
        UsageError: a number is out of range.

    Examples:
        >>> [round(one, 3) for one in curriculum(0.3, 5, ramp=0.6)]
        [0.1, 0.2, 0.3, 0.3, 0.3]
    """
    if not (epsilon > 0 and epochs >= 0 and 0 <= ramp <= 1):
        raise UsageError("epsilon is above 0, epochs are not negative, and the ramp is in 0..1")
    rising = max(1, round(ramp * epochs))
    return (epsilon * min(1.0, (epoch + 1) / rising) for epoch in range(epochs))
