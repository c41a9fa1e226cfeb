"""A probe network for teams that have no model yet: trained on labelled rows, for sanitizing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from lazaretto.activations import Probe
    from lazaretto.policy import Policy


def train_probe(
    rows: pa.Table,
    policy: Policy,
    *,
    image: str | None,
    epochs: int,
    seed: int,
    device: str,
    progress: Callable[[int], None] | None = None,
) -> Probe:
    """Trains a probe on the policy's embedding and label columns; its model reads flat vectors.

    Args:
        rows: with both columns.
        policy: names them.
        image: ``CHANNELSxHEIGHTxWIDTH`` when the embedding is a flattened image.
        epochs: passes over the rows.
        seed: of the training.
        device: torch device, or ``auto``.
        progress: called with the epoch's number after each.

    Raises:
        UsageError: the policy names no label or no embedding column, or the rows have one class.
    """
    from lazaretto.activations import probe

    label, embedding = policy.columns.label, policy.columns.embedding
    if label is None or embedding is None:
        raise UsageError("a probe learns columns.label from columns.embedding: name both")
    shape = _shape(image)
    trained = probe(
        rows,
        rows[label].to_pylist(),
        inputs=[embedding],
        image=shape,
        epochs=epochs,
        seed=seed,
        device=device,
        progress=progress,
    )
    if shape is None:
        return trained
    from torch import nn

    return replace(trained, model=nn.Sequential(nn.Unflatten(1, shape), trained.model))


def _shape(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise UsageError(f"--image {text!r} is not CHANNELSxHEIGHTxWIDTH, such as 1x28x28")
    channels, height, width = (int(part) for part in parts)
    return channels, height, width
