"""The page "Operations": its PostgreSQL commands run on a real server, as they stand there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from yard import blobs, make_yard

from lazaretto.health import check
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from yard import Yard

PAGE = Path(__file__).parents[2] / "docs/how-to/operations.md"
_BLOCK = re.compile(r"```bash title=\"PostgreSQL\"\n(.*?)```", re.DOTALL)
_DOCTOR = re.compile(r"```bash title=\"Doctor\"\n(.*?)```", re.DOTALL)


@pytest.fixture
def yard(postgres_url: str, fitted_reference: str, tmp_path: Path) -> Yard:
    workspace = open_workspace(catalog_url=postgres_url, store=tmp_path / "store")
    return make_yard(workspace, fitted_reference, tmp_path)


@pytest.mark.postgres
def test_the_commands_for_postgresql_run_as_they_stand(yard: Yard, tmp_path: Path) -> None:
    (block,) = _BLOCK.findall(PAGE.read_text("utf-8"))
    yard.admit("monday", blobs(60, seed=5))
    url = yard.workspace.catalog.engine.url.render_as_string(hide_password=False)
    block = block.replace("postgresql://lazaretto@db.internal/lazaretto", f"'{url}'")
    block = block.replace("/backups", str(tmp_path))
    done = subprocess.run(
        ["/bin/bash", "--norc", "-euxc", block],
        env={
            "HOME": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LAZARETTO_STORE": yard.workspace.store.root,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "TABLE DATA public ledger " in done.stdout
    yard.workspace.catalog.engine.dispose()
    assert check(yard.workspace, deep=True).sound


@pytest.mark.postgres
def test_the_commands_of_the_doctor_run_as_they_stand(yard: Yard, tmp_path: Path) -> None:
    (block,) = _DOCTOR.findall(PAGE.read_text("utf-8"))
    yard.judge("monday", blobs(60, seed=5))
    policy = json.dumps(yard.policy.model_dump(mode="json"))  # JSON is YAML, too
    (tmp_path / "policy.yaml").write_text(policy)
    url = yard.workspace.catalog.engine.url.render_as_string(hide_password=False)
    done = subprocess.run(
        ["/bin/bash", "--norc", "-euc", block],
        env={
            "HOME": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LAZARETTO_CATALOG_URL": url,
            "LAZARETTO_STORE": yard.workspace.store.root,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout[done.stdout.index("\n{") :])
    subjects = {line["subject"] for line in told["lines"]}
    page = PAGE.read_text("utf-8")
    assert [name for name in subjects if f"`{name}`" not in page] == []
