"""A recorder of training dynamics: loss and confidence of each record, in bounded memory."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.errors import UsageError
from lazaretto.sanitize.dynamics import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

_ROWS = 65_536


class DynamicsRecorder:
    """Takes losses while a training runs. Make it by `record_dynamics`.

    Memory holds one epoch: 8 bytes per record, and the ids. Earlier epochs lie in a working file.

    Attributes:
        epochs: that are complete.
        sha256: hex digest of the file, once the recorder is closed.
    """

    def __init__(self, record_ids: Sequence[str], folder: Path) -> None:
        self._places = {one: place for place, one in enumerate(record_ids)}
        if len(self._places) != len(record_ids):
            raise UsageError("a record id is there twice; name records as delivery#record id")
        self._folder = folder
        self._now = self._empty()
        self.epochs = 0
        self.sha256: str | None = None

    def note(self, record_ids: Sequence[str], logits: Tensor, target: Tensor) -> None:
        """Keeps how rows do now; a row that is noted again in an epoch counts as it did last.

        Args:
            record_ids: (n,) of the rows.
            logits: (n, classes), of the forward pass that the training makes anyway.
            target: int64 (n,), the given labels.

        Raises:
            UsageError: a record was not named before, or the lengths differ.
        """
        if not len(record_ids) == len(logits) == len(target):
            raise UsageError(f"{len(record_ids)} record ids for {len(logits)} rows")
        try:
            places = [self._places[one] for one in record_ids]
        except KeyError as error:
            raise UsageError(f"record {str(error.args[0])[:80]!r} was not named before") from None
        given = target.to(logits.device)[:, None]
        log_p = logits.detach().float().log_softmax(1).gather(1, given).squeeze(1).cpu()
        self._now[0, places] = -log_p.numpy()
        self._now[1, places] = log_p.exp().numpy()

    def end_epoch(self) -> None:
        """Closes an epoch."""
        self._now.tofile(self._folder / f"{self.epochs}")
        self._now = self._empty()
        self.epochs += 1

    def batches(self, record_ids: Sequence[str], labels: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The trajectories as rows of records, some at a time."""
        shape = (2, len(record_ids))
        kept = [
            np.memmap(self._folder / str(epoch), np.float32, "r", shape=shape)
            for epoch in range(self.epochs)
        ]
        for first in range(0, len(record_ids), _ROWS):
            rows = slice(first, first + _ROWS)
            loss, confidence = (
                pa.FixedSizeListArray.from_arrays(
                    pa.array(np.stack([epoch[which, rows] for epoch in kept], 1).ravel()),
                    self.epochs,
                )
                for which in (0, 1)
            )
            yield pa.record_batch(
                {
                    "record_id": pa.array(record_ids[rows], pa.string()),
                    "label": pa.array(labels[rows], pa.string()),
                    "loss": loss,
                    "confidence": confidence,
                }
            )

    def _empty(self) -> NDArray[np.float32]:
        return np.full((2, len(self._places)), np.nan, np.float32)


@contextmanager
def record_dynamics(
    path: Path, record_ids: Sequence[str], labels: Sequence[str]
) -> Iterator[DynamicsRecorder]:
    """Records a training's dynamics into an Arrow file, which appears whole or not at all.

    Note every batch with the logits of the forward pass that the training makes, before its step,
    and end every epoch. `lazaretto.sanitize` takes it (``dynamics``), and looks for records that
    are learned otherwise than their class.

    Args:
        path: local file to write.
        record_ids: (n,) of all records, each once: ``delivery#record id``.
        labels: (n,) given labels, as text.

    Raises:
        UsageError: lengths differ, a record is there twice, or no epoch was ended.

    Examples:
        >>> import torch
        >>> from pathlib import Path
        >>> with record_dynamics(Path("run.arrow"), ["a", "b"], ["cat", "dog"]) as recorder:
        ...     for _ in range(3):
        ...         recorder.note(["a", "b"], torch.eye(2), torch.tensor([0, 1]))
        ...         recorder.end_epoch()
        >>> recorder.epochs, len(recorder.sha256)
        (3, 64)
    """
    ids, given = list(record_ids), [str(label) for label in labels]
    if len(ids) != len(given):
        raise UsageError(f"{len(given)} labels for {len(ids)} record ids")
    partial = path.with_name(path.name + ".part")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        recorder = DynamicsRecorder(ids, Path(folder))
        yield recorder
        if not recorder.epochs:
            raise UsageError("no epoch was ended: call `end_epoch` after each")
        try:
            with pa.OSFile(str(partial), "wb") as sink:
                writer = None
                for batch in recorder.batches(ids, given):
                    writer = writer or pa.ipc.new_file(sink, batch.schema)
                    writer.write_batch(batch)
                if writer is not None:
                    writer.close()
            recorder.sha256 = file_sha256(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
