"""Detection quality and kept promises, beside peers on the same rows in the same run.

    python benchmarks/detection.py DATA_DIR [--sets sms,sst2] [--part quality] [--out FILE]

Prints JSON lines of three parts. *quality*: one per (set, method). Rows are split once, at random,
into a development half and a reported half; weights and defaults were chosen on the development
halves, the clean rows of the development half are the trusted reference, and every figure is of the
reported half. *draws*: the fused score and the strongest peers over several cuts of each set.
*promise* and *hard*: one line per (clean set, rate), with marginal and with hard calibration. Peers
(`pip install 'lazaretto[bench]'`) get the same reference.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
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
UNLABELLED = ["mahalanobis", "knn_distance", "isolation_forest"]
SHADOW = ["knn_distance", "density", "duplicates", "clusters", "isolation_forest", "autoencoder"]
CLEANLAB = "cleanlab find_label_issues"
DRAWS = 10
SPLITS = 20
PARTS = ("quality", "draws", "promise", "hard")
WAYS = {
    "lazaretto fused": {"false_quarantine_rate": 0.01},
    "lazaretto fused, hold: rate": {"false_quarantine_rate": 0.01, "hold": "rate"},
    "lazaretto fused 5%": {"false_quarantine_rate": 0.05},
}


def policy(labelled: bool, *, shadow: bool = False, **screen: object) -> lz.Policy:
    """The detectors that are compared, at a rate of 1 % unless told otherwise."""
    enforced = LABELLED if labelled else UNLABELLED
    detectors = {name: {"mode": "enforce"} for name in enforced}
    if shadow:
        detectors |= {name: {"mode": "shadow"} for name in SHADOW if name not in enforced}
    columns = {"record_id": "id", "embedding": "embedding"}
    if labelled:
        columns["label"] = "label"
    return lz.Policy.model_validate(
        {
            "version": 1,
            "dataset": "bench",
            "columns": columns,
            "screen": {"min_poison_share": 0.5, "detectors": detectors, **screen},
        }
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
    alone = policy(trusted.y is not None, shadow=True, calibration="hard")
    reference = lz.Reference.fit(trusted.table(), alone)
    ranks = reference.scorers[0].rank(Chunk(batch.x, batch.y))
    for name, column in zip(reference.detectors, ranks.T, strict=True):
        yield f"lazaretto {name}", quality(batch.poison, column)


def peers(
    trusted: Rows, batch: Rows, score: npt.NDArray[np.float64], *, few: bool
) -> Iterator[tuple[str, Line]]:
    """Lines of the peers; beside cleanlab's, our recall at its number of held clean rows."""
    for name, method in methods(trusted, batch, few=few).items():
        start = time.perf_counter()
        try:
            theirs, mask = method()
        except ImportError as error:
            yield name, {"skipped": f"not installed: {error.name}"}
            continue
        except Exception as error:  # a peer that fails on a set is a result, not a reason to stop
            yield name, {"skipped": repr(error)[:120]}
            continue
        line = {**quality(batch.poison, np.nan_to_num(theirs)), **held(batch.poison, mask)}
        if name == CLEANLAB:
            line["ours_at_its_clean_held"] = recall_at(
                batch.poison, score, int(mask[~batch.poison].sum())
            )
        yield name, line | {"seconds": round(time.perf_counter() - start, 2)}


def compared(trusted: Rows, batch: Rows, *, few: bool) -> Iterator[Line]:
    """Everything about one cut of a set."""
    facts = {
        "reference": len(trusted.x),
        "rows": len(batch.x),
        "poison": int(batch.poison.sum()),
    }
    lines, score = ours(trusted, batch)
    each = () if few else single(trusted, batch)
    for name, line in (*lines.items(), *each, *peers(trusted, batch, score, few=few)):
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


def measure(data: Path, part: str, name: str) -> Iterator[Line]:
    """One part's lines for one set."""
    rows = load(data, name)
    if part == "quality":
        yield from compared(*halves(rows), few=False)
    elif part == "draws":
        for seed in range(DRAWS):
            trusted, batch = draw(rows, seed)
            if batch.poison.any():
                for line in compared(trusted, batch, few=True):
                    yield {"draw": seed, **line}
    else:
        for line in promise(rows, "marginal" if part == "promise" else part):
            yield {"promise": True, **line}


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
    parser.add_argument("--out", type=Path, help="also write the lines here")
    arguments = parser.parse_args()
    adbench = sorted(path.stem for path in (arguments.data / "adbench").glob("*.npz"))
    wanted = tuple(part for part in arguments.sets.split(",") if part)
    lines: list[Line] = []

    def say(**line: object) -> None:
        lines.append(line)
        print(json.dumps(line), flush=True)
        if arguments.out:
            arguments.out.write_text("".join(json.dumps(entry) + "\n" for entry in lines))

    parts = arguments.part or list(PARTS)
    say(versions={"python": platform.python_version(), **versions()}, code=commit(), parts=parts)
    for part in parts:
        labelled = (*TEXT, *IMAGES) if part in PARTS[:2] else (*CLEAN_TEXT, IMAGES[1])
        for name in (*labelled, *adbench):
            if name.startswith(wanted or ""):
                for line in measure(arguments.data, part, name):
                    say(set=name, **line)


if __name__ == "__main__":
    main()
