"""The page "Operations": its commands run as they stand there, PostgreSQL's on a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from pages import quick_commands
from yard import blobs, make_policy, make_yard

from lazaretto import stages
from lazaretto.health import check
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from yard import Yard

PAGE = Path(__file__).parents[2] / "docs/how-to/operations.md"
_RETENTION = re.compile(r"```(yaml|bash) title=\"Retention\"\n(.*?)```", re.DOTALL)
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
            "PATH": f"{quick_commands()}:{Path(sys.executable).parent}:{os.environ['PATH']}",
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
            "PATH": f"{quick_commands()}:{Path(sys.executable).parent}:{os.environ['PATH']}",
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


def test_the_commands_for_retention_run_as_they_stand(sqlite_yard: Yard, tmp_path: Path) -> None:
    blocks = dict(_RETENTION.findall(PAGE.read_text("utf-8")))
    policy = make_policy(**yaml.safe_load(blocks["yaml"]))
    workspace = sqlite_yard.workspace
    path = sqlite_yard.deliver("old", blobs(60, seed=5))
    old = datetime.now(UTC) - timedelta(days=366)
    batch = stages.receive(workspace, path, "vendor-a", policy=policy, now=old).id
    for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
        stage(workspace, batch, policy)
    stages.admit(workspace, batch)
    stages.snapshot(workspace, policy.dataset)
    done = subprocess.run(
        ["/bin/bash", "--norc", "-euxc", blocks["bash"]],
        env={
            "HOME": str(tmp_path),
            "PATH": f"{quick_commands()}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LAZARETTO_STORE": workspace.store.root,
            "LAZARETTO_CATALOG_URL": workspace.catalog.display_url,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "exit code 1" in done.stdout
    assert "deleted by retention  4 files" in " ".join(done.stdout.split(" " * 3))
    assert check(workspace, deep=True).deleted == 4  # delivered, canonical, oddest, prints
