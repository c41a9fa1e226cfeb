"""Detection quality and kept promises, beside peers on the same rows in the same run.

    python benchmarks/detection.py DATA_DIR [--sets sms,sst2] [--out FILE]

Prints one JSON line per (set, method), then one per (clean set, rate) about the promise. Rows are
split once, at random, into a development half and a reported half. Weights and defaults were chosen
on the development halves; the clean rows of the development half are the trusted reference, and
every figure is of the reported half. Peers (`pip install 'lazaretto[bench]'`) get the same
reference.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

import lazaretto as lz
from lazaretto.detect import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Floats = npt.NDArray[np.float32]
DEVELOPMENT_SEED = 12345
TEXT = (
    "sms_flip5",
    "sms_flip10",
    "sms_flip20",
    "sms_trigger1",
    "sms_trigger3",
    "sms_flood5",
    "sst2_flip10",
    "sst2_trigger3",
    "sst2_flood5",
)
CLEAN_TEXT = ("sms_clean", "sst2_clean")
IMAGES = (
    "mnist_badnets_r0.01_n15000_s2",
    "mnist_badnets_r0.05_n15000_s0",
    "mnist_blend_r0.05_n15000_s0",
)
LABELLED = ["mahalanobis", "knn_label", "self_confidence"]
UNLABELLED = ["mahalanobis", "knn_distance", "isolation_forest"]
SHADOW = ["knn_distance", "density", "duplicates", "clusters", "isolation_forest", "autoencoder"]
SPLITS = 20


@dataclass(frozen=True)
class Rows:
    """A set's rows: vectors (n, d), labels (or None) and the truth."""

    x: Floats
    y: npt.NDArray[np.int64] | None
    poison: npt.NDArray[np.bool_]

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Rows:
        """Some of the rows."""
        return Rows(self.x[rows], None if self.y is None else self.y[rows], self.poison[rows])

    def table(self) -> pa.Table:
        """As a delivery."""
        columns = {
            "id": pa.array([f"r{i}" for i in range(len(self.x))]),
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(np.ascontiguousarray(self.x).ravel()), self.x.shape[1]
            ),
        }
        if self.y is not None:
            columns["label"] = pa.array(self.y)
        return pa.table(columns)


def load(folder: Path, name: str) -> Rows:
    if name.startswith(("sms", "sst2")):
        data = pq.read_table(folder / "text" / f"{name}.parquet")
        x = np.stack(data["embedding"].to_numpy()).astype(np.float32)
        y = np.unique(data["label"].to_pylist(), return_inverse=True)[1].astype(np.int64)
        return Rows(x, y, np.array(data["is_poison"].to_pylist(), dtype=bool))
    if name.startswith("mnist"):
        data = np.load(folder / "mnist_backdoor" / f"{name}.npz")
        return Rows(
            data["emb"].astype(np.float32),
            data["y"].astype(np.int64),
            data["is_poison"].astype(bool),
        )
    data = np.load(folder / "adbench" / f"{name}.npz")
    return Rows(data["X"].astype(np.float32), None, data["y"].astype(bool))


def halves(rows: Rows) -> tuple[Rows, Rows]:
    """Trusted reference (clean rows of the development half) and the reported half."""
    development = np.random.default_rng(DEVELOPMENT_SEED).random(len(rows.x)) < 0.5
    return rows.take(development & ~rows.poison), rows.take(~development)


def policy(labelled: bool, rate: float, *, shadow: bool = True, **screen: object) -> lz.Policy:
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
            "screen": {
                "false_quarantine_rate": rate,
                "min_poison_share": 0.5,
                "detectors": detectors,
                **screen,
            },
        }
    )


def quality(poison: npt.NDArray[np.bool_], score: npt.NDArray[np.floating]) -> dict[str, float]:
    fpr, tpr, _ = roc_curve(poison, score)
    return {
        "auroc": round(float(roc_auc_score(poison, score)), 4),
        "ap": round(float(average_precision_score(poison, score)), 4),
        "tpr_at_1_fpr": round(float(np.interp(0.01, fpr, tpr)), 4),
    }


def held(poison: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_]) -> dict[str, float]:
    return {
        "clean_held": round(float(mask[~poison].mean()), 4),
        "recall": round(float(mask[poison].mean()), 4),
    }


