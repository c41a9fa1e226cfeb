"""The seam: a stage maps a function over stretches of a batch, and gathers what comes of them.

An engine decides how a batch is cut and where each stretch is worked on. It never decides what
comes out: results arrive in the order of the stretches, and a stage puts them together such that
the cut does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch import Stretch
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

Output = Mapping[str, Iterable[pa.RecordBatch | pa.Table]]
"""What comes of one stretch: chunks by name, at least one under each."""
Run = Callable[["Stretch | None"], Output]
"""Works on one stretch; None: on the whole batch."""


class Job(Protocol):
    """Plain values by which another process does the same as this one.

    It is sent to workers by the engine, so it holds digests and paths, and no data.
    """

    def open(self, store: Store) -> Run:
        """Loads what every stretch needs, once for a worker.

        Raises:
            LazarettoError: something of it is gone, changed, or does not fit.
        """
        ...


class Engine(Protocol):
    """Where a stage's work is done."""

    def keep(self, name: str, chunks: Iterable[pa.RecordBatch | pa.Table]) -> StoredFile | None:
        """Puts rows that only this process has where workers find them, until the engine is closed.

        Args:
            name: of the rows.
            chunks: at least one; each becomes a row group.

        Returns:
            None where this process does the work, which has the rows: nothing is read then.

        Raises:
            SystemFaultError: the store cannot be written.
        """
        ...

    def map(
        self,
        job: Job,
        here: Run,
        extents: Callable[[], Sequence[int]],
        *,
        task_rows: int | None = None,
        side_by_side: bool = False,
    ) -> Iterator[tuple[Stretch | None, Output]]:
        """Works on a whole batch.

        Args:
            job: how another process does it.
            here: how this process does it, with what it has loaded.
            extents: tells the records of each chunk of the batch.
            task_rows: records of a stretch; default: as many as the engine takes.
            side_by_side: that one process may call `here` in several threads at once, which is
                faster where the libraries' own threads gain little. Other processes are several
                anyway.

        Yields:
            Every stretch with its output, in the order of the stretches. An output is to be read
            before the next one is asked for.

        Raises:
            LazarettoError: as `here` does.
            SystemFaultError: the workers cannot be reached, or one stretch ended too many of them.
        """
        ...
