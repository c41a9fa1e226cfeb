"""Development networks: MNIST rows, classes and triggers that no reported run has.

    python benchmarks/sanitize.py DATA_DIR --sets development

Rows come from the 45,000 training images that the runs of `mnist_backdoor` were not drawn from,
source and target classes are others, and the networks are trained here (49 of them, half an hour on
one core). What is chosen about the decision is chosen on these and on digits with other seeds.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from poisoned_digits import Run, losses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS, TRUSTED, TEST = 15_000, 10_000, 4_000


class Setting(NamedTuple):
    """One network: `count` rows of `source` become `target`; `part` says which rows are drawn."""

    attack: str
    count: int
    source: int
    target: int
    part: int
    seed: int
    epochs: int
    narrow: bool


def settings() -> Iterator[Setting]:
    """The development networks."""
    for i, (epochs, narrow) in enumerate([(3, False), (10, False), (6, True)]):
        yield Setting("none", 0, 3, 8, i, i, epochs, narrow)
    pairs = [(3, 8), (4, 9), (0, 2)]
    kinds = [("badnets", 8), ("badnets", 16), ("blend", 16), ("badnets", 80), ("blend", 80)]
    for (i, pair), (attack, count) in product(enumerate(pairs), kinds):
        yield Setting(attack, count, *pair, i, 10 + i, 8 if i == 2 else 10, i == 2)
    for i, pair in enumerate(pairs):
        yield Setting("badnets", 16, *pair, i, 20 + i, 2, i == 1)
    for i, pair in enumerate(pairs[1:]):
        yield Setting("spread cover", 80, *pair, i, 30 + i, 10, i == 1)
    for i, count in enumerate((450, 200)):
        yield Setting("clean_label", count, *pairs[i], i, 40 + i, 5, False)
    pairs = [(7, 1), (2, 3), (6, 0), (9, 4), (8, 5), (3, 7)]
    kinds = [("blend", 16), ("badnets", 16), ("blend", 24), ("badnets", 8)]
    for (i, pair), (attack, count) in product(enumerate(pairs), kinds):
        yield Setting(attack, count, *pair, i % 3, 50 + i, 14, i % 2 == 1)


def development(folder: Path) -> Iterator[Run]:
    """Trains the development networks; `folder` holds ``mnist.npz`` and the reported runs."""
    with np.load(folder / "mnist.npz") as z:
        images, labels = (z["x_train"] / 255).astype(np.float32), z["y_train"].astype(int)
    reported = [np.load(path)["idx"] for path in folder.glob("mnist_*.npz")]
    free = np.setdiff1d(np.arange(len(images)), np.concatenate(reported))
    for setting in settings():
        yield train(setting, images, labels, free)


def triggers(attack: str, seed: int) -> list:
    noise = np.random.default_rng(seed + 5).random((28, 28)).astype(np.float32)
    checker = (np.indices((4, 4)).sum(0) % 2).astype(np.float32)

    def patch(row: int, column: int):
        def put(x):
            x = x.copy()
            x[..., row : row + 4, column : column + 4] = checker
            return x

        return put

    if attack == "blend":
        return [lambda x: 0.8 * x + 0.2 * noise]
    spots = [(23, 23), (1, 1), (1, 23), (23, 1)] if "spread" in attack else [(23, 23)]
    return [patch(*spot) for spot in spots]


def train(setting: Setting, images: np.ndarray, labels: np.ndarray, free: np.ndarray) -> Run:
    """Poisons, trains and returns the activations of one network."""
    drawn = np.random.default_rng(1000 + setting.part).permutation(free)
    fit, trusted, test = np.split(drawn[: ROWS + TRUSTED + TEST], [ROWS, ROWS + TRUSTED])
    x, y, mask = images[fit], labels[fit].copy(), np.zeros(ROWS, bool)
    puts = triggers(setting.attack, setting.seed)
    if setting.attack != "none":
        x, y, mask = poison(setting, x, y, puts)
    kept: list[np.ndarray] = []
    net = network(x, y, setting, kept)
    with torch.no_grad():
        accuracy = (classes(net, images[test]) == labels[test]).mean()
        clean_label = setting.attack == "clean_label"
        victims = labels[test] != setting.target if clean_label else labels[test] == setting.source
        shown = images[test][victims]
        for put in puts:
            shown = put(shown)
        hit = (classes(net, shown) == setting.target).mean()
    name = f"{setting.attack} {setting.count} {setting.source}-{setting.target} s{setting.seed}"
    known = activations(net, images[trusted])
    asr = float(hit) if mask.any() else float("nan")
    return Run(
        name, activations(net, x), y, mask, known, labels[trusted], float(accuracy), asr,
        setting.target, loss=np.stack(kept, 1),
    )  # fmt: skip


def poison(setting: Setting, x: np.ndarray, y: np.ndarray, puts: list):
    rng = np.random.default_rng(setting.seed)
    x, mask = x.copy(), np.zeros(len(y), bool)
    if setting.attack == "clean_label":
        rows = rng.permutation(np.flatnonzero(y == setting.target))[: setting.count]
        clean = network(x, y, setting._replace(seed=setting.seed + 77, epochs=3))
        x[rows] = puts[0](adversarial(clean, x[rows], y[rows]))
    else:
        candidates = rng.permutation(np.flatnonzero(y == setting.source))
        rows = candidates[: setting.count]
        covers = candidates[setting.count : 2 * setting.count] if "cover" in setting.attack else []
        for chosen in (rows, covers):
            for i, row in enumerate(chosen):
                x[row] = puts[i % len(puts)](x[row])
        y[rows] = setting.target
    mask[rows] = True
    return x, y, mask


def adversarial(net: torch.nn.Module, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Projected gradient steps within 0.3 that make the label hard to see (Turner et al. 2019)."""
    start, target = torch.tensor(x)[:, None], torch.tensor(y)
    moved = start.clone()
    for _ in range(15):
        moved.requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(net(moved), target)
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = (moved + 0.03 * gradient.sign()).detach()
        moved = moved.clamp(start - 0.3, start + 0.3).clamp(0, 1)
    return moved[:, 0].numpy()


