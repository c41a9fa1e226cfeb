"""The rules of the house: rooms, packaging and pins hold together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("operators", "lineage", "plugins")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_type_checkers_see_every_module_of_the_package() -> None:
    shown = {entry.name for entry in (ROOT / "typing/lazaretto").iterdir() if entry.exists()}
    real = {e.name for e in (ROOT / "src/lazaretto").iterdir() if e.name != "__pycache__"}
    assert shown == real | set(ROOMS), "run typing/refresh"


def test_every_package_folder_is_packaged() -> None:
    listed = set(PYPROJECT["tool"]["setuptools"]["packages"])
    folders = {path.parent for path in _python_files("src/lazaretto")}
    names = {".".join(folder.relative_to(ROOT / "src").parts) for folder in folders}
    assert names | {f"lazaretto.{room}" for room in ROOMS} <= listed


def test_rooms_are_imported_under_the_package_name() -> None:
    bare = re.compile(r"^\s*(from|import) (operators|lineage|plugins)\b", re.MULTILINE)
    files = _python_files("src", *ROOMS, "tests", "dags")
    assert [str(path) for path in files if bare.search(path.read_text())] == []


def test_arrows_point_one_way() -> None:
    """Layers and circles are contracts of import-linter, the ones that `make lint` checks."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "typing"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout


def test_the_page_on_the_architecture_names_every_room_from_the_top_down() -> None:
    (layers,) = (
        contract["layers"]
        for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    floors = [{room.strip() for room in layer.split("|")} for layer in layers]
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    table = page.split("| room | one thing |")[1].split("\n\n")[0]
    rows = [re.findall(r"`(\w+)(?:\.py)?`", line.split("|")[1]) for line in table.splitlines()[2:]]
    shown = [room for row in rows for room in row]
    assert set(shown) == {room for floor in floors for room in floor}
    height = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    assert [height[room] for room in shown] == sorted(height[room] for room in shown)


def test_the_library_does_not_import_airflow() -> None:
    """Its edges (command line, demo, settings) may."""
    airflow = re.compile(r"^\s*(from|import) airflow\b", re.MULTILINE)
    edges = ("cli", "demo", "storage/settings.py")
    offenders = [
        str(path)
        for path in _python_files("src/lazaretto")
        if not str(path.relative_to(ROOT / "src/lazaretto")).startswith(edges)
        and airflow.search(path.read_text())
    ]
    assert offenders == []


def test_a_long_file_says_why_in_its_first_line() -> None:
    """Examples in docstrings do not count: nobody should leave one out for them."""
    example = re.compile(r"\n *Examples:(\n +\S.*)+")
    long = [
        str(path.relative_to(ROOT))
        for path in _python_files("src/lazaretto", *ROOMS)
        if len(lines := example.sub("", path.read_text()).splitlines()) > 300
        and "Long: " not in lines[0]
    ]
    assert long == []


def test_constraints_pin_versions_and_name_no_address() -> None:
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-\[\]]+==[A-Za-z0-9_.+!]+", line) for line in lines)


def test_the_base_library_loads_without_the_extras() -> None:
    """`import lazaretto` and the vendor's part work where the extras are not installed."""
    extras = ["torch", "airflow", "sklearn", "faiss", "great_expectations"]
    code = (
        f"import sys; sys.modules |= dict.fromkeys({extras})\n"
        "import lazaretto, lazaretto.policy, lazaretto.sources.manifest\n"
        "import lazaretto.batch, lazaretto.sources.registry\n"
        f"assert not any(map(sys.modules.get, {extras}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
