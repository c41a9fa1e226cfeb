"""The engine of one machine: this process works on the batch, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.batch import stretches_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lazaretto.batch import Stretch
    from lazaretto.engine.base import Job, Output, Run


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Works here. The libraries' own threads (BLAS, FAISS, torch) are what is done at once.

    Attributes:
        task_rows: records of a stretch; None: the batch is one.
    """

    task_rows: int | None = None

    def map(
        self,
        job: Job,  # noqa: ARG002  for other processes
        here: Run,
        extents: Callable[[], Sequence[int]],
    ) -> Iterator[tuple[Stretch | None, Output]]:
        """Works on one stretch after the other; see `Engine.map`."""
        if self.task_rows is None:
            yield None, here(None)
            return
        for stretch in stretches_of(extents(), self.task_rows):
            yield stretch, here(stretch)
