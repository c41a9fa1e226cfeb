"""Jobs of an engine that go wrong: a worker is killed in the middle of a task, or cannot do it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.errors import ChangedFileError, ReferenceMismatchError, SystemFaultError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch import Stretch
    from lazaretto.engine import Output, Run
    from lazaretto.storage.store import Store


@dataclass(frozen=True)
class Counting:
    """Counts the records of each stretch.

    Attributes:
        killed: a file that tells that a worker was killed already; None: none is to be.
    """

    killed: str | None

    def open(self, store: Store) -> Run:
        """Nothing is to be loaded."""
        return self.run

    def run(self, stretch: Stretch | None) -> Output:
        """Gives the positions of a stretch, chunk by chunk."""
        assert stretch is not None
        return {"positions": self._positions(stretch)}

    def _positions(self, stretch: Stretch) -> Iterator[pa.Table]:
        for start in range(stretch.offset, stretch.offset + stretch.rows, 10):
            yield pa.table({"position": range(start, start + 10)})
            if self.killed is not None and not Path(self.killed).exists():
                Path(self.killed).touch()
                os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Failing:
    """Tells how many records each stretch has, if it can.

    Attributes:
        why: ``changed``: a file is another one. ``mismatch``: a reference does not fit.
            ``mistake``: the code has one. ``store``: the store does not answer, the first time.
        folder: where tasks tell that they were tried.
    """

    why: str
    folder: str

    def open(self, store: Store) -> Run:
        """Nothing is to be loaded."""
        return self.run

    def run(self, stretch: Stretch | None) -> Output:
        """Fails, or tells."""
        assert stretch is not None
        if self.why == "changed":
            raise ChangedFileError("a/b", expected="0" * 64, found="it is gone")
        if self.why == "mismatch":
            raise ReferenceMismatchError("it has another width")
        if self.why == "mistake":
            raise KeyError("a mistake of ours")
        tried = Path(self.folder, f"tried-{stretch.number}")
        if not tried.exists():
            tried.touch()
            raise SystemFaultError("the store does not answer")
        return {"rows": [pa.table({"n": [stretch.rows]})]}
