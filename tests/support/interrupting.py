"""Stops an operation before or after its n-th write, as a kill would, within the process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import sqlalchemy as sa
from deltalake import DeltaTable
from fsspec.implementations.local import LocalFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Killed(BaseException):
    """In place of the signal: nothing in the library catches it."""


@contextmanager
def killed_at(engine: sa.Engine, point: int) -> Iterator[None]:
    """Raises `Killed` at a write point: a statement, a commit, a move in the store, a Delta commit.

    Args:
        engine: of the catalog.
        point: how many write points pass before it.
    """
    passed = 0

    def reach() -> None:
        nonlocal passed
        passed += 1
        if passed > point:
            raise Killed

    def statement(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        if text.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            reach()

    def around(real: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            reach()
            result = real(*args, **kwargs)
            reach()
            return result

        return watched

    sa.event.listen(engine, "before_cursor_execute", statement)
    try:
        with (
            patch.object(LocalFileSystem, "mv", around(LocalFileSystem.mv)),
            patch.object(DeltaTable, "create", around(DeltaTable.create)),
            patch.object(
                DeltaTable,
                "create_write_transaction",
                around(DeltaTable.create_write_transaction),
            ),
            patch.object(engine.dialect, "do_commit", around(engine.dialect.do_commit)),
        ):
            yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", statement)
