"""What one forward pass reads: a tensor or a mapping of tensors; cut, converted and moved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from torch import nn


def tensors(batch: Any) -> Any:
    """The batch with its arrays as tensors."""
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "biufc":
        return torch.from_numpy(batch)
    return _inside(batch, tensors)


def length(batch: Any) -> int:
    """Number of records of a batch.

    Raises:
        UsageError: there is no tensor with a row per record.
    """
    if isinstance(batch, torch.Tensor) and batch.ndim:
        return len(batch)
    values = batch.values() if isinstance(batch, Mapping) else batch
    if isinstance(batch, (Mapping, list, tuple)):
        for value in values:
            if isinstance(value, (torch.Tensor, Mapping, list, tuple)):
                return length(value)
    message = f"a batch is a {type(batch).__name__} that holds no tensor of records"
    raise UsageError(message)


def piece(batch: Any, part: slice) -> Any:
    """Some records of a batch, of its tensors inside mappings and sequences alike."""
    if isinstance(batch, torch.Tensor):
        return batch[part] if batch.ndim else batch
    return _inside(batch, lambda value: piece(value, part))


def split(batch: Any) -> tuple[Any, Any]:
    """A batch in two halves."""
    half = (length(batch) + 1) // 2
    return piece(batch, slice(None, half)), piece(batch, slice(half, None))


def pinned(batch: Any) -> Any:
    """The batch in page-locked memory, from which a GPU copies while it computes.

    What is on a device already stays there.
    """
    if isinstance(batch, torch.Tensor):
        return batch.pin_memory() if batch.device.type == "cpu" else batch
    return _inside(batch, pinned)


def move(batch: Any, device: torch.device, dtype: torch.dtype | None = None) -> Any:
    """The batch on `device`, its floating-point tensors as `dtype`."""
    if isinstance(batch, torch.Tensor):
        kind = dtype if batch.is_floating_point() else None
        return batch.to(device, kind, non_blocking=True)
    return _inside(batch, lambda value: move(value, device, dtype))


def accepted(model: nn.Module) -> Callable[[Any], Any]:
    """A function that leaves out what a mapping batch has and the model's forward does not name.

    Data sets carry more columns than a model reads: labels, ids, text. A forward that names none
    of them, only ``**kwargs``, gets the tensors.
    """
    parameters = inspect.signature(model.forward).parameters.values()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)

    def choose(batch: Any) -> Any:
        if not isinstance(batch, Mapping):
            return batch
        chosen = {name: value for name, value in batch.items() if name in named}
        if not chosen and anything:
            chosen = {k: v for k, v in batch.items() if isinstance(v, torch.Tensor)}
        if not chosen:
            message = (
                f"the model reads {sorted(named)}, but a batch has {[str(k) for k in batch]}: "
                "give the batch the names that the model reads"
            )
            raise UsageError(message)
        return chosen

    return choose


def _inside(batch: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(batch, Mapping):
        return {name: change(value) for name, value in batch.items()}
    if isinstance(batch, (list, tuple)) and not hasattr(batch, "_fields"):
        return type(batch)(change(value) for value in batch)
    return batch
