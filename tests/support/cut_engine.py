"""An engine that works as workers do, by what the store has: in any cut, in any order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from lazaretto.batch import Stretch
from lazaretto.storage.sidecars import put_chunks, row_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from random import Random

    import pyarrow as pa

    from lazaretto.engine import Job, Output, Run
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile


@dataclass(frozen=True)
class CutEngine:
    """Cuts at random between chunks, and takes the stretches in a random order.

    Attributes:
        store: where everything goes through.
        random: says how.
    """

    store: Store
    random: Random

    def keep(self, name: str, chunks: Iterable[pa.RecordBatch | pa.Table]) -> StoredFile:
        return put_chunks(self.store, f"work-{name}-{{sha256}}.parquet", chunks)

    def map(
        self,
        job: Job,
        here: Run,
        extents: Callable[[], Sequence[int]],
        *,
        task_rows: int | None = None,
        side_by_side: bool = False,
    ) -> Iterator[tuple[Stretch | None, Output]]:
        stretches = self._cut(list(extents()), task_rows)
        done = {}
        for one in self.random.sample(stretches, len(stretches)):
            output = job.open(self.store)(one)
            done[one.number] = {n: self.keep(n, chunks) for n, chunks in output.items()}
        for one in stretches:
            files = done[one.number]
            yield one, {name: row_groups(self.store, file) for name, file in files.items()}

    def _cut(self, extents: list[int], task_rows: int | None) -> list[Stretch]:
        between = range(1, len(extents))
        taken = between if task_rows else (n for n in between if self.random.random() < 0.3)
        edges = [0, *taken, len(extents)]
        return [
            Stretch(number, first, last - first, sum(extents[:first]), sum(extents[first:last]))
            for number, (first, last) in enumerate(pairwise(edges))
        ]
