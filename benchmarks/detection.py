"""Detection quality and kept promises, beside peers on the same rows in the same run.

    python benchmarks/detection.py DATA_DIR [--sets sms,sst2] [--part quality] [--out FILE]
    OMP_NUM_THREADS=1 python benchmarks/detection.py DATA_DIR --jobs 16 --out FILE

Prints JSON lines of three parts. *quality*: one per (set, method). Rows are split once, at random,
into a development half and a reported half; weights and defaults were chosen on the development
halves, the clean rows of the development half are the trusted reference, and every figure is of the
reported half. *draws*: the fused score and the strongest peers over several cuts of each set.
*promise* and *hard*: one line per (clean set, rate), with marginal and with hard calibration. Peers
(`pip install 'lazaretto[bench]'`) get the same reference. Everything of ours is the default policy,
but for the rate and the way to hold where a line names them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from detection_peers import methods, versions
from detection_sets import (
    CLEAN_TEXT,
    IMAGES,
    TEXT,
    Rows,
    draw,
    halves,
    held,
    load,
    quality,
    recall_at,
)

import lazaretto as lz
from lazaretto.detect import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    Line = dict[str, Any]

LABELLED = ["mahalanobis", "knn_label", "self_confidence"]
UNLABELLED = ["mahalanobis", "knn_distance", "density", "duplicates", "clusters"]
UNLABELLED += ["isolation_forest", "autoencoder"]
CLEANLAB = "cleanlab find_label_issues"
OURS, ALONE = "ours", "alone"
DRAWS = 10
SPLITS = 20
PARTS = ("quality", "draws", "promise", "hard")
WAYS = {
    "lazaretto fused": {"false_quarantine_rate": 0.01},
    "lazaretto fused, hold: rate": {"false_quarantine_rate": 0.01, "hold": "rate"},
    "lazaretto fused 5%": {"false_quarantine_rate": 0.05},
}


def policy(labelled: bool, *, alone: bool = False, **screen: object) -> lz.Policy:
    """The default policy, with what is named; `alone`: all detectors, each for itself."""
    columns = {"record_id": "id", "embedding": "embedding"}
    if labelled:
        columns["label"] = "label"
    if alone:
        first = LABELLED if labelled else []
        screen["detectors"] = {name: {} for name in dict.fromkeys((*first, *UNLABELLED))}
    return lz.Policy.model_validate(
        {"version": 1, "dataset": "bench", "columns": columns, "screen": screen}
    )


def ours(trusted: Rows, batch: Rows) -> tuple[dict[str, Line], npt.NDArray[np.float64]]:
    """Lines of the fused score, one per way to hold, and the score."""
    labelled = trusted.y is not None
    start = time.perf_counter()
    reference = lz.Reference.fit(trusted.table(), policy(labelled))
    fitted = time.perf_counter() - start
    table, lines, score = batch.table(), {}, np.empty(0)
    for name, way in WAYS.items():
        start = time.perf_counter()
        result = lz.screen(table, reference, policy(labelled, **way))
        seconds = time.perf_counter() - start
        score = np.nan_to_num(result.records["score"].to_numpy(), nan=np.inf)
        lines[name] = {
            **quality(batch.poison, np.minimum(score, 1e300)),
            **held(batch.poison, result.records["held"].to_numpy()),
            "verdict": result.verdict.value,
            "tests": [t.name for t in result.tests if t.fired],
            "min_detectable": result.min_detectable,
            "seconds": round(seconds, 2),
            "fit_seconds": round(fitted, 2),
        }
    return lines, score


def single(trusted: Rows, batch: Rows) -> Iterator[tuple[str, Line]]:
    """Each detector alone, fitted on one cut of the reference (60 % of it)."""
    chosen = policy(trusted.y is not None, alone=True, calibration="hard")
    reference = lz.Reference.fit(trusted.table(), chosen)
    ranks = reference.scorers[0].rank(Chunk(batch.x, batch.y))
    for name, column in zip(reference.detectors, ranks.T, strict=True):
        yield f"lazaretto {name}", quality(batch.poison, column)


def peer(
    trusted: Rows, batch: Rows, name: str, score: npt.NDArray[np.float64] | None, *, few: bool
) -> Line:
    """One peer's line; beside cleanlab's, our recall at its number of held clean rows."""
    start = time.perf_counter()
    try:
        theirs, mask = methods(trusted, batch, few=few)[name]()
    except ImportError as error:
        return {"skipped": f"not installed: {error.name}"}
    except Exception as error:  # a peer that fails on a set is a result, not a reason to stop
        return {"skipped": repr(error)[:120]}
    line = {**quality(batch.poison, np.nan_to_num(theirs)), **held(batch.poison, mask)}
    if score is not None:
        clean = int(mask[~batch.poison].sum())
        line["ours_at_its_clean_held"] = recall_at(batch.poison, score, clean)
    return line | {"seconds": round(time.perf_counter() - start, 2)}


def compared(trusted: Rows, batch: Rows, what: str, *, few: bool) -> Iterator[Line]:
    """Lines of one cut of a set.

    Args:
        trusted: reference.
        batch: rows to score.
        what: `OURS` (with cleanlab's label score), `ALONE`, or the name of another peer.
        few: see `methods`.
    """
    facts = {"reference": len(trusted.x), "rows": len(batch.x), "poison": int(batch.poison.sum())}
    lines: dict[str, Line] = {}
    if what == OURS:
        lines, score = ours(trusted, batch)
        if trusted.y is not None:
            lines[CLEANLAB] = peer(trusted, batch, CLEANLAB, score, few=few)
    elif what == ALONE:
        lines = dict(single(trusted, batch))
    else:
        lines[what] = peer(trusted, batch, what, None, few=few)
    for name, line in lines.items():
        yield {"method": name, **facts, **line}


def promise(rows: Rows, calibration: str) -> Iterator[Line]:
    """Share of clean records held over random splits into reference and batch.

    Under ``hold: rate`` every record with a p-value up to the rate is held: also the most that any
    rule may hold. A hard promise is about calibrations, so its batches are larger: they blur them
    less.
    """
    most = 2000 if calibration == "marginal" else 4000
    clean = rows.take(~rows.poison)
    labelled = clean.y is not None
    shares: dict[float, list[tuple[float, float, str]]] = {0.01: [], 0.05: []}
    for seed in range(SPLITS):
        order = np.random.default_rng([seed, 77]).permutation(len(clean.x))
        size = min(len(order) // 2, 2000)
        trusted, batch = clean.take(order[:size]), clean.take(order[size : size + most]).table()
        fitted = policy(labelled, calibration=calibration)
        reference = lz.Reference.fit(trusted.table(), fitted, seed=seed)
        for rate, found in shares.items():
            chosen = policy(labelled, calibration=calibration, false_quarantine_rate=rate)
            result = lz.screen(batch, reference, chosen)
            by_rate = float((result.records["p_value"].to_numpy() <= rate).mean())
            share = float(result.records["held"].to_numpy().mean())
            found.append((share, by_rate, result.verdict.value))
    for rate, found in shares.items():
        evidence, whole = (np.array([row[i] for row in found]) for i in (0, 1))
        verdicts = [row[2] for row in found]
        yield {
            "trusted": size,
            "batch": batch.num_rows,
            "rate": rate,
            "calibration": calibration,
            "mean_held": round(float(evidence.mean()), 5),
            "p90_held": round(float(np.quantile(evidence, 0.9)), 5),
            "mean_by_rate": round(float(whole.mean()), 5),
            "p90_by_rate": round(float(np.quantile(whole, 0.9)), 5),
            "exceeding": round(float((whole > rate).mean()), 3),
            "verdicts": {v: verdicts.count(v) for v in sorted(set(verdicts))},
        }


@dataclass(frozen=True)
class Unit:
    """A part of the work that one process does at a time.

    Attributes:
        part: one of `PARTS`.
        name: of the set.
        what: see `compared`; empty for promises.
        seed: of the draw.
    """

    part: str
    name: str
    what: str = ""
    seed: int = 0


def units(data: Path, part: str, name: str, draws: int) -> Iterator[Unit]:
    """The units of one part and set."""
    if part not in ("quality", "draws"):
        yield Unit(part, name)
        return
    few, rows = part == "draws", _cached(data, name)
    others = [other for other in methods(rows, rows, few=few) if other != CLEANLAB]
    for seed in range(draws if few else 1):
        for what in (OURS, *([] if few else [ALONE]), *others):
            yield Unit(part, name, what, seed)


def measure(data: Path, unit: Unit) -> list[Line]:
    """The lines of one unit."""
    rows = load(data, unit.name)
    head: Line = {"set": unit.name}
    if unit.part == "quality":
        found = compared(*halves(rows), unit.what, few=False)
    elif unit.part == "draws":
        trusted, batch = draw(rows, unit.seed)
        head["draw"] = unit.seed
        found = compared(trusted, batch, unit.what, few=True) if batch.poison.any() else iter(())
    else:
        head["promise"] = True
        found = promise(rows, "marginal" if unit.part == "promise" else unit.part)
    return [{**head, **line} for line in found]


def commit() -> str:
    """Short name of the commit that is measured, if this is a checkout."""
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default="", help="prefixes of names, separated by commas")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--out", type=Path, help="also write the lines here")
    asked = parser.parse_args()
    adbench = sorted(path.stem for path in (asked.data / "adbench").glob("*.npz"))
    wanted = tuple(part for part in asked.sets.split(",") if part)
    parts = asked.part or list(PARTS)
    work = list[Unit]()
    for part in parts:
        labelled = (*TEXT, *IMAGES) if part in PARTS[:2] else (*CLEAN_TEXT, IMAGES[1])
        for name in (*labelled, *adbench):
            if name.startswith(wanted or ""):
                work += units(asked.data, part, name, asked.draws)
    head = {"versions": {"python": platform.python_version(), **versions()}, "code": commit()}
    head |= {"parts": parts, "jobs": asked.jobs, "draws": asked.draws}
    print(json.dumps(head), flush=True)
    done: dict[int, list[Line]] = {}
    # The large ones first: else the last of them would run alone.
    order = sorted(range(len(work)), key=lambda place: _urgency(asked.data, work[place]))
    with ProcessPoolExecutor(asked.jobs, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(measure, asked.data, work[place]): place for place in order}
        for future in as_completed(running):
            done[running[future]] = future.result()
            for line in future.result():
                print(json.dumps(line), flush=True)
            if asked.out:
                lines = [head, *(line for place in sorted(done) for line in done[place])]
                asked.out.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _urgency(data: Path, unit: Unit) -> tuple[int, int]:
    """The draws last, which are many and small; else what takes the longest first."""
    return int(unit.part == "draws"), -_values(data, unit.name)


def _values(data: Path, name: str) -> int:
    return _cached(data, name).x.size


@cache
def _cached(data: Path, name: str) -> Rows:
    return load(data, name)


if __name__ == "__main__":
    main()
