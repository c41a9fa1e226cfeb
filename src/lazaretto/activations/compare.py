"""Compare two models without knowing the attack: loss, accuracy and agreement, class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from lazaretto.activations.capture import capture
from lazaretto.activations.hooks import OUTPUT
from lazaretto.errors import UsageError
from lazaretto.stats.conformal import conformal_p_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from lazaretto.activations.feed import Inputs

    Labels: TypeAlias = "Sequence[Any] | pa.Array | pa.ChunkedArray"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found.

    Attributes:
        classes: one row per class of the rows that neither model learned from: ``label``, ``n``,
            ``loss_before``, ``loss_after``, ``accuracy_before``, ``accuracy_after``, ``agreement``
            (share of rows to which both models give the same class).
        held: one row per held record: ``record_id``, ``label`` (given), ``loss_before``,
            ``loss_after``, ``predicted_before``, ``predicted_after``, and ``p_after``, the rank of
            its loss after among the losses of unheld rows of the class. To a model that never saw
            it, a mislabelled or triggered record is a surprise: small p, another class predicted.
            A clean record is none.
    """

    classes: pa.Table
    held: pa.Table

    @property
    def overall(self) -> dict[str, float]:
        """The columns of `classes` over all their rows."""
        weights = self.classes["n"].to_numpy() / max(1, sum(self.classes["n"].to_pylist()))
        return {
            name: float(weights @ self.classes[name].to_numpy())
            for name in self.classes.schema.names[2:]
        }

    @property
    def contradicted(self) -> int:
        """How many held records get another class than their label from the model after."""
        label, after = self.held["label"].to_pylist(), self.held["predicted_after"].to_pylist()
        return sum(a != b for a, b in zip(label, after, strict=True))


def compare(
    before: nn.Module,
    after: nn.Module,
    data: Any,
    labels: Labels,
    *,
    held: tuple[Any, Labels, Sequence[str] | pa.Array] | None = None,
    classes: Sequence[str] | None = None,
    inputs: Inputs = None,
    device: str = "auto",
    batch_size: int = 256,
) -> Comparison:
    """Compares a model with the one that was trained again, without the held records.

    No trigger and no attack has to be known. If what was held was poison, the classes keep or
    improve their loss and the models agree on trusted rows, while the held records surprise the
    model that did not learn them. If what was held was clean, classes that lost many rows get
    worse, and the held records do not surprise.

    Args:
        before: classifier trained on all rows; its output is logits (n, classes), or has them
            first, as Hugging Face's do.
        after: the same, trained without the held rows.
        data: rows that neither learned from, as for `lazaretto.capture`.
        labels: (n,) their labels.
        held: the held rows, their given labels and record ids.
        classes: class names in the order of the outputs; default: see `class_names`.
        inputs: for tables, what the models read.
        device: torch device, or ``auto``.
        batch_size: records per forward pass at most.

    Raises:
        UsageError: labels and outputs do not fit together.

    Examples:
        >>> import torch
        >>> rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> found = compare(model, model, rows, ["0", "1"] * 4, classes=["0", "1"])
        >>> found.classes["agreement"].to_pylist()
        [1.0, 1.0]
    """
    options = {"inputs": inputs, "device": device, "batch_size": batch_size}
    held = held or (None, [], [])
    texts, suspects = _texts(labels), _texts(held[1])
    first = _judge(before, data, texts, suspects, classes, options)
    second = _judge(after, data, texts, suspects, classes, options)
    names = sorted(set(texts))
    rows = np.asarray(texts)
    table: dict[str, list[Any]] = {"label": names, "n": [int((rows == c).sum()) for c in names]}
    for column, values in {
        "loss_before": first.loss,
        "loss_after": second.loss,
        "accuracy_before": first.predicted == rows,
        "accuracy_after": second.predicted == rows,
        "agreement": first.predicted == second.predicted,
    }.items():
        table[column] = [float(values[rows == c].mean()) for c in names]
    return Comparison(pa.table(table), _held(held, first, second, rows, (before, after), options))


def class_names(
    model: nn.Module, labels: Sequence[str], width: int, given: Sequence[str] | None = None
) -> list[str]:
    """Class names in the order of a model's outputs.

    They are what is given; or ``config.id2label``, which models of Hugging Face carry; or the
    integers from 0 when all labels are such; or the sorted labels when there are as many.

    Raises:
        UsageError: none of them fits.
    """
    config = getattr(model, "config", None)
    carried = [str(name) for _, name in sorted(getattr(config, "id2label", {}).items())]
    distinct = sorted(set(labels))
    numbers = [str(number) for number in range(width)]
    for names in ([str(name) for name in given or []], carried, numbers, distinct):
        if len(names) == width and set(distinct) <= set(names):
            return names
    message = (
        f"the model has {width} outputs, but the labels are {', '.join(distinct[:10])}: name the "
        "class of each output (`classes`)"
    )
    raise UsageError(message)


@dataclass(frozen=True, slots=True)
class _Judged:
    """Losses (n,) in nats, float64, and predicted class names (n,)."""

    names: list[str]
    loss: NDArray[np.float64]
    predicted: NDArray[np.str_]


def _judge(
    model: nn.Module,
    data: Any,
    labels: list[str],
    others: list[str],
    names: Sequence[str] | None,
    options: dict[str, Any],
) -> _Judged:
    logits = capture(model, data, layers=OUTPUT, pooling="flatten", **options)[OUTPUT]
    if len(logits) != len(labels):
        raise UsageError(f"{len(labels)} labels for {len(logits)} rows; give one per row")
    if not np.isfinite(logits).all():
        raise UsageError("a model's outputs are not finite numbers: it cannot be compared")
    classes = class_names(model, labels + others, logits.shape[1], names)
    values = logits.astype(np.float64)
    values -= values.max(1, keepdims=True)
    given = np.array([classes.index(label) for label in labels])
    loss = np.log(np.exp(values).sum(1)) - values[np.arange(len(given)), given]
    return _Judged(classes, loss, np.asarray(classes)[values.argmax(1)])


def _held(
    held: tuple[Any, Labels, Sequence[str] | pa.Array],
    first: _Judged,
    second: _Judged,
    rows: NDArray[np.str_],
    models: tuple[nn.Module, nn.Module],
    options: dict[str, Any],
) -> pa.Table:
    data, labels, ids = held
    texts = _texts(labels)
    if texts:
        a = _judge(models[0], data, texts, [], first.names, options)
        b = _judge(models[1], data, texts, [], second.names, options)
    else:
        a = b = _Judged([], np.zeros(0), np.zeros(0, np.str_))
    given, p_after = np.asarray(texts), np.zeros(len(texts))
    for label in set(texts):
        mine = given == label
        p_after[mine] = conformal_p_values([b.loss[mine]], [second.loss[rows == label]])
    return pa.table(
        {
            "record_id": pa.array(ids, pa.string()),
            "label": pa.array(texts, pa.string()),
            "loss_before": pa.array(a.loss, pa.float64()),
            "loss_after": pa.array(b.loss, pa.float64()),
            "predicted_before": pa.array(a.predicted.tolist(), pa.string()),
            "predicted_after": pa.array(b.predicted.tolist(), pa.string()),
            "p_after": pa.array(p_after, pa.float64()),
        }
    )


def _texts(labels: Labels) -> list[str]:
    values = labels.to_pylist() if hasattr(labels, "to_pylist") else list(labels)
    return [str(value) for value in values]
