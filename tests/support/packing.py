"""Wheel and sdist, built from a copy: building leaves files in the tree that it builds from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "plugins/static/bundled"


def build(out: Path, source: Path, *, isolated: bool) -> None:
    """Builds the sdist, and from it the wheel.

    Args:
        out: folder for both.
        source: an empty folder for the copy.
        isolated: whether the build gets an environment of its own, with what it declares to need.
    """
    git = shutil.which("git") or "git"
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    # What `make ui-assets` bundled is no part of the tree and goes into the wheel all the same.
    bundled = [str(path.relative_to(ROOT)) for path in BUNDLED.glob("*")]
    for name in [*listed.stdout.decode().split("\0"), *bundled]:
        if name and (ROOT / name).is_file() and not name.startswith("typing/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(source)]
    command += [] if isolated else ["--no-isolation"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the package cannot be built:\n{done.stdout}{done.stderr}")
