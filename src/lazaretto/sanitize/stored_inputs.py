"""The rows of a sanitizing in the store, for workers that score them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lazaretto.batch._lists import as_lists, as_matrix
from lazaretto.sanitize.inputs import Inputs, rows_of_classes
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from lazaretto.engine import Engine
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

_CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class StoredInputs:
    """Files that `Inputs` are made of.

    Attributes:
        classes: their names.
        records: ``id``, ``code`` and ``scorable`` of the training set.
        trusted: ``code`` of the trusted rows; None: there are none.
        layers: by name, the rows of the training set, and the trusted ones where there are any.
    """

    classes: list[str]
    records: StoredFile
    trusted: StoredFile | None
    layers: Mapping[str, tuple[StoredFile, StoredFile | None]]

    def read(self, store: Store, layer: str) -> Inputs:
        """The inputs with one layer.

        Raises:
            ChangedFileError: a file is gone or was changed.
        """
        records = read_table(store, self.records)
        codes = _numbers(records["code"])
        good = _numbers(records["scorable"])
        clean_codes = np.empty(0, np.int64)
        if self.trusted is not None:
            clean_codes = _numbers(read_table(store, self.trusted)["code"])
        rows, clean = self.layers[layer]
        return Inputs(
            layers={layer: _rows(store, rows)},
            record_ids=records["id"].combine_chunks(),
            classes=self.classes,
            codes=codes,
            scorable=np.flatnonzero(good),
            unscorable=np.flatnonzero(~good),
            groups=rows_of_classes(codes[good], len(self.classes)),
            trusted=None if clean is None else {layer: _rows(store, clean)},
            trusted_codes=clean_codes,
            trusted_groups=rows_of_classes(clean_codes, len(self.classes)),
        )


def keep_inputs(engine: Engine, inputs: Inputs) -> StoredInputs | None:
    """Puts inputs where workers find them; None where this process scores them.

    Raises:
        SystemFaultError: the store cannot be written.
    """
    scorable = np.zeros(len(inputs.codes), bool)
    scorable[inputs.scorable] = True
    columns = {"id": inputs.record_ids, "code": inputs.codes, "scorable": scorable}
    records = engine.keep("records", [pa.table(columns)])
    if records is None:
        return None
    layers = {}
    for number, (name, rows) in enumerate(inputs.layers.items()):
        kept = engine.keep(f"layer-{number}", _chunks(rows))
        assert kept is not None  # noqa: S101  as it kept the records
        clean = inputs.trusted
        layers[name] = (
            kept,
            None if clean is None else engine.keep(f"trusted-{number}", _chunks(clean[name])),
        )
    trusted = None
    if inputs.trusted is not None:
        trusted = engine.keep("trusted", [pa.table({"code": inputs.trusted_codes})])
    return StoredInputs(inputs.classes, records, trusted, layers)


def _chunks(rows: NDArray[np.floating]) -> Iterator[pa.RecordBatch]:
    for first in range(0, max(len(rows), 1), _CHUNK):
        values = as_lists(rows[first : first + _CHUNK])
        yield pa.RecordBatch.from_arrays([values], names=["row"])


def _rows(store: Store, file: StoredFile) -> NDArray[Any]:
    return np.array(as_matrix(read_table(store, file)["row"]))


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.array(column.to_numpy())