def ours(trusted: Rows, batch: Rows) -> Iterator[tuple[str, dict[str, object]]]:
    labelled = trusted.y is not None
    start = time.perf_counter()
    reference = lz.Reference.fit(trusted.table(), policy(labelled, 0.01))
    fitted = time.perf_counter() - start
    table = batch.table()
    for rate in (0.01, 0.05):
        start = time.perf_counter()
        result = lz.screen(table, reference, policy(labelled, rate))
        seconds = time.perf_counter() - start
        mask = result.records["held"].to_numpy()
        score = result.records["score"].to_numpy()
        usable = np.isfinite(score)
        yield (
            "lazaretto fused" if rate == 0.01 else "lazaretto fused 5%",
            {
                **quality(batch.poison[usable], score[usable]),
                **held(batch.poison, mask),
                "verdict": result.verdict.value,
                "tests": [t.name for t in result.tests if t.fired],
                "seconds": round(seconds, 2),
                "fit_seconds": round(fitted, 2),
            },
        )
    chunk = Chunk(torch.from_numpy(batch.x), None if batch.y is None else torch.from_numpy(batch.y))
    ranks = sum(scorer.rank(chunk) for scorer in reference.scorers)
    assert isinstance(ranks, torch.Tensor)
    for name, column in zip(reference.detectors, ranks.T, strict=True):
        yield f"lazaretto {name}", quality(batch.poison, column.numpy())


def peers(trusted: Rows, batch: Rows) -> Iterator[tuple[str, dict[str, object]]]:
    methods: dict[str, Callable[[], tuple[npt.NDArray[np.floating], npt.NDArray[np.bool_]]]] = {}
    if trusted.y is not None:
        methods["cleanlab find_label_issues"] = lambda: cleanlab(trusted, batch)
    for name in ("sklearn LedoitWolf", "sklearn IsolationForest", "sklearn LOF"):
        methods[name] = lambda name=name: sklearn_peer(name, trusted.x, batch.x)
    for name in ("KNN", "ECOD", "MCD", "AutoEncoder"):
        methods[f"pyod {name}"] = lambda name=name: pyod_peer(name, trusted.x, batch.x)
    if trusted.y is not None:
        methods["cleanlab Datalab near_duplicate"] = lambda: datalab(batch, "near_duplicate")
        methods["cleanlab Datalab outlier"] = lambda: datalab(batch, "outlier")
    for name, method in methods.items():
        start = time.perf_counter()
        try:
            score, mask = method()
        except ImportError as error:
            yield name, {"skipped": f"not installed: {error.name}"}
            continue
        except Exception as error:  # a peer that fails on a set is a result, not a reason to stop
            yield name, {"skipped": repr(error)[:120]}
            continue
        seconds = time.perf_counter() - start
        yield (
            name,
            {
                **quality(batch.poison, np.nan_to_num(score)),
                **held(batch.poison, mask),
                "seconds": round(seconds, 2),
            },
        )


def cleanlab(trusted: Rows, batch: Rows):
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    plain = LogisticRegression(max_iter=300)
    # The better of two usual probes, by its own log loss on clean rows that neither has seen.
    cut = len(trusted.x) * 3 // 4
    losses = [
        -np.log(
            m.fit(trusted.x[:cut], trusted.y[:cut]).predict_proba(trusted.x[cut:])[
                np.arange(len(trusted.x) - cut), trusted.y[cut:]
            ]
        ).mean()
        for m in (probe, plain)
    ]
    chosen = (probe, plain)[int(np.argmin(losses))].fit(trusted.x, trusted.y)
    probabilities = chosen.predict_proba(batch.x)
    score = 1 - get_label_quality_scores(batch.y, probabilities, method="self_confidence")
    return score, find_label_issues(batch.y, probabilities)


def datalab(batch: Rows, issue: str):
    from cleanlab import Datalab

    lab = Datalab({"x": list(range(len(batch.x)))}, verbosity=0)
    lab.find_issues(features=batch.x, issue_types={issue: {}})
    found = lab.get_issues(issue)
    return 1 - found[f"{issue}_score"].to_numpy(), found[f"is_{issue}_issue"].to_numpy()


