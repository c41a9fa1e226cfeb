"""Sanitizing on models that were really poisoned, ours beside ART on the same activations.

    python benchmarks/sanitize.py DATA_DIR --out benchmarks/results/sanitize.md

DATA_DIR holds `mnist_backdoor/`; the digits networks are trained here. ART (the `bench` extra) is
left out where it is not installed. Prints one JSON line per (run, method, seed), the first of them
says what was installed; with --out writes the whole document, tables and text, from those lines.
With `--sets development` it runs the networks that choices are made on (`poisoned_mnist.py`).
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import chain, product
from pathlib import Path

import numpy as np
import torch
from poisoned_digits import Run, train
from poisoned_mnist import development
from sklearn.metrics import roc_auc_score

from lazaretto.policy import Sanitize
from lazaretto.sanitize import sanitize

METHODS = [
    "whitened_spectral",
    "mahalanobis",
    "label_margin",
    "spectral",
    "activation_clustering",
    "scan",
    "deep_knn",
    "gram",
]


def mnist(folder: Path) -> list[Run]:
    runs = []
    for line in (folder / "runs.jsonl").read_text().splitlines():
        info = json.loads(line)
        with np.load(folder / f"{info['tag']}.npz") as z:
            runs.append(
                Run(
                    info["tag"].removeprefix("mnist_").replace("_n15000", ""),
                    z["act"].astype(np.float32),
                    z["y"].astype(int),
                    z["is_poison"],
                    z["act_trusted"].astype(np.float32),
                    z["y_trusted"].astype(int),
                    info["clean_acc"],
                    info["asr"] if info["n_poison"] else float("nan"),
                )
            )
    return runs


def row(data, run, method, reference, seed, score, held, seconds, fired=None):
    bad, target = run.is_poison, run.y == run.target
    seen = np.asarray(score, float)[target]
    known = np.isfinite(seen)
    auroc = None
    if bad.any() and known.all() and len(np.unique(seen)) > 1:
        auroc = round(float(roc_auc_score(bad[target], seen)), 4)
    return {
        "set": data,
        "run": run.name,
        "poisons": int(bad.sum()),
        "asr": None if np.isnan(run.asr) else round(run.asr, 3),
        "method": method,
        "reference": reference,
        "seed": seed,
        "auroc": auroc,
        "tpr": round(float(held[bad].mean()), 4) if bad.any() else None,
        "clean_held": round(float(held[~bad].mean()), 5),
        "clean_class_held": round(
            max(float(held[(run.y == c) & ~bad].mean()) for c in np.unique(run.y[~target])), 4
        ),
        "rows": len(run.y),
        "n_held": int(held.sum()),
        "fired": fired,
        "seconds": round(seconds, 2),
    }


def ours(data, run, methods, name, *, trusted, seed=0, **section):
    begin = time.perf_counter()
    result = sanitize(
        {"penultimate": run.act},
        run.y,
        [f"{i:06d}" for i in range(len(run.y))],
        trusted=({"penultimate": run.act_trusted}, run.y_trusted) if trusted else None,
        policy=Sanitize(methods=methods, **section),
        seed=seed,
    )
    seconds = time.perf_counter() - begin
    fired = [c["label"] for c in result.classes.to_pylist() if c["fired"]]
    score = result.records["score"].to_numpy(zero_copy_only=False)
    held = result.records["held"].to_numpy(zero_copy_only=False)
    reference = "trusted" if trusted else "none"
    return row(data, run, name, reference, seed, score, held, seconds, fired)


def art(data, run, counts):
    """ART's two defences, with a PyTorchClassifier whose first layer gives the activations.

    At their defaults, and cut at `counts` rows: as many as ours held without trusted rows.
    """
    from art.defences.detector.poison import ActivationDefence, SpectralSignatureDefense
    from art.estimators.classification import PyTorchClassifier

    width = run.act.shape[1]
    net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(width, 10))
    wrapped = PyTorchClassifier(net, torch.nn.CrossEntropyLoss(), (width,), 10)
    one_hot = np.eye(10, dtype=np.float32)[run.y]
    for label, expected in (("default 33 %", 0.33), ("told 5 %", 0.05)):
        begin = time.perf_counter()
        defence = SpectralSignatureDefense(
            wrapped, run.act, one_hot, expected_pp_poison=expected, batch_size=4096
        )
        _, clean = defence.detect_poison(nb_clusters=2)
        seconds = time.perf_counter() - begin
        held = ~np.asarray(clean, bool)
        score = spectral_scores(defence, run)
        yield row(data, run, f"ART spectral, {label}", "none", 0, score, held, seconds)
    for seed, count in enumerate(counts):
        # As its own rule does: the same share of every class.
        share = count / len(run.y)
        held = np.zeros(len(run.y), bool)
        for c in np.unique(run.y):
            mine = np.flatnonzero(run.y == c)
            held[mine[np.argsort(-score[mine])[: round(share * len(mine))]]] = True
        yield row(data, run, "ART spectral, at our share", "none", seed, score, held, seconds)
    for analysis in ("smaller", "silhouette-scores"):
        begin = time.perf_counter()
        defence = ActivationDefence(wrapped, run.act, one_hot)
        try:
            _, clean = defence.detect_poison(
                nb_clusters=2, nb_dims=10, reduce="PCA", cluster_analysis=analysis
            )
        except ValueError as error:
            failed = {"set": data, "run": run.name, "method": f"ART AC, {analysis}"}
            yield failed | {"error": str(error)}
            continue
        seconds = time.perf_counter() - begin
        # The silhouette branch leaves some rows unassigned (uninitialised memory): only 1 is clean.
        held = np.asarray(clean) != 1
        yield row(data, run, f"ART AC, {analysis}", "none", 0, held, held, seconds)
    score = cluster_scores(defence, run)
    for seed, count in enumerate(counts):
        held = np.zeros(len(run.y), bool)
        held[np.argsort(-score)[:count]] = True
        yield row(data, run, "ART AC, at our share", "none", seed, score, held, seconds)


def cluster_scores(defence, run):
    """How much nearer a row lies to the centre of its class's smaller cluster than to the larger.

    In units of the distance of the centres, on ART's own reduced activations and clusters; ART
    itself gives no score.
    """
    score = np.zeros(len(run.y))
    for c in np.unique(run.y):
        x, own = np.asarray(defence.red_activations_by_class[c]), defence.clusters_by_class[c]
        own = np.asarray(own)
        sizes = np.bincount(own, minlength=2)
        centers = [x[own == k].mean(0) if (own == k).any() else x.mean(0) for k in (0, 1)]
        small, large = centers[int(sizes.argmin())], centers[int(sizes.argmax())]
        gap = max(float(np.linalg.norm(small - large)), 1e-12)
        near = np.linalg.norm(x - large, axis=1) - np.linalg.norm(x - small, axis=1)
        score[run.y == c] = near / gap
    return score


def spectral_scores(defence, run):
    score = np.zeros(len(run.y))
    for c in np.unique(run.y):
        features = run.act[run.y == c]
        score[run.y == c] = defence.spectral_signature_scores(features).ravel()
    return score


def evaluate(data, run, seeds, has_art):
    counts = []
    for seed in seeds:
        yield ours(data, run, [], "default", trusted=True, seed=seed)
        name = "every class searched"
        yield ours(data, run, [], name, trusted=True, seed=seed, suspect_level=1.0)
        line = ours(data, run, [], "default", trusted=False, seed=seed)
        counts.append(line["n_held"])
        yield line
    if has_art:
        yield from art(data, run, counts)


def lines_of(runs, seeds, has_art, sides=(False,)):
    """Ours with every seed, ART, and every method alone with (True) or without trusted rows."""
    for data, run in runs:
        yield from evaluate(data, run, seeds, has_art)
        for name, trusted in product(METHODS, sides):
            yield ours(data, run, [name], name, trusted=trusted)


def versions(options, has_art):
    import platform
    from importlib.metadata import version

    names = ["torch", "numpy", "scikit-learn"]
    names += ["adversarial-robustness-toolbox"] * has_art
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
        "threads": torch.get_num_threads(),
        "seeds": options.seeds,
        "digits": options.digits,
    }


def digits(seeds):
    for seed in seeds:
        yield "digits", train("none", 0, seed)
        for attack in ("badnets", "blend", "clean_label"):
            for rate in (0.005, 0.01, 0.03, 0.1):
                yield "digits", train(attack, rate, seed)
        for attack in ("badnets", "badnets cover", "spread", "spread cover"):
            yield "adaptive", train(attack, 0.03, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--digits", type=int, nargs="*", default=[10, 11, 12])
    parser.add_argument("--sets", nargs="*", default=["mnist", "digits"])
    options = parser.parse_args()
    try:
        import art  # noqa: F401

        has_art = True
    except ImportError:
        has_art = False
    rows = [versions(options, has_art)]
    print(json.dumps(rows[0]), flush=True)
    folder = options.data / "mnist_backdoor"
    parts = []
    if "mnist" in options.sets:
        ready = (("mnist_backdoor", run) for run in mnist(folder))
        parts.append(lines_of(ready, options.seeds, has_art, (True, False)))
    if "development" in options.sets:
        tried = (("development", run) for run in development(folder))
        parts.append(lines_of(tried, options.seeds, has_art))
    if "digits" in options.sets:
        parts.append(lines_of(digits(options.digits), [0], has_art))
    for line in chain.from_iterable(parts):
        print(json.dumps(line), flush=True)
        rows.append(line)
    if options.out:
        from sanitize_report import report

        options.out.write_text(report(rows))


if __name__ == "__main__":
    main()
