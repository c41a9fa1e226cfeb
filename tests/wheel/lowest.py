"""`make test-lowest`: the suite against the lowest versions that pyproject.toml declares.

uv resolves them into an environment of their own; the package is installed into it as others would.
Of torch the lowest version brings gigabytes of NVIDIA's libraries on Linux: `--torch 2.13.0` takes
another one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = ("detect", "images", "postgres")
TESTS = ("tests/lazaretto", "tests/lineage")
# Real Airflow brings newer versions of what it shares; pages and servers say nothing of versions.
FAST = "not airflow and not long and not postgres and not wheel"


def main() -> int:
    """Resolves, installs, tests; the exit code of the tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="for the environment; an earlier one is replaced")
    parser.add_argument("--torch", help="a version of torch instead of the lowest")
    parser.add_argument("tests", nargs="*", default=TESTS, help="what to run")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    tools = folder / "tools"
    run(sys.executable, "-m", "venv", tools)
    run(tools / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "uv")
    uv, python, wanted = tools / "bin/uv", folder / "venv/bin/python", folder / "lowest.txt"
    overrides = folder / "overrides.txt"
    overrides.write_text(f"torch=={arguments.torch}\n" if arguments.torch else "")
    run(uv, "venv", "--quiet", "--clear", "--python", sys._base_executable, folder / "venv")  # type: ignore[attr-defined]
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    lowest = ["--resolution", "lowest-direct", "--overrides", overrides, "-o", wanted]
    run(uv, "pip", "compile", "--quiet", *extras, *lowest, ROOT / "pyproject.toml")
    install = [uv, "pip", "install", "--quiet", "--python", python]
    run(*install, "-r", wanted, "pytest", "hypothesis", "setuptools", "build", "twine")
    run(*install, "--no-deps", ROOT)
    command = [python, "-m", "pytest", "-q", "-m", FAST, *arguments.tests]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [str(w) for w in command], cwd=ROOT, env=environment, check=False
    ).returncode


def run(*command: object) -> None:
    """Runs a command that must succeed."""
    subprocess.run([str(word) for word in command], check=True)


if __name__ == "__main__":
    sys.exit(main())
