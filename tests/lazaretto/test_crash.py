"""Killed between any two writes and tried again: nothing lost, twice, or unscreened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from many import in_full, some

pytestmark = pytest.mark.long
SUPPORT = Path(__file__).parents[1] / "support"


SIZES = (0, 2_000, 20_000, 90_000, 200_000, 500_000, 1_000_000)

# How many write points each has at least: fewer would mean that `crash` no longer sees them.
POINTS = {
    "receive": 6,
    "gate": 8,
    "admit": 12,
    "admit_both": 10,
    "publish": 15,
    "recall": 12,
    "maintain": 20,
    "rejudge": 12,
    "sanitize": 20,
    "reconcile": 20,
    "promote": 3,
    "demote": 2,
    "go_back": 3,
}
ON_POSTGRESQL = ["admit", "admit_both", "promote", "go_back"]
"""What is killed there, too, by default."""


def test_killed_at_every_write_and_tried_again(
    catalog_url: str, fitted_reference: str, tmp_path: Path
) -> None:
    folder = tmp_path / "yard"
    folder.mkdir()
    shutil.copytree(Path(fitted_reference).parents[1], folder / "reference")
    url = catalog_url.replace(str(tmp_path), str(folder))
    # All on the other database where somebody takes the time: kills at random moments are on both.
    everywhere = url.startswith("sqlite") or "LAZARETTO_RANDOM_KILLS" in os.environ
    names = list(POINTS) if everywhere else ON_POSTGRESQL
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


def test_every_stage_on_a_full_disk_says_so_and_works_when_there_is_room(
    catalog_url: str, fitted_reference: str, tmp_path: Path
) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    url = catalog_url.replace(str(tmp_path), str(folder))
    sizes = ",".join(map(str, some(SIZES, 3)))
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "full_disk.py"), url, str(folder), fitted_reference, sizes],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.splitlines()[-1])
    ids = said["ids"]
    assert len(ids) == len(set(ids)) > 5500
    assert {"m0", "m1"} < set(ids)
    assert not {f"m{number}" for number in (*range(2, 300), 400)} & set(ids)
    files = {"receive", "screen", "gate", "admit", "publish", "recall"}
    everywhere = url.startswith("sqlite")  # where the catalog is a file, too
    wanted = set(said["full"]) if everywhere else files
    assert {name for name, times in said["full"].items() if times} >= wanted, said["full"]


def test_commands_that_are_killed_at_random_moments_work_when_they_are_given_again(
    catalog_url: str, fitted_reference: str, tmp_path: Path
) -> None:
    """With LAZARETTO_RANDOM_KILLS=200 in the environment it takes minutes."""
    folder = tmp_path / "killed"
    folder.mkdir()
    url = catalog_url.replace(str(tmp_path), str(folder))
    kills = os.environ.get("LAZARETTO_RANDOM_KILLS", "4" if in_full() else "2")
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
