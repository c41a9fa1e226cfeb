"""Rows to vectors by a denoising autoencoder: fitted on trusted rows, without their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.embed.columns import is_list
from lazaretto.embed.state import Packed, pack, unpacked
from lazaretto.embed.tabular import TabularEncoder, fit_tabular, read_tabular
from lazaretto.errors import PolicyError, ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa
    from torch import Tensor

    Floats = npt.NDArray[np.float32]

_HELD_OUT, _PATIENCE, _BATCH, _RATE = 0.15, 5, 256, 1e-3


@dataclass(frozen=True, slots=True)
class DenoisingEncoder(Packed):
    """The hidden code of a network that learned to undo noise (Vincent et al. 2010).

    Attributes:
        lists: columns of number lists, each with its width.
        table: encodes the plain columns; None: there are none.
        tensors: float32: ``center`` and ``scale`` of the inputs, and the two layers that make the
            code.
    """

    lists: tuple[tuple[str, int], ...]
    table: TabularEncoder | None
    tensors: dict[str, Floats]

    @property
    def name(self) -> str:
        """Encoder name."""
        return "denoising"

    @property
    def dimensions(self) -> int:
        """Width of the vectors."""
        return int(self.tensors["code.weight"].shape[0])

    def to_bytes(self) -> bytes:
        """The state: a line of JSON, then safetensors."""
        table = None if self.table is None else self.table.to_json().decode()
        return pack({"lists": [list(one) for one in self.lists], "table": table}, self.tensors)

    def encode(self, chunk: pa.RecordBatch) -> Floats:
        """Float32 (n, d). A row whose list is missing or of another width gives zeros.

        Raises:
            ReferenceMismatchError: a column is missing, or is no longer of the kind that it was.
        """
        rows, unusable = _inputs(chunk, self.lists, self.table)
        state = self.tensors
        scaled = (rows - state["center"]) / state["scale"]
        hidden = np.maximum(scaled @ state["hidden.weight"].T + state["hidden.bias"], 0)
        code = np.asarray(hidden @ state["code.weight"].T + state["code.bias"], np.float32)
        code[unusable] = 0
        return code


def fit_denoising(
    trusted: pa.Table,
    columns: Sequence[str],
    *,
    dimensions: int = 32,
    noise: float = 0.3,
    epochs: int = 60,
    seed: int = 0,
) -> DenoisingEncoder:
    """Fits the encoder on trusted rows; no label is read, so that wrong labels cannot bend it.

    Numbers are standardised, categories become one entry each. In every step a share of the inputs
    is set to its mean, and the network learns to give them back (Vincent, Larochelle, Lajoie,
    Bengio, Manzagol 2010, "Stacked denoising autoencoders", masking noise). Held-out rows say when
    to stop.

    Args:
        trusted: rows.
        columns: numbers, texts with few values, and lists of numbers of one width, such as pixels.
        dimensions: width of the code, at least 1.
        noise: share of the inputs that is masked, 0 to below 1.
        epochs: at most.
        seed: of weights, noise and order.

    Raises:
        ReferenceMismatchError: a column is missing or cannot be encoded, or there are too few rows.
        PolicyError: a number is out of range, or the encoder would read nothing.

    Examples:
        >>> import pyarrow as pa
        >>> rows = pa.table({"age": [20.0, 30.0, 40.0] * 9, "city": ["Rom", "Bari", "Rom"] * 9})
        >>> encoder = fit_denoising(rows, ["age", "city"], dimensions=4, epochs=2)
        >>> encoder.encode(rows.to_batches()[0]).shape
        (27, 4)
    """
    import torch

    if dimensions < 1 or not 0 <= noise < 1 or epochs < 0:
        raise PolicyError("denoising: dimensions from 1, noise in 0..1 (not 1), epochs from 0")
    if trusted.num_rows < 8:
        raise ReferenceMismatchError(f"{trusted.num_rows} trusted rows are too few to fit on")
    lists, plain = _kinds(trusted, columns)
    table = fit_tabular(trusted, plain) if plain else None
    chunk = trusted.combine_chunks().to_batches()[0]
    rows, unusable = _inputs(chunk, lists, table)
    rows = np.delete(rows, unusable, axis=0)
    center, scale = rows.mean(0), np.maximum(rows.std(0), 1e-3 * max(float(rows.std()), 1e-6))
    inputs = torch.from_numpy(((rows - center) / scale).astype(np.float32))
    learned = _train(inputs, dimensions, noise, epochs, seed)
    kept = {name: tensor.detach().numpy() for name, tensor in learned.items()}
    kept |= {"center": center.astype(np.float32), "scale": scale.astype(np.float32)}
    return DenoisingEncoder(lists, table, kept)


def read_denoising(data: bytes, name: str) -> DenoisingEncoder:
    """The encoder whose state `DenoisingEncoder.to_bytes` gave; `name` is for messages.

    Raises:
        PolicyError: it is not such a state.
    """
    with unpacked(data, name, "denoising") as (said, state):
        lists = tuple((str(column), int(width)) for column, width in said["lists"])
        table = None if said["table"] is None else read_tabular(said["table"].encode(), name)
        width = sum(size for _, size in lists) + (0 if table is None else table.dimensions)
        hidden, code = state["hidden.weight"], state["code.weight"]
        fits = hidden.shape[1] == len(state["center"]) == len(state["scale"]) == width
        fits &= len(state["hidden.bias"]) == len(hidden) == code.shape[1]
        fits &= len(state["code.bias"]) == len(code)
    if not fits:
        raise PolicyError(f"{name}: its tensors do not fit together")
    return DenoisingEncoder(lists, table, state)


def _kinds(
    trusted: pa.Table, columns: Sequence[str]
) -> tuple[tuple[tuple[str, int], ...], list[str]]:
    from lazaretto.batch._columns import vectors

    lists, plain = [], []
    for name in columns:
        kind = trusted.schema.field(name).type if name in trusted.column_names else None
        if kind is not None and is_list(kind):
            lists.append((name, int(vectors(trusted[name], name, None).values.shape[1])))
        else:
            plain.append(name)
    return tuple(lists), plain


def _inputs(
    chunk: pa.RecordBatch, lists: Sequence[tuple[str, int]], table: TabularEncoder | None
) -> tuple[Floats, list[int]]:
    """All inputs side by side, and which rows cannot be used."""
    from lazaretto.batch._columns import vectors

    parts: list[Floats] = []
    unusable: set[int] = set()
    for name, width in lists:
        if name not in chunk.schema.names:
            raise ReferenceMismatchError(f"embed.columns: the batch has no column {name!r}")
        read = vectors(chunk.column(name), name, width)
        parts.append(read.values)
        unusable |= set(read.problems)
    if table is not None:
        parts.append(table.encode(chunk))
    return np.concatenate(parts, axis=1, dtype=np.float32), sorted(unusable)


def _train(
    inputs: Tensor, dimensions: int, noise: float, epochs: int, seed: int
) -> dict[str, Tensor]:
    import torch
    from torch import nn

    chance = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(inputs), generator=chance)
    held = max(1, round(_HELD_OUT * len(inputs)))
    check, train = inputs[order[:held]], inputs[order[held:]]
    width = inputs.shape[1]
    wide = max(2 * dimensions, min(256, width))
    sizes = {"hidden": (wide, width), "code": (dimensions, wide)}
    sizes |= {"back": (wide, dimensions), "out": (width, wide)}
    state: dict[str, Tensor] = {}
    for name, (rows, columns) in sizes.items():
        drawn = torch.randn(rows, columns, generator=chance) * (2 / (rows + columns)) ** 0.5
        state[f"{name}.weight"], state[f"{name}.bias"] = drawn, torch.zeros(rows)
    for tensor in state.values():
        tensor.requires_grad_(True)
    optimizer = torch.optim.Adam(list(state.values()), _RATE)
    best, lowest, waited = _code(state), float("inf"), 0
    for _ in range(epochs):
        for part in torch.split(torch.randperm(len(train), generator=chance), _BATCH):
            batch = train[part]
            kept = torch.rand(batch.shape, generator=chance) >= noise
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(_back(batch * kept, state), batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            missed = float(nn.functional.mse_loss(_back(check, state), check))
        waited += 1
        if missed < lowest:
            best, lowest, waited = _code(state), missed, 0
        if waited >= _PATIENCE:
            break
    return best


def _code(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor.detach().clone()
        for name, tensor in state.items()
        if name.startswith(("hidden.", "code."))
    }


def _back(rows: Tensor, state: dict[str, Tensor]) -> Tensor:
    import torch

    hidden = torch.relu(rows @ state["hidden.weight"].T + state["hidden.bias"])
    code = hidden @ state["code.weight"].T + state["code.bias"]
    hidden = torch.relu(code @ state["back.weight"].T + state["back.bias"])
    return hidden @ state["out.weight"].T + state["out.bias"]
