"""Wheel and sdist hold what they must, and nothing else; an index would take them."""

from __future__ import annotations

import email.parser
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packing import build

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both."""
    out = tmp_path_factory.mktemp("dist")
    build(out, tmp_path_factory.mktemp("source"), isolated=False)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> set[str]:
    (file,) = built.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return set(archive.namelist())


def test_an_index_would_take_both(built: Path) -> None:
    files = [str(file) for file in built.iterdir()]
    assert len(files) == 2
    command = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_has_every_module_and_every_file_that_modules_read(wheel: set[str]) -> None:
    rooms = {"src/lazaretto": "lazaretto", "dags": "lazaretto/demo/dags"}
    rooms |= {room: f"lazaretto/{room}" for room in ("operators", "lineage", "plugins")}
    there = {
        f"{target}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, target in rooms.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.is_symlink()
        # What bundles are made from; the bundles themselves are in `static`.
        if not path.is_relative_to(ROOT / "plugins/web")
    }
    there.remove("lazaretto/storage/migrations/script.py.mako")  # new migrations are made from it
    packed = {name for name in wheel if ".dist-info/" not in name}
    assert sorted(there - packed) == []
    assert sorted(packed - there) == []
    assert "lazaretto/py.typed" in packed


def test_the_wheel_is_the_library_and_nothing_beside_it(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel} - {"lazaretto"} == {
        next(name.split("/")[0] for name in wheel if ".dist-info/" in name)
    }
    strange = re.compile(r"(^|/)(tests?/|test_|conftest|__pycache__|benchmark)|\.(pem|key|db)$")
    assert [name for name in wheel if strange.search(name)] == []


def test_the_sdist_builds_the_wheel_and_has_no_tests(built: Path, wheel: set[str]) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"} <= names
    assert [name for name in names if name.startswith(("tests", "docker", "benchmarks"))] == []
    # `python -m build` made the wheel from this sdist, so what the wheel has was in it.
    assert len([name for name in names if name.endswith(".py")]) >= len(
        [name for name in wheel if name.endswith(".py")]
    )


def test_the_metadata_say_who_what_and_how(built: Path) -> None:
    (file,) = built.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        text = archive.read(name).decode()
        (entry,) = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        points = archive.read(entry).decode()
    metadata = email.parser.Parser().parsestr(text)
    assert (metadata["Name"], metadata["License-Expression"]) == ("lazaretto", "Apache-2.0")
    assert set(metadata["Requires-Python"].split(",")) == {">=3.11", "<3.14"}
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Framework :: Apache Airflow :: Provider" in metadata.get_all("Classifier", [])
    for group in ("console_scripts", "apache_airflow_provider", "airflow.plugins"):
        assert f"[{group}]" in points
    extras = set(metadata.get_all("Provides-Extra", []))
    assert {"detect", "airflow", "postgres", "gx", "text", "all"} <= extras
