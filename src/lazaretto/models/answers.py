"""What a model answers to rows: by torch, ONNX or a function of the user's, or from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lazaretto.errors import UsageError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import pyarrow as pa
    from torch import nn

    Floats = npt.NDArray[np.float64]
    Answer = Callable[[pa.Table], "Answers"]

_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answers to some rows.

    Attributes:
        labels: the class of each row, as text; None: it answered none.
        probabilities: float64 (rows, classes), each row adding up to one; None: it gives none.
        classes: class of each column.
    """

    labels: list[str | None]
    probabilities: Floats | None = None
    classes: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be asked.

    Attributes:
        how: ``torch``, ``onnx``, ``function`` or ``predictions``.
        answer: what it answers to rows.
        module: of torch, whose gradients attacks follow; None: it has none that can be followed.
        inputs: what that reads; see `lazaretto.capture`.
    """

    how: str
    answer: Answer
    module: nn.Module | None = None
    inputs: Any = None


def of_torch(
    module: nn.Module, inputs: Any, labels: Sequence[str], classes: Sequence[str] | None = None
) -> Model:
    """A torch module whose outputs are logits, one for each class.

    Args:
        module: the model; it is put in evaluation mode.
        inputs: a column, columns, or a function from a record batch to its input.
        labels: of the test set; where `classes` is not given, they name the outputs.
        classes: class of each output.
    """
    import torch

    from lazaretto.activations.compare import class_names

    module.eval()

    def answer(rows: pa.Table) -> Answers:
        with torch.no_grad():
            found = [logits_of(module, inputs, chunk) for chunk in chunks_of(rows)]
        logits = torch.cat(found).double().numpy() if found else np.empty((0, len(classes or [])))
        names = list(class_names(module, labels, logits.shape[1], classes))
        return _of_scores(_softmax(logits), names)

    return Model("torch", answer, module, inputs)


def of_function(
    function: Callable[[pa.Table], Any], labels: Sequence[str], classes: Sequence[str] | None = None
) -> Model:
    """A function from rows to labels, or to an array (rows, classes) of probabilities.

    Args:
        function: of the user's.
        labels: of the test set; where `classes` is not given, they name the columns, sorted.
        classes: class of each column.
    """

    def answer(rows: pa.Table) -> Answers:
        try:
            said = function(rows)
        except Exception as error:
            raise UsageError(f"the model failed on the rows: {error_line(error)}") from error
        return _read(said, rows.num_rows, labels, classes)

    return Model("function", answer)


def of_onnx(
    path: str | Path, inputs: Any, labels: Sequence[str], classes: Sequence[str] | None = None
) -> Model:
    """An ONNX model with one input, whose first output of floats is one number for each class.

    Raises:
        ModuleNotFoundError: `onnxruntime` is not installed: ``pip install 'lazaretto[onnx]'``.
        UsageError: it cannot be loaded, or has another form.
    """
    import onnxruntime as ort

    try:
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UsageError(f"{path} is no ONNX model that can be run: {error_line(error)}") from error
    if len(session.get_inputs()) != 1:
        raise UsageError("the ONNX model has more than one input: give a function instead")
    asked = session.get_inputs()[0].name

    def answer(rows: pa.Table) -> Answers:
        from lazaretto.activations.feed import to_inputs

        found = []
        for chunk in chunks_of(rows):
            outputs = session.run(None, {asked: np.asarray(to_inputs(chunk, inputs))})
            scores = [one for one in outputs if getattr(one, "ndim", 0) == 2]
            if not scores:
                raise UsageError("the ONNX model gives no table of numbers: give a function")
            found.append(np.asarray(scores[0], np.float64))
        return _read(np.concatenate(found), rows.num_rows, labels, classes)

    return Model("onnx", answer)


def of_predictions(told: Sequence[str | None]) -> Model:
    """Answers that somebody else wrote down, in the order of the test set's rows.

    Args:
        told: class of each row.
    """

    def answer(rows: pa.Table) -> Answers:
        if rows.num_rows != len(told):
            raise UsageError(
                f"the file of predictions has {len(told):,} rows, the test set {rows.num_rows:,}"
            )
        return Answers(list(told))

    return Model("predictions", answer)


def logits_of(module: nn.Module, inputs: Any, chunk: pa.RecordBatch) -> Any:
    """Outputs of a module for a record batch, float tensor (rows, classes).

    Raises:
        UsageError: it gives something else.
    """
    import torch

    from lazaretto.activations.feed import to_inputs
    from lazaretto.activations.model_input import accepted, tensors

    given = accepted(module)(tensors(to_inputs(chunk, inputs)))
    output = module(**given) if isinstance(given, dict) else module(given)
    logits = output if isinstance(output, torch.Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        raise UsageError("the model must give one number for each class: a tensor (rows, classes)")
    return logits


def chunks_of(rows: pa.Table) -> list[pa.RecordBatch]:
    """Rows in pieces that a model takes at once."""
    return [
        rows.slice(first, _AT_ONCE).combine_chunks().to_batches()[0]
        for first in range(0, rows.num_rows, _AT_ONCE)
    ]


def _read(said: Any, rows: int, labels: Sequence[str], classes: Sequence[str] | None) -> Answers:
    array = np.asarray(said.to_pylist() if hasattr(said, "to_pylist") else said)
    if len(array) != rows:
        raise UsageError(f"the model gave {len(array):,} answers to {rows:,} rows")
    if array.ndim == 1:
        return Answers([None if one is None else _text(one) for one in array.tolist()])
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise UsageError("the model must give a label for each row, or numbers (rows, classes)")
    names = list(classes or _names(sorted(set(labels), key=_order), array.shape[1]))
    if len(names) != array.shape[1]:
        raise UsageError(
            f"the model has {array.shape[1]} outputs, and {len(names)} classes are named: give "
            "--classes in their order"
        )
    scores = array.astype(np.float64)
    sums = scores.sum(axis=1)
    probable = bool((scores >= 0).all() and np.allclose(sums, 1, atol=1e-3))
    return _of_scores(scores if probable else _softmax(scores), names)


def _names(labels: Sequence[str], outputs: int) -> Sequence[str]:
    """Numbers from 0 where all labels are such; else the labels, sorted."""
    numbers = [str(number) for number in range(outputs)]
    return numbers if set(labels) <= set(numbers) else labels


def _of_scores(probabilities: Floats, names: list[str]) -> Answers:
    best = probabilities.argmax(axis=1)
    finite = np.isfinite(probabilities).all(axis=1)
    told = [
        names[at] if fine else None for at, fine in zip(best, np.atleast_1d(finite), strict=True)
    ]
    return Answers(told, probabilities, names)


def _softmax(logits: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return found


def _text(one: object) -> str:
    whole = isinstance(one, float) and one.is_integer()
    return str(int(one)) if whole and isinstance(one, float) else str(one)


def _order(label: str) -> tuple[float, str]:
    return (float(label), label) if label.isdecimal() else (float("inf"), label)
