"""Training dynamics: how the loss and the confidence of each record went, epoch by epoch.

Kept as an Arrow file, one row per record: ``record_id`` string, ``label`` string, ``loss`` and
``confidence`` as lists of float32, one number per epoch, NaN where a record was not seen.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LAYER = "dynamics"
"""Name of the layer that methods see: loss and confidence of every epoch, side by side."""

_FLOOR = 1e-4
"""Losses below this are as good as zero: their logs would be noise."""

_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Dynamics:
    """Trajectories of some records.

    Attributes:
        record_ids: string array (n,).
        loss: float32 (n, epochs), cross entropy of the given label; NaN: not seen.
        confidence: float32 (n, epochs), probability of the given label, 0..1; NaN: not seen.
    """

    record_ids: pa.Array
    loss: NDArray[np.float32]
    confidence: NDArray[np.float32]

    def __post_init__(self) -> None:
        shapes = {self.loss.shape, self.confidence.shape}
        if len(shapes) != 1 or self.loss.ndim != 2 or len(self.loss) != len(self.record_ids):
            raise UsageError(
                f"trajectories of {len(self.record_ids)} records have shapes {self.loss.shape} and "
                f"{self.confidence.shape}; loss and confidence are (records, epochs) both"
            )

    def features(self) -> NDArray[np.float32]:
        """Float32 (n, 2 * epochs), all finite: log of the loss, then confidence.

        An epoch in which a record was not seen counts as the one before it, or as the epoch's
        median where there is none.
        """
        loss = _filled(np.log(np.maximum(self.loss, _FLOOR)))
        return np.concatenate([loss, _filled(self.confidence)], axis=1, dtype=np.float32)

    def of(self, record_ids: pa.Array) -> Dynamics:
        """The trajectories of some records, in their order.

        Raises:
            UsageError: one is not among them, or an id is there twice.
        """
        mine = self.record_ids.to_pylist()
        places = {one: place for place, one in enumerate(mine)}
        if len(places) != len(mine):
            raise UsageError("the trajectories name a record twice")
        wanted = record_ids.to_pylist()
        missing = [one for one in wanted if one not in places]
        if missing:
            raise UsageError(
                f"{len(missing)} of {len(wanted)} records have no trajectory, such as "
                f"{str(missing[0])[:80]!r}: record the training that made the model"
            )
        rows = np.array([places[one] for one in wanted], np.int64)
        return Dynamics(record_ids, self.loss[rows], self.confidence[rows])


def read_dynamics(path: Path, sha256: str | None = None) -> Dynamics:
    """Reads trajectories that `lazaretto.training.record_dynamics` wrote.

    Args:
        path: of the Arrow file.
        sha256: hex digest that it must have; None: not checked.

    Raises:
        UsageError: it is not such a file, or has another digest.

    Examples:
        >>> from pathlib import Path
        >>> from lazaretto.training import record_dynamics
        >>> import torch
        >>> with record_dynamics(Path("run.arrow"), ["a", "b"], ["cat", "dog"]) as recorder:
        ...     recorder.note(["a", "b"], torch.eye(2), torch.tensor([0, 1]))
        ...     recorder.end_epoch()
        >>> read_dynamics(Path("run.arrow"), recorder.sha256).loss.shape
        (2, 1)
    """
    if sha256 is not None and (found := file_sha256(path)) != sha256:
        raise UsageError(
            f"{str(path)!r} is not the file that was recorded: its sha256 is {found}, not {sha256}"
        )
    try:
        with pa.OSFile(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        ids = table["record_id"].combine_chunks().cast(pa.string())
        loss, confidence = (_matrix(table[name]) for name in ("loss", "confidence"))
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise UsageError(f"{str(path)!r} holds no trajectories: {error}") from error
    return Dynamics(ids, loss, confidence)


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a local file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    array = column.combine_chunks()
    if not pa.types.is_fixed_size_list(array.type):
        raise ValueError(f"a column has type {array.type}")
    flat = array.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return np.asarray(flat.reshape(len(array), array.type.list_size))


def _filled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if np.isfinite(values).all():
        return values
    filled = np.where(np.isfinite(values), values, np.nan)
    for epoch in range(filled.shape[1]):
        lost = np.isnan(filled[:, epoch])
        if lost.any():
            seen = filled[~lost, epoch]
            middle = float(np.median(seen)) if len(seen) else 0.0
            before = filled[lost, epoch - 1] if epoch else np.full(int(lost.sum()), np.nan)
            filled[lost, epoch] = np.where(np.isnan(before), middle, before)
    return filled
