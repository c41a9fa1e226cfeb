"""Two looks at one image that a person would call the same: what contrastive training compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

if TYPE_CHECKING:
    from torch import Generator, Tensor

SMALLEST_CROP = 0.7
"""Side of a crop, of the image's. Chen et al. go down to .28, for photographs: in small pictures
too little would be left."""
LIGHT, TINT, NOISE = 0.4, 0.2, 0.1
"""By how much brightness and contrast change, by how much a single colour does, and the largest
spread of the noise, in images from 0 to 1."""


def random_view(images: Tensor, *, flip: bool, generator: Generator) -> Tensor:
    """Each image cropped and scaled back, lit otherwise, half of them blurred, and noisy.

    After Chen et al. (2020), section 3 and appendix A, without the part that turns colours.

    Args:
        images: floats (n, channels, height, width) in 0..1.
        flip: whether left and right may change places, which letters and digits do not bear.
        generator: of chance, on the CPU.

    Returns:
        Floats of the same shape, in 0..1.
    """
    count, channels = images.shape[:2]

    def drawn(low: float, high: float, width: int = 1) -> Tensor:
        chance = torch.rand(count, width, 1, 1, generator=generator)
        return low + (high - low) * chance

    side = drawn(SMALLEST_CROP, 1, 2).flatten(1)
    middle = (1 - side) * drawn(-1, 1, 2).flatten(1)
    place = torch.zeros(count, 2, 3)
    place[:, 0, 0], place[:, 1, 1], place[:, :, 2] = side[:, 0], side[:, 1], middle
    if flip:
        place[:, 0, 0] *= torch.where(drawn(0, 1).flatten() < 0.5, -1.0, 1.0)
    grid = affine_grid(place, list(images.shape), align_corners=False)
    seen = grid_sample(images, grid, padding_mode="border", align_corners=False)

    seen = seen * drawn(1 - LIGHT, 1 + LIGHT)
    if channels > 1:
        seen = seen * drawn(1 - TINT, 1 + TINT, channels)
    grey = seen.mean((1, 2, 3), keepdim=True)
    seen = grey + (seen - grey) * drawn(1 - LIGHT, 1 + LIGHT)
    blurred = torch.relu(drawn(-1, 1))
    seen = seen + blurred * (_blur(seen) - seen)
    noise = torch.randn(seen.shape, generator=generator)
    return (seen + drawn(0, NOISE) * noise).clamp(0, 1)


def _blur(images: Tensor) -> Tensor:
    """Each pixel mixed with its eight neighbours, by the smallest binomial kernel."""
    line = torch.tensor([0.25, 0.5, 0.25])
    channels = images.shape[1]
    kernel = torch.outer(line, line).expand(channels, 1, 3, 3)
    return conv2d(pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)
