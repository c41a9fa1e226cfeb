"""``make airflow``: a whole deployment on this machine, deliveries through it, and checks of them.

Then `make ui` is started once, looked at as its users would, and stopped.

Nothing is left behind, and the exit code is 1 where a check failed. ``--keep`` leaves the folder
with all logs; so does a failure.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[0] / "support")]


def main() -> int:
    """Brings it up, runs the checks, takes it down."""
    from api import Api
    from checks import Checks, run_checks
    from deliveries import set_up
    from parts import deployment
    from postgres import running_server

    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="lazaretto-deployment-"))
    failures = ["the deployment did not come up"]
    try:
        with running_server() as server, deployment(folder, server) as running:
            vendor = set_up(running)
            api = Api.sign_in(running, running.admin)
            print(f"up after {time.monotonic() - started:.0f} s, in {folder}", flush=True)
            failures = run_checks(Checks(running, api, vendor))
        failures += _ui_once()
    finally:
        took = f"{time.monotonic() - started:.0f} s"
        if failures or "--keep" in sys.argv[1:]:
            print(f"logs are in {folder}")
        else:
            _remove(folder)
    print(
        f"{len(failures)} of the checks failed, in {took}" if failures else f"all well, in {took}"
    )
    return 1 if failures else 0


def _ui_once() -> list[str]:
    """What `make ui` starts is whole, answers to its users, and leaves nothing behind."""
    import subprocess

    done = subprocess.run([sys.executable, str(HERE / "ui.py"), "--once"], check=False)
    print("ok      make ui" if done.returncode == 0 else "FAILED  make ui", flush=True)
    return [] if done.returncode == 0 else ["make ui"]


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    # PostgreSQL's helper skips and fails as tests do, by exceptions that end a process, too.
    sys.exit(main())
