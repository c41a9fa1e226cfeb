"""Killed between any two writes and tried again: nothing lost, twice, or unscreened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.ledger.verify import verify

pytestmark = pytest.mark.long
SUPPORT = Path(__file__).parents[1] / "support"


# How many write points each has at least: fewer would mean that `crash` no longer sees them.
POINTS = {
    "receive": 6,
    "gate": 8,
    "admit": 12,
    "publish": 15,
    "recall": 12,
    "rejudge": 12,
    "sanitize": 20,
    "reconcile": 20,
}


def test_killed_at_every_write_and_tried_again(
    catalog_url: str, fitted_reference: str, tmp_path: Path
) -> None:
    folder = tmp_path / "yard"
    folder.mkdir()
    shutil.copytree(Path(fitted_reference).parents[1], folder / "reference")
    url = catalog_url.replace(str(tmp_path), str(folder))
    # Both databases for what the others are made of.
    names = list(POINTS) if url.startswith("sqlite") else ["admit", "publish", "reconcile"]
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "crash.py"), url, str(folder), *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = dict(line.split() for line in done.stdout.splitlines())
    assert list(found) == names
    assert all(int(found[name]) >= POINTS[name] for name in names), found


_ADMIT_ON_A_FULL_DISK = """
import resource, signal, sys
from lazaretto import stages
from lazaretto.errors import SystemFaultError
from lazaretto.storage.workspace import open_workspace
workspace = open_workspace(catalog_url=sys.argv[1], store=sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
try:
    stages.admit(workspace, sys.argv[3])
except SystemFaultError as error:
    print(error)
else:
    sys.exit("it fitted on the disk")
"""


@pytest.mark.parametrize(
    ("rows", "size", "place"), [(60, 20_000, "the catalog"), (6000, 90_000, "datasets/blobs")]
)
def test_a_full_disk_is_said_and_the_same_call_works_when_there_is_room(
    sqlite_yard: Yard, rows: int, size: int, place: str
) -> None:
    workspace = sqlite_yard.workspace
    batch = sqlite_yard.judge("monday", blobs(rows, seed=5)).batch
    url = str(workspace.catalog.engine.url)
    workspace.catalog.engine.dispose()  # or its write-ahead log is the longest file
    arguments = [url, workspace.store.root, batch, str(size)]
    done = subprocess.run(
        [sys.executable, "-c", _ADMIT_ON_A_FULL_DISK, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert place in done.stdout
    admission = stages.admit(workspace, batch)
    assert admission.rows == len(sqlite_yard.ids()) > 0.9 * rows
    assert verify(workspace).ok


def test_commands_that_are_killed_at_random_moments_work_when_they_are_given_again(
    catalog_url: str, fitted_reference: str, tmp_path: Path
) -> None:
    """With LAZARETTO_RANDOM_KILLS=200 in the environment it takes minutes."""
    folder = tmp_path / "killed"
    folder.mkdir()
    url = catalog_url.replace(str(tmp_path), str(folder))
    kills = os.environ.get("LAZARETTO_RANDOM_KILLS", "4")
    done = subprocess.run(
        [
            sys.executable,
            str(SUPPORT / "random_kills.py"),
            *(url, str(folder), fitted_reference, kills, os.environ.get("LAZARETTO_SEED", "1")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["killed"] >= int(kills), found
    print(found)
