"""Run a torch model over a data set and keep what its layers give, one vector per record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lazaretto.activations.feed import batches, length, move, split
from lazaretto.activations.hooks import PENULTIMATE, collecting, match_layers
from lazaretto.activations.pooling import first_tensor, pool
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from lazaretto.activations.feed import Inputs

_PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def capture(
    model: nn.Module,
    data: Any,
    *,
    layers: Sequence[str] | str | None = None,
    pooling: str = "mean",
    inputs: Inputs = None,
    device: str = "auto",
    precision: str = "float32",
    batch_size: int = 256,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Captures layers of a model over a data set, by forward hooks; the model is left as it was.

    The model runs in evaluation mode, without gradients. A mapping batch is passed as keyword
    arguments, as Hugging Face models take it; its ``attention_mask`` keeps padding out of the
    pooling. Out of memory, the batch is halved, and stays so.

    Args:
        model: any torch module.
        data: array or tensor (n, ...), `pyarrow.Table`, `lazaretto.batch.Batch`, torch `Dataset` or
            `DataLoader`, or an iterable of batches.
        layers: names or globs of modules; default: what goes into the linear layer that is called
            last.
        pooling: ``mean`` | ``max`` | ``cls`` | ``flatten``.
        inputs: for tables, the columns that the model reads, or a function from a record batch.
        device: torch device; ``auto``: the model's own, or CUDA where the model is on the CPU and
            a GPU is there.
        precision: ``float32`` | ``bfloat16`` | ``float16``: autocast type of the forward pass.
        batch_size: records per forward pass at most.
        workers: loader processes for a `Dataset`, which must be picklable then.
        progress: called with the number of records after each pass.

    Returns:
        {layer: float32 (n, d)}, rows in the order of the data.

    Raises:
        UsageError: no such layer, a layer that is never called, or data that cannot be read.
    """
    kept: dict[str, list[NDArray[np.float32]]] = {}
    for part in stream(
        model,
        data,
        layers=layers,
        pooling=pooling,
        inputs=inputs,
        device=device,
        precision=precision,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
    ):
        for name, values in part.items():
            kept.setdefault(name, []).append(values)
    if not kept:
        message = "there is no record to run the model on"
        raise UsageError(message)
    return {name: np.concatenate(parts) for name, parts in kept.items()}


def stream(
    model: nn.Module,
    data: Any,
    *,
    layers: Sequence[str] | str | None = None,
    pooling: str = "mean",
    inputs: Inputs = None,
    device: str = "auto",
    precision: str = "float32",
    batch_size: int = 256,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """As `capture`, but yields {layer: float32 (rows, d)} pass by pass, for data beyond memory."""
    patterns = [layers] if isinstance(layers, str) else list(layers or [])
    names = match_layers(model, patterns) if patterns else []
    target = _device(model, device)
    source = batches(
        data, inputs=inputs, batch_size=batch_size, workers=workers, pin=target.type == "cuda"
    )
    cast = (
        torch.autocast(target.type, _PRECISIONS[precision])
        if precision in _PRECISIONS
        else nullcontext()
    )
    limit = batch_size
    with _evaluating(model, target), collecting(model, names) as seen, cast, torch.inference_mode():
        for batch in source:
            queue = [batch]
            while queue:
                part = queue.pop()
                if length(part) > limit:
                    queue += reversed(split(part))
                    continue
                try:
                    result = _forward(
                        model, move(part, target), seen, names or [PENULTIMATE], pooling
                    )
                except torch.OutOfMemoryError:
                    if length(part) == 1:
                        raise
                    limit = (length(part) + 1) // 2
                    queue.append(part)
                    continue
                yield result
                if progress is not None:
                    progress(length(part))


def _forward(
    model: nn.Module, batch: Any, seen: dict[str, Any], names: list[str], pooling: str
) -> dict[str, NDArray[np.float32]]:
    seen.clear()
    mapping = isinstance(batch, Mapping)
    if mapping:
        model(**batch)
    else:
        model(batch)
    missing = [name for name in names if name not in seen]
    if missing:
        message = f"layers {missing} are never called in the model's forward pass"
        raise UsageError(message)
    mask = batch.get("attention_mask") if mapping else None
    n = length(batch)
    result = {}
    for name in names:
        pooled = pool(first_tensor(seen[name]), pooling, mask)
        if len(pooled) != n:
            message = f"layer {name!r} gives {len(pooled)} rows for {n} records"
            raise UsageError(message)
        result[name] = pooled.float().cpu().numpy()
    seen.clear()
    return result


def _device(model: nn.Module, name: str) -> torch.device:
    own = next((p.device for p in model.parameters()), torch.device("cpu"))
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda") if own.type == "cpu" and torch.cuda.is_available() else own


@contextmanager
def _evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
    homes = {p.device for p in model.parameters()}
    movable = len(homes) == 1  # a model that is spread over devices stays where it is
    training = {name: module.training for name, module in model.named_modules()}
    model.eval()
    if movable:
        model.to(device)
    try:
        yield
    finally:
        if movable:
            model.to(next(iter(homes)))
        for name, module in model.named_modules():
            module.training = training[name]
