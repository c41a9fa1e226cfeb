"""What small, targeted and slow attacks meet, and what clean batches pay. Long: every attack.

    python benchmarks/evidence.py DATA_DIR [--sets sms,sst2,...] [--seeds 3] [--jobs 2] [--out FILE]
    python benchmarks/evidence.py DATA_DIR --only clean,power [--sets ...] [--seeds 4]
    python benchmarks/evidence.py --simulate 10000

Rows are those of the development halves (`detection_sets`), of two tables and a synthetic set: none
of them is reported by `benchmarks/detection.py`. For each set and seed one reference is fitted;
then clean batches are screened, and batches with one attack each. Everything is the default policy.
Prints one JSON line a batch; `--report FILE...` writes a table from such lines. Poisoned text is
embedded already (the shared sets' triggers); other attacks are made of vectors here. `--only` takes
some of what is measured: `clean` (batches of which none should be touched; also of sets of ADBench,
which have no labels, by their full name: these rows are in the promise's table, too), `place` (the
same, with `density` enforced, which only watches by default), `attacks`, `copies` (of one record in
many batches, on sms and sst2), `drips`, and `power` (what a reference predicts of wrong labels, of
two sizes, beside what is really held).
`--simulate` draws p-values of clean sources, so many batches, and counts the alarms over time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from detection_sets import DEVELOPMENT_SEED, Rows, load
from evidence_copies import KNOWN, copies_lines

import lazaretto as lz

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Line = dict[str, Any]
    Ints = npt.NDArray[np.int64]

SETS = ("sms", "sst2", "mnist", "adult", "taxis", "blobs")
SIZES = {"sms": (1200, 700), "sst2": (2200, 1200), "mnist": (2500, 1200)}
OTHERS = (2500, 1200)
CLEAN_BATCHES = 20
LARGE = (2600, 4000)
PARTS = frozenset(("clean", "place", "attacks", "copies", "drips", "power"))
DRIP_BATCHES, DRIP_ROWS = 30, 200


def policy(*, labelled: bool = True, **screen: object) -> lz.Policy:
    """The default policy, for rows with a column of vectors."""
    columns = {"record_id": "id", "embedding": "embedding"}
    if labelled:
        columns["label"] = "label"
    text = {"version": 1, "dataset": "bench", "columns": columns, "screen": screen}
    return lz.Policy.model_validate(text)


def enforcing_place() -> lz.Policy:
    """The default policy, with `density` enforced, apart."""
    usual = {"mahalanobis": {}, "knn_label": {}, "self_confidence": {}}
    return policy(detectors={**usual, "density": {"mode": "enforce", "apart": True}})


def development(folder: Path, name: str) -> Rows:
    """The development half of a set of `detection_sets`."""
    rows = load(folder, name)
    chosen = np.random.default_rng(DEVELOPMENT_SEED).random(len(rows.x)) < 0.5
    return rows.take(np.asarray(chosen, dtype=bool))


def source(folder: Path, name: str) -> tuple[Rows, Rows | None]:
    """Clean rows of a set, and rows with a trigger where the set has some."""
    if name in ("sms", "sst2"):
        triggered = development(folder, f"{name}_trigger3")
        return development(folder, f"{name}_clean"), triggered.take(triggered.poison)
    if name == "mnist":
        rows = development(folder, "mnist_badnets_r0.05_n15000_s0")
        return rows.take(~rows.poison), rows.take(rows.poison)
    if name == "adult":
        return adult(folder), None
    if name == "taxis":
        return taxis(folder), None
    if name not in SETS:  # of ADBench, without labels: clean batches only
        rows = load(folder, name)
        return rows.take(~rows.poison), None
    rng = np.random.default_rng(7)
    centers = rng.normal(size=(3, 16)) * 0.8
    y = rng.integers(3, size=9000)
    x = (centers[y] + rng.normal(size=(9000, 16))).astype(np.float32)
    return Rows(x, y, np.zeros(9000, dtype=bool)), None


def adult(folder: Path) -> Rows:
    """Numbers and common categories of Adult, scaled; the label is the income."""
    table = pq.read_table(folder / "tabular" / "adult.parquet").to_pandas().iloc[:12_000]
    numbers = table[["age", "education_num", "hours_per_week", "fnlwgt"]].to_numpy(np.float64)
    gains = np.log1p(table[["capital_gain", "capital_loss"]].to_numpy(np.float64))
    parts = [numbers, gains]
    for column in ("marital_status", "occupation", "relationship", "sex", "workclass"):
        names = table[column].value_counts().index[:8]
        parts.append(np.stack([(table[column] == name).to_numpy() for name in names], 1))
    x = np.concatenate(parts, axis=1).astype(np.float64)
    x = (x - x.mean(0)) / x.std(0)
    y = (table["income"].str.contains(">50K")).to_numpy().astype(np.int64)
    return Rows(x.astype(np.float32), y, np.zeros(len(x), dtype=bool))


def taxis(folder: Path) -> Rows:
    """Numbers and short categories of taxi rides, scaled; the label is whether cash was paid."""
    table = pq.read_table(folder / "tabular" / "taxis.parquet").to_pandas()
    numbers = table.select_dtypes("number").fillna(0).to_numpy(np.float64)
    parts = [np.sign(numbers) * np.log1p(np.abs(numbers))]
    for column in ("color", "pickup_borough", "dropoff_borough"):
        names = table[column].value_counts().index[:8]
        parts.append(np.stack([(table[column] == name).to_numpy() for name in names], 1))
    x = np.concatenate(parts, axis=1).astype(np.float64)
    x = (x - x.mean(0)) / (x.std(0) + 1e-9)
    y = (table["payment"] == "cash").to_numpy().astype(np.int64)
    return Rows(x.astype(np.float32), y, np.zeros(len(x), dtype=bool))


def triggered(clean: Rows, ready: Rows | None, count: int, rng: np.random.Generator) -> Rows:
    """Rows with one trigger and another label: those of the set, or some pushed one way."""
    if ready is not None:
        return ready.take(rng.choice(len(ready.x), count, replace=count > len(ready.x)))
    assert clean.y is not None
    rows = clean.take(rng.choice(np.flatnonzero(clean.y == 0), count, replace=False))
    push = np.random.default_rng(3).choice(rows.x.shape[1], 3, replace=False)
    x = rows.x.copy()
    x[:, push] = clean.x[:, push].std(0) * 2.0
    return Rows(x, np.ones(count, dtype=np.int64), np.ones(count, dtype=bool))


def attacks(
    clean: Rows, ready: Rows | None, rng: np.random.Generator, name: str
) -> Iterator[tuple[str, Rows]]:
    """Batches with one attack each, made of these clean rows."""
    n = len(clean.x)
    assert clean.y is not None
    classes = int(clean.y.max()) + 1
    for dose in (0.01, 0.03):
        count = max(1, round(dose * n))
        yield f"trigger {dose:.0%}", joined(clean, triggered(clean, ready, count, rng))
    for dose in (0.05, 0.2):
        count = round(dose * n)
        y = clean.y.copy()
        y[:count] = (y[:count] + rng.integers(1, classes, count)) % classes
        yield f"flips {dose:.0%}", Rows(clean.x, y, np.arange(n) < count)
    count = round(0.05 * n)
    noise = 0.05 * clean.x.std(0)
    for groups in (5, count // 4):
        seeds = rng.choice(n, groups, replace=False)[np.arange(count) % groups]
        x = clean.x[seeds] + noise * rng.normal(size=(count, clean.x.shape[1]))
        y = (clean.y[seeds] + 1) % classes
        flood = Rows(x.astype(np.float32), y, np.ones(count, dtype=bool))
        yield f"flood, groups of {count // groups}", joined(clean, flood)
    if name in ("adult", "taxis", "blobs"):
        x = np.stack([rng.permutation(column)[:count] for column in clean.x.T], 1)
        y = rng.permutation(clean.y)[:count]
        yield "fabricated 5%", joined(clean, Rows(x, y, np.ones(count, dtype=bool)))


def joined(clean: Rows, poison: Rows) -> Rows:
    """As many rows as the clean ones, the first of them poison."""
    left = clean.take(np.arange(len(poison.x), len(clean.x)))
    assert poison.y is not None
    assert left.y is not None
    mask = np.concatenate([np.ones(len(poison.x), dtype=bool), np.zeros(len(left.x), dtype=bool)])
    return Rows(np.concatenate([poison.x, left.x]), np.concatenate([poison.y, left.y]), mask)


def judged(batch: Rows, reference: lz.Reference, asked: lz.Policy | None = None) -> Line:
    """What screening a batch gives, by the default policy or another one."""
    start = time.process_time()
    found = lz.screen(batch.table(), reference, asked or policy())
    took = time.process_time() - start
    held = found.records["held"].to_numpy()
    p_value = found.records["p_value"].to_numpy()
    line: Line = {
        "verdict": found.verdict.value,
        "rows": len(held),
        "held": int(held.sum()),
        "clean_held": int(held[~batch.poison].sum()),
        "below_rate": float((p_value[~batch.poison] <= 0.01).mean()),
        "fired": [test.name for test in found.tests if test.fired],
        "cpu": round(took, 3),
    }
    line |= {test.name: test.p_value for test in found.tests if test.name == "neighbourhood"}
    if batch.poison.any():
        line["recall"] = float(held[batch.poison].mean())
    return line


def drip(
    clean: Callable[[int], Rows], ready: Rows | None, reference: lz.Reference, dose: float
) -> Line:
    """Batches of one source, each with a little poison: which one names it, which one is let in?"""
    from lazaretto.drift.source import Evidence
    from lazaretto.drift.watch import facts_of, folded
    from lazaretto.screen import Earlier
    from lazaretto.stats.looks import look_back

    evidence, alarm, named, passed = Evidence(), None, None, 0
    kept: list[Earlier] = []
    rng = np.random.default_rng(5)
    for number in range(DRIP_BATCHES):
        batch = clean(number)
        if dose:
            batch = joined(batch, triggered(batch, ready, max(1, round(dose * len(batch.x))), rng))
        earlier = kept[::-1][: look_back(evidence.slow.batches)]
        found = lz.screen(batch.table(), reference, policy(), earlier=earlier)
        if found.suspects is not None:
            kept.append(Earlier(f"vendor/{number}", found.suspects))
        passed += found.verdict is lz.Verdict.PASS
        looks = [test for test in found.tests if test.name == "source_neighbourhood"]
        if named is None and (found.n_held or any(test.fired for test in looks)):
            named = number + 1
        evidence = folded(evidence, facts_of(found, policy()), reference.calibration_rows)
        if alarm is None and evidence.raises(0.001):
            alarm = number + 1
    return {"alarm": alarm, "named": named, "passed": passed, "batches": DRIP_BATCHES}


def power_lines(clean: Rows, known: int, size: int, seed: int) -> Iterator[Line]:
    """Predicted and real share of wrong labels that is held, of a reference and of half of it."""
    assert clean.y is not None
    classes = int(clean.y.max()) + 1
    largest, other = np.argsort(-np.bincount(clean.y), kind="stable")[:2]
    order = np.random.default_rng([seed, 11]).permutation(len(clean.x))
    for rows in (known, known // 2):
        reference = lz.Reference.fit(clean.take(order[:rows]).table(), policy(), seed=seed)
        rest = clean.take(order[known:])
        for told in reference.power:
            real = []
            for number in range(2):
                rng = np.random.default_rng([seed, number, 13])
                batch = rest.take(rng.permutation(len(rest.x))[:size])
                assert batch.y is not None
                count = max(1, round(told.share * len(batch.x)))
                y, n = batch.y.copy(), len(batch.x)
                if told.attack == "turned":
                    bad = np.flatnonzero(y == largest)[:count]
                    y[bad] = other
                else:
                    bad = np.arange(count)
                    y[bad] = (y[bad] + rng.integers(1, classes, count)) % classes
                found = judged(Rows(batch.x, y, np.isin(np.arange(n), bad)), reference)
                whole = found["verdict"] in ("HOLD_BATCH", "ABSTAIN")
                real.append(1.0 if whole else found["recall"])
            what = f"power, {told.attack} {told.share:.0%}, {rows} trusted rows"
            yield {"what": what, "predicted": told.recall, "real": float(np.mean(real))}


def measure(folder: Path, name: str, seed: int, only: frozenset[str]) -> Iterator[Line]:
    """Lines of a set and seed."""
    clean, ready = source(folder, name)
    known, size = SIZES.get(name, OTHERS)
    usual = policy()
    if name not in SETS:
        known, size, usual = min(len(clean.x) // 2, 2000), 2000, policy(labelled=False)
    rng = np.random.default_rng([seed, 11])
    order = rng.permutation(len(clean.x))
    start = time.process_time()
    reference = lz.Reference.fit(clean.take(order[:known]).table(), usual, seed=seed)
    took = time.process_time() - start
    rest = clean.take(order[known:])
    head = {"set": name, "seed": seed}
    yield {**head, "what": "fit", "cpu": round(took, 2)}

    def drawn(rows: int, number: int) -> Rows:
        pick = np.random.default_rng([seed, number]).permutation(len(rest.x))[:rows]
        return rest.take(pick)

    ways = {"clean": ("clean", usual), "place": ("clean, density enforced", enforcing_place())}
    for what, asked in (way for part, way in ways.items() if part in only):
        for number in range(CLEAN_BATCHES if len(rest.x) > size else 1):
            yield {**head, "what": what, **judged(drawn(size, number), reference, asked)}
    if "attacks" in only:
        for what, batch in attacks(drawn(size, 1000), ready, rng, name):
            yield {**head, "what": what, **judged(batch, reference)}
        for rows in LARGE:
            large = drawn(rows, 1001)
            if rows > LARGE[0] and len(large.x) < rows:
                continue
            for dose in (0.01, 0.03):
                count = round(dose * len(large.x))
                bad = triggered(large, ready, count, np.random.default_rng([seed, 12]))
                told = judged(joined(large, bad), reference)
                yield {**head, "what": f"trigger {dose:.0%} of {rows} rows or fewer", **told}
    if "drips" in only:
        for dose in (0.03, 0.01, 0.005, 0.0):
            found = drip(lambda number: drawn(DRIP_ROWS, 2000 + number), ready, reference, dose)
            yield {**head, "what": f"drip {dose:.1%}" if dose else "drip, none", **found}
    if "power" in only:
        for line in power_lines(clean, known, size, seed):
            yield {**head, **line}


def simulated(batches: int) -> Line:
    """Alarms of clean sources of 100 batches each, whose p-values are drawn, by the default policy.

    Each source has a reference of its own, and so its luck. P-values of neighbourhoods are small
    too often, as they are on texts: twelve times at .01, fifteen times below.
    """
    from lazaretto.drift.source import Evidence
    from lazaretto.drift.watch import folded
    from lazaretto.stats.looks import look_back
    from lazaretto.stats.martingale import SMALL, BatchFacts
    from lazaretto.stats.slow import tally

    names, rows, alarms, raised = ["ham", "spam"], 2000, 0, 0
    drift = policy().screen.drift
    for source_number in range(batches // 100):
        rng = np.random.default_rng([16, source_number])
        known = np.sort(rng.random(rows))
        shown = tally(np.arange(1, rows + 1) / (rows + 1), rng.integers(2, size=rows), names)
        evidence, alarm = Evidence(), False
        for _ in range(100):
            p_value = (1 + rows - np.searchsorted(known, rng.random(200))) / (rows + 1)
            odd = tally(p_value, rng.integers(2, size=200), names)
            small = int((p_value <= SMALL).sum())
            parts = np.append(rng.random(4), too_small(rng))
            local = min(1.0, len(parts) * float(parts.min()))
            together = None
            if look_back(evidence.slow.batches):
                together = too_small(rng)
            facts = BatchFacts(
                min(1.0, 4 * float(rng.random(4).min())),
                small,
                200,
                tuple(odd),
                tuple(shown),
                local,
                together,
            )
            evidence = folded(evidence, facts, rows)
            raised += evidence.raises(drift.alpha)
            alarm |= evidence.raises(drift.alpha)
        alarms += alarm
    return {"batches": batches, "sources": batches // 100, "alarms": alarms, "batches held": raised}


def too_small(rng: np.random.Generator) -> float:
    """A p-value of neighbourhoods of a clean batch."""
    chance = float(rng.random())
    return max(chance**2.2, chance / 15)


def report(files: list[str]) -> str:
    """Tables from the lines of files, one column for each file."""
    told = [[json.loads(line) for line in Path(file).read_text().splitlines()] for file in files]
    names = [Path(file).stem for file in files]
    out = ["| set | batch | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    cells: dict[tuple[str, str], list[str]] = defaultdict(lambda: [""] * len(files))
    for column, lines in enumerate(told):
        groups = defaultdict(list)
        for line in lines:
            groups[line["set"], line["what"]].append(line)
            if line["what"].startswith("clean"):
                groups["all", line["what"]].append(line)
        for key, group in groups.items():
            cells[key][column] = _cell(key[1], group)
    out += [f"| {a} | {b} | " + " | ".join(row) + " |" for (a, b), row in cells.items()]
    return "\n".join(out)


def _cell(what: str, lines: list[Line]) -> str:
    if what == "fit":
        return f"{np.mean([line['cpu'] for line in lines]):.1f} s"
    if what.startswith("drip"):
        alarms = [str(line["alarm"] or "-") for line in lines]
        named = [str(line["named"] or "-") for line in lines]
        passed = np.mean([line["passed"] / line["batches"] for line in lines])
        return f"named at batch {', '.join(named)}; alarm at {', '.join(alarms)}; {passed:.0%} PASS"
    if what.startswith("copies"):
        return "; ".join(map(_copies_told, lines))
    if what.startswith("power"):
        predicted, real = (np.mean([line[key] for line in lines]) for key in ("predicted", "real"))
        apart = np.mean([abs(line["predicted"] - line["real"]) for line in lines])
        return f"predicted {predicted:.2f}, real {real:.2f}; apart by {apart:.2f} on average"
    if what.startswith("clean"):
        touched = sum(line["held"] > 0 or line["verdict"] != "PASS" for line in lines)
        share = np.mean([line["held"] / line["rows"] for line in lines])
        below = np.mean([line["below_rate"] for line in lines])
        cpu = np.mean([line["cpu"] for line in lines])
        near = np.array([line.get("neighbourhood", 1.0) for line in lines])
        told = ", ".join(
            f"{int((near <= level).sum())} <= {level}" for level in (0.002, 0.01, 0.05)
        )
        return (
            f"{touched} of {len(lines)} touched; held {share:.3%}; p <= .01: {below:.2%}; "
            f"neighbourhood: {told}; {cpu:.2f} s"
        )
    whole = sum(line["verdict"] in ("HOLD_BATCH", "ABSTAIN") for line in lines)
    recall = np.mean([line["recall"] for line in lines])
    clean = np.mean([line["clean_held"] for line in lines])
    return f"recall {recall:.2f}, {clean:.0f} clean; {whole} of {len(lines)} held whole"


def _copies_told(line: Line) -> str:
    if line["attack"] == "clean":
        return f"clean: {line['named']} records named, in {line['told']} batches"
    at = ", ".join(str(number or "-") for number in sorted(line["at"], key=lambda n: n or 99))
    return f"{line['attack']}: named at batch {at}"


def main() -> None:
    """Measures, or reports."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--simulate", type=int, help="so many batches of clean sources")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", default=",".join(sorted(PARTS)), help="parts, by commas")
    parser.add_argument("--report", nargs="+")
    asked = parser.parse_args()
    if asked.report:
        print(report(asked.report))
        return
    out = asked.out.open("w") if asked.out else sys.stdout
    if asked.simulate:
        print(json.dumps(simulated(asked.simulate)), file=out)
        return
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    units = [(name, seed) for name in asked.sets.split(",") for seed in seeds]
    with ProcessPoolExecutor(asked.jobs, multiprocessing.get_context("spawn")) as pool:
        only = frozenset(asked.only.split(","))
        running = [pool.submit(_measured, asked.data, *unit, only) for unit in units]
        for future in as_completed(running):
            for line in future.result():
                print(json.dumps(line), file=out, flush=True)


def _measured(folder: Path, name: str, seed: int, only: frozenset[str]) -> list[Line]:
    lines: list[Line] = []
    if "copies" in only and name in KNOWN:
        lines += [{"set": name, "seed": seed, **line} for line in copies_lines(folder, name, seed)]
    rest = only - {"copies"}
    return [*lines, *measure(folder, name, seed, rest)] if rest else lines


if __name__ == "__main__":
    main()
