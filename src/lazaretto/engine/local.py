"""The engine of one machine: this process works on the batch, chunk by chunk or in threads."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from lazaretto.batch import stretches_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    import pyarrow as pa
    from threadpoolctl import ThreadpoolController

    from lazaretto.batch import Stretch
    from lazaretto.engine.base import Job, Output, Run

THREADS = 8
"""Stretches at once, at most: each needs memory of its own."""
SIDE_BY_SIDE_ROWS = 16_384
"""Records of a stretch where several are worked on at once. To ask for that pays for more records
than these: it looks for the libraries and opens the batch once more."""


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Works here. The libraries' own threads (BLAS, FAISS, torch) are what is done at once.

    Work that says so is done on several stretches at once instead, with as many threads as the
    libraries would have had together. `OMP_NUM_THREADS` sets how many that are.

    Attributes:
        task_rows: records of a stretch; None: the batch is one, or as many as there are threads
            for.
    """

    task_rows: int | None = None

    def keep(
        self,
        name: str,
        chunks: Iterable[pa.RecordBatch | pa.Table],
    ) -> None:
        """Keeps nothing: this process has the rows."""

    def map(
        self,
        job: Job,  # noqa: ARG002  for other processes
        here: Run,
        extents: Callable[[], Sequence[int]],
        *,
        task_rows: int | None = None,
        side_by_side: bool = False,
    ) -> Iterator[tuple[Stretch | None, Output]]:
        """Works on one stretch after the other, or on several at once; see `Engine.map`."""
        rows = task_rows or self.task_rows
        if side_by_side:
            libraries = _libraries()
            threads = max((one["num_threads"] for one in libraries.info()), default=1)
            stretches = stretches_of(extents(), rows or SIDE_BY_SIDE_ROWS)
            if min(threads, len(stretches)) > 1:
                yield from _side_by_side(here, stretches, libraries, threads)
                return
        if rows is None:
            yield None, here(None)
            return
        for stretch in stretches_of(extents(), rows):
            yield stretch, here(stretch)


def _libraries() -> ThreadpoolController:
    """The libraries of this process that have threads of their own."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _side_by_side(
    here: Run, stretches: Sequence[Stretch], libraries: ThreadpoolController, threads: int
) -> Iterator[tuple[Stretch, Output]]:
    """Works on several stretches at once; the libraries' threads are shared out among them.

    Few results wait to be read, so memory does not grow with the batch.
    """
    workers = min(threads, THREADS, len(stretches))

    def share() -> None:
        # OpenMP counts for each thread that calls it, BLAS for the process.
        libraries.limit(limits=threads // workers, user_api="openmp")

    def work(stretch: Stretch) -> Output:
        return {name: list(chunks) for name, chunks in here(stretch).items()}

    todo = iter(stretches)
    waiting = deque[tuple["Stretch", "Future[Output]"]]()
    with (
        libraries.limit(limits=threads // workers, user_api="blas"),
        ThreadPoolExecutor(workers, "stretch", initializer=share) as pool,
    ):

        def begin(many: int) -> None:
            waiting.extend((one, pool.submit(work, one)) for one in islice(todo, many))

        try:
            begin(workers + 1)
            while waiting:
                stretch, done = waiting.popleft()
                output = done.result()
                begin(1)
                yield stretch, output
        finally:
            for _, late in waiting:
                late.cancel()
