"""Stress: rows that are damaged as they are in the field, and attacks that follow gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from lazaretto.models.answers import chunks_of, logits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt
    from torch import nn

    Floats = npt.NDArray[np.float32]

NOISE = 0.1
MISSING = 0.1
TYPOS = 0.1
TOKENS = 0.1
PGD_STEPS = 10
_MOST_ATTACKED = 1_000
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def corrupted(
    rows: pa.Table, columns: Sequence[str], image: tuple[int, int, int] | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """The rows with each damage that fits their columns, one at a time; the same every time.

    Noise of a tenth of each feature's range, a tenth of the features missing (0), and, for
    flattened images, the mean of three by three pixels (Hendrycks and Dietterich 2019, section 3).
    Of words of text, one in ten has two letters swapped (Belinkov and Bisk 2018, section 3). Or a
    token that nobody uses is put before one in ten, and at least one: a made-up name or address
    (Ribeiro et al. 2020, "Beyond accuracy: behavioral testing of NLP models with CheckList",
    section 2).

    Args:
        rows: of the test set.
        columns: that the model reads.
        image: channels, height and width, where a vector is a flattened image.

    Yields:
        The name of the damage, and the damaged rows.
    """
    vectors = [name for name in columns if _is_vector(rows.schema.field(name).type)]
    numbers = [name for name in columns if _is_number(rows.schema.field(name).type)]
    texts = [name for name in columns if _is_text(rows.schema.field(name).type)]
    for name, damage in (("noise", _noise), ("missing values", _missing)):
        if vectors or numbers:
            yield name, _with_numbers(_with_vectors(rows, vectors, damage), numbers, damage)
    if vectors and image is not None:
        shape = image
        yield "blur", _with_vectors(rows, vectors, lambda values: _blur(values, shape))
    if texts:
        yield "typos", _with_texts(rows, texts, _misspelt)
        yield "unexpected tokens", _with_texts(rows, texts, _interrupted)


def attacked(
    module: nn.Module,
    inputs: Any,
    rows: pa.Table,
    targets: Sequence[int],
    epsilon: float,
) -> dict[str, float]:
    """Share of right answers under FGSM (Goodfellow et al. 2015, section 4) and PGD.

    PGD takes ten steps of a quarter of ε from a random start within ε, in the maximum norm (Madry
    et al. 2018, section 2.1). Values stay in the range that each chunk of rows has. At most 1,000
    rows are attacked, spread over the test set.

    Args:
        module: in evaluation mode; its input is one float tensor.
        inputs: what it reads of rows.
        rows: of the test set.
        targets: (rows,) index of each row's class; rows with -1 are left out.
        epsilon: how far a value may be moved, in the input's own unit.

    Returns:
        By attack; empty where the input is no single float tensor, or the model has no gradient.
    """
    import torch

    from lazaretto.activations.feed import to_inputs
    from lazaretto.activations.model_input import tensors

    step = max(1, rows.num_rows // _MOST_ATTACKED)
    kept = [row for row in range(0, rows.num_rows, step) if targets[row] >= 0]
    right = {"fgsm": 0, "pgd": 0}
    done = 0
    draw = torch.Generator().manual_seed(0)
    for chunk in chunks_of(rows.take(pa.array(kept, pa.int64()))):
        clean = tensors(to_inputs(chunk, inputs))
        if not isinstance(clean, torch.Tensor) or not clean.is_floating_point():
            return {}
        target = torch.tensor([targets[row] for row in kept[done : done + len(clean)]])
        done += len(clean)
        start = clean + epsilon * (2 * torch.rand(clean.shape, generator=draw) - 1)
        for name, first, size, steps in (
            ("fgsm", clean, epsilon, 1),
            ("pgd", start, epsilon / 4, PGD_STEPS),
        ):
            moved = _ascend(module, clean, first, target, epsilon, size, steps)
            if moved is None:
                return {}
            with torch.no_grad():
                right[name] += int((module(moved).argmax(1) == target).sum())
    return {name: count / len(kept) for name, count in right.items()} if kept else {}


def _ascend(
    module: nn.Module,
    clean: Any,
    first: Any,
    target: Any,
    epsilon: float,
    size: float,
    steps: int,
) -> Any:
    """Steps up the loss, within ε of the clean rows and their range; None without a gradient."""
    import torch
    from torch.nn.functional import cross_entropy

    low, high = clean.min(), clean.max()
    at = first.clamp(low, high).detach()
    for _ in range(steps):
        at.requires_grad_(True)
        loss = cross_entropy(module(at), target)
        try:
            [gradient] = torch.autograd.grad(loss, at)
        except RuntimeError:
            return None
        moved = at.detach() + size * gradient.sign()
        at = torch.minimum(torch.maximum(moved, clean - epsilon), clean + epsilon)
        at = at.clamp(low, high).detach()
    return at


def differentiable(module: nn.Module | None, inputs: Any, rows: pa.Table) -> bool:
    """Whether the model's first answer has a gradient to follow."""
    if module is None or not rows.num_rows:
        return False
    return bool(logits_of(module, inputs, chunks_of(rows.slice(0, 1))[0]).requires_grad)


