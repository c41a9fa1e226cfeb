"""The README from nothing: the built wheel in environments of its own, with each extra.

Installing takes minutes and gigabytes, so `make test-wheel` asks for it; others skip it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

import pages
import pytest
from packing import build
from pages import ROOT, run_lines

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.wheel,
    pytest.mark.skipif(
        "LAZARETTO_TEST_WHEEL" not in os.environ, reason="`make test-wheel` runs it"
    ),
]
README = pages.blocks(ROOT / "README.md")
OWN_GATE = next(block.text for block in README if block.text.startswith("lazaretto init"))
EXTRAS = ("", "[detect]", "[airflow]", "[gx]")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build(out, tmp_path_factory.mktemp("source"), isolated=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module", params=EXTRAS)
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """An extra, and the programs of an environment with it."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys._base_executable, "-m", "venv", str(folder)], check=True)  # type: ignore[attr-defined]
    pip = [folder / "bin/pip", "install", "--quiet", "-c", ROOT / "constraints.txt"]
    wanted = [f"{wheel}{request.param}"]
    if request.param in ("[detect]", "[airflow]"):
        # The build that these tests run with: the index's own may bring gigabytes for GPUs.
        wanted.append(f"torch=={version('torch').split('+')[0]}")
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return request.param, folder / "bin"


def run(programs: Path, text: str, folder: Path) -> list[tuple[str, int, str]]:
    return run_lines(text, folder, installed=True, PATH=f"{programs}:{os.defpath}")


def python(programs: Path, code: str, folder: Path, *more: str) -> str:
    done = subprocess.run(
        [programs / "python", "-c", code, *more],
        cwd=folder,
        env={"HOME": str(folder), "PATH": f"{programs}:{os.defpath}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readme_s_own_gate(installed: tuple[str, Path], tmp_path: Path) -> None:
    """With the extras that judge all of it; without them up to the step that names the extra."""
    extra, programs = installed
    script = ROOT / "docs/tutorial/first_gate_data.py"
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True)
    *setup, fit = run(programs, OWN_GATE, tmp_path)
    for line, code, printed in setup:
        assert code == 0, f"{extra}: $ {line}\n{printed}"
    if extra in ("[detect]", "[airflow]"):
        assert fit[1] == 0, fit[2]
    else:
        assert fit[1] == 2, fit[2]
        assert "pip install 'lazaretto[detect]'" in fit[2]


def test_the_library_says_its_version_and_is_typed(
    installed: tuple[str, Path], tmp_path: Path
) -> None:
    extra, programs = installed
    code = (
        "import sys, lazaretto, importlib.resources as r\n"
        "from importlib.util import find_spec\n"
        "assert r.files('lazaretto').joinpath('py.typed').is_file()\n"
        "for name in ('torch', 'airflow', 'great_expectations'):\n"
        "    assert name not in sys.modules\n"
        "    print(name, find_spec(name) is not None)\n"
        "print(lazaretto.__version__)\n"
    )
    there = {
        "": (False, False, False),
        "[detect]": (True, False, False),
        "[airflow]": (True, True, False),
        "[gx]": (False, False, True),
    }[extra]
    said = python(programs, code, tmp_path).split()
    assert tuple(word == "True" for word in said[1:6:2]) == there
    assert said[-1] == version("lazaretto")


def test_the_tutorial_prints_what_it_shows(installed: tuple[str, Path], tmp_path: Path) -> None:
    extra, programs = installed
    if extra != "[detect]":
        pytest.skip("the tutorial installs [detect]")
    code = (
        "import sys, pathlib\n"
        f"sys.path.insert(0, {str(ROOT / 'docs/generate')!r})\n"
        "import transcripts\n"
        "shell = transcripts.Shell(pathlib.Path.cwd().resolve())\n"
        "for step in transcripts.play(shell, transcripts.DOCS / 'tutorial/first-gate.md'):\n"
        "    assert step.code == 0 and not step.differs, step\n"
    )
    python(programs, code, tmp_path)


def test_airflow_knows_the_provider_and_the_demo_runs(
    installed: tuple[str, Path], tmp_path: Path
) -> None:
    extra, programs = installed
    if extra != "[airflow]":
        pytest.skip("needs Airflow")
    (listed,) = run(programs, "airflow providers list -o json 2>/dev/null", tmp_path)
    known = {row["package_name"]: row for row in json.loads(listed[2][listed[2].index("[{") :])}
    assert known["lazaretto"]["version"] == version("lazaretto")
    (plugins,) = run(programs, "airflow plugins 2>/dev/null", tmp_path)
    assert "lazaretto" in plugins[2]
    (demo,) = run(programs, "lazaretto demo", tmp_path)
    assert demo[1] == 0, demo[2]
    questions = next(block.text for block in README if "trace source" in block.text)
    trace = json.loads((tmp_path / "build/demo/summary.json").read_text())["trace"]
    questions = re.sub(r"--since \S+", f"--since {trace['since'][:10]}", questions)
    questions = re.sub(r"--until \S+", f"--until {trace['until'][:10]}", questions)
    _, source, model, ledger = run(programs, questions, tmp_path)
    assert (source[1], model[1], ledger[1]) == (1, 0, 0), (source, model, ledger)


def test_a_vendor_signs_with_the_base_install(installed: tuple[str, Path], tmp_path: Path) -> None:
    """What how-to/sign-deliveries.md asks of a vendor."""
    extra, programs = installed
    if extra:
        pytest.skip("a vendor installs no extra")
    (tmp_path / "march.csv").write_text("id,text\n1,good\n")
    today = datetime.now(UTC).date()
    lines = (
        "lazaretto source keygen acme\n"
        "lazaretto manifest sign march.csv --source acme --key acme.key"
        f" --collected-from {today - timedelta(days=1)} --collected-to {today}\n"
        "lazaretto manifest verify march.csv --key acme.pub\n"
    )
    for line, code, printed in run(programs, lines, tmp_path):
        assert code == 0, f"$ {line}\n{printed}"
