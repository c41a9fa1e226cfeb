"""Passwords and tokens in any address that Lazaretto is given are nowhere to be read again."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pages import quick_commands
from yard import blobs

from lazaretto import stages
from lazaretto.errors import LazarettoError, NotFoundError, SystemFaultError, UsageError
from lazaretto.ledger import chain as ledger
from lazaretto.lineage import drain, flush
from lazaretto.lineage.claims.event import read_event
from lazaretto.lineage.claims.kept import reduced
from lazaretto.storage.catalog import Catalog
from lazaretto.storage.settings import settings_of_connection
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from yard import Yard

pytestmark = pytest.mark.alike
HUSH = "Hush-Hush"


@pytest.mark.parametrize(
    "root",
    [
        f"s3://KEY:{HUSH}@bucket/x",
        f"simplecache::s3://KEY:{HUSH}@bucket/x",
        f"memory://store?token={HUSH}",
        f"abfs://box@account.dfs.core.windows.net/x?sig={HUSH}",
        f"webhdfs://bob:{HUSH}@host/x",
    ],
)
def test_a_store_is_named_without_credentials(root: str) -> None:
    """What is stored is addressed from the root on: in the ledger, in lineage, in messages."""
    with pytest.raises(UsageError, match="in the environment") as caught:
        Store.at(root)
    assert HUSH not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://lz:{HUSH}@127.0.0.1:1/lz",
        f"postgresql://lz@127.0.0.1:1/lz?password={HUSH}",
        f"postgresql+psycopg://{HUSH}@127.0.0.1:1/lz?sslpassword={HUSH}&application_name={HUSH}",
        f"postgresql://lz:p@{HUSH}@127.0.0.1:x/lz",
        f"host=127.0.0.1 user=lz password={HUSH}",
        f"mysql://lz:{HUSH}@host/lz",
        f"://{HUSH}@",
    ],
)
def test_a_catalog_that_cannot_be_opened_does_not_tell_its_password(url: str) -> None:
    with pytest.raises(LazarettoError) as caught:
        Catalog.open(url)
    assert HUSH not in str(caught.value)


def test_an_open_catalog_shows_neither_user_nor_options(postgres_url: str) -> None:
    catalog = Catalog.open(postgres_url)
    assert "@" not in catalog.display_url
    assert "?" not in catalog.display_url
    catalog.engine.dispose()


@pytest.mark.airflow
def test_a_connection_with_an_odd_url_does_not_tell_it() -> None:
    from airflow.sdk import Connection

    extra = {"catalog_url": f"postgresql://lz:{HUSH}@host:port/lz"}
    connection = Connection(
        conn_id="c", conn_type="lazaretto", password=HUSH, extra=json.dumps(extra)
    )
    with pytest.raises(UsageError) as caught:
        settings_of_connection(connection)
    assert HUSH not in str(caught.value)


def test_a_model_is_registered_without_the_credentials_of_its_weights(yard: Yard) -> None:
    import fsspec

    yard.admit("monday", blobs(60, seed=5))
    taken = stages.snapshot(yard.workspace, "blobs")
    bucket = fsspec.filesystem("memory")
    bucket.pipe_file(f"/models/net?token={HUSH}", b"weights")
    try:
        stages.register_model(
            yard.workspace,
            "net",
            "1",
            "blobs",
            taken.version,
            artifact=f"memory://models/net?token={HUSH}",
            registry=f"mlflow://bob:{HUSH}@registry/models?token={HUSH}",
        )
    finally:
        bucket.rm("/models", recursive=True)
    for artifact in (f"https://bob:{HUSH}@127.0.0.1:1/net", f"x::s3://a:{HUSH}@b/net"):
        with pytest.raises(NotFoundError) as caught:
            stages.register_model(
                yard.workspace, "net", "2", "blobs", taken.version, artifact=artifact
            )
        assert HUSH not in str(caught.value)
    with yard.workspace.catalog.read() as connection:
        told = "\n".join(map(str, ledger.entries(connection)))
    assert "mlflow://registry/models" in told
    assert "memory://models/net" in told
    assert HUSH not in told
    drain(yard.workspace)
    store = Path(yard.workspace.store.root)
    assert not [p for p in store.rglob("*") if p.is_file() and HUSH.encode() in p.read_bytes()]


def test_a_lineage_backend_that_fails_does_not_tell_its_token(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://bob:{HUSH}@127.0.0.1:1/?api_key={HUSH}")
    with caplog.at_level(logging.WARNING, logger="lazaretto"):
        assert flush(sqlite_yard.workspace) == 0
    assert "were not sent" in caplog.text
    assert not [r for r in caplog.records if r.name.startswith("lazaretto") and HUSH in r.message]


def test_a_foreign_event_leaves_no_password_in_the_index() -> None:
    event = {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-01T00:00:00Z",
        "run": {"runId": "01890a5d-ac96-774b-bcce-b302099a8057"},
        "job": {"namespace": f"postgres://bob:{HUSH}@db:5432", "name": "copy"},
        "inputs": [{"namespace": f"postgres://bob:{HUSH}@db:5432", "name": "public.t"}],
        "outputs": [{"namespace": "s3://bucket", "name": "a/b@c"}],
    }
    run = read_event(event)
    assert [d.namespace for d in run.inputs] == ["postgres://db:5432"]
    assert [(d.namespace, d.name) for d in run.outputs] == [("s3://bucket", "a/b@c")]
    assert HUSH not in repr(run)
    assert HUSH not in reduced(event)


EVIL = "x\x1b[31mRED\x1b]8;;http://evil/\x1b\\l\x9b5n\u202e\u2066"


@pytest.mark.parametrize(
    "words",
    [
        ("batch", "receive", f"nope{EVIL}.parquet", "--source", "vendor"),
        ("batch", "receive", f"s3://{EVIL}/x.parquet", "--source", "vendor"),
        ("batch", "receive", __file__, "--source", EVIL),
        ("batch", "receive", __file__, "another", EVIL, "--source", "vendor"),
        ("batch", "receive", __file__, f"--{EVIL}"),
        ("batch", EVIL),
        ("batch", "list", "--limit", EVIL),
        ("batch", "admit", EVIL, "--dataset", EVIL),
        ("batch", "show", EVIL),
        ("quarantine", "show", EVIL),
        ("dataset", "log", EVIL),
        ("dataset", "recall", EVIL, "--batch", EVIL, "--reason", EVIL),
        ("manifest", "verify", EVIL, "--source", EVIL),
        ("policy", "check", EVIL),
        ("reference", "show", EVIL),
        ("trace", "batch", EVIL),
        ("trace", "source", "vendor", "--since", EVIL),
        ("catalog", "check", "--catalog", f"sqlite:////{EVIL}/x.db"),
        ("catalog", "check", "--store", f"s3://bob:{HUSH}@b/{EVIL}"),
        ("init", "a", "--dataset", EVIL),
    ],
    ids=lambda words: " ".join(word for word in words if word.isidentifier()),
)
def test_whatever_is_named_the_terminal_obeys_nothing(tmp_path: Path, words: tuple[str]) -> None:
    environment = os.environ | {
        "HOME": str(tmp_path),
        "LAZARETTO_CATALOG_URL": f"sqlite:///{tmp_path}/catalog.db",
        "LAZARETTO_STORE": str(tmp_path / "store"),
    }
    for more in ((), ("--debug", "--json")):
        done = subprocess.run(
            [str(quick_commands() / "lazaretto"), *words, *more],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
            timeout=120,
        )
        shown = (done.stdout + done.stderr).decode("utf-8")
        assert not {c for c in shown if not c.isprintable()} - {"\n"}
        assert HUSH not in shown


def test_an_error_and_those_behind_it_are_shown_without_secrets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from lazaretto.cli.reply import print_error, print_traceback

    try:
        try:
            raise OSError(f"GET https://bob:{HUSH}@host/x?sig={HUSH} failed\x1b[2J")
        except OSError as error:
            raise SystemFaultError("the store is away") from error
    except SystemFaultError:
        print_traceback()
    print_error(f"no such host: ftp://bob:{HUSH}@host/")
    shown = capsys.readouterr().err
    assert HUSH not in shown
    assert "\x1b" not in shown
    assert "OSError: GET https://host/x failed\\x1b[2J" in shown
