"""Every stage of a delivery where no file may grow beyond a size; then there is room again.

    python full_disk.py CATALOG_URL FOLDER REFERENCE SIZES

FOLDER must be empty. `RLIMIT_FSIZE` stands for the end of the disk: a write beyond it fails as it
does on a full one, in this process and in those that it starts. Each stage is called with each of
the sizes (bytes, smallest first) and must work or say that the system is at fault; afterwards it is
called without a limit. Prints for each stage how many sizes were too small for it, and the records.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yard import blobs, make_yard

from lazaretto import stages
from lazaretto.dataset.recall import recall
from lazaretto.errors import SystemFaultError
from lazaretto.health import check
from lazaretto.ledger.verify import verify
from lazaretto.quarantine import review
from lazaretto.storage.workspace import open_workspace
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from yard import Yard

ROWS = blobs(6000, seed=5, prefix="m", flips=300)


def steps(yard: Yard) -> dict[str, Callable[[], object]]:
    """What is called, in order; a later one asks the workspace what the ones before it made."""
    workspace, policy = yard.workspace, yard.policy
    file = yard.deliver("monday", ROWS)

    def batch() -> str:
        return stages.receive(workspace, file, "vendor-a", policy=policy).id

    def case() -> str:
        return review.list_cases(workspace, state=None)[0].id

    def release() -> object:
        ids = ["m0", "m1"]
        return review.decide(workspace, case(), Action.RELEASE, ids=ids, reason="looked at it")

    def take_out() -> object:
        ids = [f"{batch()}#m400"]
        return recall(workspace, "blobs", ids=ids, reason="found late")

    return {
        "receive": batch,
        "validate": lambda: stages.validate(workspace, batch(), policy),
        "embed": lambda: stages.embed(workspace, batch(), policy),
        "screen": lambda: stages.screen(workspace, batch(), policy),
        "gate": lambda: stages.gate(workspace, batch(), policy),
        "admit": lambda: stages.admit(workspace, batch(), policy=policy),
        "decide": release,
        "publish": lambda: review.publish(workspace, case()),
        "snapshot": lambda: stages.snapshot(workspace, "blobs"),
        "recall": take_out,
    }


def limit(size: int) -> None:
    """No file may be longer from now on."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def main(url: str, folder: str, reference: str, sizes: str) -> None:
    """Goes through all stages; see the module."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    workspace = open_workspace(catalog_url=url, store=Path(folder) / "store")
    yard = make_yard(workspace, reference, Path(folder))
    full: dict[str, int] = {}
    for name, step in steps(yard).items():
        full[name] = 0
        for size in map(int, sizes.split(",")):
            workspace.catalog.engine.dispose()
            limit(size)
            try:
                step()
            except SystemFaultError:
                full[name] += 1
            else:
                break
            finally:
                limit(resource.RLIM_INFINITY)
        step()
        assert verify(workspace).ok
    ids = yard.ids()  # not last: threads that read a table die badly when a process ends at once
    found = check(workspace, deep=True)
    assert found.sound, found
    print(json.dumps({"full": full, "ids": ids}))


if __name__ == "__main__":
    main(*sys.argv[1:])
