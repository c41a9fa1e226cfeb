"""Augmentation that weakens triggers: mixup, CutMix, shifted crops and noise, in plain torch.

Borgnia et al. (2021), "Strong data augmentation sanitizes poisoning and backdoor attacks without an
accuracy tradeoff": a trigger that is mixed, cut or shifted away says less about its label. Where
torchvision is installed, ``torchvision.transforms.v2`` has these for whole pipelines; `mixup` and
`cutmix` here give what its ``MixUp`` and ``CutMix`` give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import one_hot, pad

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from torch import Generator, Tensor


def mixup(
    x: Tensor,
    target: Tensor,
    classes: int,
    *,
    alpha: float = 1.0,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Rows mixed with others, and their labels in the same proportion (Zhang et al. 2018).

    For tables, vectors and images. Against blended and patch triggers at low rates; it also
    regularises. Train with `torch.nn.functional.cross_entropy`, which takes the soft labels.

    Args:
        x: floats (n, ...).
        target: int64 (n,).
        classes: how many there are.
        alpha: of the Beta distribution, above 0; 1: every proportion alike.
        generator: of chance, on the CPU.

    Returns:
        The mixed rows, and floats (n, classes) that sum to 1.

    Raises:
        UsageError: `alpha` is not positive.

    Examples:
        >>> import torch
        >>> x, y = mixup(torch.eye(4), torch.tensor([0, 1, 0, 1]), 2)
        >>> x.shape, y.sum(1).allclose(torch.ones(4))
        (torch.Size([4, 4]), True)
    """
    share = _beta(alpha, generator)
    order = _order(x, generator)
    soft = one_hot(target, classes).to(x.dtype)
    return share * x + (1 - share) * x[order], share * soft + (1 - share) * soft[order]


def cutmix(
    x: Tensor,
    target: Tensor,
    classes: int,
    *,
    alpha: float = 1.0,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Images with a rectangle of others, labels by area (Yun et al. 2019).

    For images, against patch triggers, which it cuts out of some and pastes into others.

    Args:
        x: floats (n, channels, height, width).
        target: int64 (n,).
        classes: how many there are.
        alpha: of the Beta distribution of the area that stays, above 0.
        generator: of chance, on the CPU.

    Returns:
        The images, and floats (n, classes) that sum to 1.

    Raises:
        UsageError: `alpha` is not positive, or these are no images.

    Examples:
        >>> import torch
        >>> x, y = cutmix(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), 2)
        >>> x.shape, y.shape
        (torch.Size([4, 1, 8, 8]), torch.Size([4, 2]))
    """
    height, width = _image(x)
    side = (1 - _beta(alpha, generator)) ** 0.5
    middle = torch.rand(2, generator=generator)
    top, bottom = _span(float(middle[0]) * height, side * height, height)
    left, right = _span(float(middle[1]) * width, side * width, width)
    order = _order(x, generator)
    mixed = x.clone()
    mixed[..., top:bottom, left:right] = x[order][..., top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    soft = one_hot(target, classes).to(x.dtype)
    return mixed, kept * soft + (1 - kept) * soft[order]


def shifted_crop(x: Tensor, margin: int = 2, *, generator: Generator | None = None) -> Tensor:
    """Each image shifted by up to `margin` pixels, with zeros at the rim (Krizhevsky 2009).

    Against triggers that sit at one place; none against those that fill the image.

    Args:
        x: floats (n, channels, height, width).
        margin: pixels, at least 0.
        generator: of chance, on the CPU.

    Raises:
        UsageError: these are no images, or the margin is negative.

    Examples:
        >>> import torch
        >>> shifted_crop(torch.rand(4, 1, 8, 8)).shape
        torch.Size([4, 1, 8, 8])
    """
    height, width = _image(x)
    if margin < 0:
        raise UsageError(f"margin must be at least 0, not {margin}")
    wide = pad(x, (margin, margin, margin, margin))
    steps = torch.randint(2 * margin + 1, (len(x), 2), generator=generator).to(x.device)
    rows = steps[:, :1] + torch.arange(height, device=x.device)
    columns = steps[:, 1:] + torch.arange(width, device=x.device)
    image = torch.arange(len(x), device=x.device)[:, None, None]
    # Indices apart from the channels put these last.
    return wide[image, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def noisy(
    x: Tensor,
    sigma: float = 0.1,
    *,
    valid: tuple[float, float] | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Rows with Gaussian noise, clipped to what is valid (Bishop 1995).

    For tables, vectors and images. Against faint blended triggers, whose strength it must reach.

    Args:
        x: floats (n, ...).
        sigma: spread of the noise, at least 0, in the unit of `x`.
        valid: least and greatest value; None: not clipped.
        generator: of chance, on the CPU.

    Raises:
        UsageError: `sigma` is negative.

    Examples:
        >>> import torch
        >>> noisy(torch.zeros(2, 3), 0.5, valid=(0.0, 1.0)).min().item()
        0.0
    """
    if sigma < 0:
        raise UsageError(f"sigma must be at least 0, not {sigma}")
    noise = torch.randn(x.shape, generator=generator).to(x)
    moved = x + sigma * noise
    return moved if valid is None else moved.clamp(*valid)


def _beta(alpha: float, generator: Generator | None) -> float:
    if not alpha > 0:
        raise UsageError(f"alpha must be above 0, not {alpha}")
    shape = torch.full((2,), alpha, dtype=torch.float64)
    # In logs: gammas of small shapes underflow.
    drawn = torch._standard_gamma(shape + 1, generator=generator).log()
    drawn += torch.rand(2, generator=generator, dtype=torch.float64).log() / alpha
    return float(drawn.softmax(0)[0])


def _order(x: Tensor, generator: Generator | None) -> Tensor:
    return torch.randperm(len(x), generator=generator).to(x.device)


def _image(x: Tensor) -> tuple[int, int]:
    if x.ndim != 4:
        raise UsageError(f"images are (n, channels, height, width), not {tuple(x.shape)}")
    return int(x.shape[2]), int(x.shape[3])


def _span(middle: float, length: float, most: int) -> tuple[int, int]:
    return max(0, round(middle - length / 2)), min(most, round(middle + length / 2))
