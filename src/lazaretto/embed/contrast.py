"""Contrastive training in plain torch: SimCLR's loss, a small network, and the loop."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import (
    adaptive_avg_pool2d,
    conv2d,
    cross_entropy,
    linear,
    max_pool2d,
    normalize,
)

from lazaretto.embed.views import random_view
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Generator, Tensor

CELLS = 2
"""Cells per side over which the last layer is averaged."""
_BATCH, _RATE, _HEAD = 128, 1e-3, 64


def nt_xent(one: Tensor, other: Tensor, *, temperature: float = 0.5) -> Tensor:
    """The normalised temperature-scaled cross entropy of two views of each image.

    Chen, Kornblith, Norouzi, Hinton (2020), "A simple framework for contrastive learning of visual
    representations", section 2.1: each of the 2n views must be told from the 2n - 2 views of other
    images by its likeness (cosine) to the other view of its own.

    Args:
        one: floats (n, d), a view of each image; n at least 1.
        other: floats (n, d), another view of the same images, in the same order.
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


def layer_count(height: int, width: int) -> int:
    """How many convolutions an image of this size gets: 1 to 3, each at half the side."""
    side = min(height, width)
    return 1 + (side >= 4) + (side >= 16)


def represent(images: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """What the network says of images: floats (n, `CELLS` x `CELLS` x channels of its last layer).

    Args:
        images: floats (n, channels, height, width), in 0..1 where they are like the fitted ones.
        state: ``layer0.weight``, ``layer0.bias`` and so on, as `learn` gives them.
    """
    seen = images
    for number in range(len(state) // 2):
        if number:
            seen = max_pool2d(seen, 2)
        name = f"layer{number}"
        seen = torch.relu(conv2d(seen, state[f"{name}.weight"], state[f"{name}.bias"], padding=1))
    return adaptive_avg_pool2d(seen, CELLS).flatten(1)


def learn(
    count: int,
    shape: tuple[int, int, int],
    take: Callable[[Tensor], Tensor],
    *,
    dimensions: int,
    temperature: float,
    epochs: int,
    flip: bool,
    seed: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Tensor]:
    """Trains the network of `represent` on images without labels.

    Args:
        count: of the images, at least 2.
        shape: channels, height and width.
        take: gives the images of some places, floats (k, channels, height, width) in 0..1.
            Only one batch of them is asked for at a time.
        dimensions: of `represent`, a multiple of `CELLS` x `CELLS`.
        temperature: of `nt_xent`.
        epochs: passes.
        flip: see `random_view`.
        seed: of weights, order and views.
        progress: called with a step's name, the passes done and all passes.

    Returns:
        The layers' weights, without the head that only the training needs.
    """
    chance = torch.Generator().manual_seed(seed)
    channels = dimensions // CELLS**2
    depth = layer_count(*shape[1:])
    widths = [shape[0], *(max(1, channels >> left) for left in reversed(range(depth)))]
    state: dict[str, Tensor] = {}
    for number, (before, after) in enumerate(pairwise(widths)):
        state |= _drawn(f"layer{number}", (after, before, 3, 3), chance)
    head = _drawn("in", (dimensions, dimensions), chance) | _drawn(
        "out", (_HEAD, dimensions), chance
    )
    for tensor in (*state.values(), *head.values()):
        tensor.requires_grad_(True)
    optimizer = torch.optim.Adam([*state.values(), *head.values()], _RATE)

    def projected(images: Tensor) -> Tensor:
        code = represent(random_view(images, flip=flip, generator=chance), state)
        hidden = torch.relu(linear(code, head["in.weight"], head["in.bias"]))
        return linear(hidden, head["out.weight"], head["out.bias"])

    for epoch in range(epochs):
        for places in torch.split(torch.randperm(count, generator=chance), _BATCH):
            if len(places) < 2:
                continue  # there is nothing to tell it from
            images = take(places)
            optimizer.zero_grad()
            loss = nt_xent(projected(images), projected(images), temperature=temperature)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if progress is not None:
            progress("fitting the encoder", epoch + 1, epochs)
    return {name: tensor.detach() for name, tensor in state.items()}


def _drawn(name: str, shape: tuple[int, ...], chance: Generator) -> dict[str, Tensor]:
    """A layer as He et al. (2015) begin it."""
    inputs = torch.Size(shape[1:]).numel()
    weight = torch.randn(shape, generator=chance) * (2 / inputs) ** 0.5
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(shape[0])}
