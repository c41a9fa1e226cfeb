"""Manifests over a folder: one signed statement that names every file in it with its sha256.

An in-toto Statement v1 with one subject for each file, in a DSSE envelope, as for one file. Files
are read as streams, several at once; hidden ones count as all others, and empty folders do not
count.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lazaretto.errors import UsageError
from lazaretto.redact import safe_uri
from lazaretto.sources.manifest import STATEMENT_TYPE, seal
from lazaretto.sources.statement import FOLDER_TYPE, MAX_BYTES, FolderStatement, problems
from lazaretto.sources.tree import (
    Fault,
    compare,
    hash_files,
    list_tree,
    same_elsewhere,
)
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from lazaretto.sources.manifest import Manifest
    from lazaretto.sources.tree import Algorithm, Tree


def sign_folder(
    folder: str | Path,
    *,
    source: str,
    private_key: bytes,
    collected_from: datetime | None = None,
    collected_to: datetime | None = None,
    issued_at: datetime | None = None,
    expires: datetime | None = None,
    rows: int | None = None,
    only: Collection[str] | None = None,
    tell: Callable[[int, int], None] = lambda *_: None,
) -> bytes:
    r"""Signs a manifest over every file of a folder and of those below it.

    Args:
        folder: of this machine.
        source: name of the source, as registered with the receiver.
        private_key: PEM, as `keygen` gives it.
        collected_from: aware time; start of the records' collection.
        collected_to: aware time; end of it.
        issued_at: aware time of signing; default now.
        expires: aware time from which the manifest is refused; default never.
        rows: number of records; checked by the receiver when given.
        only: paths of the files in it that are delivered and signed; default all.
        tell: called with the bytes that were read, and with those that there are.

    Returns:
        DSSE envelope, JSON.

    Raises:
        UsageError: something in it cannot be signed (a link, a pipe, a name that means another file
            elsewhere), a file changes while it is read, or there is none; as `sign_manifest`.

    Examples:
        >>> from pathlib import Path
        >>> Path("march/day-1").mkdir(parents=True)
        >>> _ = Path("march/day-1/a.csv").write_text("id,stars\\n1,5\\n")
        >>> key = Path("vendor.key").read_bytes()
        >>> envelope = sign_folder("march", source="vendor", private_key=key)
        >>> _ = Path("march.manifest.json").write_bytes(envelope)
    """
    path = Path(folder)
    with _opened(path) as root:
        tree = list_tree(root, only=only)
        _require_signable(tree, only)
        subjects = []
        for name, digest in hash_files(root, tree.files, tell=_counting(tell, tree.size)):
            if isinstance(digest, Fault):
                raise _cannot_sign(digest)
            subjects.append({"name": name, "digest": {"sha256": digest}})
        # What came or went meanwhile is neither signed nor left out without a word.
        if list_tree(root, only=only) != tree:
            raise UsageError(
                f"{safe_uri(str(path))} was changed while it was read: sign it once nothing writes "
                "to it"
            )
    try:
        statement = FolderStatement.model_validate(
            {
                "_type": STATEMENT_TYPE,
                "subject": subjects,
                "predicateType": FOLDER_TYPE,
                "predicate": {
                    "source": source,
                    "folder": path.resolve().name or "folder",
                    "collectedFrom": collected_from,
                    "collectedTo": collected_to,
                    "issuedAt": issued_at or datetime.now(UTC),
                    "expires": expires,
                    "rows": rows,
                },
            }
        )
    except ValidationError as error:
        raise UsageError(f"the manifest is not valid: {problems(error)}") from error
    envelope = seal(statement, private_key)
    if len(envelope) > MAX_BYTES:
        raise UsageError(
            f"a manifest over {len(subjects):,} files has {len(envelope):,} bytes, and at most "
            f"{MAX_BYTES:,} are read: pack small files together, or sign folders below it"
        )
    return envelope


def check_folder(
    manifest: Manifest,
    folder: str | Path,
    *,
    leave_out: Collection[str] = (),
    only: Collection[str] | None = None,
    tell: Callable[[int, int], None] = lambda *_: None,
) -> list[Fault]:
    r"""What in a folder is not as its manifest says, file by file; nothing where all is.

    Args:
        manifest: over a folder, as `verify_manifest` gives it.
        folder: of this machine.
        leave_out: paths within it that are not looked at, such as the manifest's own.
        only: paths of the files in it that are delivered; default all.
        tell: called with the bytes that were read, and with those that there are.

    Raises:
        UsageError: it is no folder, or the manifest is about one file.

    Examples:
        >>> from datetime import UTC, datetime, timedelta
        >>> from pathlib import Path
        >>> from lazaretto.sources.folder import sign_folder
        >>> from lazaretto.sources.manifest import verify_manifest
        >>> from lazaretto.sources.registry import get_source
        >>> Path("april").mkdir()
        >>> _ = Path("april/a.csv").write_text("id,stars\\n1,5\\n")
        >>> key = Path("vendor.key").read_bytes()
        >>> envelope = sign_folder("april", source="vendor", private_key=key)
        >>> keys, now = get_source(workspace, "vendor").keys, datetime.now(UTC)
        >>> said, _ = verify_manifest(envelope, keys, now=now, clock_skew=timedelta(minutes=5))
        >>> check_folder(said, "april")
        []
        >>> _ = Path("april/a.csv").write_text("id,stars\\n1,4\\n")
        >>> [(fault.name, fault.kind) for fault in check_folder(said, "april")]
        [('a.csv', 'differs')]
    """
    if manifest.files is None:
        raise UsageError("the manifest is about one file, and this is a folder")
    return check_files(folder, manifest.files, leave_out=leave_out, only=only, tell=tell)


def check_files(
    folder: str | Path,
    signed: Mapping[str, str],
    *,
    algorithm: Algorithm = "sha256",
    leave_out: Collection[str] = (),
    only: Collection[str] | None = None,
    tell: Callable[[int, int], None] = lambda *_: None,
) -> list[Fault]:
    """What in a folder is not as it was signed, file by file; nothing where all is.

    Args:
        folder: of this machine.
        signed: digest (hex) of every file, by its path.
        algorithm: of the digests.
        leave_out: paths within it that are not looked at, with all below them.
        only: paths of the files in it that are looked at; default all.
        tell: called with the bytes that were read, and with those that there are.

    Raises:
        UsageError: it is no folder, or cannot be read.
    """
    with _opened(Path(folder)) as root:
        tree = list_tree(root, leave_out=leave_out, only=only)
        total = _counting(tell, tree.size)
        return compare(root, tree, signed, algorithm=algorithm, tell=total)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Opens a folder that its owner names: a link to it is followed, those within it are not.

    Raises:
        UsageError: it is no folder, or cannot be read.
    """
    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        name, why = safe_uri(str(folder)), error.strerror or type(error).__name__
        raise UsageError(f"cannot read folder {name!r}: {why}") from error
    try:
        yield root
    finally:
        os.close(root)


def _counting(tell: Callable[[int, int], None], total: int) -> Callable[[int], None]:
    """Sums up what several threads have read."""
    lock, done = Lock(), 0

    def add(size: int) -> None:
        nonlocal done
        with lock:
            done += size
            tell(done, total)

    return add


def _require_signable(tree: Tree, only: Collection[str] | None) -> None:
    there = {file.name for file in tree.files} | {fault.name for fault in tree.faults}
    if missing := sorted(set(only or ()) - there):
        raise UsageError(f"{excerpt(missing[0])!r} cannot be signed: there is no such file")
    if tree.faults:
        raise _cannot_sign(tree.faults[0])
    if not tree.files:
        raise UsageError("there is no file in the folder: nothing to sign")
    same = same_elsewhere(file.name for file in tree.files)
    if same is not None:
        raise UsageError(
            f"{excerpt(same[0])!r} and {excerpt(same[1])!r} differ only in case or Unicode form, "
            "and are one file on some systems: rename one"
        )


def _cannot_sign(fault: Fault) -> UsageError:
    return UsageError(f"{excerpt(fault.name)!r} cannot be signed: {fault.detail}")
