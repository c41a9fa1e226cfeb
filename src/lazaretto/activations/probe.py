"""Train a small network on embeddings or images, for teams that have no model of their own yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from lazaretto.activations.feed import batches
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lazaretto.activations.feed import Inputs


@dataclass(frozen=True, slots=True)
class Probe:
    """A trained probe.

    Attributes:
        model: the network; `capture` reads its penultimate layer by default.
        classes: class names, in the order of its outputs.
        train_accuracy: share of training rows whose label it gives, in 0..1.
        held_out_accuracy: the same on a tenth of the rows that it did not learn from.
        epochs: passes over the data.
    """

    model: nn.Module
    classes: list[str]
    train_accuracy: float
    held_out_accuracy: float
    epochs: int


def probe(
    data: Any,
    labels: Sequence[Any],
    *,
    inputs: Inputs = None,
    image: tuple[int, int, int] | None = None,
    width: int = 128,
    epochs: int = 30,
    learning_rate: float = 1e-3,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Probe:
    """Trains a probe on labelled rows.

    A backdoor shows in activations only of a model that learned it: the probe is trained to the end
    on all rows but a tenth, poisons included, and is no model to deploy.

    Args:
        data: as for `lazaretto.capture`; it must fit in memory.
        labels: (n,) labels.
        inputs: for tables, the columns that the probe reads.
        image: (channels, height, width) when rows are flattened images; a small convolutional
            network is trained then, else one hidden layer.
        width: of the penultimate layer.
        epochs: passes over the data.
        learning_rate: of Adam.
        seed: of initial weights, order of batches and the held-out tenth.
        device: torch device; ``auto``: CUDA where there is one.
        progress: called with the epoch's number after each.

    Raises:
        UsageError: fewer than two classes, or labels and rows do not match.

    Examples:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
        >>> labels = ["up" if row[0] > 0 else "down" for row in rows]
        >>> probe(rows, labels, epochs=2, width=8).classes
        ['down', 'up']
    """
    x = torch.cat([batch.float() for batch in batches(data, inputs=inputs, batch_size=8192)])
    classes, y = np.unique(np.asarray([str(label) for label in labels]), return_inverse=True)
    if len(y) != len(x):
        raise UsageError(f"{len(y)} labels for {len(x)} rows; give one per row")
    if len(classes) < 2:
        raise UsageError("a probe needs at least two classes; all labels are the same")
    if image is not None:
        x = x.reshape(len(x), *image)
    target = torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    )
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=random)
    held_out, fit = order[: len(x) // 10], order[len(x) // 10 :]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make_network(tuple(x.shape[1:]), width, len(classes)).to(target)
    _standardize(model, x[fit])
    given = torch.from_numpy(y)
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    for epoch in range(epochs):
        shuffled = fit[torch.randperm(len(fit), generator=random)]
        for rows in torch.split(shuffled, 128):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[rows].to(target)), given[rows].to(target))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if progress is not None:
            progress(epoch + 1)
    model.eval()
    accuracies = [_accuracy(model, x[rows], given[rows], target) for rows in (fit, held_out)]
    return Probe(model.cpu(), classes.tolist(), accuracies[0], accuracies[1], epochs)


class _Standardize(nn.Module):
    """Subtracts means and divides by scales that are part of the model's state."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.get_buffer("mean")) / self.get_buffer("scale")


def make_network(shape: tuple[int, ...], width: int, n_classes: int) -> nn.Sequential:
    """An untrained probe for inputs of this shape: (features,) or (channels, height, width)."""
    if len(shape) == 1:
        return nn.Sequential(
            _Standardize(shape),
            nn.Linear(shape[0], width),
            nn.ReLU(),
            nn.Linear(width, n_classes),
        )
    channels, height, breadth = shape
    return nn.Sequential(
        _Standardize(shape),
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (height // 2) * (breadth // 2), width),
        nn.ReLU(),
        nn.Linear(width, n_classes),
    )


def _standardize(model: nn.Sequential, x: torch.Tensor) -> None:
    first = model[0]
    mean, scale = x.mean(0), x.std(0)
    if x.ndim > 2:  # images: one mean and scale, so that dark corners do not blow up
        mean, scale = x.mean().expand_as(mean), x.std().expand_as(scale)
    with torch.no_grad():
        for name, value in (("mean", mean), ("scale", scale.clamp(min=1e-6))):
            buffer = first.get_buffer(name)
            buffer.copy_(value.to(buffer))


def _accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor, device: torch.device) -> float:
    if not len(x):
        return float("nan")
    with torch.inference_mode():
        right = [
            (model(part.to(device)).argmax(1).cpu() == truth).sum()
            for part, truth in zip(torch.split(x, 4096), torch.split(y, 4096), strict=True)
        ]
    return float(torch.stack(right).sum()) / len(x)
