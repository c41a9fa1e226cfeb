"""Holds the store against what the ledger names: by name and size, or to the last byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazaretto.dataset.delta import LOG
from lazaretto.errors import ChangedFileError
from lazaretto.health.report import Finding, Leftovers, named
from lazaretto.ledger.events import (
    BatchAdmitted,
    BatchReceived,
    DatasetPruned,
    PayloadDeleted,
    RowsLost,
    files_of,
)
from lazaretto.storage.verified import BLOCK, LIST

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

_DIGEST = 32  # bytes of a digest in a list of blocks
# What else lies under the root, such as a file of lineage events, is told by nobody.
_FOLDERS = ("batches", "datasets", "decisions", "held", "incidents", "recalls", "references")


@dataclass(slots=True)
class NamedFiles:
    """What the ledger names, entry by entry.

    Attributes:
        files: by path and digest.
        batches: ids of the received batches.
        datasets: names of the datasets that something was admitted to.
        deleted: paths that retention deleted.
    """

    files: dict[tuple[str, str], StoredFile] = field(default_factory=dict)
    batches: set[str] = field(default_factory=set)
    datasets: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)

    @property
    def kept(self) -> list[StoredFile]:
        """The files that should be there."""
        return [file for file in self.files.values() if file.path not in self.deleted]

    def add(self, entry: Entry) -> None:
        """Takes the next entry."""
        for file in files_of(entry.event):
            self.files[file.path, file.sha256] = file
        if isinstance(entry.event, RowsLost):
            gone = set(entry.event.removed)
            self.files = {key: file for key, file in self.files.items() if file.path not in gone}
        if isinstance(entry.event, PayloadDeleted | DatasetPruned):
            self.deleted |= set(entry.event.files)
        if isinstance(entry.event, BatchReceived):
            self.batches.add(entry.event.batch)
        elif isinstance(entry.event, BatchAdmitted):
            self.datasets.add(entry.event.dataset)
            # What was lost may be admitted again, under the names of files that were deleted.
            self.deleted -= {file.file.path for file in entry.event.files}


def find_lost(
    store: Store,
    known: NamedFiles,
    sizes: dict[str, int],
    progress: Callable[[str, int, int], None] | None,
) -> Iterator[Finding]:
    """Files that are gone or are others than the ledger says.

    Args:
        store: where they are.
        known: what the ledger names.
        sizes: of every file that is there, by path.
        progress: reads every byte, and is told how far it is; None: sizes alone are compared.
    """
    files = known.kept
    missing = [file.path for file in files if file.path not in sizes]
    if files and len(missing) == len(files):
        yield Finding(
            "wrong_store",
            f"{store.root} is not the store of this catalog: it has none of the {len(files)} files "
            "that the ledger names",
            "give the right one with --store or LAZARETTO_STORE, or restore it from a backup",
        )
        return
    lists = {f"{file.path}{LIST}": file for file in files if file.blocks}
    missing += [path for path, file in lists.items() if path not in sizes and file.path in sizes]
    if missing:
        yield Finding(
            "missing_files",
            "files that the ledger names are gone from the store",
            "restore them from a backup",
            len(missing),
            named(missing),
        )
    changed = {file.path for file in files if sizes.get(file.path, file.size) != file.size}
    changed |= {
        path
        for path, file in lists.items()
        if sizes.get(path, _list_size(file)) != _list_size(file)
    }
    if progress is not None:
        gone = {*missing, *changed}
        left = [
            file for file in files if file.path not in gone and f"{file.path}{LIST}" not in gone
        ]
        changed |= set(_changed_bytes(store, left, progress))
    if changed:
        yield Finding(
            "changed_files",
            "files of the store are not the ones that are on record",
            "restore them from a backup, and find out who can write to the store",
            len(changed),
            named(changed),
        )


def find_undeleted(known: NamedFiles, sizes: Collection[str]) -> Iterator[Finding]:
    """Files that retention deleted, and that are there."""
    there = [path for path in sizes if path.removesuffix(LIST) in known.deleted]
    if there:
        yield Finding(
            "undeleted_files",
            "files that retention deleted are in the store: a deletion was cut off, or a backup of "
            "the store brought them back",
            "`lazaretto catalog prune --apply` deletes them again; data files of a dataset, "
            "`lazaretto dataset maintain DATASET --apply`",
            len(there),
            named(there),
        )


def find_unknown(known: NamedFiles, sizes: Collection[str]) -> tuple[list[Finding], Leftovers]:
    """Batches, datasets and other files of the store that the ledger does not know.

    A whole batch, or the rows of a dataset, show that the catalog is older than the store, or
    another one's. Single files are left by work that was refused or cut off.
    """
    loose = _loose(known, sizes)
    batches = unknown_batches(known, sizes)
    datasets = {
        name for path in loose if (name := _dataset_of(path)) and name not in known.datasets
    }
    findings = []
    older = (
        "if the catalog was restored from a copy, restore a newer one, or see what `lazaretto "
        "catalog reconcile` would do; if the store belongs to another catalog, too, give each its "
        "own"
    )
    if batches:
        findings.append(
            Finding(
                "unknown_batches",
                "batches lie in the store that the ledger never received",
                f"{older}; if a receipt was cut off, deliver again",
                len(batches),
                named(batches),
            )
        )
    if datasets:
        findings.append(
            Finding(
                "unknown_datasets",
                "datasets with rows lie in the store that the ledger never admitted anything to",
                older,
                len(datasets),
                named(datasets),
            )
        )
    rest = [path for path in loose if not _elsewhere(path, batches, datasets)]
    return findings, Leftovers(len(rest), named(rest))


def unknown_batches(known: NamedFiles, sizes: Collection[str]) -> set[str]:
    """Batches that lie in the store, and that the ledger never received."""
    of_files = {batch_of(path) for path in _loose(known, sizes)}
    return {batch for batch in of_files if batch is not None} - known.batches


def _loose(known: NamedFiles, sizes: Collection[str]) -> list[str]:
    """Files that nothing names."""
    paths = {path for path, _ in known.files} | known.deleted
    return [
        path
        for path in sizes
        if path.split("/")[0] in _FOLDERS and path.removesuffix(LIST) not in paths
    ]


def _changed_bytes(
    store: Store, files: list[StoredFile], progress: Callable[[str, int, int], None]
) -> Iterator[str]:
    for number, file in enumerate(files, start=1):
        try:
            store.check(file)
        except ChangedFileError:
            yield file.path
        progress("files", number, len(files))


def is_there(file: StoredFile, sizes: Collection[str]) -> bool:
    """Whether a file, and the list of its blocks where it has one, are in the store."""
    return file.path in sizes and (not file.blocks or f"{file.path}{LIST}" in sizes)


def _list_size(file: StoredFile) -> int:
    return _DIGEST * -(-file.size // BLOCK)


def batch_of(path: str) -> str | None:
    """The batch that a file below ``batches/`` belongs to."""
    parts = path.split("/")
    return "/".join(parts[1:3]) if parts[0] == "batches" and len(parts) == 4 else None


def _dataset_of(path: str) -> str | None:
    """The dataset that a data file below ``datasets/`` belongs to."""
    parts = path.split("/")
    data = parts[0] == "datasets" and len(parts) > 2 and LOG not in parts
    return parts[1] if data else None


def _elsewhere(path: str, batches: set[str], datasets: set[str]) -> bool:
    """Whether something else tells of a file."""
    of = path.split("/")
    return LOG in of or batch_of(path) in batches or _dataset_of(path) in datasets