def network(
    x: np.ndarray, y: np.ndarray, setting: Setting, kept: list[np.ndarray] | None = None
) -> torch.nn.Sequential:
    """Trains; `kept` gets the loss of every row, in the pass before its step, of each epoch."""
    torch.manual_seed(setting.seed)
    nn = torch.nn
    a, b, size, width = (12, 24, 5, 96) if setting.narrow else (16, 32, 3, 128)
    net = nn.Sequential(
        *(nn.Conv2d(1, a, size, padding=size // 2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(a, b, size, padding=size // 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *([nn.Dropout(0.3)] if setting.narrow else []),
        *(nn.Linear(b * 49, width), nn.ReLU(), nn.Linear(width, 10)),
    )
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    images, labels = torch.tensor(x)[:, None], torch.tensor(y)
    for _ in range(setting.epochs):
        loss = np.empty(len(images), np.float32)
        for batch in torch.randperm(len(images)).split(128):
            optimizer.zero_grad()
            logits = net(images[batch])
            loss[batch.numpy()] = losses(logits, labels[batch])
            nn.functional.cross_entropy(logits, labels[batch]).backward()
            optimizer.step()
        if kept is not None:
            kept.append(loss)
    return net.eval()


def activations(net: torch.nn.Sequential, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        parts = [net[:-1](part) for part in torch.tensor(x)[:, None].split(1000)]
    return torch.cat(parts).half().float().numpy()


def classes(net: torch.nn.Sequential, x: np.ndarray) -> np.ndarray:
    return net(torch.tensor(x)[:, None]).argmax(1).numpy()
