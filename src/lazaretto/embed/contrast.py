"""Contrastive training in plain torch: SimCLR's loss and the loop, for images and for texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy, linear, normalize

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Generator, Tensor

_BATCH, _RATE, _HEAD = 128, 1e-3, 64


def nt_xent(one: Tensor, other: Tensor, *, temperature: float = 0.5) -> Tensor:
    """The normalised temperature-scaled cross entropy of two views of each record.

    Chen, Kornblith, Norouzi, Hinton (2020), "A simple framework for contrastive learning of visual
    representations", section 2.1: each of the 2n views must be told from the 2n - 2 views of other
    records by its likeness (cosine) to the other view of its own.

    Args:
        one: floats (n, d), a view of each record; n at least 1.
        other: floats (n, d), another view of the same records, in the same order.
        temperature: above 0; a small one looks at the most alike of the others only.

    Returns:
        The mean over the 2n views, at least 0; differentiable.

    Raises:
        UsageError: the views have other shapes, or the temperature is not positive.

    Examples:
        >>> import torch
        >>> alike = torch.eye(3)
        >>> round(float(nt_xent(alike, alike, temperature=0.5)), 4)  # log(1 + 4 exp(-2))
        0.4327
    """
    if one.ndim != 2 or one.shape != other.shape or not len(one):
        raise UsageError(
            f"views are (n, d), alike and not empty; not {(*one.shape,)} and {(*other.shape,)}"
        )
    if not temperature > 0:
        raise UsageError(f"temperature must be above 0, not {temperature}")
    count = len(one)
    views = normalize(torch.cat([one, other]), dim=1)
    likeness = views @ views.T / temperature
    itself = torch.eye(2 * count, dtype=torch.bool, device=one.device)
    partner = torch.arange(2 * count, device=one.device).roll(count)
    return cross_entropy(likeness.masked_fill(itself, float("-inf")), partner)


def learn(
    count: int,
    state: dict[str, Tensor],
    represent: Callable[[Tensor, Mapping[str, Tensor]], Tensor],
    views: Callable[[Tensor], tuple[Tensor, Tensor]],
    *,
    dimensions: int,
    temperature: float,
    epochs: int,
    chance: Generator,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Tensor]:
    """Trains a network to tell which two views are of one record; no label is read.

    Args:
        count: of the records, at least 2.
        state: the network's tensors, as they begin; they are trained in place.
        represent: what the network of `state` says of inputs, floats (k, `dimensions`).
        views: gives two inputs of the network for each of some places. Only one batch of them is
            asked for at a time.
        dimensions: of `represent`.
        temperature: of `nt_xent`.
        epochs: passes.
        chance: of the head's weights, of the order, and of `views` where it takes it, too.
        progress: called with a step's name, the passes done and all passes.

    Returns:
        The network's tensors, without the head that only the training needs.
    """
    head = drawn("in", (dimensions, dimensions), chance) | drawn("out", (_HEAD, dimensions), chance)
    for tensor in (*state.values(), *head.values()):
        tensor.requires_grad_(True)
    optimizer = torch.optim.Adam([*state.values(), *head.values()], _RATE)

    def projected(inputs: Tensor) -> Tensor:
        hidden = torch.relu(linear(represent(inputs, state), head["in.weight"], head["in.bias"]))
        return linear(hidden, head["out.weight"], head["out.bias"])

    for epoch in range(epochs):
        for places in torch.split(torch.randperm(count, generator=chance), _BATCH):
            if len(places) < 2:
                continue  # there is nothing to tell it from
            one, other = views(places)
            optimizer.zero_grad()
            loss = nt_xent(projected(one), projected(other), temperature=temperature)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if progress is not None:
            progress("fitting the encoder", epoch + 1, epochs)
    return {name: tensor.detach() for name, tensor in state.items()}


def drawn(name: str, shape: tuple[int, ...], chance: Generator) -> dict[str, Tensor]:
    """A layer's weight and bias as He et al. (2015) begin them: ``name.weight``, ``name.bias``."""
    inputs = torch.Size(shape[1:]).numel()
    weight = torch.randn(shape, generator=chance) * (2 / inputs) ** 0.5
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(shape[0])}
