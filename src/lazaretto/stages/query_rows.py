"""Features and predicted classes of rows: by the model itself, or as files have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._columns import label_texts
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.redact import error_line
from lazaretto.stages.sanitize_training import record_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from torch import nn

    Floats = npt.NDArray[np.floating]
    Progress = Callable[[str, int, int], None]


class Reader(Protocol):
    """Where features and predictions come from."""

    def training(self, rows: pa.Table, progress: Progress) -> Floats:
        """(n, d) features of the training records; a row without any is not a number."""
        ...

    def queries(
        self, rows: pa.Table, labels: Sequence[str], progress: Progress
    ) -> tuple[Floats, list[str]]:
        """Features of rows and the classes that the model gives them."""
        ...


@dataclass(frozen=True, slots=True)
class Network:
    """The model itself looks at the rows.

    Attributes:
        module: the torch module.
        inputs: what it reads of a row; see `lazaretto.capture`.
        layer: whose output is taken; default: what goes into the last linear layer.
        classes: class names in the order of the outputs; see `lazaretto.activations.compare`.
        device: torch device, or ``auto``.
    """

    module: nn.Module
    inputs: Any
    layer: str | None = None
    classes: Sequence[str] | None = None
    device: str = "auto"

    def training(self, rows: pa.Table, progress: Progress) -> Floats:
        """Captures the training records."""
        return self._layer(rows, self.layer, "training records", progress)

    def queries(
        self, rows: pa.Table, labels: Sequence[str], progress: Progress
    ) -> tuple[Floats, list[str]]:
        """Captures rows, and takes the class of the greatest output."""
        from lazaretto.activations.compare import class_names
        from lazaretto.activations.hooks import OUTPUT

        features = self._layer(rows, self.layer, "predictions", progress)
        logits = self._layer(rows, OUTPUT, "outputs", progress, pooling="flatten")
        names = class_names(self.module, labels, logits.shape[1], self.classes)
        return features, [names[place] for place in logits.argmax(1)]

    def _layer(
        self,
        rows: pa.Table,
        layer: str | None,
        step: str,
        progress: Progress,
        pooling: str = "mean",
    ) -> Floats:
        from lazaretto.activations import capture

        done = 0

        def tell(count: int) -> None:
            nonlocal done
            done += count
            progress(f"capturing {step}", done, rows.num_rows)

        found = capture(
            self.module,
            rows,
            layers=None if layer is None else [layer],
            pooling=pooling,
            inputs=self.inputs,
            device=self.device,
            progress=tell,
        )
        if len(found) > 1:
            raise UsageError(f"name one layer; these match: {', '.join(list(found)[:10])}")
        return next(iter(found.values()))


@dataclass(frozen=True, slots=True)
class Captured:
    """Features were captured before: of the training records to a file, of others to a column.

    Attributes:
        file: what `lazaretto.activations.capture_to` wrote; ids are ``BATCH#RECORD_ID``.
        layer: of the file; default: its only one.
        vectors: column of the other rows that holds their features.
        prediction: column of the other rows that holds the class that the model gave.
    """

    file: Path
    layer: str | None = None
    vectors: str = "features"
    prediction: str = "prediction"

    def training(self, rows: pa.Table, progress: Progress) -> Floats:
        """Reads the file, and puts its rows into the order of the training records."""
        names = record_names(rows)
        ids, values = self._read()
        progress("reading features", len(ids), len(ids))
        if pc.count_distinct(ids).as_py() != len(ids):
            raise UsageError(
                f"a record id is twice in {str(self.file)!r}: capture the records anew"
            )
        places = pc.index_in(names, ids)
        found = np.full((len(names), values.shape[1]), np.nan)
        known = places.is_valid().to_numpy(zero_copy_only=False)
        if not known.any():
            raise UsageError(
                f"{str(self.file)!r} has no record of the model's snapshot: its ids are BATCH#"
                "RECORD_ID, as `lazaretto trace record` takes them"
            )
        found[known] = values[places.drop_null().to_numpy()]
        return found

    def queries(
        self,
        rows: pa.Table,
        labels: Sequence[str],  # noqa: ARG002  of the interface
        progress: Progress,  # noqa: ARG002
    ) -> tuple[Floats, list[str]]:
        """Reads the two columns."""
        given = label_texts(rows, self.prediction)
        if given.null_count:
            raise UsageError(f"column {self.prediction!r} is empty in {given.null_count} rows")
        return _vectors(rows, self.vectors), given.to_pylist()

    def _read(self) -> tuple[pa.Array, Floats]:
        from lazaretto.activations import read_activations

        try:
            ids, layers = read_activations(self.file)
        except FileNotFoundError as error:
            raise NotFoundError(f"no features {str(self.file)!r}") from error
        except (pa.ArrowException, OSError, KeyError, AttributeError, ValueError) as error:
            raise UsageError(
                f"{str(self.file)!r} is no file of features ({error_line(error)}): write it with "
                "lazaretto.activations.capture_to"
            ) from error
        if not pa.types.is_string(ids.type):
            raise UsageError(f"record ids in {str(self.file)!r} are {ids.type}, not text")
        name = self.layer or (next(iter(layers)) if len(layers) == 1 else None)
        if name not in layers:
            raise UsageError(f"which layer? {str(self.file)!r} has {', '.join(list(layers)[:10])}")
        values = layers[name]
        if len(values) != len(ids) or not np.issubdtype(values.dtype, np.floating):
            raise UsageError(
                f"layer {name!r} of {str(self.file)!r} does not hold floats per record"
            )
        return ids, values


def _vectors(rows: pa.Table, column: str) -> Floats:
    if column not in rows.column_names:
        raise UsageError(
            f"column {column!r} with the features is missing (there are: "
            f"{', '.join(rows.column_names[:20])})"
        )
    values = rows[column].combine_chunks()
    kind = values.type
    if not (pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)) or values.null_count:
        raise UsageError(f"column {column!r} is {kind}: lists of numbers are needed, none empty")
    flat = pc.list_flatten(values)
    try:
        numbers = flat.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise UsageError(f"column {column!r} holds {flat.type}, not numbers") from error
    width, rest = divmod(len(numbers), max(1, len(values)))
    if rest or width == 0 or pc.any(pc.not_equal(pc.list_value_length(values), width)).as_py():
        raise UsageError(f"lists in column {column!r} differ in length, or are empty")
    return np.asarray(numbers.reshape(len(values), width))
