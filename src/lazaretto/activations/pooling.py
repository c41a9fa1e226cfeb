"""Make one vector per record out of a layer's output: images, sequences and vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

POOLINGS = ("mean", "max", "cls", "flatten")


def main_tensor(output: Any) -> torch.Tensor:
    """The tensor that a layer's output is about: itself, or the first with a row per record.

    Tuples, mappings and dataclasses are looked through in their order, which in the model outputs
    of Hugging Face has the last hidden state first, or behind a scalar loss.

    Raises:
        UsageError: the output has no tensor.
    """
    found = list(_tensors(output))
    if not found:
        message = f"a layer returned a {type(output).__name__} that holds no tensor to capture"
        raise UsageError(message)
    return next((tensor for tensor in found if tensor.ndim > 1), found[0])


def pool(values: torch.Tensor, how: str, mask: torch.Tensor | None) -> torch.Tensor:
    """Pools a layer's output to float32 (n, d), whatever its precision.

    Args:
        values: (n, d) vectors, (n, t, d) sequences or (n, *space, d) maps.
        how: ``mean`` or ``max`` over tokens or space, ``cls`` (the first token), ``flatten``.
        mask: (n, t), non-zero where a token is real; padding is left out of ``mean`` and ``max``.

    Raises:
        UsageError: ``cls`` for something that is not a sequence, an output without a row per
            record, or a sequence of another length than a mask that hides something of it.
    """
    if values.ndim < 2:
        message = f"a layer's output has shape {tuple(values.shape)}: no vector per record"
        raise UsageError(message)
    # Half precision holds neither the sum of many tokens nor the masked-out minimum.
    values = values.float()
    if values.ndim == 2 or how == "flatten":
        return values.flatten(1)
    if how == "cls":
        if values.ndim != 3:
            message = f"pooling 'cls' needs (records, tokens, features), not {tuple(values.shape)}"
            raise UsageError(message)
        return values[:, 0]
    if values.ndim == 3 and mask is not None:
        return _pool_tokens(values, how, mask)
    space = values.flatten(1, -2)
    return space.mean(1) if how == "mean" else space.amax(1)


def _pool_tokens(values: torch.Tensor, how: str, mask: torch.Tensor) -> torch.Tensor:
    real = mask.bool()
    if mask.shape != values.shape[:2]:
        if not real.all():
            message = (
                f"the attention mask covers {mask.shape[-1]} positions, but the layer returns "
                f"{values.shape[1]} tokens, so its padding cannot be recognised: pool by cls, name "
                "another layer, or give batches in which all records have one length"
            )
            raise UsageError(message)
        return values.mean(1) if how == "mean" else values.amax(1)
    if how == "max":
        return values.masked_fill(~real[:, :, None], torch.finfo(values.dtype).min).amax(1)
    count = real.sum(1, keepdim=True).clamp(min=1)
    return values.masked_fill(~real[:, :, None], 0).sum(1) / count


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
        return
    parts: Iterable[Any] = ()
    if isinstance(output, Mapping):
        parts = output.values()
    elif isinstance(output, (list, tuple)):
        parts = output
    elif is_dataclass(output):
        parts = [getattr(output, field.name) for field in fields(output)]
    for part in parts:
        if isinstance(part, torch.Tensor):
            yield part
