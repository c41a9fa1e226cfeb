"""Run a torch model over a data set and keep what its layers give, one vector per record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lazaretto.activations.feed import batches
from lazaretto.activations.hooks import PENULTIMATE, called_layers, collecting, match_layers
from lazaretto.activations.layouts import features_last
from lazaretto.activations.model_input import accepted, length, move, split, tensors
from lazaretto.activations.pooling import POOLINGS, main_tensor, pool
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from lazaretto.activations.feed import Inputs

_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


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

    The model runs in evaluation mode, without gradients; numbers are cast to its own precision. A
    mapping batch is passed as keyword arguments, as Hugging Face models take it: those that the
    model's forward names. Its ``attention_mask`` (of a decoder's layers, its
    ``decoder_attention_mask``) keeps padding out of the pooling. Out of memory, the batch is
    halved, and stays so.

    Args:
        model: any torch module.
        data: array or tensor (n, ...), a mapping of such, `pyarrow.Table`, `lazaretto.batch.Batch`,
            torch `Dataset` or `DataLoader`, or an iterable of batches.
        layers: names or globs of modules, as `model.named_modules` has them; ``*`` stays within
            one level of a name, ``**`` stands for any number of levels. Default: ``penultimate``,
            what goes into the linear layer that is called last.
        pooling: ``mean`` | ``max`` | ``cls`` | ``flatten``; what it leaves is (n, d), with the
            features on the last axis whatever the layer's own order is.
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
        TypeError: the model needs an input that the data does not have.

    Examples:
        >>> import torch
        >>> rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> {name: values.shape for name, values in capture(model, rows, layers=["0"]).items()}
        {'0': (8, 3)}
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
    for name, parts in kept.items():
        widths = {part.shape[1] for part in parts}
        if len(widths) > 1:
            message = (
                f"layer {name!r} returns different widths in different batches: {sorted(widths)}. "
                "Choose another pooling"
            )
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
    patterns = [layers] if isinstance(layers, str) else list(layers or [PENULTIMATE])
    if pooling not in POOLINGS or precision not in _PRECISIONS:
        message = f"pooling is one of {', '.join(POOLINGS)}; precision of {', '.join(_PRECISIONS)}"
        raise UsageError(message)
    names = match_layers(model, patterns)
    target, own = _device(model, device), _own_type(model)
    choose = accepted(model)
    source = batches(
        choose(tensors(data)) if isinstance(data, Mapping) else data,
        inputs=inputs,
        batch_size=batch_size,
        workers=workers,
        pin=target.type == "cuda",
    )
    limit, first = batch_size, True
    with _evaluating(model, target), collecting(model, names) as seen:
        for batch in source:
            queue = [choose(batch)]
            while queue:
                part = queue.pop()
                if length(part) > limit:
                    queue += reversed(split(part))
                    continue
                seen.clear()
                try:
                    # Entered anew for each pass: what runs between two passes is the caller's.
                    with torch.inference_mode(), _cast(target, precision):
                        _run(model, move(part, target, own))
                        names = called_layers(names, patterns, seen) if first else names
                        result = _pooled(model, part, seen, names, pooling)
                except torch.OutOfMemoryError:
                    if length(part) == 1:
                        raise
                    limit = (length(part) + 1) // 2
                    queue.append(part)
                    continue
                first = False
                yield result
                if progress is not None:
                    progress(length(part))


def _run(model: nn.Module, batch: Any) -> None:
    if isinstance(batch, Mapping):
        model(**batch)
    else:
        model(batch)


def _pooled(
    model: nn.Module, batch: Any, seen: dict[str, Any], names: list[str], pooling: str
) -> dict[str, NDArray[np.float32]]:
    masks = batch if isinstance(batch, Mapping) else {}
    n = length(batch)
    result = {}
    for name in names:
        if name not in seen:
            message = f"layer {name!r} was called for some records and not for others"
            raise UsageError(message)
        values = features_last(main_tensor(seen.pop(name)), model, name)
        mask = masks.get(f"{'decoder_' if 'decoder' in name.split('.') else ''}attention_mask")
        pooled = pool(values, pooling, None if mask is None else mask.to(values.device))
        if len(pooled) != n:
            message = f"layer {name!r} returns {len(pooled)} rows for {n} records"
            raise UsageError(message)
        result[name] = pooled.cpu().numpy()
    return result


def _cast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    kind = _PRECISIONS[precision]
    return nullcontext() if kind is None else torch.autocast(device.type, kind)


def _own_type(model: nn.Module) -> torch.dtype | None:
    """Floating-point type of the model's first weights, None where it has none."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), None)


def _device(model: nn.Module, name: str) -> torch.device:
    own = next((p.device for p in model.parameters()), torch.device("cpu"))
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda") if own.type == "cpu" and torch.cuda.is_available() else own


@contextmanager
def _evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
    homes = {p.device for p in model.parameters()}
    # A model that is spread over devices stays as it is; so does one that is there already, for
    # quantised models refuse to be moved.
    movable = len(homes) == 1 and device not in homes
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
