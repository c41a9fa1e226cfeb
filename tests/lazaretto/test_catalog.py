"""The catalog: migrations, versions, transactions, and what it says when it cannot be used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from lazaretto.errors import NotFoundError, SystemFaultError, UsageError
from lazaretto.sources.registry import add_source, get_source
from lazaretto.storage import catalog as catalog_module
from lazaretto.storage import column_types as columns
from lazaretto.storage import tables
from lazaretto.storage.catalog import SCHEMA_VERSION, Catalog
from lazaretto.storage.store import Store
from lazaretto.storage.workspace import Workspace
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Callable


def test_migrations_make_exactly_the_tables_that_the_code_uses(empty_url: str) -> None:
    catalog = Catalog.open(empty_url)
    with catalog.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, columns.metadata) == []
    assert catalog.version() == SCHEMA_VERSION


def test_downgrading_leaves_nothing_behind(empty_url: str) -> None:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(catalog_module.__file__).parent / "migrations")
    )
    catalog = Catalog.open(empty_url)
    with catalog.transaction() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with catalog.read() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
    Catalog.open(empty_url)


def test_schema_version_is_the_newest_migration() -> None:
    config = Config()
    folder = Path(catalog_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_VERSION


def test_open_that_makes_nothing_refuses_an_empty_database(empty_url: str, tmp_path: Path) -> None:
    if empty_url.startswith("sqlite"):
        (tmp_path / "catalog.db").touch()
    with pytest.raises(NotFoundError, match=r"no catalog in .*`lazaretto catalog upgrade`"):
        Catalog.open(empty_url, create=False)
    assert Catalog.open(empty_url).version() == SCHEMA_VERSION


def test_open_that_makes_nothing_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no catalog at .*slip\.db"):
        Catalog.open(f"sqlite:///{tmp_path}/folder/slip.db", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("upgrade", [True, False])
def test_open_refuses_a_catalog_of_a_newer_version(catalog_url: str, upgrade: bool) -> None:
    with Catalog.open(catalog_url).transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(tables.workspace.update().values(usable_from="9999"))
    with pytest.raises(SystemFaultError, match=r"9999.*install the newer Lazaretto"):
        Catalog.open(catalog_url, upgrade=upgrade)


@pytest.mark.parametrize("upgrade", [True, False])
def test_a_newer_catalog_that_only_has_more_is_used_beside_the_newer_version(
    catalog_url: str, upgrade: bool
) -> None:
    """As after a migration that adds a table and a column: old and new code work side by side."""
    with Catalog.open(catalog_url).transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("CREATE TABLE later (id INTEGER)"))
        connection.execute(sa.text("ALTER TABLE source ADD COLUMN later TEXT"))
    older = Catalog.open(catalog_url, create=False, upgrade=upgrade)
    workspace = Workspace(older, Store.at("/nowhere"))
    add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
    assert get_source(workspace, "vendor").trust_tier is TrustTier.REVIEWED
    assert older.version() == "9999"


def test_an_older_catalog_is_migrated_only_where_somebody_asks_for_it(catalog_url: str) -> None:
    config = Config()
    folder = Path(catalog_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    catalog = Catalog.open(catalog_url)
    with catalog.transaction() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
    for create in (True, False):
        with pytest.raises(SystemFaultError, match=r"schema 0002.*`lazaretto catalog upgrade`"):
            Catalog.open(catalog_url, create=create)
        assert catalog.version() == "0002"
    assert Catalog.open(catalog_url, upgrade=True).version() == SCHEMA_VERSION


def test_an_unreachable_database_is_the_systems_fault_and_its_password_stays_secret() -> None:
    url = "postgresql://vendor:hunter2@127.0.0.1:1/catalog"
    with pytest.raises(SystemFaultError) as caught:
        Catalog.open(url)
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert caught.value.__cause__ is None


def test_repr_of_an_open_catalog_has_no_password(postgres_url: str) -> None:
    catalog = Catalog.open(postgres_url.replace("lazaretto@", "lazaretto:hunter2@"))
    assert "hunter2" not in repr(catalog)
    assert "hunter2" not in catalog.display_url


def test_a_file_that_is_no_database_is_the_systems_fault(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"something else altogether" * 100)
    with pytest.raises(SystemFaultError, match="not a database"):
        Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "not a url"])
def test_an_unsupported_url_is_the_callers_mistake(url: str) -> None:
    with pytest.raises(UsageError):
        Catalog.open(url)


def test_a_failed_transaction_leaves_nothing(catalog_url: str) -> None:
    catalog = Catalog.open(catalog_url)
    with pytest.raises(sa.exc.IntegrityError), catalog.transaction() as connection:
        connection.execute(tables.projection.insert(), [{"name": "p", "seq": 1}] * 2)
    with catalog.read() as connection:
        assert connection.execute(sa.select(tables.projection)).all() == []


def test_foreign_keys_hold(catalog_url: str) -> None:
    catalog = Catalog.open(catalog_url)
    with pytest.raises(sa.exc.IntegrityError), catalog.transaction() as connection:
        connection.execute(
            tables.source_key.insert().values(
                source="nobody",
                key_id="k",
                scheme="s",
                public_key="p",
                valid_from=datetime.now(UTC),
                seq=1,
                entry="0" * 64,
            )
        )


def test_moments_come_back_in_utc_and_naive_ones_are_refused(catalog_url: str) -> None:
    catalog = Catalog.open(catalog_url)
    moment = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    state = {"seq": 1, "entry": "0" * 64}
    row = {"name": "v", "trust_tier": "TRUSTED", "created_at": moment} | state
    with catalog.transaction() as connection:
        connection.execute(tables.source.insert().values(row))
    with catalog.read() as connection:
        found = connection.scalar(sa.select(tables.source.c.created_at))
    assert found == moment
    assert found.tzinfo is UTC
    with pytest.raises(sa.exc.StatementError, match="naive"), catalog.transaction() as connection:
        connection.execute(
            tables.source.insert().values(row | {"name": "w", "created_at": datetime(2026, 3, 1)})
        )


def test_a_reader_sees_one_moment_while_a_writer_commits(catalog_url: str) -> None:
    catalog = Catalog.open(catalog_url)
    count = sa.select(sa.func.count()).select_from(tables.projection)
    with catalog.read() as reader:
        assert reader.scalar(count) == 0
        with catalog.transaction() as writer:
            writer.execute(tables.projection.insert().values(name="p", seq=1))
        assert reader.scalar(count) == 0
    with catalog.read() as reader:
        assert reader.scalar(count) == 1


_OPEN_AND_ADD = """
import sys
from lazaretto.storage import column_types as columns, tables
from lazaretto.storage.catalog import Catalog
with Catalog.open(sys.argv[1]).transaction() as connection:
    connection.execute(tables.projection.insert().values(name=sys.argv[2], seq=0))
"""


def test_processes_that_start_on_an_empty_database_at_once_migrate_it_once(
    empty_url: str, at_once: Callable[..., None]
) -> None:
    at_once(_OPEN_AND_ADD, *([empty_url, f"p{i}"] for i in range(4)))
    with Catalog.open(empty_url).read() as connection:
        assert len(connection.execute(sa.select(tables.projection)).all()) == 4


def test_what_was_recorded_before_the_first_release_is_not_carried_over(catalog_url: str) -> None:
    catalog = Catalog.open(catalog_url)
    config = Config()
    config.set_main_option(
        "script_location", str(Path(catalog_module.__file__).parent / "migrations")
    )
    config.set_main_option("path_separator", "os")
    with catalog.transaction() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
        connection.execute(
            sa.text(
                "INSERT INTO ledger (seq, at, kind, payload, prev, hash) "
                "VALUES (1, '2026-05-01', 'source_registered', '{}', 'p', 'h')"
            )
        )
    with pytest.raises(SystemFaultError, match="before the first release"):
        Catalog.open(catalog_url, upgrade=True)
    with catalog.read() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "0002"