def _noise(values: Floats) -> Floats:
    span = values.max(axis=0) - values.min(axis=0)
    draw = np.random.default_rng(0).normal(size=values.shape)
    moved = values + NOISE * span * draw
    return np.asarray(np.clip(moved, values.min(axis=0), values.max(axis=0)), np.float32)


def _missing(values: Floats) -> Floats:
    gone = np.random.default_rng(1).random(values.shape) < MISSING
    return np.where(gone, np.float32(0), values)


def _blur(values: Floats, image: tuple[int, int, int]) -> Floats:
    channels, height, width = image
    pictures = values.reshape(-1, channels, height, width)
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    parts = [padded[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.asarray(np.mean(parts, axis=0).reshape(values.shape), np.float32)


def _with_vectors(
    rows: pa.Table, columns: Sequence[str], damage: Callable[[Floats], Floats]
) -> pa.Table:
    for name in columns:
        kind = rows.schema.field(name).type
        flat = rows[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        values = np.asarray(flat, np.float32).reshape(rows.num_rows, -1)
        made = pa.array(list(damage(values)), pa.list_(pa.float32()))
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, made.cast(kind))
    return rows


def _with_numbers(
    rows: pa.Table, columns: Sequence[str], damage: Callable[[Floats], Floats]
) -> pa.Table:
    """The columns side by side are one vector to the damage; what is missing stays missing."""
    if not columns:
        return rows
    read = np.stack([rows[name].cast(pa.float64()).to_numpy() for name in columns], axis=1)
    there = np.isfinite(read)
    # What is not there must not widen the range that noise goes by.
    middle = np.where(there, read, 0).sum(0) / np.maximum(there.sum(0), 1)
    filled = np.where(there, read, middle)
    damaged = damage(filled.astype(np.float32)).astype(np.float64)
    # Single precision rounds beyond the largest integer of a type.
    damaged = damaged.clip(np.minimum(filled.min(0), 0), np.maximum(filled.max(0), 0))
    for column, name in enumerate(columns):
        kind = rows.schema.field(name).type
        values = np.where(there[:, column], damaged[:, column], read[:, column])
        if pt.is_integer(kind):
            values = np.rint(values)
        made = pa.array(values, mask=rows[name].is_null().to_numpy())
        rows = rows.set_column(rows.schema.get_field_index(name), name, made.cast(kind))
    return rows


def _with_texts(
    rows: pa.Table,
    columns: Sequence[str],
    damage: Callable[[str, np.random.Generator], str],
) -> pa.Table:
    draw = np.random.default_rng(2)
    for name in columns:
        texts = rows[name].to_pylist()
        made = pa.array([None if text is None else damage(text, draw) for text in texts])
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, made.cast(rows.schema.field(name).type))
    return rows


def _misspelt(text: str, draw: np.random.Generator) -> str:
    return " ".join(_swapped(word, draw) for word in text.split(" "))


def _interrupted(text: str, draw: np.random.Generator) -> str:
    words = text.split(" ")
    places = np.flatnonzero(draw.random(len(words)) < TOKENS)
    if not len(places):
        places = draw.integers(len(words), size=1)
    for place in reversed(places.tolist()):
        words.insert(place, _unexpected(draw))
    return " ".join(words)


def _unexpected(draw: np.random.Generator) -> str:
    letters = "".join(_LETTERS[at] for at in draw.integers(len(_LETTERS), size=8))
    return f"@{letters}" if draw.random() < 0.5 else f"https://example.org/{letters}"


def _swapped(word: str, draw: np.random.Generator) -> str:
    if len(word) < 2 or draw.random() >= TYPOS:
        return word
    at = int(draw.integers(len(word) - 1))
    return f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}"


def _is_vector(kind: pa.DataType) -> bool:
    lists = pt.is_list(kind) or pt.is_fixed_size_list(kind) or pt.is_large_list(kind)
    return bool(lists and pt.is_floating(kind.value_type))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_floating(kind) or pt.is_integer(kind))
