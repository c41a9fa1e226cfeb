"""Objectives over groups of rows, such as sources: group DRO, and caps on what a source says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from torch import Tensor


class GroupDRO(nn.Module):
    """Weighs groups by how badly they do: group DRO (Sagawa et al. 2020, algorithm 1).

    For rare groups that a plain mean gives up, where groups are **trusted** to be labelled rightly.
    A group of wrong labels does badly, too, and gets more weight: with hostile sources as groups it
    helps the attacker, and `capped_losses` is what you want.

    Args:
        groups: every group that may come, such as sources or values of a column.
        step: how fast weights follow the losses, above 0; the paper takes 0.01.

    Examples:
        >>> import torch
        >>> objective = GroupDRO(["a", "b"], step=1.0)
        >>> loss = objective(torch.tensor([0.0, 2.0]), ["a", "b"])
        >>> [round(weight, 2) for weight in objective.weights.tolist()]
        [0.12, 0.88]
    """

    weights: Tensor

    def __init__(self, groups: Sequence[Hashable], step: float = 0.01) -> None:
        super().__init__()
        if not groups or len(set(groups)) != len(groups) or not step > 0:
            raise UsageError("group DRO takes at least one group, each once, and a step above 0")
        self._place = {group: place for place, group in enumerate(groups)}
        self.step = step
        self.register_buffer("weights", torch.full((len(groups),), 1.0 / len(groups)))

    def forward(
        self, losses: Tensor, groups: Sequence[Hashable], weight: Tensor | None = None
    ) -> Tensor:
        """The weighted sum of the groups' mean losses, after their weights were moved.

        Args:
            losses: (n,).
            groups: (n,) the group of each row.
            weight: (n,) sample weights within each group.

        Raises:
            UsageError: a group was not named before, or the lengths differ.
        """
        strange = sorted({str(one) for one in groups if one not in self._place})
        if strange:
            raise UsageError(f"group {strange[0]!r} was not named when the objective was made")
        place = _places([self._place[one] for one in groups], losses)
        means = _means(losses, place, len(self.weights), weight)
        seen = torch.bincount(place, minlength=len(self.weights)) > 0
        with torch.no_grad():
            moved = self.weights * torch.exp(self.step * means.detach().to(self.weights))
            self.weights.copy_(moved / moved.sum())
        return (self.weights.to(losses)[seen] * means[seen]).sum()


def capped_losses(losses: Tensor, sources: Sequence[Hashable], *, share: float = 0.2) -> Tensor:
    """Scales losses so that no source says more than a share of a batch: float (n,).

    Ours, after the clipped mean. For many sources of which one may be hostile: however many rows a
    source sends and however wrong they are, its part of the batch's loss is bounded, and with it
    the scale of its gradient. With fewer sources than ``1 / share`` all get the same part. What a
    source does within its part is not limited.

    Args:
        losses: (n,), not negative.
        sources: (n,) the source of each row.
        share: of the batch's summed loss, above 0 to 1.

    Returns:
        The losses, those of each source times one factor without gradient. Their sum is smaller.

    Raises:
        UsageError: `share` is out of range, or the lengths differ.

    Examples:
        >>> import torch
        >>> losses = torch.tensor([1.0, 1.0, 8.0])
        >>> capped_losses(losses, ["a", "b", "c"], share=0.5).tolist()
        [1.0, 1.0, 2.0]
    """
    if not 0 < share <= 1:
        raise UsageError(f"share must be above 0 and at most 1, not {share}")
    names = list(dict.fromkeys(sources))
    order = {name: number for number, name in enumerate(names)}
    place = _places([order[one] for one in sources], losses)
    with torch.no_grad():
        said = torch.zeros(len(names), dtype=torch.float64, device=losses.device)
        said.index_add_(0, place, losses.double())
        factor = (_capped(said, share) / said.clamp(min=1e-300)).clamp(max=1)
    return losses * factor.to(losses)[place]


def _capped(said: Tensor, share: float) -> Tensor:
    """The largest amounts, none above what was said, of which none is above the share of all."""
    count = len(said)
    if share * count <= 1:
        return said.min().expand(count)
    ascending = said.sort().values
    below = ascending.cumsum(0) - ascending
    for number in range(count):
        # The sources from `number` on are cut to one level: level = share * (below + k * level).
        k = count - number
        room = 1 - share * k
        if room <= 0:
            continue
        level = share * below[number] / room
        if bool(level <= ascending[number]):
            return said.clamp(max=level)
    return said


def _places(numbers: list[int], losses: Tensor) -> Tensor:
    if losses.ndim != 1 or len(numbers) != len(losses):
        raise UsageError(f"{len(numbers)} groups for losses of shape {tuple(losses.shape)}")
    return torch.tensor(numbers, device=losses.device, dtype=torch.int64)


def _means(losses: Tensor, place: Tensor, count: int, weight: Tensor | None) -> Tensor:
    """Mean loss of each group; 0 where it has no row."""
    weighs = torch.ones_like(losses) if weight is None else weight.to(losses)
    total = torch.zeros(count, dtype=losses.dtype, device=losses.device)
    total = total.index_add(0, place, weighs)
    sums = torch.zeros_like(total).index_add(0, place, losses * weighs)
    return sums / total.clamp(min=torch.finfo(losses.dtype).tiny)
