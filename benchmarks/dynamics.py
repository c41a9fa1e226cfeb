"""Sanitizing without trusted rows, with and without training dynamics, on really poisoned networks.

    python benchmarks/dynamics.py DATA_DIR --out benchmarks/results/dynamics.md

DATA_DIR holds `mnist_backdoor/`. Its runs come with activations and without losses, so a small
network of one hidden layer is trained here on the same rows and labels, with triggers rebuilt after
their description, and gives the losses; the activations are those of the run. Digits networks are
trained here and give both. `--keep FOLDER` keeps what was trained, so that a second call only
judges; `--lines FILE...` only writes the document from what was printed. What is chosen is chosen
with `--sets development`: other rows, classes and seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import poisoned_digits
import poisoned_mnist
import pyarrow as pa
import torch
from sanitize import mnist

from lazaretto.errors import UsageError
from lazaretto.policy import Sanitize
from lazaretto.sanitize import sanitize
from lazaretto.sanitize.dynamics import Dynamics
from lazaretto.sanitize.methods.registry import DEFAULT_METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator

BEFORE = DEFAULT_METHODS[False]
CANDIDATES = {
    "default": (),
    "slow_to_learn alone": ("slow_to_learn",),
    "early_loss alone": ("early_loss",),
    "loss_trajectories alone": ("loss_trajectories",),
}
ATTACKS = ("badnets", "blend", "clean_label")
RATES = (0.005, 0.01, 0.03, 0.1)
ADAPTIVE = ("badnets cover", "spread", "spread cover")
Make = "Callable[[], poisoned_digits.Run]"


def digits(seeds: list[int]) -> Iterator[tuple[str, str, Make]]:
    for seed in seeds:
        for attack, rate in [("none", 0.0), *((a, r) for a in ATTACKS for r in RATES)]:
            name = f"digits-{attack}-{rate}-{seed}"
            yield "digits", name, lambda a=attack, r=rate, s=seed: poisoned_digits.train(a, r, s)
        for attack in ADAPTIVE:
            name = f"digits-{attack}-0.03-{seed}"
            yield "adaptive", name, lambda a=attack, s=seed: poisoned_digits.train(a, 0.03, s)


def development(folder: Path) -> Iterator[tuple[str, str, Make]]:
    yield from (("development", name, make) for _, name, make in digits([100]))
    setting = poisoned_mnist.Setting
    for one in (
        setting("badnets", 16, 3, 8, 0, 10, 3, False),
        setting("badnets", 80, 3, 8, 0, 10, 3, False),
        setting("badnets", 8, 4, 9, 1, 11, 3, False),
        setting("blend", 16, 4, 9, 1, 11, 3, False),
        setting("blend", 80, 4, 9, 1, 11, 3, False),
    ):
        name = f"mnist-{one.attack}-{one.count}-{one.source}-{one.target}"
        yield "development", name, lambda s=one: poisoned_mnist.train(s, *rows_of(folder))


def rows_of(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(folder / "mnist.npz") as z:
        images, labels = (z["x_train"] / 255).astype(np.float32), z["y_train"].astype(int)
    reported = [np.load(path)["idx"] for path in folder.glob("mnist_*.npz")]
    return images, labels, np.setdiff1d(np.arange(len(images)), np.concatenate(reported))


def reported(folder: Path, epochs: int) -> Iterator[tuple[str, str, Make]]:
    for run in mnist(folder):
        name = f"run-{run.name}"
        yield "mnist_backdoor", name, lambda r=run: again(folder, r, epochs)


def again(folder: Path, run: poisoned_digits.Run, epochs: int) -> poisoned_digits.Run:
    """The run with the losses of a small network that is trained here on its rows and labels."""
    (path,) = folder.glob(f"mnist_{run.name.replace('_s', '_n15000_s')}.npz")
    with np.load(path) as z, np.load(folder / "mnist.npz") as m:
        x = (m["x_train"][z["idx"]] / 255).astype(np.float32)
    bad = run.is_poison
    if bad.any():
        attack = run.name.split("_", maxsplit=1)[0]
        (put,) = poisoned_mnist.triggers("blend" if attack == "blend" else "badnets", 200)
        rows = x[bad]
        if attack == "clabel":
            rows = poisoned_mnist.adversarial(small(x, run.y, 1)[0], rows, run.y[bad])
        x[bad] = put(rows)
    return replace(run, loss=small(x, run.y, epochs)[1])


def small(x: np.ndarray, y: np.ndarray, epochs: int) -> tuple[torch.nn.Module, np.ndarray]:
    """A network of one hidden layer, and the loss of every row in each epoch, before its step."""
    torch.manual_seed(200)
    nn = torch.nn
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    images, labels = torch.tensor(x)[:, None], torch.tensor(y)
    loss = np.empty((len(x), epochs), np.float32)
    for epoch in range(epochs):
        for batch in torch.randperm(len(images)).split(128):
            optimizer.zero_grad()
            logits = net(images[batch])
            loss[batch.numpy(), epoch] = poisoned_digits.losses(logits, labels[batch])
            nn.functional.cross_entropy(logits, labels[batch]).backward()
            optimizer.step()
    return net, loss


def kept(folder: Path | None, name: str, make: Make) -> poisoned_digits.Run:
    if folder is None:
        return make()
    path = folder / f"{name}.npz"
    if path.exists():
        with np.load(path) as z:
            return poisoned_digits.Run(
                str(z["name"]), z["act"], z["y"], z["is_poison"], z["act"][:0], z["y"][:0],
                float(z["accuracy"]), float(z["asr"]), loss=z["loss"],
            )  # fmt: skip
    run = make()
    folder.mkdir(parents=True, exist_ok=True)
    names = ("name", "act", "y", "is_poison", "accuracy", "asr", "loss")
    np.savez(path, **{one: getattr(run, one) for one in names})
    return run


def judged(data: str, run: poisoned_digits.Run, how: str, methods, learned: bool, repeats: int):
    ids = pa.array([f"{i:06d}" for i in range(len(run.y))])
    dynamics = Dynamics(ids, run.loss, np.exp(-run.loss)) if learned else None
    begin = time.process_time()
    try:
        done = sanitize(
            {"penultimate": run.act},
            run.y,
            ids,
            dynamics=dynamics,
            policy=Sanitize(methods=list(methods)),
            repeats=repeats,
        )
        held = done.records["held"].to_numpy(zero_copy_only=False)
    except UsageError:  # a method by itself that has nothing to judge
        held = np.zeros(len(run.y), bool)
    bad = run.is_poison
    return {
        "set": data,
        "run": run.name,
        "rows": len(bad),
        "poisons": int(bad.sum()),
        "asr": None if np.isnan(run.asr) else round(run.asr, 3),
        "how": how,
        "tpr": round(float(held[bad].mean()), 4) if bad.any() else None,
        "held": round(float(held.mean()), 5),
        "clean_held": round(float(held[~bad].mean()), 5),
        "cpu": round(time.process_time() - begin, 2),
    }


def report(rows: list[dict], told: str) -> str:
    lines = ["# Sanitizing without trusted rows, before and after training dynamics", "", told, ""]
    lines += ["## Mean recall at no more than 2 % held", ""]
    hows = list(dict.fromkeys(row["how"] for row in rows))
    columns = [*hows, "better / worse", "possible at 2 %", "most held, after"]
    lines += [f"| set | poisoned runs | {' | '.join(columns)} |"]
    lines += ["|---" * (len(columns) + 2) + "|"]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    for name, data in [*((one, [one]) for one in sets), ("all of them", sets)]:
        mine = [row for row in rows if row["set"] in data]
        poisoned = [row for row in mine if row["poisons"]]
        recall = [[row["tpr"] for row in poisoned if row["how"] == how] for how in hows]
        pairs = list(zip(*recall[:2], strict=True))
        better, worse = (sum(sign * (b - a) > 0 for a, b in pairs) for sign in (1, -1))
        possible = [min(1, 0.02 * row["rows"] / row["poisons"]) for row in poisoned]
        means = [f"{np.mean(found):.2f}" for found in recall]
        most = max(row["held"] for row in mine if row["how"] == hows[1])
        means += [f"{better} / {worse}", f"{np.mean(possible):.2f}", f"{most:.4f}"]
        lines += [f"| {name} | {len(pairs)} | {' | '.join(means)} |"]
    lines += ["", "## Every run: recall / share of clean rows held", ""]
    lines += [f"| set | run | poisons | asr | {' | '.join(hows)} |", "|---" * (len(hows) + 4) + "|"]
    for data, run in dict.fromkeys((row["set"], row["run"]) for row in rows):
        mine = {row["how"]: row for row in rows if (row["set"], row["run"]) == (data, run)}
        first = mine[hows[0]]
        cells = []
        for how in hows:
            tpr = "-" if mine[how]["tpr"] is None else f"{mine[how]['tpr']:.2f}"
            cells.append(f"{tpr} / {mine[how]['clean_held']:.4f}")
        asr = "-" if first["asr"] is None else first["asr"]
        lines += [f"| {data} | {run} | {first['poisons']} | {asr} | {' | '.join(cells)} |"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--lines", type=Path, nargs="*")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--sets", nargs="*", default=["mnist", "digits"])
    parser.add_argument("--digits", type=int, nargs="*", default=[10])
    parser.add_argument("--epochs", type=int, default=5, help="of the small networks on MNIST")
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--only", default="", help="runs whose name has this in it")
    parser.add_argument("--repeats", type=int, default=3, help="splits into folds of sanitize")
    parser.add_argument("--short", action="store_true", help="before and after, no method alone")
    options = parser.parse_args()
    folder = options.data / "mnist_backdoor"
    runs = []
    if "mnist" in options.sets:
        runs += reported(folder, options.epochs)
    if "digits" in options.sets:
        runs += digits(options.digits)
    if "development" in options.sets:
        runs += development(folder)
    rows = []
    for path in options.lines or ():
        rows += [json.loads(text) for text in path.read_text().splitlines()]
    for data, name, make in [] if options.lines else runs:
        if options.only not in name:
            continue
        run = kept(options.keep, name, make)
        if options.train_only:
            continue
        ways = [("default, before", BEFORE, False), ("default, with dynamics", (), True)]
        if not options.short:
            ways += [(how, methods, True) for how, methods in CANDIDATES.items() if methods]
        for how, methods, learned in ways:
            rows.append(judged(data, run, how, methods, learned, options.repeats))
            print(json.dumps(rows[-1]), flush=True)
    if options.out:
        told = (
            f"Made by `python benchmarks/dynamics.py DATA_DIR --sets {' '.join(options.sets)} "
            f"--digits {' '.join(map(str, options.digits))} --epochs {options.epochs}"
            f"{' --short' * options.short}`, torch {torch.__version__}, {options.repeats} split(s) "
            "into folds (3 is usual). Losses of the mnist runs are of a network of one hidden "
            f"layer, trained here for {options.epochs} epochs on their rows and labels; their "
            "activations are the run's own. *better / worse*: runs with more, and with less recall "
            "after than before. *possible at 2 %*: mean of what could be held at most, were all "
            "that is held poison."
        )
        options.out.write_text(report(rows, told))


if __name__ == "__main__":
    main()
