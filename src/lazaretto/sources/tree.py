"""The files of a folder, by name and digest: what a manifest over a folder signs and checks.

No link is followed, and every file is opened through the folders that lead to it: one that is
swapped meanwhile leads nowhere else. A block of each file is in memory, never a whole one.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    Tell = Callable[[int], None]

_BLOCK = 1 << 20
_DEEPEST = 64
_MOST_NAME = 1024
_THREADS = 8
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Algorithm = Literal["sha256", "blake2b"]
Kind = Literal["differs", "missing", "extra", "changed", "link", "not a file", "unreadable"]


class FoundFile(NamedTuple):
    """A file of a folder.

    Attributes:
        name: its path within the folder, with ``/``.
        size: bytes.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a file of a folder is not as it was signed, or cannot be signed.

    Attributes:
        name: its path within the folder.
        kind: ``differs``, ``missing``, ``extra``, ``changed`` (while it was read), ``link``,
            ``not a file`` or ``unreadable``.
        detail: the same in words.
    """

    name: str
    kind: Kind
    detail: str


@dataclass(frozen=True, slots=True)
class Tree:
    """What is in a folder.

    Attributes:
        files: sorted by name. Empty folders are no part of it.
        faults: what is there and is no file, likewise.
    """

    files: list[FoundFile]
    faults: list[Fault]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def bad_name(name: str) -> str | None:
    """Why a path within a folder could not be signed: it would mean another file elsewhere.

    Args:
        name: with ``/`` between folders.

    Returns:
        None for a path that can be signed.

    Examples:
        >>> bad_name("2026/march.parquet") is None
        True
        >>> bad_name("../march.parquet")
        'it leads out of the folder'
    """
    parts = name.split("/")
    if {"", ".", ".."} & set(parts):
        return "it leads out of the folder"
    if any(unicodedata.category(character) == "Cs" for character in name):
        return "it is not Unicode text"
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in name):
        return "it has control characters"
    if "\\" in name:
        return "it has a backslash, which divides folders on some systems"
    if len(name.encode()) > _MOST_NAME or len(parts) > _DEEPEST:
        return f"it is longer than {_MOST_NAME} bytes or deeper than {_DEEPEST} folders"
    return None


def same_elsewhere(names: Iterable[str]) -> tuple[str, str] | None:
    """Two paths that are one on a system that ignores case or Unicode form; None: there are none.

    Examples:
        >>> same_elsewhere(["Day/1.csv", "day/2.csv"])
        ('Day', 'day')
    """
    seen: dict[str, str] = {}
    for name in names:
        for end in [i for i, character in enumerate(name) if character == "/"] + [len(name)]:
            before = seen.setdefault(_folded(name[:end]), name[:end])
            if before != name[:end]:
                return before, name[:end]
    return None


def list_tree(
    folder: int, *, leave_out: Collection[str] = (), only: Collection[str] | None = None
) -> Tree:
    """Lists the files of an open folder and of those below it; their bytes are not read.

    Args:
        folder: descriptor of it.
        leave_out: paths that are passed over, with all below them.
        only: paths of the files that are listed; default all.
    """
    tree = Tree([], [])
    _list(folder, "", tree, frozenset(leave_out), None if only is None else _with_folders(only))
    tree.files.sort()
    tree.faults.sort(key=lambda fault: fault.name)
    return tree


def hash_files(
    folder: int,
    files: Sequence[FoundFile],
    *,
    algorithm: Algorithm = "sha256",
    tell: Tell = lambda _: None,
) -> Iterator[tuple[str, str | Fault]]:
    """Hashes files, several at once, and yields each name with its digest (hex) in order.

    Args:
        folder: descriptor that the names start from.
        files: as `list_tree` gives them.
        algorithm: of the digest.
        tell: called with the number of bytes whenever so many more were read.
    """
    waiting = deque(files)
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        running: deque[tuple[str, Future[str | Fault]]] = deque()
        try:
            while waiting or running:
                while waiting and len(running) < 4 * _THREADS:
                    name = waiting.popleft().name
                    running.append((name, pool.submit(_hash, folder, name, algorithm, tell)))
                name, result = running.popleft()
                yield name, result.result()
        finally:
            for _, one in running:
                one.cancel()


def compare(
    folder: int,
    tree: Tree,
    signed: Mapping[str, str],
    *,
    algorithm: Algorithm = "sha256",
    tell: Tell = lambda _: None,
) -> list[Fault]:
    """What in a folder is not as it was signed, by name.

    Args:
        folder: descriptor of the folder.
        tree: what `list_tree` found in it.
        signed: digest (hex) of each file.
        algorithm: of the digests.
        tell: as of `hash_files`.
    """
    faults = list(tree.faults)
    there = {file.name for file in tree.files} | {fault.name for fault in faults}
    forms = {_folded(name): name for name in there - signed.keys()}
    for name in signed.keys() - there:
        near = forms.get(_folded(name))
        hint = f"; {near!r} differs only in case or Unicode form" if near else ""
        faults.append(Fault(name, "missing", f"it was signed, and is not there{hint}"))
    known = [file for file in tree.files if file.name in signed]
    faults += [
        Fault(file.name, "extra", "it is there, and was not signed")
        for file in tree.files
        if file.name not in signed
    ]
    for name, found in hash_files(folder, known, algorithm=algorithm, tell=tell):
        if isinstance(found, Fault):
            faults.append(found)
        elif found != signed[name]:
            text = f"its {algorithm} is {found[:16]}…, signed was {signed[name][:16]}…"
            faults.append(Fault(name, "differs", text))
    return sorted(faults, key=lambda fault: fault.name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _with_folders(paths: Collection[str]) -> frozenset[str]:
    """Paths of files, and of all folders that lead to them."""
    parts = [path.split("/") for path in paths]
    return frozenset("/".join(one[:end]) for one in parts for end in range(1, len(one) + 1))


def _list(
    folder: int, head: str, tree: Tree, leave_out: frozenset[str], only: frozenset[str] | None
) -> None:
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        path = f"{head}{entry.name}"
        if path in leave_out or (only is not None and path not in only):
            continue
        try:
            kind = entry.stat(follow_symlinks=False)
        except OSError as error:
            tree.faults.append(Fault(path, "unreadable", _words(error)))
            continue
        problem = bad_name(path)
        if stat.S_ISLNK(kind.st_mode):
            tree.faults.append(Fault(path, "link", "it is a link, and links are not followed"))
        elif problem is not None:
            tree.faults.append(Fault(path, "extra", f"no file of this name is signed: {problem}"))
        elif stat.S_ISREG(kind.st_mode):
            tree.files.append(FoundFile(path, kind.st_size))
        elif not stat.S_ISDIR(kind.st_mode):
            tree.faults.append(Fault(path, "not a file", "it is a pipe, a socket or a device"))
        else:
            try:
                below = os.open(entry.name, _FOLDER, dir_fd=folder)
            except OSError as error:
                tree.faults.append(Fault(path, "unreadable", _words(error)))
                continue
            try:
                _list(below, f"{path}/", tree, leave_out, only)
            finally:
                os.close(below)


def _hash(folder: int, name: str, algorithm: Algorithm, tell: Tell) -> str | Fault:
    try:
        file = _open(folder, name)
    except FileNotFoundError:
        return Fault(name, "missing", "it was there, and is gone")
    except OSError as error:
        return Fault(name, "unreadable", _words(error))
    try:
        before = os.fstat(file)
        if not stat.S_ISREG(before.st_mode):
            return Fault(name, "not a file", "it was replaced by what is no file")
        digest, read = hashlib.new(algorithm), 0
        while block := os.read(file, _BLOCK):
            digest.update(block)
            read += len(block)
            tell(len(block))
            if read > before.st_size:
                break
        after = os.fstat(file)
        if read != before.st_size or _state(before) != _state(after):
            return Fault(name, "changed", "it was changed while it was read: somebody writes to it")
        return digest.hexdigest()
    except OSError as error:
        return Fault(name, "unreadable", _words(error))
    finally:
        os.close(file)


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _open(folder: int, name: str) -> int:
    *folders, last = name.split("/")
    now = os.dup(folder)
    try:
        for one in folders:
            below = os.open(one, _FOLDER, dir_fd=now)
            os.close(now)
            now = below
        return os.open(last, _FILE, dir_fd=now)
    finally:
        os.close(now)


def _words(error: OSError) -> str:
    return f"it cannot be read: {error.strerror or type(error).__name__}"