def sklearn_peer(name: str, trusted: Floats, batch: Floats):
    from sklearn.covariance import LedoitWolf
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    if name.endswith("LedoitWolf"):
        model = LedoitWolf().fit(trusted)
        known, score = model.mahalanobis(trusted), model.mahalanobis(batch)
    elif name.endswith("LOF"):
        model = LocalOutlierFactor(novelty=True).fit(trusted)
        known, score = -model.score_samples(trusted), -model.score_samples(batch)
    else:
        model = IsolationForest(random_state=0).fit(trusted)
        known, score = -model.score_samples(trusted), -model.score_samples(batch)
    return score, score > np.quantile(known, 0.99)


def pyod_peer(name: str, trusted: Floats, batch: Floats):
    if name == "KNN":
        from pyod.models.knn import KNN as Model  # noqa: N811
    elif name == "ECOD":
        from pyod.models.ecod import ECOD as Model  # noqa: N811
    elif name == "MCD":
        from pyod.models.mcd import MCD as Model  # noqa: N811
    else:
        from pyod.models.auto_encoder import AutoEncoder as Model
    options = {"epoch_num": 10, "verbose": 0} if name == "AutoEncoder" else {}
    if name == "MCD" and trusted.shape[1] > 64:
        from sklearn.decomposition import PCA

        axes = PCA(32, random_state=0).fit(trusted)
        trusted, batch = axes.transform(trusted), axes.transform(batch)
    model = Model(contamination=0.01, **options)
    model.fit(trusted)
    return model.decision_function(batch), model.predict(batch).astype(bool)


def promise(rows: Rows, rate: float, *, hard: bool) -> dict[str, object]:
    """Share of clean records held over random splits into reference and batch."""
    clean = rows.take(~rows.poison)
    labelled = clean.y is not None
    chosen = policy(labelled, rate, shadow=False, calibration="hard" if hard else "marginal")
    shares, verdicts, conditional = [], [], []
    for seed in range(SPLITS):
        order = np.random.default_rng([seed, 77]).permutation(len(clean.x))
        size = min(len(order) // 2, 2000)
        trusted, batch = clean.take(order[:size]), clean.take(order[size : size + 2000])
        reference = lz.Reference.fit(trusted.table(), chosen, seed=seed)
        result = lz.screen(batch.table(), reference, chosen)
        shares.append(float(result.records["held"].to_numpy().mean()))
        # What the rule may hold at most: every record with a p-value up to the rate.
        conditional.append(float((result.records["p_value"].to_numpy() <= rate).mean()))
        verdicts.append(result.verdict.value)
    return {
        "rate": rate,
        "calibration": "hard" if hard else "marginal",
        "mean_held": round(float(np.mean(shares)), 5),
        "p90_held": round(float(np.quantile(shares, 0.9)), 5),
        "mean_p_at_rate": round(float(np.mean(conditional)), 5),
        "p90_p_at_rate": round(float(np.quantile(conditional, 0.9)), 5),
        "exceeding": round(float((np.array(conditional) > rate).mean()), 3),
        "verdicts": {v: verdicts.count(v) for v in sorted(set(verdicts))},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default="")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--part", choices=["all", "quality", "promise"], default="all")
    arguments = parser.parse_args()
    adbench = sorted(path.stem for path in (arguments.data / "adbench").glob("*.npz"))
    wanted = tuple(part for part in arguments.sets.split(",") if part)
    lines = []

    def say(**line: object) -> None:
        lines.append(line)
        print(json.dumps(line), flush=True)
        if arguments.out:
            arguments.out.write_text("".join(json.dumps(entry) + "\n" for entry in lines))

    if arguments.part != "promise":
        for name in (*TEXT, *IMAGES, *adbench):
            if wanted and not name.startswith(wanted):
                continue
            trusted, batch = halves(load(arguments.data, name))
            facts = {
                "reference": len(trusted.x),
                "rows": len(batch.x),
                "poison": int(batch.poison.sum()),
            }
            for method, found in ours(trusted, batch):
                say(set=name, method=method, **facts, **found)
            if not arguments.no_peers:
                for method, found in peers(trusted, batch):
                    say(set=name, method=method, **facts, **found)
    if arguments.part != "quality":
        for name in (*CLEAN_TEXT, IMAGES[1], *adbench):
            if wanted and not name.startswith(wanted):
                continue
            rows = load(arguments.data, name)
            for rate, hard in ((0.01, False), (0.05, False), (0.05, True)):
                say(set=name, promise=True, **promise(rows, rate, hard=hard))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
