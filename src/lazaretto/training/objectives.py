"""Robust objectives: losses in which a few wrong rows cannot say much. Plain torch functions.

Each gives one loss per row with ``reduction="none"``, so that sample weights, `trimmed` and
`SourceCaps` apply to all of them. Gradients are torch's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

Reduction = Literal["none", "mean"]


def weighted_mean(losses: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean loss, in which rows count by their sample weight.

    Args:
        losses: (n,).
        weight: (n,), not negative; None: all alike.

    Raises:
        UsageError: the shapes differ, or all weights are zero.

    Examples:
        >>> import torch
        >>> weighted_mean(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 0.5])).item()
        1.6666666269302368
    """
    if weight is None:
        return losses.mean()
    if weight.shape != losses.shape:
        raise UsageError(f"{tuple(weight.shape)} weights for {tuple(losses.shape)} losses")
    total = weight.sum()
    if not bool(total > 0):
        raise UsageError("all sample weights are zero: no row says anything")
    return (losses * weight).sum() / total


def huber(
    prediction: Tensor,
    target: Tensor,
    *,
    delta: float = 1.0,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Huber's loss for numbers: squared up to `delta`, straight beyond (Huber 1964, section 2).

    For regression where some targets are far off. A row pulls at most with `delta`, in the unit of
    the residual: scale the target to unit spread first. It does not limit rows whose features are
    extreme.

    Args:
        prediction: (n,) or (n, k).
        target: the same shape.
        delta: where it turns straight, above 0; 1.0 to 1.5 spreads is usual.
        weight: (n,) sample weights.
        reduction: ``none``: float (n,), the mean over outputs of each row.

    Raises:
        UsageError: shapes differ, or `delta` is not positive.

    Examples:
        >>> import torch
        >>> huber(torch.tensor([0.5, 4.0]), torch.zeros(2), reduction="none").tolist()
        [0.125, 3.5]
    """
    residual = _residual(prediction, target)
    _positive(delta, "delta")
    size = residual.abs()
    each = torch.where(size <= delta, residual.square() / 2, delta * (size - delta / 2))
    return _reduced(_by_row(each), weight, reduction)


def tukey_biweight(
    prediction: Tensor,
    target: Tensor,
    *,
    c: float = 4.685,
    scale: float | Tensor | None = None,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Tukey's biweight: a row that is far off does not pull at all (Beaton and Tukey 1974).

    For regression with gross errors. It has local minima: begin with `huber` for some epochs. Rows
    beyond ``c * scale`` have no gradient, rare right ones among them.

    Args:
        prediction: (n,) or (n, k).
        target: the same shape.
        c: where it turns flat, in scales; 4.685 keeps 95 % efficiency on normal residuals.
        scale: of residuals; None: their median absolute deviation in this batch times 1.4826,
            without gradient.
        weight: (n,) sample weights.
        reduction: ``none``: float (n,), the mean over outputs of each row.

    Raises:
        UsageError: shapes differ, or `c` or the scale is not positive.

    Examples:
        >>> import torch
        >>> far = torch.tensor([10.0, 100.0])
        >>> lost = tukey_biweight(far, torch.zeros(2), scale=1.0, reduction="none")
        >>> [round(one, 3) for one in lost.tolist()]
        [3.658, 3.658]
    """
    residual = _residual(prediction, target)
    _positive(c, "c")
    if scale is None:
        with torch.no_grad():
            centred = residual - residual.median()
            scale = (1.4826 * centred.abs().median()).clamp(min=torch.finfo(residual.dtype).eps)
    elif not bool(torch.as_tensor(scale > 0).all()):
        raise UsageError("the scale must be above 0")
    inside = (residual / (c * scale)).square().clamp(max=1)
    return _reduced(_by_row(c**2 / 6 * (1 - (1 - inside) ** 3)), weight, reduction)


def generalised_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    q: float = 0.7,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Between cross entropy and the mean absolute error (Zhang and Sabuncu 2018, equation 6).

    ``(1 - p ** q) / q`` with p the probability of the given label. For classes with wrong labels: a
    row whose label the model does not believe pulls less. It learns slower than cross entropy, and
    a backdoor that the model fits early is believed like any class.

    Args:
        logits: (n, classes).
        target: int64 (n,).
        q: above 0 (cross entropy) to 1 (mean absolute error).
        weight: (n,) sample weights.
        reduction: ``none``: float (n,), in 0..1 / q.

    Raises:
        UsageError: `q` is out of range.

    Examples:
        >>> import torch
        >>> generalised_cross_entropy(torch.zeros(1, 2), torch.tensor([0]), q=1.0).item()
        0.5
    """
    if not 0 < q <= 1:
        raise UsageError(f"q must be above 0 and at most 1, not {q}")
    log_p = logits.log_softmax(1).gather(1, target[:, None]).squeeze(1)
    return _reduced(-torch.expm1(q * log_p) / q, weight, reduction)


def trimmed(losses: Tensor, share: float, *, weight: Tensor | None = None) -> Tensor:
    """Mean loss without the rows that lose most (Shen and Sanghavi 2019, ITLM, algorithm 1).

    Chosen anew in each call, so a training iterates between choosing and fitting. For wrong labels
    and gross errors, once the model has begun to learn: train some epochs with ``share=0``. What is
    hard and right is trimmed, too; a backdoor that was learned early has small losses and stays.

    Args:
        losses: (n,), of one batch of at least some tens of rows.
        share: of rows left out, from 0 and below 1: how much of a set may be poison. The policy
            says it: ``policy.training.trim_share``.
        weight: (n,) sample weights of the rows that stay.

    Raises:
        UsageError: `share` is out of range.

    Examples:
        >>> import torch
        >>> trimmed(torch.tensor([1.0, 2.0, 30.0]), 0.34).item()
        1.5
    """
    if not 0 <= share < 1:
        raise UsageError(f"share must be from 0 and below 1, not {share}")
    out = min(int(share * len(losses)), len(losses) - 1)
    # By order, so that ties do not leave out more than the share.
    kept = losses.detach().argsort(stable=True)[: len(losses) - out]
    return weighted_mean(losses[kept], None if weight is None else weight[kept])


def penalty(parameters: Iterable[Tensor], *, l1: float = 0.0, l2: float = 0.0) -> Tensor:
    """``l1 * sum |w| + l2 / 2 * sum w²`` of weights, to add to a loss (Zou and Hastie 2005).

    L2 limits how far a few rows can bend a model, L1 removes features that only few rows need, such
    as a trigger's. Neither knows which rows are wrong. 1e-4 to 1e-2 is usual.

    Args:
        parameters: such as ``model.parameters()``; leave out biases and norms.
        l1: not negative.
        l2: not negative.

    Raises:
        UsageError: a strength is negative, or there is no parameter.

    Examples:
        >>> import torch
        >>> penalty([torch.tensor([3.0, -4.0])], l1=1.0, l2=2.0).item()
        32.0
    """
    if l1 < 0 or l2 < 0:
        raise UsageError("strengths of a penalty are not negative")
    terms = [l1 * one.abs().sum() + l2 / 2 * one.square().sum() for one in parameters]
    if not terms:
        raise UsageError("there is no parameter to penalise")
    return torch.stack(terms).sum()


def _reduced(losses: Tensor, weight: Tensor | None, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return losses if weight is None else losses * weight
    return weighted_mean(losses, weight)


def _residual(prediction: Tensor, target: Tensor) -> Tensor:
    if prediction.shape != target.shape:
        shapes = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
        raise UsageError(f"prediction and target have shapes {shapes}")
    return prediction - target


def _by_row(each: Tensor) -> Tensor:
    return each if each.ndim == 1 else each.flatten(1).mean(1)


def _positive(value: float, name: str) -> None:
    if not value > 0:
        raise UsageError(f"{name} must be above 0, not {value}")
