"""Statements compiled once a process: each test has an engine of its own, which would do it anew.

Half of what a short test of the catalog did was to write the same SQL again.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

_MOST = 4_000


class _Statements(dict[Any, Any]):
    """Compiled statements of all engines that speak alike; begun anew when there are too many."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get(_alike(key), default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        if len(self) >= _MOST:
            self.clear()
        super().__setitem__(_alike(key), compiled)


def _alike(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """A key of SQLAlchemy's with what matters of the dialect, in place of the dialect itself."""
    dialect, *rest = key
    return (
        type(dialect),
        dialect.server_version_info,
        dialect._json_serializer,
        dialect._json_deserializer,
        *rest,
    )


def compile_once() -> None:
    """From now on, for every engine of this process."""
    shared = _Statements()

    @sa.event.listens_for(sa.Engine, "engine_connect")
    def connected(connection: sa.Connection) -> None:
        connection.execution_options(compiled_cache=shared)
