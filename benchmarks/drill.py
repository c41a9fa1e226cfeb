"""Drills: does the recall that a drill tells come true, and what does a drill cost?

    python benchmarks/drill.py DATA_DIR --out benchmarks/results/drill.md

DATA_DIR holds `mnist_backdoor/` and `text/`. Of each set 1,500 rows are the reference, others are
batches of 600 that are admitted and then copied by a drill, which draws each dose `--draws` times.
Then rows that neither has are poisoned and delivered to the real gate, in a copy of the workspace,
`--real` times each. *same*: the drill's attacks on those rows, with other seeds. *left out*:
attacks that no drill has; each is predicted by the drilled attack of its kind (`KIN`).
`--lines FILE...` only writes the document from what was printed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lazaretto import stages
from lazaretto.drill import run_drill
from lazaretto.drill.attacks.base import Copy
from lazaretto.drill.attacks.registry import ATTACKS
from lazaretto.errors import UsageError
from lazaretto.policy import Policy
from lazaretto.reference import Reference
from lazaretto.registry.references import save_reference
from lazaretto.sources.registry import add_source
from lazaretto.storage.workspace import open_workspace
from lazaretto.values import Actor, ActorType, TrustTier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazaretto.drill.attacks.base import Draw, Poisoned
    from lazaretto.storage.workspace import Workspace

REFERENCE, BATCH, BATCHES = 1500, 600, 3
DOSES = (0.05, 0.1)
DRILLED = {
    "mnist": ("label_flip", "badnets_patch", "blended"),
    "sms": ("label_flip", "blended", "flood"),
    "sst2": ("label_flip", "blended", "flood"),
}
KIN = {
    "one-way flips": "label_flip",
    "vertical bar": "badnets_patch",
    "noise of its own": "blended",
    "flips of the set": "label_flip",
    "trigger of the set": "blended",
    "flood of the set": "flood",
}
"""For each attack that no drill has, the drilled one of its kind. Words put into a text move the
whole of its vector a little and one way, as a blended pattern does: they set no numbers of it."""
WHO = Actor(ActorType.HUMAN, "user:benchmark")


@dataclass(frozen=True)
class Set:
    """A data set: rows of the reference, of the batches that are copied, and the rest."""

    name: str
    reference: pa.Table
    batches: list[pa.Table]
    rest: pa.Table
    made: dict[str, pa.Table]

    @property
    def policy(self) -> Policy:
        """Of its gate."""
        return Policy.model_validate(
            {
                "version": 1,
                "dataset": "drilled",
                "columns": {"record_id": "id", "label": "label", "embedding": "vector"},
                "sources": {"require_signature": False},
                "screen": {
                    "min_poison_share": 0.1,
                    "detectors": {"mahalanobis": {}, "knn_label": {"k": 10}},
                },
            }
        )


def table(ids: np.ndarray, labels: np.ndarray, vectors: np.ndarray) -> pa.Table:
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    return pa.table(
        {
            "id": pa.array([str(one) for one in ids]),
            "label": pa.array([str(one) for one in labels]),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    )


def text(folder: Path, name: str) -> Set:
    """Embeddings of short texts; the poison that comes with the set was made by its authors."""
    rows = pq.read_table(folder / "text" / f"{name}_clean.parquet")
    order = np.random.default_rng(0).permutation(rows.num_rows)
    rows = rows.take(pa.array(order))
    vectors = np.stack(rows["embedding"].to_numpy(zero_copy_only=False)).astype(np.float32)
    all_ = table(order, rows["label"].to_numpy(), vectors)
    known = rows["text"].slice(0, REFERENCE + BATCHES * BATCH)
    made = {}
    for attack, file in (("flips", "flip10"), ("trigger", "trigger3"), ("flood", "flood5")):
        bad = pq.read_table(folder / "text" / f"{name}_{file}.parquet")
        bad = bad.filter(pc.and_(bad["is_poison"], pc.invert(pc.is_in(bad["text"], known))))
        there = np.stack(bad["embedding"].to_numpy(zero_copy_only=False)).astype(np.float32)
        ids = np.array([f"{attack}-{n}" for n in range(bad.num_rows)])
        made[f"{attack} of the set"] = table(ids, bad["label"].to_numpy(), there)
    return parts(name, all_, made)


def mnist(folder: Path) -> Set:
    """Pixels, every second row and column."""
    with np.load(folder / "mnist_backdoor" / "mnist.npz") as z:
        order = np.random.default_rng(0).permutation(len(z["x_train"]))[:6000]
        images, labels = z["x_train"][order] / 255, z["y_train"][order]
    small = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(images), -1)
    return parts("mnist", table(order, labels, small), {})


def parts(name: str, rows: pa.Table, made: dict[str, pa.Table]) -> Set:
    cuts = [REFERENCE + number * BATCH for number in range(BATCHES + 1)]
    batches = [rows[begin:end] for begin, end in pairwise(cuts)]
    return Set(name, rows[:REFERENCE], batches, rows[cuts[-1] :], made)


def one_way(copy: Copy, count: int, draw: Draw) -> tuple[Copy, np.ndarray]:
    """All records of one class that there is room for become another one."""
    labels, classes = copy.labels, copy.classes
    among = np.flatnonzero(labels == classes[-1])
    chosen = np.zeros(len(labels), bool)
    chosen[draw.permutation(among)[:count]] = True
    return copy.with_labels(chosen, classes[0]), chosen


def bar(copy: Copy, count: int, draw: Draw) -> tuple[Copy, np.ndarray]:
    """A bright vertical bar of four pixels at the left edge, and the first class."""
    chosen = others(copy, count, draw)
    values = copy.matrix()
    side = round(values.shape[1] ** 0.5)
    for row in range(4, 8):
        values[chosen, row * side + 1] = values.max()
    return copy.with_matrix(values).with_labels(chosen, copy.classes[0]), chosen


def noise(copy: Copy, count: int, draw: Draw) -> tuple[Copy, np.ndarray]:
    """A quarter of one pattern of normal noise, and the first class."""
    chosen = others(copy, count, draw)
    values = copy.matrix()
    pattern = draw.normal(values.mean(axis=0), values.std(axis=0) + 1e-6)
    values[chosen] = 0.75 * values[chosen] + 0.25 * pattern
    return copy.with_matrix(values).with_labels(chosen, copy.classes[0]), chosen


def others(copy: Copy, count: int, draw: Draw) -> np.ndarray:
    among = np.flatnonzero(copy.labels != copy.classes[0])
    chosen = np.zeros(copy.rows.num_rows, bool)
    chosen[draw.permutation(among)[:count]] = True
    return chosen


def real(
    one: Set, same: bool, draw: Draw
) -> Iterator[tuple[str, str, float, pa.Table, np.ndarray]]:
    """Kind, attack, dose, delivery and which rows are poison; drawn once."""
    for dose in DOSES:
        count = round(dose * BATCH)
        for name in DRILLED[one.name] if same else ():
            made: Poisoned = ATTACKS[name].poison(fresh(one, draw), count, draw)
            yield "same", name, dose, made.copy.rows, made.chosen
        ours: dict[str, Callable[..., tuple[Copy, np.ndarray]]] = {"one-way flips": one_way}
        if one.name == "mnist":
            ours |= {"vertical bar": bar, "noise of its own": noise}
        for name, poison in ours.items():
            copy, chosen = poison(fresh(one, draw), count, draw)
            yield "left out", name, dose, copy.rows, chosen
        for name, bad in one.made.items():
            mine = bad.take(pa.array(draw.permutation(bad.num_rows)[:count]))
            rows = pa.concat_tables([mine, fresh(one, draw).rows[: BATCH - mine.num_rows]])
            yield "left out", name, dose, rows, np.arange(BATCH) < mine.num_rows


def fresh(one: Set, draw: Draw) -> Copy:
    rows = one.rest.take(pa.array(draw.permutation(one.rest.num_rows)[:BATCH]))
    return Copy(rows, "label", ("vector",))


def gate(
    workspace: Workspace, policy: Policy, folder: Path, rows: pa.Table
) -> tuple[np.ndarray, str]:
    """Which rows the real gate holds, by its own stages; and the batch."""
    path = folder / "delivery.parquet"
    pq.write_table(rows, path)
    batch = stages.receive(workspace, path, "vendor", policy=policy).id
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(workspace, batch, policy)
    judged = stages.gate(workspace, batch, policy)
    if judged.verdict.holds_batch:
        return np.ones(rows.num_rows, bool), batch
    held = np.zeros(rows.num_rows, bool)
    if judged.case is not None:
        from lazaretto.quarantine.review import held_records

        ids = {record.record_id for record in held_records(workspace, judged.case)}
        held = np.array([one in ids for one in rows["id"].to_pylist()])
    return held, batch


def measured(one: Set, draws: int, times: int, same: bool) -> Iterator[dict]:
    policy = one.policy
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'at' / 'catalog.db'}"
        (folder / "at").mkdir()
        workspace = open_workspace(catalog_url=url, store=folder / "at" / "store", actor=WHO)
        reference = Reference.fit(one.reference, policy, name="drilled", version="1")
        save_reference(workspace, reference, promote=True)
        add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
        for rows in one.batches:
            _, batch = gate(workspace, policy, folder, rows)
            with suppress(UsageError):  # the gate may hold a clean batch: none is copied of it
                stages.admit(workspace, batch)
        drill = run_drill(
            workspace, policy, attacks=DRILLED[one.name], doses=DOSES, draws=draws, seconds=None
        )
        for attack, found in drill.doses.items():
            for each in found:
                yield {
                    "part": "cost", "set": one.name, "attack": attack, "dose": each.dose,
                    "seconds": each.seconds, "screening": each.screening, "judging": each.judging,
                }  # fmt: skip
        for attack in drill.attacks:
            for place, dose in enumerate(attack.doses):
                yield {
                    "part": "predicted", "set": one.name, "attack": attack.name, "dose": dose,
                    "mean": attack.recall[place], "low": attack.low[place],
                    "high": attack.high[place], "draws": attack.draws[place],
                    "copies": 1 + len(drill.also),
                }  # fmt: skip
        workspace.catalog.engine.dispose()
        for number in range(times):
            for kind, attack, dose, rows, chosen in real(
                one, same, np.random.default_rng([99, number])
            ):
                copy = folder / "copy"
                shutil.copytree(folder / "at", copy)
                there = open_workspace(
                    catalog_url=f"sqlite:///{copy / 'catalog.db'}", store=copy / "store", actor=WHO
                )
                held, _ = gate(there, policy, folder, rows)
                there.catalog.engine.dispose()
                shutil.rmtree(copy)
                yield {
                    "part": "real", "set": one.name, "kind": kind, "attack": attack,
                    "by": KIN.get(attack, attack), "dose": dose, "draw": number,
                    "recall": round(float(held[chosen].mean()), 4),
                    "clean_held": round(float(held[~chosen].mean()), 4),
                }  # fmt: skip


def report(rows: list[dict]) -> str:
    """The document of what was printed."""
    from drill_report import document

    return document(rows, (__doc__ or "").strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--lines", type=Path, nargs="*")
    parser.add_argument("--sets", nargs="*", default=["sms", "sst2", "mnist"])
    parser.add_argument("--draws", type=int, default=5, help="of each dose, by the drill")
    parser.add_argument("--real", type=int, default=5, help="deliveries of each dose")
    parser.add_argument("--same", action="store_true", help="deliver the drill's attacks as well")
    options = parser.parse_args()
    rows: list[dict] = []
    for path in options.lines or ():
        rows += [json.loads(line) for line in path.read_text().splitlines()]
    for name in [] if options.lines else options.sets:
        one = mnist(options.data) if name == "mnist" else text(options.data, name)
        for row in measured(one, options.draws, options.real, options.same):
            print(json.dumps(row), flush=True)
            rows.append(row)
    if options.out:
        options.out.write_text(report(rows))


if __name__ == "__main__":
    main()
