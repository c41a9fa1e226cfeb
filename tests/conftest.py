"""Fixtures for every test: a real PostgreSQL server, catalogs and workspaces on both databases."""

from __future__ import annotations

import gc
import subprocess
import sys
import uuid
import zlib
from typing import TYPE_CHECKING

import catalogs
import pytest
from compiled import compile_once
from forked_box import ForkedBox
from hypothesis import settings
from many import examples, in_full
from postgres import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]

# A change is judged by the same examples everywhere. `--hypothesis-profile=random` looks for new
# ones; what it finds becomes a test of its own.
settings.register_profile("same", derandomize=True, max_examples=examples(100))
settings.register_profile("random", derandomize=False)
settings.load_profile("same")


def pytest_configure() -> None:
    catalogs.never_sync()
    compile_once()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long files start first: else one worker is left with them at the end, and others idle."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    by_name = any("::" in word for word in config.args)
    left = [] if in_full() or by_name else [item for item in items if _is_left(item)]
    if left:
        gone = set(left)
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=left)


def _is_left(item: pytest.Item) -> bool:
    """Of the files whose tests ask both databases the same, PostgreSQL gets a third."""
    marks = {mark.name for mark in item.iter_markers()}
    return {"alike", "postgres"} <= marks and zlib.crc32(item.nodeid.encode()) % 3 != 0


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: no collection looks at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def forked_box() -> Iterator[ForkedBox]:
    """A box for deliveries that is forked from a process which is ready."""
    box = ForkedBox()
    yield box
    box.close()


@pytest.fixture(scope="module", autouse=True)
def quick_box(request: pytest.FixtureRequest, forked_box: ForkedBox) -> Iterator[None]:
    """Deliveries of this process are decoded in it, but for files with the mark `box`."""
    with pytest.MonkeyPatch.context() as patched:
        if request.node.get_closest_marker("box") is None:
            patched.setattr("lazaretto.batch._box._run", forked_box)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL (without database name) of a throw-away PostgreSQL server on a unix socket."""
    with running_server() as server:
        yield server.url("{name}")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty PostgreSQL database."""
    name = f"lz_{uuid.uuid4().hex[:12]}"
    catalogs.create_database(postgres_server, name)
    yield postgres_server.format(name=name)
    catalogs.drop_database(postgres_server, name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a SQLite catalog that does not exist yet."""
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest) -> str:
    """URL of a place without a catalog, once in each database."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="session")
def made_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite catalog that is there to be copied."""
    return catalogs.make_sqlite(tmp_path_factory.mktemp("made") / "catalog.db")


@pytest.fixture(scope="session")
def made_database(postgres_server: str) -> str:
    """Name of a PostgreSQL database with a catalog, which is there to be copied."""
    return catalogs.make_postgres(postgres_server)


@pytest.fixture
def sqlite_catalog(made_catalog: Path, tmp_path: Path) -> str:
    """URL of a new SQLite catalog."""
    return catalogs.copy_sqlite(made_catalog, tmp_path / "catalog.db")


@pytest.fixture
def postgres_catalog(postgres_server: str, made_database: str) -> Iterator[str]:
    """URL of a new catalog in a PostgreSQL database of its own."""
    name = f"lz_{uuid.uuid4().hex[:12]}"
    yield catalogs.copy_postgres(postgres_server, made_database, name)
    catalogs.drop_database(postgres_server, name)


@pytest.fixture(params=DATABASES)
def catalog_url(request: pytest.FixtureRequest) -> str:
    """URL of a new catalog, once in each database."""
    name = {"sqlite": "sqlite_catalog", "postgresql": "postgres_catalog"}[request.param]
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def workspace(catalog_url: str, tmp_path: Path) -> Iterator[Workspace]:
    """A fresh workspace, once with each database."""
    from lazaretto.storage.workspace import open_workspace

    opened = open_workspace(catalog_url=catalog_url, store=tmp_path / "store")
    yield opened
    opened.catalog.engine.dispose()


@pytest.fixture
def sqlite_workspace(sqlite_catalog: str, tmp_path: Path) -> Iterator[Workspace]:
    """A fresh workspace on SQLite, for tests that do not care which database it is."""
    from lazaretto.storage.workspace import open_workspace

    opened = open_workspace(catalog_url=sqlite_catalog, store=tmp_path / "store")
    yield opened
    opened.catalog.engine.dispose()


@pytest.fixture(scope="session")
def fitted_reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reference of a yard on disk, which nobody changes: fitting takes longer than most tests."""
    from yard import blobs, make_policy

    from lazaretto.reference import Reference

    root = tmp_path_factory.mktemp("reference")
    return Reference.fit(blobs(900, seed=1), make_policy(), name="blobs").save(root)


@pytest.fixture
def reopen(catalog_url: str, tmp_path: Path) -> Callable[[], Workspace]:
    """Opens the test's workspace again, as another process would."""
    from lazaretto.storage.workspace import open_workspace

    return lambda: open_workspace(catalog_url=catalog_url, store=tmp_path / "store")


@pytest.fixture
def at_once(tmp_path: Path) -> Callable[..., None]:
    """Runs a script in several processes at once, one per list of arguments; all succeed."""

    def run(script: str, *arguments: list[str]) -> None:
        file = tmp_path / "at_once.py"
        file.write_text(script)
        running = [
            subprocess.Popen([sys.executable, str(file), *words], stderr=subprocess.PIPE, text=True)
            for words in arguments
        ]
        failures = [process.communicate()[1] for process in running]
        assert [process.returncode for process in running] == [0] * len(running), failures

    return run
