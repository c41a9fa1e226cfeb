"""Augmentation: labels follow what is seen, nothing else of an image changes."""

from __future__ import annotations

import pytest
import torch

from lazaretto.errors import UsageError
from lazaretto.training import cutmix, mixup, noisy, shifted_crop


def _chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_labels_of_mixed_rows_are_mixed_as_the_rows_are() -> None:
    target = torch.arange(6) % 3
    rows = torch.nn.functional.one_hot(target, 3).float()
    for seed in range(5):
        x, y = mixup(rows, target, 3, generator=_chance(seed))
        assert torch.allclose(x, y)


@pytest.mark.parametrize("alpha", [0.05, 0.4, 1.0, 8.0])
def test_proportions_are_of_the_beta_distribution(alpha: float) -> None:
    chance, rows = _chance(0), torch.tensor([[0.0], [1.0]])
    shares = []
    while len(shares) < 600:
        x, _ = mixup(rows, torch.tensor([0, 1]), 2, alpha=alpha, generator=chance)
        if not torch.equal(x, rows):
            shares.append(float(x[1, 0]))
    seen = torch.tensor(shares)
    spread = (1 / (4 * (2 * alpha + 1))) ** 0.5
    # Rows that stayed in order told nothing, and with them half of the extreme shares is unseen.
    assert float(seen.mean()) == pytest.approx(0.5, abs=0.08)
    assert float(seen.std()) == pytest.approx(spread, rel=0.15)


def test_labels_of_cut_images_follow_the_area() -> None:
    target = torch.arange(4)
    images = target.float()[:, None, None, None].expand(4, 2, 7, 9).contiguous()
    for seed in range(10):
        x, y = cutmix(images, target, 4, generator=_chance(seed))
        for row in range(4):
            shares = torch.stack([(x[row, 0] == one).float().mean() for one in range(4)])
            assert torch.allclose(shares, y[row], atol=1e-6)
        assert torch.equal(x[:, 0], x[:, 1])


def test_a_shifted_image_is_the_image_elsewhere() -> None:
    images = torch.rand(20, 3, 6, 5, generator=_chance(1)) + 1
    moved = shifted_crop(images, 2, generator=_chance(2))
    wide = torch.nn.functional.pad(images, (2, 2, 2, 2))
    steps = set()
    for image, out in zip(wide, moved, strict=True):
        found = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if torch.equal(image[:, row : row + 6, column : column + 5], out)
        ]
        steps.add(found[0])
    assert len(steps) > 5
    assert torch.equal(shifted_crop(images, 0), images)


def test_noise_is_of_its_size_and_stays_valid() -> None:
    rows = torch.full((2000, 4), 0.5)
    free = noisy(rows, 0.2, generator=_chance(3))
    assert float((free - rows).std()) == pytest.approx(0.2, rel=0.05)
    bound = noisy(rows, 2.0, valid=(0.0, 1.0), generator=_chance(3))
    assert (float(bound.min()), float(bound.max())) == (0.0, 1.0)


def test_the_library_s_transforms_give_the_same() -> None:
    """Their shares are drawn otherwise: compared is what follows from one share and one order."""
    v2 = pytest.importorskip("torchvision.transforms.v2")
    rows, target = torch.rand(8, 1, 6, 6, generator=_chance(5)), torch.arange(8) % 4
    torch.manual_seed(0)
    x, y = v2.MixUp(num_classes=4)(rows, target)
    share = float(y[1].max() if y[1, 1] > 0 else 0)
    assert torch.allclose(y.sum(1), torch.ones(8))
    assert torch.allclose(x, share * rows + (1 - share) * rows.roll(1, 0), atol=1e-5)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: mixup(x, torch.zeros(2).long(), 2, alpha=0),
        lambda x: cutmix(x, torch.zeros(2).long(), 2),
        lambda x: shifted_crop(x[:, :, None, None], -1),
        lambda x: noisy(x, -1.0),
    ],
)
def test_what_makes_no_sense_is_refused(call: object) -> None:
    with pytest.raises(UsageError):
        call(torch.ones(2, 3))  # type: ignore[operator]
