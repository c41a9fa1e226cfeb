"""The page of the ledger's format: the library writes its example, and its program works."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rfc8785
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lazaretto.ledger.chain import append
from lazaretto.ledger.events import SourceRegistered
from lazaretto.ledger.proving import prove_entry
from lazaretto.ledger.signing import take_checkpoint
from lazaretto.storage.tables import ledger
from lazaretto.values import Actor, ActorType, TrustTier

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

PAGE = (Path(__file__).parents[2] / "docs/reference/ledger-format.md").read_text("utf-8")
ENTRIES, CHECKPOINT, VKEY, PROGRAM = re.findall(
    r"^```(?:json|text|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """The page's program on the page's files."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The page's three blocks as files."""
    for name, text in (
        ("entries.jsonl", ENTRIES),
        ("checkpoint.txt", CHECKPOINT),
        ("vkey.txt", VKEY),
    ):
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_the_library_writes_the_page_s_example(sqlite_workspace: Workspace) -> None:
    actor = Actor(ActorType.OS_USER, "os:alice@gate")
    with sqlite_workspace.catalog.transaction() as connection:
        for minute, (name, tier) in enumerate(
            (
                ("vendor", TrustTier.REVIEWED),
                ("crawl", TrustTier.UNTRUSTED),
                ("vendor", TrustTier.TRUSTED),
            )
        ):
            at = datetime(2026, 3, 1, 8, minute, tzinfo=UTC)
            append(connection, SourceRegistered(name, tier), actor=actor, at=at)
        rows = connection.execute(sa.select(ledger).order_by(ledger.c.seq)).all()
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    taken = take_checkpoint(sqlite_workspace, private)
    assert taken.note == CHECKPOINT
    assert taken.verifier_key == VKEY.strip()
    proof = prove_entry(sqlite_workspace, 3, taken.path, taken.note.encode())
    assert [line.encode() for line in ENTRIES.splitlines()] == [
        rfc8785.dumps(
            {
                "seq": row.seq,
                "at": row.at,
                "kind": row.kind,
                "actor": {"type": row.actor_type, "id": row.actor_id},
                "payload": json.loads(row.payload),
                "prev": row.prev,
            }
        )
        for row in rows
    ]
    assert rows[2].hash in PAGE
    assert [f"`{text}`" in PAGE for text in proof.hashes] == [True]


def test_the_page_s_program_checks_it(files: Path) -> None:
    done = run(files)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 entries of urn:lazaretto:ledger:")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("entries.jsonl", "UNTRUSTED", "TRUSTED"),
        ("entries.jsonl", '"seq":2', '"seq":4'),
        ("checkpoint.txt", "\n3\n", "\n2\n"),
        ("checkpoint.txt", "jVO9", "kVO9"),
        ("checkpoint.txt", " 5/L/I", " 6/L/I"),
        ("checkpoint.txt", "HamAmq", "HamAmr"),
        ("vkey.txt", "+e7f2ff21+", "+e7f2ff22+"),
    ],
)
def test_the_page_s_program_finds_what_was_changed(
    files: Path, name: str, old: str, new: str
) -> None:
    text = (files / name).read_text("utf-8")
    assert old in text
    (files / name).write_text(text.replace(old, new, 1), "utf-8")
    assert run(files).returncode != 0
