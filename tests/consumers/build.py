"""`make consumers`: environments with the other programs that these tests talk to.

Each has an environment of its own, because what they need does not go together with ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Program:
    """Somebody else's program.

    Attributes:
        name: of its environment.
        packages: what to install.
        pythons: interpreters that it runs on, the first that is there is taken.
    """

    name: str
    packages: tuple[str, ...]
    pythons: tuple[str, ...]


PROGRAMS = (
    Program("feast", ("feast[openlineage]==0.67.0",), ("python3.11", "python3.12")),
    Program(
        "data-rentgen",
        ("data-rentgen[server,consumer,postgres]==0.7.2",),
        ("python3.12", "python3.13"),
    ),
    # From dbt-core 2 on its parser is downloaded from elsewhere while it is installed.
    Program(
        "dbt",
        ("dbt-core>=1.9,<1.11", "dbt-duckdb<1.11", "openlineage-dbt==1.54.0"),
        ("python3.11", "python3.12"),
    ),
)


def main() -> int:
    """Builds what is missing in the folder that is given; 1 where something could not be built."""
    folder, failed = Path(sys.argv[1]).absolute(), False
    for program in PROGRAMS:
        home = folder / program.name
        if (home / ".installed").exists():
            continue
        python = _find(program.pythons)
        if python is None:
            print(f"{program.name}: none of {', '.join(program.pythons)} is there: left out")
            failed = True
            continue
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *program.packages], check=True)
        (home / ".installed").touch()
    return int(failed)


def _find(names: tuple[str, ...]) -> str | None:
    """The first interpreter that runs; pyenv's own are found where they are not chosen, too."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for name in names:
        kept = sorted(map(str, versions.glob(f"*/bin/{name}")))
        for found in (shutil.which(name), *kept):
            if found is not None:
                done = subprocess.run([found, "-V"], capture_output=True, check=False)
                if done.returncode == 0:
                    return found
    return None


if __name__ == "__main__":
    sys.exit(main())
