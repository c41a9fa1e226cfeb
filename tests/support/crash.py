"""Kills an operation before and after each of its writes, retries it, and looks at what is left.

Run as a program: ``crash.py URL FOLDER OPERATION...``. Every attempt is a forked process that
dies by SIGKILL at the n-th write point; a second one makes the same call again and checks the
outcome. State is put back in between, so that each n starts from the same moment. By default every
fifth n is tried, and every n of an operation with few writes.
"""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import signal
import sys
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from many import some

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_POINTS = 300
_PIPE = 65_536  # bytes that a pipe takes while nobody reads
_EVERY = 5  # of an odd number both points before and after a write come
_WRITING = ("INSERT", "UPDATE", "DELETE")


def main(url: str, folder: Path, operations: list[str]) -> None:
    """Tries the write points of each operation; prints how many there are, about."""
    import crash_operations
    from catalogs import never_sync
    from compiled import compile_once

    never_sync()
    compile_once()
    _in_child(lambda: crash_operations.screened(url, folder))
    _in_child(lambda: _save(url, folder, "screened"))
    for operation in operations:
        prepare, act, check = crash_operations.OPERATIONS[operation]
        _in_child(lambda: _restore(url, folder, "screened"))
        _in_child(partial(prepare, url, folder))
        _in_child(lambda: _save(url, folder, "ready"))
        every = 1 if operation in crash_operations.FEW_WRITES else _EVERY
        print(operation, _kill_everywhere(url, folder, act, check, every), flush=True)


def _kill_everywhere(
    url: str, folder: Path, act: Callable[..., Any], check: Callable[..., Any], every: int
) -> int:
    for point in some(range(_MOST_POINTS), every):
        status = _in_child(partial(_killed_at, point, lambda: act(url, folder)), may_die=True)
        _in_child(lambda: _try_again(url, folder, act, check))
        if status == 0:
            return point
    sys.exit(f"more than {_MOST_POINTS} write points")


def _try_again(url: str, folder: Path, act: Callable[..., Any], check: Callable[..., Any]) -> None:
    check(url, folder, done=False)
    act(url, folder)
    check(url, folder, done=True)
    _restore(url, folder, "ready")


def _in_child(work: Callable[[], Any], *, may_die: bool = False) -> int:
    """Runs work in a fork: nothing that it opened or started is left behind in this process.

    But the modules that it loaded are loaded here, too: the next fork need not load them.
    """
    told, tell = os.pipe()
    gc.freeze()  # a fork looks at none of it again, and copies no page of it
    child = os.fork()
    if child == 0:
        before = set(sys.modules)
        try:
            work()
            os.write(tell, " ".join(sys.modules.keys() - before).encode()[:_PIPE])
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(tell)
    with os.fdopen(told) as pipe:
        loaded = pipe.read().split()
    status = os.waitpid(child, 0)[1]
    for name in loaded:
        with suppress(ImportError):
            importlib.import_module(name)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if status != 0 and not (may_die and killed):
        sys.exit("a forked attempt failed, see above")
    return status


def _killed_at(point: int, work: Callable[[], Any]) -> None:
    passed = 0

    def reach() -> None:
        nonlocal passed
        if passed == point:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    _watch(reach)
    work()


def _watch(reach: Callable[[], None]) -> None:
    """Calls `reach` before and after whatever writes: SQL, commits, the store, Delta."""
    import sqlalchemy as sa
    from deltalake import DeltaTable
    from fsspec.implementations.local import LocalFileSystem

    from lazaretto.storage import bulk

    wrote = False

    def statement(_conn: Any, _cursor: Any, text: str, *_: Any) -> None:
        nonlocal wrote
        if text.lstrip().upper().startswith(_WRITING):
            wrote = True
            reach()

    def committing(_: Any) -> None:
        if wrote:
            reach()

    def committed(*_: Any) -> None:
        nonlocal wrote
        if wrote:
            wrote = False
            reach()

    sa.event.listen(sa.Engine, "before_cursor_execute", statement)
    sa.event.listen(sa.Engine, "commit", committing)
    sa.event.listen(sa.pool.Pool, "checkin", committed)
    around: list[tuple[Any, str]] = [
        (DeltaTable, "create"),
        (DeltaTable, "create_write_transaction"),
        (DeltaTable, "create_checkpoint"),
        (LocalFileSystem, "mv"),
        (LocalFileSystem, "rm"),
        (LocalFileSystem, "rm_file"),
        (bulk, "bulk_insert"),
    ]
    for home, name in around:
        _wrap(home, name, reach)


def _wrap(home: Any, name: str, reach: Callable[[], None]) -> None:
    real = getattr(home, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        reach()
        result = real(*args, **kwargs)
        reach()
        return result

    setattr(home, name, watched)


def _save(url: str, folder: Path, name: str) -> None:
    copy = folder.with_suffix(f".{name}")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    if url.startswith("postgresql"):
        _postgres(
            url,
            f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}",
            f"CREATE TABLE {name}.{{table}} AS TABLE public.{{table}}",
        )


def _restore(url: str, folder: Path, name: str) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder.with_suffix(f".{name}"), folder)
    if url.startswith("postgresql"):
        _postgres(
            url,
            "TRUNCATE {all}",
            f"INSERT INTO public.{{table}} SELECT * FROM {name}.{{table}}",
        )


def _postgres(url: str, first: str, for_each_table: str) -> None:
    import sqlalchemy as sa

    from lazaretto.storage.column_types import metadata

    names = [f'"{table.name}"' for table in metadata.sorted_tables]
    with sa.create_engine(url).begin() as connection:
        connection.exec_driver_sql(first.format(all=", ".join(names)))
        for name in names:
            connection.exec_driver_sql(for_each_table.format(table=name))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
