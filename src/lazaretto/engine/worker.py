"""What a worker does with one stretch: opens the job, works, leaves files, says their digests."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from typing import TYPE_CHECKING

from lazaretto.errors import (
    ChangedFileError,
    LazarettoError,
    NotFoundError,
    PolicyError,
    ReferenceMismatchError,
    SystemFaultError,
    UsageError,
)
from lazaretto.storage.identity import store_id
from lazaretto.storage.sidecars import put_chunks
from lazaretto.storage.store import Store
from lazaretto.storage.trial import TrialStore

if TYPE_CHECKING:
    from lazaretto.batch import Stretch
    from lazaretto.engine.base import Job, Run
    from lazaretto.values import StoredFile


_BY_NAME: dict[str, type[LazarettoError]] = {
    kind.__name__: kind for kind in (NotFoundError, PolicyError, ReferenceMismatchError, UsageError)
}
"""Errors that are told as what they are; every other one is a fault of the system."""


@dataclass(frozen=True, slots=True)
class Task:
    """What all tasks of one stage have in common.

    Attributes:
        key: other tasks have another one.
        version: of Lazaretto, where the stage runs.
        store: root of the store.
        behind: root of the store that is read where this one has no such file: the real one of a
            trial; None: there is none.
        workspace: id that the store is marked with; of a trial, the one behind.
        prefix: of the paths in the store where it leaves something.
        job: what is done.
    """

    key: str
    version: str = field(compare=False)
    store: str = field(compare=False)
    behind: str | None = field(compare=False)
    workspace: str | None = field(compare=False)
    prefix: str = field(compare=False)
    job: Job = field(compare=False)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a stretch: files of the store, by the name of the output."""

    files: dict[str, StoredFile]


@dataclass(frozen=True, slots=True)
class Failed:
    """Why nothing came of a stretch.

    Errors do not travel themselves: some of them cannot be put together again from their text.

    Attributes:
        kind: class of the error, of `lazaretto.errors`.
        message: its text.
        changed: of a changed file: path, digest on record, and what was found.
    """

    kind: str
    message: str
    changed: tuple[str, str, str] | None = None

    @classmethod
    def of(cls, error: LazarettoError) -> Failed:
        """Tells an error."""
        changed = None
        if isinstance(error, ChangedFileError):
            changed = (error.path, error.expected, error.found)
        return cls(type(error).__name__, str(error), changed)

    @property
    def may_pass(self) -> bool:
        """Whether the same may work a moment later: a store that did not answer."""
        return self.kind == SystemFaultError.__name__

    def error(self) -> LazarettoError:
        """The error, to be raised where the stage runs."""
        if self.changed is not None:
            path, expected, found = self.changed
            return ChangedFileError(path, expected=expected, found=found)
        return _BY_NAME.get(self.kind, SystemFaultError)(self.message)


def version() -> str:
    """Of Lazaretto, as it is installed here."""
    return metadata.version("lazaretto")


def work(task: Task, stretch: Stretch) -> Done | Failed:
    """Works on one stretch.

    Args:
        task: what is done.
        stretch: of the batch.

    Returns:
        Files that are whole and named by their digests, or why there are none. What the same task
        left before, such as one that was killed, is written again under the same names.
    """
    try:
        _require(task)
        store = _store(task)
        output = _opened(task)(stretch)
        files = {
            name: put_chunks(
                store, f"{task.prefix}-{stretch.number}-{name}-{{sha256}}.parquet", chunks
            )
            for name, chunks in output.items()
        }
    except LazarettoError as error:
        return Failed.of(error)
    return Done(files)


@lru_cache(maxsize=1)  # a worker has many stretches of one job, and loads its reference once
def _opened(task: Task) -> Run:
    return task.job.open(_store(task))


def _store(task: Task) -> Store:
    return TrialStore.between(task.store, task.behind)


def _require(task: Task) -> None:
    """Makes sure that this machine has the same code and sees the same store."""
    if version() != task.version:
        raise UsageError(
            f"this worker has Lazaretto {version()}, and the stage {task.version}: install the "
            "same version on all nodes"
        )
    marked = task.behind or task.store
    if store_id(Store(marked)) != task.workspace:
        raise UsageError(
            f"this worker does not see the store {marked}: let all nodes mount it at the same "
            "path, or keep it in an object store"
        )
