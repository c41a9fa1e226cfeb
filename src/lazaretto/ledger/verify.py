"""Verifies the ledger: every hash anew, every checkpoint, and every report that is on record.

The chain of hashes alone shows edits by somebody who does not rewrite all that follows. Whoever can
write the whole database can rewrite the chain, too, or empty it. Only checkpoints show that: those
in the store, and better those kept elsewhere. So nothing is called sound here for want of evidence.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import ChangedFileError, LedgerError
from lazaretto.ledger.chain import GENESIS, entries
from lazaretto.ledger.checkpoint import (
    Checkpoint,
    ledger_id,
    parse_checkpoint,
    read_stored,
    signer_of,
    stored_checkpoints,
)
from lazaretto.ledger.clock import clock_steps
from lazaretto.ledger.events import CheckpointTaken, IncidentTraced
from lazaretto.ledger.report import (
    CheckedCheckpoint,
    LedgerProblem,
    LedgerReport,
    Outcome,
    SignatureCheck,
)
from lazaretto.ledger.tree import Frontier
from lazaretto.ledger.walk import walk
from lazaretto.storage.column_types import metadata
from lazaretto.storage.tables import LINEAGE, ledger, ledger_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.note import VerifierKey
    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace

_FOLDERS = ("batches", "datasets", "decisions", "held", "incidents", "recalls", "references")
# These have rows without an entry: events from elsewhere, cursors, and the catalog's own id.
_OF_OTHERS = ("projection", "workspace", *LINEAGE)


def verify(
    workspace: Workspace,
    *,
    keys: Sequence[VerifierKey] = (),
    kept: Mapping[str, bytes] = MappingProxyType({}),
) -> LedgerReport:
    """Recomputes the ledger and compares it with its head, its records and all checkpoints.

    Reports of incidents are handed to others, who hold them against the ledger. So their bytes are
    compared, too; `lazaretto catalog check` compares all other files.

    Args:
        workspace: whose ledger; nothing in it is changed.
        keys: whose signatures count. With none, checkpoints are compared and their signatures are
            not checked. With some, at least one checkpoint must be signed by one of them, and all
            that were `kept`.
        kept: bytes by name of checkpoints that were kept elsewhere.

    Raises:
        SystemFaultError: catalog or store cannot be read.

    Examples:
        >>> verify(workspace).outcome.name
        'HOLDS'
    """
    # Before the catalog's snapshot: a checkpoint that is taken meanwhile is not ahead of it.
    stored = stored_checkpoints(workspace.store)
    with workspace.catalog.read() as connection:
        records = _records(connection)
        for path in {record.note.path for record in records} - set(stored):
            data = read_stored(workspace.store, path)
            stored |= {} if data is None else {path: data}
        unread: list[LedgerProblem] = []
        read = _parsed({**stored, **kept}, unread)
        signatures = {c.where: _signature(c, keys, unread) for c in read}
        walked = _recomputed(connection, {c.size for c in read})
        problems = [*_chain_problems(connection, walked), *unread]
        problems += _disagreements(read, walked, _origin(connection))
        problems += _missing(records, read)
        if walked.tree.size == 0:
            problems += _traces(connection, workspace.store)
        reports = list(_changed_reports(connection, workspace.store))
        steps = list(clock_steps(connection))
    holding = [c for c in read if walked.roots.get(c.size) == c.root]
    trusted = [c for c in holding if not keys or signatures[c.where] is SignatureCheck.VERIFIED]
    covered = max((c.size for c in trusted), default=0)
    if keys:
        problems += _unsigned(read, signatures, kept, covered)
    nothing = Outcome.NOTHING if walked.tree.size == 0 else Outcome.HOLDS
    return LedgerReport(
        outcome=Outcome.VIOLATED if problems or reports else nothing,
        entries=walked.tree.size,
        covered=covered,
        problems=problems,
        checkpoints=[
            CheckedCheckpoint(
                c.where, c.origin, c.size, c.root.hex(), signatures[c.where], holds=c in holding
            )
            for c in read
        ],
        reports=reports,
        clock_steps=steps,
    )


def _records(connection: Connection) -> list[CheckpointTaken]:
    """What the ledger says of checkpoints; an edited entry ends it, and the walk names that one."""
    found: list[CheckpointTaken] = []
    with suppress(LedgerError):
        events = (entry.event for entry in entries(connection, kinds=[CheckpointTaken.kind]))
        found.extend(event for event in events if isinstance(event, CheckpointTaken))
    return found


def _changed_reports(connection: Connection, store: Store) -> Iterator[LedgerProblem]:
    """Files of incidents' reports that are not what their entries put on record."""
    with suppress(LedgerError):  # an edited entry ends it, and the walk names that one
        for entry in entries(connection, kinds=[IncidentTraced.kind]):
            files = entry.event.report if isinstance(entry.event, IncidentTraced) else []
            for file in files:
                try:
                    store.check(file)
                except ChangedFileError as error:
                    yield LedgerProblem(
                        f"{file.path}, a report that entry {entry.seq} put on record, is not the "
                        f"file that it was (sha256 {file.sha256}): {error.found}. Do not go by "
                        "copies of it; restore it from a backup"
                    )


def _parsed(files: Mapping[str, bytes], problems: list[LedgerProblem]) -> list[Checkpoint]:
    found = []
    for where, data in files.items():
        try:
            found.append(parse_checkpoint(where, data))
        except LedgerError as error:
            problems.append(LedgerProblem(str(error)))
    return sorted(found, key=lambda checkpoint: (checkpoint.size, checkpoint.where))


