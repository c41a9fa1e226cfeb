"""Kills commands at random moments, gives the same command again, and asks an oracle at the end.

    python tests/support/random_kills.py URL FOLDER REFERENCE KILLS SEED

Run as a program, in an empty folder, with a folder of a fitted reference. Every command of the
command line runs in a process of its own, which dies by SIGKILL after a random part of the time
that such a command takes; then the same command runs to its end. Prints how many were killed.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yard import ANN, Yard, blobs, make_policy, make_yard

from lazaretto.cli import entry
from lazaretto.errors import NotFoundError
from lazaretto.health import check
from lazaretto.ledger.verify import verify
from lazaretto.quarantine import review
from lazaretto.storage.workspace import open_workspace

ROWS = 40


@dataclass(slots=True)
class _Batch:
    """What must be true of a delivery."""

    number: int
    id: str = ""
    case: str | None = None
    held: set[str] = field(default_factory=set)
    admitted: bool = False
    released: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    recalled: set[str] = field(default_factory=set)

    @property
    def there(self) -> set[str]:
        """Its records in the dataset."""
        everything = {f"b{self.number}-{row}" for row in range(ROWS)}
        cleared = everything - self.held if self.admitted else set()
        return (cleared | self.published) - self.recalled


@dataclass(slots=True)
class Killer:
    """Gives commands, kills some of them, and keeps the oracle's sets."""

    url: str
    folder: Path
    chance: random.Random
    killed: int = 0
    usual: dict[str, float] = field(default_factory=dict)
    batches: list[_Batch] = field(default_factory=list)

    def command(self, *arguments: str) -> dict[str, Any]:
        """One command, killed once at a random moment, and then to its end."""
        name = " ".join(arguments[:2])
        self.killed += (
            self._run(arguments, self.chance.uniform(0, self.usual.get(name, 1.0)))[0] < 0
        )
        started = time.perf_counter()
        code, said = self._run(arguments, None)
        self.usual[name] = time.perf_counter() - started
        if code not in (0, 1):
            sys.exit(f"{arguments} ended with {code}: {said[-2000:]}")
        found: dict[str, Any] = json.loads(said)
        return found

    def _run(self, arguments: tuple[str, ...], kill_after: float | None) -> tuple[int, str]:
        output = self.folder / "output.json"
        gc.freeze()  # a fork looks at none of it again, and copies no page of it
        child = os.fork()
        if child == 0:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            sys.argv = ["lazaretto", *arguments, "--json"]
            entry.main()
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(
                child, signal.SIGKILL
            )  # it is not waited for yet, so the number is still its own
        status = os.waitpid(child, 0)[1]
        return os.waitstatus_to_exitcode(status), output.read_text()

    def ingest(self) -> None:
        batch = _Batch(len(self.batches))
        rows = blobs(ROWS, seed=100 + batch.number, prefix=f"b{batch.number}-", flips=3)
        path = self._yard().deliver(f"day-{batch.number}", rows)
        self.batches.append(batch)
        self._ingest(batch, path)

    def ingest_again(self) -> None:
        batch = self.chance.choice(self.batches)
        self._ingest(batch, self.folder / f"day-{batch.number}.parquet")

    def _ingest(self, batch: _Batch, path: Path) -> None:
        said = self.command("batch", "ingest", str(path), "--source", "vendor-a")
        judged, before = said["judgement"], batch.id
        batch.id = str(judged["batch"])
        if before:
            assert batch.id == before
        batch.case = judged["case"]
        held = self._look(lambda yard: review.held_records(yard.workspace, str(batch.case)))
        batch.held = {str(record.record_id) for record in held} if batch.case else set()
        batch.admitted = True

    def decide(self) -> None:
        waiting = [batch for batch in self.batches if batch.case and batch.held]
        if not waiting:
            return
        batch = self.chance.choice(waiting)
        record = self.chance.choice(sorted(batch.held - batch.published or {""}))
        if not record:
            return
        action = self.chance.choice(["release", "reject"])
        why = ("--reason", "looked at it", "--yes")
        self.command("quarantine", action, str(batch.case), "--id", record, *why)
        (batch.released.add if action == "release" else batch.released.discard)(record)
        if self.chance.random() < 0.7:
            self.command("quarantine", "publish", str(batch.case))
            batch.published |= batch.released

    def recall(self) -> None:
        batch = self.chance.choice(self.batches)
        ids = sorted(batch.there)
        if not ids:
            return
        some = self.chance.sample(ids, min(len(ids), 2))
        names = [part for record in some for part in ("--record", f"{batch.id}#{record}")]
        self.command("dataset", "recall", "blobs", *names, "--reason", "found late", "--yes")
        batch.recalled |= set(some)

    def snapshot(self) -> None:
        self.command("dataset", "snapshot", "blobs")

    def _yard(self) -> Yard:
        workspace = open_workspace(catalog_url=self.url, store=self.folder / "store", actor=ANN)
        return Yard(workspace, make_policy(), self.folder)

    def _look(self, at: Any) -> Any:
        yard = self._yard()
        try:
            return at(yard)
        finally:
            yard.workspace.catalog.engine.dispose()

    def agrees(self, *, deep: bool) -> None:
        """Looks in a process of its own: Delta's runtime does not survive a fork."""
        child = os.fork()
        if child == 0:
            try:
                self._agrees(deep=deep)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit("the oracle does not agree")

    def _agrees(self, *, deep: bool) -> None:
        """The dataset holds what the oracle says, and everything is as the ledger says."""
        wanted = sorted(record for batch in self.batches for record in batch.there)
        found = self._look(_ids)
        assert found == wanted, (set(found) ^ set(wanted), len(found), len(wanted))
        assert self._look(lambda yard: verify(yard.workspace).ok)
        health = self._look(lambda yard: check(yard.workspace, deep=deep))
        assert health.sound, health.findings


def _ids(yard: Yard) -> list[str]:
    try:
        return yard.ids()
    except NotFoundError:
        return []


def main(url: str, folder: Path, reference: str, kills: int, seed: int) -> None:
    workspace = open_workspace(catalog_url=url, store=folder / "store")
    yard = make_yard(workspace, reference, folder)
    policy = folder / "policy.yaml"
    policy.write_text(yard.policy.model_dump_json())
    os.environ |= {
        "LAZARETTO_CATALOG_URL": url,
        "LAZARETTO_STORE": str(folder / "store"),
        "LAZARETTO_POLICY": str(policy),
    }
    workspace.catalog.engine.dispose()
    killer = Killer(url, folder, random.Random(seed))  # noqa: S311  no secret
    killer.ingest()
    doing = [killer.ingest, killer.ingest_again, killer.decide, killer.decide, killer.recall]
    doing.append(killer.snapshot)
    steps = 0
    while killer.killed < kills:
        killer.chance.choice(doing)()
        steps += 1
        if steps % 10 == 0:
            killer.agrees(deep=False)
    killer.agrees(deep=True)
    print(json.dumps({"steps": steps, "killed": killer.killed, "batches": len(killer.batches)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
