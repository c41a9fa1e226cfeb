"""Jobs of an engine that go wrong: a worker is killed in the middle of a task, or cannot do it."""

from __future__ import annotations

import os
import secrets
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.errors import ChangedFileError, ReferenceMismatchError, SystemFaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lazaretto.batch import Stretch
    from lazaretto.engine import Job, Output, Run
    from lazaretto.storage.store import Store


@dataclass(frozen=True)
class Killed:
    """Does another job, and is killed at random while it writes what comes of it.

    Attributes:
        job: the other one.
        folder: where each kill leaves a file.
        kills: of each stretch.
        stretches: how many of them, from the first.
    """

    job: Job
    folder: str
    kills: int
    stretches: int

    def open(self, store: Store) -> Run:
        """Opens the other job."""
        run = self.job.open(store)

        def killed(stretch: Stretch | None) -> Output:
            assert stretch is not None
            output = run(stretch)
            if stretch.number >= self.stretches:
                return output
            return {name: self._chunks(chunks, stretch) for name, chunks in output.items()}

        return killed

    def _chunks(
        self, chunks: Iterable[pa.RecordBatch | pa.Table], stretch: Stretch
    ) -> Iterator[pa.RecordBatch | pa.Table]:
        for chunk in chunks:
            if secrets.randbelow(2):
                self._die(stretch)
            yield chunk
        self._die(stretch)

    def _die(self, stretch: Stretch) -> None:
        kind = type(self.job)
        for number in range(self.kills):
            with suppress(FileExistsError):
                name = f"{kind.__module__}.{kind.__name__}-{stretch.number}-{number}"
                Path(self.folder, name).touch(exist_ok=False)
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
