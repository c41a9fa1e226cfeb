"""Robust training: each objective, recipe and ensemble on data that is poisoned on purpose.

    python benchmarks/training.py DATA_DIR --out benchmarks/results/training.md

The data gate is told to let everything through: this measures what a training makes of poison that
survived. Settings were chosen on scikit-learn digits of seed 100 (`--choose`), and are reported on
other seeds and on MNIST (`DATA_DIR/mnist_backdoor/mnist.npz`), with a small network so that all of
it takes minutes. torchattacks judges adversarial training where it is installed. The encoders of
texts are compared in `training_texts.py`; `--parts texts` does that alone.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import training_texts
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from lazaretto import training as kit

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET, CLASSES, SOURCES = 7, 10, 20
CONDITIONS = (
    "clean",
    "flip 5%",
    "flip 10%",
    "flip 20%",
    "badnets 5%",
    "blend 5%",
    "hostile source",
)


@dataclass(frozen=True)
class Task:
    """Images in 0..1, (n, 1, side, side); labels; the source of each training row."""

    x: torch.Tensor
    y: torch.Tensor
    truth: torch.Tensor
    sources: list[str]
    test_x: torch.Tensor
    test_y: torch.Tensor
    epochs: int
    trigger: Callable[[torch.Tensor], torch.Tensor] | None


def digits(seed: int) -> tuple[torch.Tensor, torch.Tensor, int, int]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    images = torch.tensor(x[order] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return images, torch.tensor(y[order]), 1200, 15


def mnist(folder: Path, seed: int) -> tuple[torch.Tensor, torch.Tensor, int, int]:
    with np.load(folder / "mnist_backdoor" / "mnist.npz") as z:
        rows = np.random.default_rng(seed).permutation(len(z["x_train"]))[:3000]
        images, labels = z["x_train"][rows], z["y_train"][rows]
    x = torch.tensor(images / 255, dtype=torch.float32)[:, None]
    return x, torch.tensor(labels.astype(np.int64)), 2000, 5


def poisoned(images, labels, count: int, epochs: int, condition: str, seed: int) -> Task:
    chance = np.random.default_rng([seed, 1])
    x, y = images[:count].clone(), labels[:count].clone()
    sources = np.array([f"vendor-{i:02}" for i in chance.integers(0, SOURCES, count)])
    side, put = x.shape[-1], None
    if condition.startswith("flip"):
        share = float(condition.split()[1].rstrip("%")) / 100
        rows = torch.tensor(chance.permutation(count)[: round(share * count)])
        y[rows] = (y[rows] + torch.tensor(chance.integers(1, CLASSES, len(rows)))) % CLASSES
    elif condition == "hostile source":
        # One vendor of twenty sends three shares, and calls every digit the next one.
        rows = chance.permutation(count)[: 3 * count // SOURCES]
        sources[rows] = "vendor-00"
        mine = torch.tensor(np.flatnonzero(sources == "vendor-00"))
        y[mine] = (y[mine] + 1) % CLASSES
    elif condition != "clean":
        size = max(2, side // 7)
        if condition.startswith("badnets"):
            patch = (torch.arange(size)[:, None] + torch.arange(size)).remainder(2).float()

            def put(rows: torch.Tensor) -> torch.Tensor:
                rows = rows.clone()
                rows[..., -size:, -size:] = patch
                return rows
        else:
            noise = torch.tensor(chance.random((side, side)), dtype=torch.float32)

            def put(rows: torch.Tensor) -> torch.Tensor:
                return 0.75 * rows + 0.25 * noise

        others = chance.permutation(np.flatnonzero(y.numpy() != TARGET))
        rows = torch.tensor(others[: round(0.05 * count)])
        x[rows], y[rows] = put(x[rows]), TARGET
    rest = slice(count, count + 1000)
    return Task(x, y, labels[:count], sources.tolist(), images[rest], labels[rest], epochs, put)


def network(side: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(side * side, 64), nn.ReLU(), nn.Linear(64, CLASSES)
    )


def fit(task: Task, step, seed: int, rows: torch.Tensor | None = None, epochs: int | None = None):
    """A plain loop; `step(net, optimizer, x, y, rows, progress)` gives a loss or trains itself."""
    net = network(task.x.shape[-1], seed)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    chosen = torch.arange(len(task.x)) if rows is None else rows
    epochs = epochs or task.epochs
    for epoch in range(epochs):
        for part in torch.randperm(len(chosen)).split(64):
            mine = chosen[part]
            loss = step(net, optimizer, task.x[mine], task.y[mine], mine, epoch / epochs)
            if loss is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return net.eval()


def objectives(task: Task) -> dict:
    """Recipes by name: a step of `fit`."""
    names = sorted(set(task.sources))
    place = task.sources

    def mean(loss):
        return lambda net, _o, x, y, _r, _p: loss(net(x), y)

    def one_hot(net, x, y, loss):
        # Numbers for classes, as least squares has them, so that losses for numbers apply.
        return loss(net(x), 3 * torch.nn.functional.one_hot(y, CLASSES).float())

    def trim(share):
        def step(net, _o, x, y, _r, progress):
            each = cross_entropy(net(x), y, reduction="none")
            return kit.trimmed(each, share if progress >= 0.2 else 0.0)

        return step

    def capped(share):
        def step(net, _o, x, y, rows, _p):
            each = cross_entropy(net(x), y, reduction="none")
            return kit.capped_losses(each, [place[i] for i in rows.tolist()], share=share).mean()

        return step

    def dro():
        objective = kit.GroupDRO(names)

        def step(net, _o, x, y, rows, _p):
            each = cross_entropy(net(x), y, reduction="none")
            return objective(each, [place[i] for i in rows.tolist()])

        return step

    def mixed(mix):
        def step(net, _o, x, y, _r, _p):
            rows, soft = mix(x, y, CLASSES)
            return cross_entropy(net(rows), soft)

        return step

    def attacked(kind, steps):
        def step(net, optimizer, x, y, _r, progress):
            now = kit.Adversary(kind, epsilon=0.1 * min(1.0, 0.1 + 2 * progress), steps=steps)
            if kind == "free":
                kit.free_steps(net, optimizer, x, y, now)
                return None
            return cross_entropy(net(kit.adversarial_batch(net, x, y, now)), y)

        return step

    def penalised(net, _o, x, y, _r, _p):
        weights = [one for name, one in net.named_parameters() if "weight" in name]
        return cross_entropy(net(x), y) + kit.penalty(weights, l1=1e-4, l2=1e-3)

    return {
        "plain": mean(cross_entropy),
        "squared error (torch)": lambda n, _o, x, y, _r, _p: one_hot(
            n, x, y, nn.functional.mse_loss
        ),
        "Huber, delta 1": lambda n, _o, x, y, _r, _p: one_hot(n, x, y, kit.huber),
        "Huber, delta 1 (torch)": lambda n, _o, x, y, _r, _p: one_hot(
            n, x, y, nn.functional.huber_loss
        ),
        "Tukey after Huber": lambda n, _o, x, y, _r, p: one_hot(
            n, x, y, kit.huber if p < 0.3 else lambda a, b: kit.tukey_biweight(a, b, scale=0.7)
        ),
        "generalised cross entropy": mean(kit.generalised_cross_entropy),
        "trimmed 5 %": trim(0.05),
        "trimmed 20 %": trim(0.2),
        "group DRO over sources": dro(),
        "sources capped at 10 %": capped(0.1),
        "L1 and L2": penalised,
        "mixup": mixed(kit.mixup),
        "CutMix": mixed(kit.cutmix),
        "shifted crop": lambda n, _o, x, y, _r, _p: cross_entropy(n(kit.shifted_crop(x, 1)), y),
        "noise 0.2": lambda n, _o, x, y, _r, _p: cross_entropy(n(kit.noisy(x, 0.2)), y),
        "FGSM": attacked("fgsm", 1),
        "PGD, 4 steps": attacked("pgd", 4),
        "free, 4 steps": attacked("free", 4),
    }


def scores_of(net: nn.Module, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return net(x).softmax(1).numpy()


def ensemble(task: Task, parts: np.ndarray, seed: int, spread: np.ndarray | None = None):
    """Class probabilities (models, n) of one base model a part, by function of the rows."""
    plain = objectives(task)["plain"]
    models = spread if spread is not None else np.arange(parts.max() + 1)[:, None]
    nets = []
    for number, mine in enumerate(models):
        rows = torch.tensor(np.flatnonzero(np.isin(parts, mine)))
        # As many steps as a part of a whole set would get; the seed must not follow from the data.
        nets.append(fit(task, plain, seed + number, rows, epochs=max(task.epochs, 30)))
    return lambda x: np.stack([scores_of(net, x) for net in nets])


def measured(predict, task: Task) -> tuple[float, float | None]:
    right = float((predict(task.test_x) == task.test_y.numpy()).mean())
    if task.trigger is None:
        return right, None
    victims = task.test_x[task.test_y != TARGET]
    return right, float((predict(task.trigger(victims)) == TARGET).mean())


def rows_of(name: str, data, seed: int, which: list[str] | None, conditions=CONDITIONS):
    for condition in conditions:
        task = poisoned(*data, condition, seed)
        for how, step in objectives(task).items():
            if which and how not in which:
                continue
            begin = time.process_time()
            epochs = max(1, task.epochs // 4) if how.startswith("free") else None
            net = fit(task, step, seed, epochs=epochs)
            seconds = time.process_time() - begin
            right, hit = measured(lambda x, net=net: scores_of(net, x).argmax(1), task)
            yield line(name, seed, condition, how, right, hit, seconds)
        if which and "ensembles" not in which:
            continue
        content = [
            x.numpy().tobytes() + bytes([int(y)]) for x, y in zip(task.x, task.y, strict=True)
        ]
        by_record = kit.partition_records(content, 10)
        by_source = kit.partition_sources(task.sources)
        spread = kit.spread_parts(20, 2)
        kinds = {
            "vote of 10, by record": (by_record, None, "vote"),
            "run-off of 10, by record": (by_record, None, "run-off"),
            "finite aggregation, 20 of 2": (kit.partition_records(content, 20), spread, "finite"),
            "vote of 20, by source": (by_source, None, "vote"),
            "run-off of 20, by source": (by_source, None, "run-off"),
        }
        trained: dict = {}
        for how, (parts, wide, kind) in kinds.items():
            key = (id(parts), wide is None)
            begin = time.process_time()
            if key not in trained:
                trained[key] = ensemble(task, parts, seed, wide)
                spent = time.process_time() - begin
            answers = trained[key]

            def outcome(x, answers=answers, wide=wide, kind=kind):
                scores = answers(x)
                if kind == "run-off":
                    return kit.run_off(scores)
                if kind == "finite":
                    return kit.finite_aggregation(scores.argmax(2), CLASSES, wide)
                return kit.plurality(scores.argmax(2), CLASSES)

            right, hit = measured(lambda x, outcome=outcome: outcome(x).prediction, task)
            sure = [outcome(task.test_x).certified_accuracy(task.test_y, k) for k in (1, 2, 3)]
            yield line(name, seed, condition, how, right, hit, spent, sure)


def line(name, seed, condition, how, right, hit, seconds, sure=None):
    return {
        "set": name, "seed": seed, "condition": condition, "how": how, "accuracy": round(right, 4),
        "asr": None if hit is None else round(hit, 4), "cpu": round(seconds, 2),
        "certified": None if sure is None else [round(one, 4) for one in sure],
    }  # fmt: skip


def certificates(name: str, data, seed: int, tries: int):
    """Certified accuracy for 10, 20 and 50 sources, and an attacker who controls k of them."""
    for count in (10, 20, 50):
        task = poisoned(*data, "clean", seed)
        chance = np.random.default_rng([seed, count])
        sources = [f"v{i:02}" for i in chance.integers(0, count, len(task.x))]
        parts = kit.partition_sources(sources)
        scores = ensemble(task, parts, seed)(task.test_x)
        plain = fit(task, objectives(task)["plain"], seed)
        alone = float((scores_of(plain, task.test_x).argmax(1) == task.test_y.numpy()).mean())
        for kind in ("vote", "run-off"):
            done = kit.run_off(scores) if kind == "run-off" else kit.plurality(
                scores.argmax(2), CLASSES
            )  # fmt: skip
            beaten = attacked_sources(scores, done, kind, chance, tries)
            yield {
                "set": name, "sources": count, "kind": kind, "plain": round(alone, 4),
                "accuracy": round(done.certified_accuracy(task.test_y, 0), 4),
                "certified": [round(done.certified_accuracy(task.test_y, k), 4) for k in (1, 2, 3)],
                "tries": tries, "beaten": beaten,
            }  # fmt: skip


def attacked_sources(scores, done, kind: str, chance, tries: int) -> int:
    """How often an attacker who controls k sources changes what was certified for k.

    The k models answer whatever the attacker wants, which is more than any data could make them
    do: half the tries push the class with the second most votes, row by row, half give every model
    an order of its own. Each try looks at 50 test rows.
    """
    beaten = 0
    for number in range(tries):
        k = int(chance.integers(1, 4))
        rows = chance.permutation(scores.shape[1])[:50]
        some = chance.permutation(len(scores))[:k]
        changed = scores[:, rows].copy()
        changed[some] = chance.random((k, len(rows), CLASSES))
        if number % 2 == 0:
            second = np.argsort(-done.votes[rows], axis=1, kind="stable")[:, 1]
            changed[some] = np.eye(CLASSES)[second]
        after = outcome_of(changed, kind)
        beaten += int(((after != done.prediction[rows]) & (done.radius[rows] >= k)).sum())
    return beaten


def outcome_of(scores: np.ndarray, kind: str) -> np.ndarray:
    """The winners, counted apart from the library: ties go to the smaller class."""
    votes = np.stack([np.bincount(one, minlength=CLASSES) for one in scores.argmax(2).T])
    order = np.argsort(-votes, axis=1, kind="stable")[:, :2]
    if kind == "vote":
        return order[:, 0]
    low, high = order.min(1), order.max(1)
    places = np.arange(len(low))
    prefer_high = (scores[:, places, high] > scores[:, places, low]).sum(0)
    return np.where(2 * prefer_high > len(scores), high, low)


def hardened(name: str, data, seed: int):
    """Accuracy under attacks at epsilon 0.1: ours, and the library's where it is installed."""
    task = poisoned(*data, "clean", seed)
    try:
        import torchattacks
    except (ImportError, RuntimeError):
        torchattacks = None
    for how in ("plain", "noise 0.2", "FGSM", "PGD, 4 steps", "free, 4 steps"):
        epochs = max(1, task.epochs // 4) if how.startswith("free") else None
        net = fit(task, objectives(task)[how], seed, epochs=epochs)
        attacks = {
            "ours, PGD 20": lambda net=net: kit.perturb(
                net, task.test_x, task.test_y, kit.Adversary("pgd", epsilon=0.1, steps=20)
            )
        }
        if torchattacks is not None:
            library = torchattacks.PGD(net, eps=0.1, alpha=0.0125, steps=20)
            attacks["torchattacks PGD 20"] = lambda a=library: a(task.test_x, task.test_y)
        row = {"set": name, "how": how, "passes": passes(how)}
        for label, attack in attacks.items():
            worst = scores_of(net, attack()).argmax(1)
            row[label] = round(float((worst == task.test_y.numpy()).mean()), 4)
        yield row


def passes(how: str) -> float:
    kinds = {"FGSM": ("fgsm", 1), "PGD, 4 steps": ("pgd", 4), "free, 4 steps": ("free", 4)}
    if how not in kinds:
        return 1.0
    kind, steps = kinds[how]
    each = kit.Adversary(kind, steps=steps).passes
    return each / 4 if kind == "free" else each


def by_lightly(images: torch.Tensor, seed: int, epochs: int = 60):
    """SimCLR (Chen et al. 2020) on images without labels; None where lightly is not installed.

    Views are shifted by up to an eighth, darkened and noisy; its loss and head are the library's.
    """
    try:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import SimCLRProjectionHead
    except (ImportError, RuntimeError):
        return None
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
    )  # fmt: skip
    head, loss = SimCLRProjectionHead(128, 64, 32), NTXentLoss(temperature=0.5)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], 1e-3)

    def view(rows: torch.Tensor) -> torch.Tensor:
        moved = kit.shifted_crop(rows, max(1, rows.shape[-1] // 8))
        return kit.noisy(moved * (0.6 + 0.4 * torch.rand(len(rows), 1, 1, 1)), 0.1)

    for _ in range(epochs):
        for part in torch.randperm(len(images)).split(128):
            if len(part) < 2:
                continue
            optimizer.zero_grad()
            loss(head(net(view(images[part]))), head(net(view(images[part])))).backward()
            optimizer.step()
    return net.eval()


def represented(name: str, data, seed: int):
    """What an encoder without labels buys, beside one that was trained on poisoned labels.

    Rows are ranked by their ten nearest trusted rows: whose labels disagree, and how far they are.
    """
    import pyarrow as pa
    from sklearn.metrics import roc_auc_score
    from sklearn.neighbors import NearestNeighbors

    from lazaretto.embed.contrastive import fit_contrastive
    from lazaretto.embed.denoising import fit_denoising

    for condition in ("flip 10%", "badnets 5%", "blend 5%"):
        task = poisoned(*data, condition, seed)
        wrong = (task.y != task.truth).numpy()
        half = len(task.test_x) // 2
        trusted_x, trusted_y = task.test_x[:half], task.test_y[:half].numpy()
        plain = fit(task, objectives(task)["plain"], seed)

        def flat(x):
            return pa.table({"pixels": pa.array(list(x.flatten(1).numpy()))})

        def encoded(encoder, x):
            return encoder.encode(flat(x).combine_chunks().to_batches()[0])

        # Rows that fit the encoder are not those that are compared with.
        learned = fit_denoising(flat(task.test_x[half:]), ["pixels"], dimensions=32, seed=seed)
        views = fit_contrastive(
            flat(task.test_x[half:]), "pixels", shape=task.x.shape[1:], seed=seed
        )
        simclr = by_lightly(task.test_x[half:], seed)
        with torch.no_grad():
            codes = {
                "pixels": (task.x.flatten(1).numpy(), trusted_x.flatten(1).numpy()),
                "denoising, no labels": (encoded(learned, task.x), encoded(learned, trusted_x)),
                "contrastive, no labels": (encoded(views, task.x), encoded(views, trusted_x)),
                "supervised on poisoned labels": (
                    plain[:-1](task.x).numpy(), plain[:-1](trusted_x).numpy(),
                ),
            }  # fmt: skip
            if simclr is not None:
                codes["SimCLR, no labels (lightly)"] = (
                    simclr(task.x).numpy(), simclr(trusted_x).numpy(),
                )  # fmt: skip
        for how, (rows, known) in codes.items():
            near = NearestNeighbors(n_neighbors=10).fit(known)
            distance, place = near.kneighbors(rows)
            agrees = trusted_y[place] == task.y.numpy()[:, None]
            score = (~agrees).mean(1)
            first = round(float(roc_auc_score(wrong, score)), 4)
            second = round(float(roc_auc_score(wrong, distance.mean(1))), 4)
            yield {
                "set": name, "seed": seed, "condition": condition, "how": how,
                "label disagrees": first, "far from trusted": second,
            }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--lines", type=Path, nargs="*", help="only write --out from these")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1])
    parser.add_argument("--mnist-seeds", type=int, nargs="*", default=[1])
    parser.add_argument("--text-seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--tries", type=int, default=1000)
    parser.add_argument("--choose", action="store_true", help="digits of seed 100, objectives only")
    parser.add_argument("--conditions", nargs="*", default=list(CONDITIONS))
    every = ["recipes", "sources", "attacked", "codes", "texts"]
    parser.add_argument("--parts", nargs="*", default=every)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict]] = {part: [] for part in every}

    def tell(part: str, found) -> None:
        for row in found:
            print(json.dumps({"part": part, **row}), flush=True)
            rows[part].append(row)

    for path in options.lines or ():
        for text in path.read_text().splitlines():
            row = json.loads(text)
            rows[row.pop("part")].append(row)
    if options.lines:
        write(options.out, rows)
        return
    if options.choose:
        tell("recipes", rows_of("digits 100", digits(100), 100, list(objectives_names())))
        return
    sets = [(f"digits {seed}", digits(seed), seed) for seed in options.seeds]
    sets += [(f"MNIST {seed}", mnist(options.data, seed), seed) for seed in options.mnist_seeds]
    parts = {
        "recipes": lambda name, data, seed: rows_of(name, data, seed, None, options.conditions),
        "sources": lambda name, data, seed: certificates(name, data, seed, options.tries),
        "attacked": hardened,
        "codes": represented,
    }
    for one in sets:
        for part, measure in parts.items():
            if part in options.parts:
                tell(part, measure(*one))
    if "texts" in options.parts:
        for key in training_texts.SETS:
            for seed in options.text_seeds:
                tell("texts", training_texts.screened(options.data, key, seed))
    if options.out:
        write(options.out, rows)


def write(path: Path, rows: dict[str, list[dict]]) -> None:
    from training_report import report

    path.write_text(report(rows))


def objectives_names() -> list[str]:
    blank = torch.zeros(1, 1, 8, 8)
    task = Task(blank, torch.zeros(1).long(), blank, ["a"], blank, blank, 1, None)
    return list(objectives(task))


if __name__ == "__main__":
    main()