def _signature(
    checkpoint: Checkpoint, keys: Sequence[VerifierKey], problems: list[LedgerProblem]
) -> SignatureCheck:
    if not keys:
        return SignatureCheck.NOT_CHECKED
    try:
        signer = signer_of(checkpoint, keys)
    except LedgerError as error:
        problems.append(LedgerProblem(str(error)))
        signer = None
    return SignatureCheck.UNKNOWN_KEY if signer is None else SignatureCheck.VERIFIED


@dataclass(frozen=True, slots=True)
class _Walked:
    """The tree as far as the chain holds, its roots at some sizes, and where the chain breaks."""

    tree: Frontier
    newest: str
    roots: dict[int, bytes]
    broken: str | None


def _recomputed(connection: Connection, sizes: set[int]) -> _Walked:
    tree, newest = Frontier(), GENESIS
    roots = {0: tree.root()}
    try:
        for tree, digest in walk(connection):
            newest = digest
            if tree.size in sizes:
                roots[tree.size] = tree.root()
    except LedgerError as error:
        return _Walked(tree, newest, roots, str(error))
    return _Walked(tree, newest, roots, None)


def _chain_problems(connection: Connection, walked: _Walked) -> Iterator[LedgerProblem]:
    """Where the chain breaks; else whether it ends where its head says."""
    count = walked.tree.size
    head = connection.execute(sa.select(ledger_head.c.seq, ledger_head.c.hash)).one_or_none()
    last, digest = (0, GENESIS) if head is None else (head.seq, head.hash)
    if walked.broken is not None:
        yield LedgerProblem(walked.broken, count + 1, count + 1)
    elif last > count:
        what = f"entries {count + 1} to {last} are missing at the end"
        yield LedgerProblem(what, count + 1, last)
    elif (last, digest) != (count, walked.newest):
        what = f"entry {count} is not the one that the ledger's head names"
        yield LedgerProblem(what, count, count)


def _origin(connection: Connection) -> str:
    return ledger_id(connection.scalar(sa.select(ledger.c.hash).where(ledger.c.seq == 1)) or "")


def _disagreements(
    read: Sequence[Checkpoint], walked: _Walked, origin: str
) -> Iterator[LedgerProblem]:
    """Checkpoints that contradict the ledger; a change lies behind the last one that agrees."""
    agreed, count = 0, walked.tree.size
    for checkpoint in read:
        where, size = checkpoint.where, checkpoint.size
        root = walked.roots.get(size)
        of_another = ""
        if checkpoint.origin != origin:
            of_another = f", or it is of another ledger: it names {checkpoint.origin}, not {origin}"
        if root == checkpoint.root:
            agreed = size
        elif root is not None:
            what = f"checkpoint {where} was taken of {size} other entries: history was rewritten"
            yield LedgerProblem(what + of_another, agreed + 1, size)
        elif walked.broken is None:
            what = f"checkpoint {where} was taken of {size} entries: the last ones are missing"
            yield LedgerProblem(what + of_another, count + 1, size)


def _missing(
    records: Iterable[CheckpointTaken], read: Sequence[Checkpoint]
) -> Iterator[LedgerProblem]:
    there = {checkpoint.sha256 for checkpoint in read}
    for record in records:
        if record.note.sha256 not in there:
            yield LedgerProblem(
                f"the ledger records a checkpoint of {record.size} entries, {record.note.path}, "
                "which is gone from the store or was changed. Restore it, or give the copy kept "
                "elsewhere with --checkpoint"
            )


def _unsigned(
    read: Sequence[Checkpoint],
    signatures: Mapping[str, SignatureCheck],
    kept: Mapping[str, bytes],
    covered: int,
) -> Iterator[LedgerProblem]:
    """With keys there must be signatures: no evidence is no proof."""
    for checkpoint in read:
        unsigned = signatures[checkpoint.where] is not SignatureCheck.VERIFIED
        if unsigned and checkpoint.where in kept:
            yield LedgerProblem(f"{checkpoint.where} is signed by none of the given keys")
    if not read:
        yield LedgerProblem(
            "a key was given, and there is no checkpoint to check with it: none was ever taken, "
            "the store is the wrong one, or they were removed"
        )
    elif not any(found is SignatureCheck.VERIFIED for found in signatures.values()):
        yield LedgerProblem("not one of the checkpoints is signed by one of the given keys")
    elif covered == 0:
        yield LedgerProblem("no entry is under a checkpoint that one of the given keys signed")


def _traces(connection: Connection, store: Store) -> Iterator[LedgerProblem]:
    """An empty ledger proves nothing; anything beside it shows that it was not always empty."""
    filled = []
    for table in metadata.sorted_tables:
        if table.name not in (ledger.name, ledger_head.name, *_OF_OTHERS):
            count = connection.scalar(sa.select(sa.func.count()).select_from(table))
            filled += [f"{table.name} ({count})"] if count else []
    if filled:
        yield LedgerProblem(
            f"the ledger is empty, and the catalog holds rows: {', '.join(filled)}. Every row "
            "comes from an entry, so the ledger was emptied"
        )
    files = next((path for name in _FOLDERS for path in store.list(name)), None)
    if files is not None:
        yield LedgerProblem(
            f"the ledger is empty, and the store holds files, such as {files}: this is another "
            "store's catalog, or it was emptied"
        )
