"""Make one vector per record out of a layer's output: images, sequences and vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from lazaretto.errors import UsageError


def first_tensor(output: Any) -> torch.Tensor:
    """The tensor that a layer's output is about: itself, or the first of a tuple or model output.

    Raises:
        UsageError: the output has no tensor.
    """
    if isinstance(output, torch.Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output
    if isinstance(values, (list, tuple)) or isinstance(output, Mapping):
        for value in values:
            if isinstance(value, torch.Tensor):
                return value
    message = f"a layer gave {type(output).__name__}, in which there is no tensor to capture"
    raise UsageError(message)


def pool(values: torch.Tensor, how: str, mask: torch.Tensor | None) -> torch.Tensor:
    """Pools a layer's output to (n, d).

    Args:
        values: (n, d) vectors, (n, t, d) sequences or (n, c, *space) channels-first maps.
        how: ``mean`` or ``max`` over tokens or space, ``cls`` (the first token), ``flatten``.
        mask: (n, t), non-zero where a token is real; padding is left out of ``mean`` and ``max``.

    Raises:
        UsageError: ``cls`` for something that is not a sequence, or an output without a row per
            record.
    """
    if values.ndim < 2:
        message = f"a layer's output has shape {tuple(values.shape)}: no vector per record"
        raise UsageError(message)
    if values.ndim == 2 or how == "flatten":
        return values.flatten(1)
    if how == "cls":
        if values.ndim != 3:
            message = f"pooling 'cls' needs (records, tokens, features), not {tuple(values.shape)}"
            raise UsageError(message)
        return values[:, 0]
    if values.ndim == 3:
        return _pool_tokens(values, how, mask)
    return values.flatten(2).mean(2) if how == "mean" else values.flatten(2).amax(2)


def _pool_tokens(values: torch.Tensor, how: str, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is None or mask.shape != values.shape[:2]:
        return values.mean(1) if how == "mean" else values.amax(1)
    real = mask.bool()[:, :, None]
    if how == "max":
        return values.masked_fill(~real, torch.finfo(values.dtype).min).amax(1)
    count = real.sum(1).clamp(min=1)
    return values.masked_fill(~real, 0).sum(1) / count
