"""A catalog that is busy, full, restarted or stands still: readers go on, and nothing is lost."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from postgres import running_server
from yard import Yard, blobs, make_yard

from lazaretto import stages
from lazaretto.errors import SystemFaultError
from lazaretto.ledger.verify import verify
from lazaretto.storage import engines, tables
from lazaretto.storage.catalog import Catalog
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from postgres import Server

COUNT = sa.select(sa.func.count()).select_from(tables.projection)


def add(catalog: Catalog, name: str) -> None:
    with catalog.transaction() as connection:
        connection.execute(tables.projection.insert().values(name=name, seq=0))


def count(catalog: Catalog) -> int:
    with catalog.read() as connection:
        return connection.scalar(COUNT) or 0


# --- one process with many threads: the review page


def test_readers_go_on_while_one_writes_and_many_wait_to(catalog_url: str) -> None:
    catalog = Catalog.open(catalog_url)
    ready = threading.Barrier(17)

    def wait_to_write(number: int) -> None:
        ready.wait()
        add(catalog, f"writer {number}")

    with ThreadPoolExecutor(32) as threads:
        with catalog.transaction() as slow:
            slow.execute(tables.projection.insert().values(name="slow", seq=0))
            writers = [threads.submit(wait_to_write, number) for number in range(16)]
            ready.wait()
            readers = [threads.submit(count, catalog) for _ in range(16)]
            assert [reader.result() for reader in readers] == [0] * 16
        for writer in writers:
            writer.result()
    assert count(catalog) == 17


def test_a_writer_that_waits_too_long_is_told_to_try_again(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog.open(catalog_url)
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.1)
    with (
        catalog.transaction(),
        ThreadPoolExecutor(1) as other,
        pytest.raises(SystemFaultError, match=r"is busy: another thread .*; try again"),
    ):
        other.submit(add, catalog, "p").result()
    add(catalog, "p")


def test_no_reader_sees_how_connections_are_kept(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "READ_SECONDS", 0.1)
    monkeypatch.setattr(engines, "MOST_CONNECTIONS", 1)
    catalog = Catalog.open(postgres_url)
    with (
        catalog.read(),
        ThreadPoolExecutor(1) as other,
        pytest.raises(SystemFaultError, match=r"is busy: all connections of this process.*again"),
    ):
        other.submit(count, catalog).result()
    assert count(catalog) == 0


# --- PostgreSQL with few connections


@pytest.fixture
def five(postgres_url: str) -> Iterator[str]:
    """URL of a database that its role may connect to five times at once."""
    role = f"lz_{uuid.uuid4().hex[:12]}"
    admin = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 5")
        connection.exec_driver_sql(f"GRANT ALL ON SCHEMA public TO {role}")
    yield postgres_url.replace("lazaretto@", f"{role}@")
    with admin.connect() as connection:
        connection.exec_driver_sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
        )
        connection.exec_driver_sql(f"DROP OWNED BY {role} CASCADE")
        connection.exec_driver_sql(f"DROP ROLE {role}")
    admin.dispose()


_WORK = """
import sys
from concurrent.futures import ThreadPoolExecutor
import sqlalchemy as sa
from lazaretto.storage import tables
from lazaretto.storage.catalog import Catalog
catalog = Catalog.open(sys.argv[1])
def work(number):
    with catalog.transaction() as connection:
        connection.execute(tables.projection.insert().values(name=f"{sys.argv[2]}.{number}", seq=0))
    with catalog.read() as connection:
        connection.execute(sa.select(tables.projection)).all()
with ThreadPoolExecutor(8) as threads:
    list(threads.map(work, range(10)))
"""


def test_five_connections_are_enough_for_threads_and_processes(
    five: str, at_once: Callable[..., None]
) -> None:
    Catalog.open(five).engine.dispose()
    at_once(_WORK, *([five, f"p{number}"] for number in range(4)))
    assert count(Catalog.open(five)) == 40


def test_who_finds_no_connection_is_told_to_try_again(
    five: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "READ_SECONDS", 0.1)
    held = [Catalog.open(five) for _ in range(5)]  # each keeps one
    with pytest.raises(SystemFaultError, match=r"is busy: all connections that it allows.*again"):
        Catalog.open(five)
    for catalog in held:
        catalog.engine.dispose()
    assert count(Catalog.open(five)) == 0


# --- PostgreSQL that ends, and stands still


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, which it may stop."""
    with running_server() as running:
        yield running


@pytest.fixture
def yard_there(server: Server, fitted_reference: str, tmp_path: Path) -> Iterator[Yard]:
    """A yard on that server."""
    workspace = open_workspace(catalog_url=server.url("postgres"), store=tmp_path / "store")
    yield make_yard(workspace, fitted_reference, tmp_path)
    workspace.catalog.engine.dispose()


@pytest.mark.postgres
def test_whatever_is_done_while_the_server_restarts_can_be_done_again(
    server: Server, yard_there: Yard
) -> None:
    """Killed before each stage and within its commit: no loss, no duplicate."""
    yard, rows = yard_there, blobs(60, seed=5)
    workspace, policy = yard.workspace, yard.policy
    file = yard.deliver("monday", rows)
    steps: list[Callable[[], object]] = [
        lambda: stages.receive(workspace, file, "vendor-a", policy=policy)
    ]
    batch = ""

    def stage(do: Callable[..., object]) -> Callable[[], object]:
        return lambda: do(workspace, batch, policy)

    steps += [stage(do) for do in (stages.validate, stages.embed, stages.screen, stages.gate)]
    steps.append(lambda: stages.admit(workspace, batch))
    for step in steps:
        server.stop()
        with pytest.raises(SystemFaultError, match="cannot be used"):
            step()
        server.start()
        commits = iter([True])

        @sa.event.listens_for(workspace.catalog.engine, "commit")
        def cut_off(connection: sa.Connection, commits: Iterator[bool] = commits) -> None:
            if connection.get_execution_options().get("lazaretto_writes") and next(commits, False):
                server.stop()

        try:
            with pytest.raises(SystemFaultError, match="cannot be used"):
                step()
        finally:
            sa.event.remove(workspace.catalog.engine, "commit", cut_off)
        server.start()
        done = step()
        batch = batch or done.id  # type: ignore[attr-defined]
        assert step() == done
    assert verify(workspace).ok
    assert len(yard.ids()) > 50
    assert len(set(yard.ids())) == len(yard.ids())


@pytest.mark.postgres
def test_a_server_that_stands_still_is_waited_for_or_said(
    server: Server, yard_there: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = yard_there.receive("monday", blobs(60, seed=5)).id
    server.freeze()
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(stages.validate, yard_there.workspace, batch, yard_there.policy)
        # Who connects only now gives up; who is connected waits.
        monkeypatch.setattr(engines, "CONNECT_SECONDS", 2)
        with pytest.raises(SystemFaultError, match="timeout"):
            Catalog.open(server.url("postgres"))
        assert not done.done()
        server.thaw()
        assert done.result().batch == batch
    assert verify(yard_there.workspace).ok
