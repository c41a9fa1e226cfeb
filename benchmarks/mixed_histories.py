"""Asks about many thousands of mixed histories, and counts answers that are wrong.

Usage: ``python benchmarks/mixed_histories.py [--count 20000] [--seed 0] [--processes 2]
[--seconds 3600] [--database sqlite|postgresql] [--results FILE]``. After `--seconds` it begins with
no further histories, and tells of those that it did. Histories, truth and checks are those of
``tests/lineage/mixed``. Prints what is wrong of the first ten, each made as small as it gets, and
writes the figures to ``benchmarks/results/mixed_histories.md``. Exits with 1 where any is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "lineage"))

import catalogs
import postgres
from mixed.case import Case
from mixed.generate import kind_of, story
from mixed.making import KINDS
from mixed.places import place
from mixed.run import differences, failure, wrongs

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESULTS = Path(__file__).parent / "results" / "mixed_histories.md"
_AT_ONCE = 50
_ORDERS = 5
"""Every so many histories are also read in another order."""
_TOLD = 10
_MISSES = {"missed", "complete", "exit", "found"}
"""Checks of which a failure is a miss."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--processes", type=int, default=os.cpu_count())
    options.add_argument("--seconds", type=float, default=float("inf"))
    options.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options.add_argument("--results", type=Path, default=_RESULTS)
    asked = options.parse_args()
    start, end = asked.seed, asked.seed + asked.count
    pieces = [(first, min(first + _AT_ONCE, end)) for first in range(start, end, _AT_ONCE)]
    rounds = range(0, len(pieces), asked.processes)
    begun, total, wrong = time.perf_counter(), Counter[str](), list[str]()
    with _server(asked.database) as server, ProcessPoolExecutor(asked.processes) as pool:
        for first in rounds:
            some = pieces[first : first + asked.processes]
            if time.perf_counter() - begun > asked.seconds:
                break
            end = some[-1][1]
            for counted, told in pool.map(_piece, some, [server] * len(some)):
                total += counted
                for text in told:
                    wrong.append(text)
                    if len(wrong) <= _TOLD:
                        print(text, end="\n\n", flush=True)
    seconds = time.perf_counter() - begun
    text = _table(total, asked.database, start, end, len(wrong), seconds, asked.processes)
    asked.results.write_text(text)
    print(text)
    sys.exit(1 if wrong else 0)


@contextmanager
def _server(database: str) -> Iterator[str | None]:
    """URL of a server, with ``{name}`` in place of a database; None: SQLite has none."""
    if database == "sqlite":
        yield None
        return
    with postgres.running_server() as running:
        url = running.url("{name}")
        catalogs.make_postgres(url)
        yield url


def _piece(piece: tuple[int, int], server: str | None) -> tuple[Counter[str], list[str]]:
    """Runs some histories in a catalog of their own; what was counted, and what is wrong."""
    counted, told = Counter[str](), list[str]()
    with (
        tempfile.TemporaryDirectory() as folder,
        _catalog(Path(folder), server) as url,
        place(url, Path(folder, "histories")) as where,
    ):
        for seed in range(*piece):
            case, kind = Case.of(story(seed)), kind_of(seed)
            counted[f"{kind} histories"] += 1
            counted[f"{kind} events"] += len(case.events)
            counted[f"{kind} models"] += len(case.told.models)
            counted[f"{kind} exact"] += case.exact
            found = {wrong.check for wrong in wrongs(where, story(seed), tally=counted)}
            counted[f"{kind} missed"] += bool(found & _MISSES)
            counted[f"{kind} accused"] += "accused" in found
            failed = [wrongs] if found else []
            if seed % _ORDERS == 0:
                failed.append(differences)
            for check in failed:
                if (text := failure(where, seed, check)) is not None:
                    counted[f"{kind} wrong"] += 1
                    told.append(text)
    return counted, told


@contextmanager
def _catalog(folder: Path, server: str | None) -> Iterator[str]:
    if server is None:
        made = catalogs.make_sqlite(folder / "made.db")
        yield catalogs.copy_sqlite(made, folder / "catalog.db")
        return
    name = f"lz_{folder.name.lower().replace('-', '_')}"
    yield catalogs.copy_postgres(server, "lz_template", name)
    catalogs.drop_database(server, name)


def _table(
    total: Counter[str],
    database: str,
    start: int,
    end: int,
    wrong: int,
    seconds: float,
    processes: int,
) -> str:
    rows = [
        f"| {kind} | "
        + " | ".join(
            f"{total[f'{kind} {what}']:,}"
            for what in ("histories", "events", "models", "exact", "missed", "accused", "wrong")
        )
        + " |"
        for kind in KINDS
    ]
    return "\n".join(
        [
            "# Mixed histories: answers against what really happened",
            "",
            f"`python benchmarks/mixed_histories.py --seed {start} --count {end - start} "
            f"--database {database}`, {seconds:,.0f} seconds with {processes} processes: "
            f"{wrong} wrong.",
            "",
            f"Asked {total['asked']:,} times whether a model version learned from something, the "
            f"answer was yes {total['affected']:,} times, and unknown {total['unknown']:,} times "
            f"({total['unknown'] / max(1, total['asked']):.1%}).",
            "",
            "Each history is ours and other tools' at once: deliveries, recalls, snapshots, "
            "exports and registrations on a real ledger, and OpenLineage events of appends, "
            "overwrites, merges, renames, streams, fine-tuning and distillation. An answer is "
            "wrong where it misses an affected model version, accuses one that is not, is unsure "
            "although all was told, or depends on the order of the events.",
            "",
            "| kind | histories | events | model versions | must be exact | with a miss | "
            "that accuse | wrong |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "* **plain**: nothing is lost, and no two clocks are close.",
            "* **close**: things happen within seconds and at the same time; clocks differ by up "
            "to 8 seconds.",
            "* **lossy**: events are lost, so that something is left by which they are missed.",
            "* **attacked**: an attacker sends events, too; honest ones must still count.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
