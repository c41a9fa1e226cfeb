"""Opens what is to be measured: a test file, and a model by torch, ONNX, a function or answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lazaretto.batch import file_digest, open_batch
from lazaretto.batch._columns import label_texts
from lazaretto.errors import DeliveryError, NotFoundError, UsageError
from lazaretto.models.answers import Model, of_function, of_onnx, of_predictions, of_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Loader = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class TestFile:
    """A test file.

    Attributes:
        rows: of it.
        sha256: of its bytes (hex).
    """

    __test__ = False  # no test of pytest's

    rows: pa.Table
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where the model is, and how it is asked; one of `weights`, `load` and `predictions`.

    Attributes:
        weights: its file: ONNX by its ending, a probe's safetensors, or what `load` reads.
        load: function from the weights' path (empty where there are none) to a torch module, or to
            a function from rows to labels or probabilities. Nothing here unpickles anything.
        predictions: a file with a column ``prediction``, one row for each of the test set.
        inputs: what the model reads: a column, columns, or a function from a record batch.
        classes: class of each output; default: the numbers from 0, or the labels sorted.
    """

    weights: Path | None = None
    load: Loader | None = None
    predictions: Path | None = None
    inputs: Any = None
    classes: Sequence[str] | None = None


def read_test_file(path: str | Path) -> TestFile:
    """Reads a test file, in any format of a delivery.

    Raises:
        NotFoundError: it is not there, or cannot be read.
    """
    try:
        digest = file_digest(path)
        batch = open_batch(str(path))
    except DeliveryError as error:
        raise NotFoundError(f"the file {path} cannot be read: {error}") from error
    return TestFile(pa.Table.from_batches(list(batch.chunks())), digest)


def open_model(source: ModelSource, rows: pa.Table, label: str) -> tuple[Model, str | None]:
    """The model, and the sha256 (hex) of its weights; None where there are none.

    Args:
        source: where it is.
        rows: of the test set, whose labels name the outputs where nothing else does.
        label: column of those labels.

    Raises:
        UsageError: it is said in no way, or in two; or it cannot be loaded.
        NotFoundError: the weights cannot be read.
    """
    labels = [one for one in label_texts(rows, label).to_pylist() if one is not None]
    if source.predictions is not None:
        if source.weights is not None or source.load is not None:
            raise UsageError("a file of predictions needs neither weights nor a function")
        told = read_test_file(source.predictions).rows
        if "prediction" not in told.schema.names:
            raise UsageError(f"{source.predictions} has no column 'prediction'")
        answers = label_texts(told, "prediction").to_pylist()
        if told.num_rows == rows.num_rows:
            kept = label_texts(rows, label).is_valid().to_pylist()
            answers = [one for one, use in zip(answers, kept, strict=True) if use]
        return of_predictions(answers), None
    digest = None if source.weights is None else _digest(source.weights)
    if source.load is not None:
        found = source.load("" if source.weights is None else str(source.weights))
        return _loaded(found, source, labels), digest
    if source.weights is None:
        raise UsageError("say where the model is: its weights, a function, or its predictions")
    if source.weights.suffix.lower() == ".onnx":
        return of_onnx(source.weights, source.inputs, labels, source.classes), digest
    if source.weights.suffix.lower() == ".safetensors":
        from lazaretto.activations.probe_file import load_probe

        probe = load_probe(str(source.weights))
        return of_torch(probe.model, source.inputs, labels, source.classes or probe.classes), digest
    raise UsageError(
        f"{source.weights} is neither ONNX nor safetensors: name a function that loads it"
    )


def _loaded(found: Any, source: ModelSource, labels: Sequence[str]) -> Model:
    from torch import nn

    if isinstance(found, nn.Module):
        return of_torch(found, source.inputs, labels, source.classes)
    if callable(found):
        return of_function(found, labels, source.classes)
    raise UsageError(f"the function gave a {type(found).__name__}: a torch module or a function")


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except DeliveryError as error:
        raise NotFoundError(f"the weights cannot be read: {error}") from error
