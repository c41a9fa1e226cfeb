"""The engine on Ray: a task for each stretch of a batch, on whatever nodes the cluster has.

Workers read the canonical copy from the store and write what comes of it there; through Ray travel
digests alone. Catalog and ledger are the stage's: no worker needs to reach them.
"""

from __future__ import annotations

import logging
import os
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lazaretto.batch import stretches_of
from lazaretto.engine.room import LOOK_SECONDS, Patience, alive_nodes
from lazaretto.engine.worker import Done, Failed, Task, version, work
from lazaretto.errors import SystemFaultError
from lazaretto.redact import error_line
from lazaretto.storage.identity import store_id
from lazaretto.storage.sidecars import put_chunks, row_groups
from lazaretto.storage.store import Store
from lazaretto.storage.trial import TrialStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from lazaretto.batch import Stretch
    from lazaretto.engine.base import Job, Output, Run
    from lazaretto.policy.engine import EngineOptions
    from lazaretto.values import StoredFile

_LOG = logging.getLogger(__name__)
_LOST = 5
"""Workers that a stretch may lose, killed or with their node. What always ends one is its fault."""
_AGAIN = 3
"""So often a stretch is tried again whose worker could not read or write the store."""


@dataclass(frozen=True, slots=True)
class RayEngine:
    """Works in tasks of a Ray cluster.

    Attributes:
        options: what a task needs, and how many records it has.
        store: where workers read and write.
        prefix: of the paths in the store where they leave something.
    """

    options: EngineOptions
    store: Store
    prefix: str

    def keep(self, name: str, chunks: Iterable[pa.RecordBatch | pa.Table]) -> StoredFile:
        """Puts rows where workers find them; see `Engine.keep`."""
        return put_chunks(self.store, f"{self.prefix}-{name}-{{sha256}}.parquet", chunks)

    def map(
        self,
        job: Job,
        here: Run,  # noqa: ARG002  the workers do it
        extents: Callable[[], Sequence[int]],
        *,
        task_rows: int | None = None,
        side_by_side: bool = False,  # noqa: ARG002  workers are
    ) -> Iterator[tuple[Stretch | None, Output]]:
        """Works on all stretches at once, as far as the cluster has room; see `Engine.map`."""
        stretches = stretches_of(extents(), task_rows or self.options.task_rows)
        behind = self.store.behind.root if isinstance(self.store, TrialStore) else None
        marked = store_id(Store(behind or self.store.root))
        key = uuid.uuid4().hex
        task = Task(key, version(), self.store.root, behind, marked, self.prefix, job)
        for stretch, done in self._done(task, stretches):
            yield (
                stretch,
                {name: row_groups(self.store, file) for name, file in done.files.items()},
            )

    def _done(self, task: Task, stretches: Sequence[Stretch]) -> Iterator[tuple[Stretch, Done]]:
        """What came of every stretch, in order."""
        import ray

        run = ray.remote(work).options(
            num_cpus=self.options.cpus,
            num_gpus=self.options.gpus,
            memory=self.options.memory_bytes,
            max_retries=_LOST,
            scheduling_strategy="SPREAD",
            name=f"lazaretto:{type(task.job).__name__}",
        )
        patience = Patience(self.options)
        self._look(patience)
        shared = ray.put(task)
        running: dict[Any, tuple[Stretch, int]] = {
            run.remote(shared, one): (one, 0) for one in stretches
        }
        done: dict[int, Done] = {}
        try:
            for stretch in stretches:
                while stretch.number not in done:
                    ready, _ = ray.wait(list(running), timeout=LOOK_SECONDS)
                    if not ready:
                        self._look(patience)
                        continue
                    one, tried = running.pop(ready[0])
                    answer = _answer(ready[0])
                    if isinstance(answer, Done):
                        done[one.number] = answer
                    elif answer.may_pass and tried < _AGAIN:
                        running[run.remote(shared, one)] = (one, tried + 1)
                    else:
                        raise answer.error()
                yield stretch, done.pop(stretch.number)
        finally:
            for reference in running:
                ray.cancel(reference, force=False)

    def _look(self, patience: Patience) -> None:
        """Tells whoever reads the log where no node has room for a task, and gives up in the end.

        A cluster that grows by itself may bring up one that has.
        """
        told = patience.since is not None
        problem = patience.look(alive_nodes())
        if problem is not None and not told:
            _LOG.warning("%s; waiting up to %d s for a node", problem, self.options.node_seconds)

    def clear(self) -> None:
        """Deletes what workers have left, and what they had begun: what counts is elsewhere."""
        found = self.store.list(self.prefix.rpartition("/")[0])
        self.store.delete([path for path in found if path.startswith(self.prefix)])


def _answer(reference: Any) -> Done | Failed:
    """What a task says.

    Raises:
        SystemFaultError: it ended without a word.
    """
    import ray

    try:
        answer = ray.get(reference)
    except ray.exceptions.RayError as error:
        # Where our code failed in the task, its own error says more than Ray's trace of it.
        told = error_line(getattr(error, "cause", None) or error)
        raise SystemFaultError(f"a worker of Ray gave no result: {told}") from error
    assert isinstance(answer, Done | Failed)  # noqa: S101  as `work` returns it
    return answer


@contextmanager
def joined(options: EngineOptions, store: Store, prefix: str) -> Iterator[RayEngine]:
    """Joins the cluster that RAY_ADDRESS names; without one, starts one of this machine.

    Args:
        options: what a task needs.
        store: where workers read and write.
        prefix: of the paths in the store where they leave something.

    Raises:
        SystemFaultError: there is no cluster at that address, or none can be started.
    """
    import ray

    started = not ray.is_initialized()
    if started:
        # Ray asks its makers' server otherwise, and writes what tasks print into our output.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Unasked, Ray would join whatever a file in /tmp names, where others may write.
        address = os.environ.get("RAY_ADDRESS") or "local"
        own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except Exception as error:  # Ray raises `Exception` itself where a node starts too slowly
            raise SystemFaultError(
                f"no Ray cluster can be joined: {error_line(error)}. RAY_ADDRESS says where it is"
            ) from error
        if address == "local":  # it never grows
            options = options.model_copy(update={"node_seconds": 0})
    engine = RayEngine(options, store, prefix)
    try:
        yield engine
        engine.clear()
    except BaseException:
        # The first error is the one to tell; what is left is named by nothing.
        with suppress(Exception):
            engine.clear()
        raise
    finally:
        if started:
            ray.shutdown()
