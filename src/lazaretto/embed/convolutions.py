"""The small network that contrastive training fits on images."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import adaptive_avg_pool2d, conv2d, max_pool2d

from lazaretto.embed.contrast import drawn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Generator, Tensor

CELLS = 2
"""Cells per side over which the last layer is averaged."""


def layer_count(height: int, width: int) -> int:
    """How many convolutions an image of this size gets: 1 to 3, each at half the side."""
    side = min(height, width)
    return 1 + (side >= 4) + (side >= 16)


def represent(images: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """What the network says of images: floats (n, `CELLS` x `CELLS` x channels of its last layer).

    Args:
        images: floats (n, channels, height, width), in 0..1 where they are like the fitted ones.
        state: ``layer0.weight``, ``layer0.bias`` and so on, as `beginning` makes them.
    """
    seen = images
    for number in range(len(state) // 2):
        if number:
            seen = max_pool2d(seen, 2)
        name = f"layer{number}"
        seen = torch.relu(conv2d(seen, state[f"{name}.weight"], state[f"{name}.bias"], padding=1))
    return adaptive_avg_pool2d(seen, CELLS).flatten(1)


def beginning(shape: tuple[int, int, int], dimensions: int, chance: Generator) -> dict[str, Tensor]:
    """The network before it learned.

    Args:
        shape: channels, height and width of an image.
        dimensions: of `represent`, a multiple of `CELLS` x `CELLS`.
        chance: of the weights.
    """
    channels, depth = dimensions // CELLS**2, layer_count(*shape[1:])
    widths = [shape[0], *(max(1, channels >> left) for left in reversed(range(depth)))]
    state: dict[str, Tensor] = {}
    for number, (before, after) in enumerate(pairwise(widths)):
        state |= drawn(f"layer{number}", (after, before, 3, 3), chance)
    return state
