"""Small networks trained on poisoned scikit-learn digits, and an attacker who knows the defence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits

SOURCE, TARGET = 1, 7


@dataclass(frozen=True, slots=True)
class Run:
    """One poisoned training set with activations of the network trained on it.

    Attributes:
        name: attack, rate and seed.
        act: float32 (n, 64) penultimate activations of the training set.
        y: (n,) given labels.
        is_poison: bool (n,).
        act_trusted: float32 (m, 64), rows the network was not trained on.
        y_trusted: (m,).
        accuracy: clean test accuracy.
        asr: attack success rate on test rows of other classes; nan without an attack.
        target: the label that poisons carry.
        loss: float32 (n, epochs), cross entropy of each row in the pass before its step.
        loss_trusted: float32 (m, epochs), at the end of each epoch.
    """

    name: str
    act: np.ndarray
    y: np.ndarray
    is_poison: np.ndarray
    act_trusted: np.ndarray
    y_trusted: np.ndarray
    accuracy: float
    asr: float
    target: int = TARGET
    loss: np.ndarray | None = None
    loss_trusted: np.ndarray | None = None


def triggers(kind: str, seed: int) -> list:
    """Functions that put a trigger on images (n, 1, 8, 8)."""
    rng = np.random.default_rng(seed)
    noise = rng.random((1, 1, 8, 8)).astype(np.float32)

    def patch(row: int, column: int):
        def put(x):
            x = x.copy()
            x[:, :, row : row + 2, column : column + 2] = [[1, 0], [0, 1]]
            return x

        return put

    if kind == "blend":
        return [lambda x: (0.7 * x + 0.3 * noise).astype(np.float32)]
    if kind == "spread":
        return [patch(0, 0), patch(0, 6), patch(6, 0), patch(6, 6)]
    return [patch(6, 6)]


def poison(x, y, attack, count, seed):
    """Poisons `count` rows; the adaptive attacks add as many covers (trigger, true label).

    Returns:
        images, labels, bool mask of poisons (covers are not poisons: their label is right).
    """
    rng = np.random.default_rng(seed)
    kinds = triggers("spread" if "spread" in attack else attack, seed)
    x, y, mask = x.copy(), y.copy(), np.zeros(len(y), bool)
    others = rng.permutation(np.flatnonzero(y != TARGET))
    if attack == "clean_label":
        rows = rng.permutation(np.flatnonzero(y == TARGET))[:count]
        other = x[rng.integers(0, len(x), len(rows))]
        x[rows] = (0.6 * x[rows] + 0.4 * other).astype(np.float32)
    else:
        rows = others[:count]
    for i, row in enumerate(rows):
        x[row : row + 1] = kinds[i % len(kinds)](x[row : row + 1])
    y[rows], mask[rows] = TARGET, True
    if "cover" in attack:
        for i, row in enumerate(others[count : 2 * count]):
            x[row : row + 1] = kinds[i % len(kinds)](x[row : row + 1])
    return x, y, mask


def train(attack: str, rate: float, seed: int, *, epochs: int = 40) -> Run:
    """Trains a network on 1,000 digits of which a share of `rate` is poisoned."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    rows = rng.permutation(len(x))
    fit, trusted, test = rows[:1000], rows[1000:1400], rows[1400:]
    given, labels, mask = x[fit], y[fit], np.zeros(1000, bool)
    if attack != "none":
        given, labels, mask = poison(given, labels, attack, round(rate * 1000), seed)
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    images, target = torch.tensor(given), torch.tensor(labels)
    loss = np.full((len(images), epochs), np.nan, np.float32)
    loss_trusted = np.empty((len(trusted), epochs), np.float32)
    for epoch in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            logits = net(images[batch])
            loss[batch.numpy(), epoch] = losses(logits, target[batch])
            nn.functional.cross_entropy(logits, target[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            loss_trusted[:, epoch] = losses(net(torch.tensor(x[trusted])), torch.tensor(y[trusted]))
    net.eval()
    with torch.no_grad():
        accuracy = (net(torch.tensor(x[test])).argmax(1).numpy() == y[test]).mean()
        victims = x[test][y[test] != TARGET]
        for put in triggers("spread" if "spread" in attack else attack, seed):
            victims = put(victims)
        hit = (net(torch.tensor(victims)).argmax(1).numpy() == TARGET).mean()
        act = net[:-1](images).numpy()
        act_trusted = net[:-1](torch.tensor(x[trusted])).numpy()
    return Run(
        f"{attack} {rate:.1%} s{seed}" if attack != "none" else f"none s{seed}",
        act,
        labels,
        mask,
        act_trusted,
        y[trusted],
        float(accuracy),
        float(hit) if attack != "none" else float("nan"),
        loss=loss,
        loss_trusted=loss_trusted,
    )


def losses(logits: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """Cross entropy of each row, apart from the training's own graph."""
    return torch.nn.functional.cross_entropy(logits.detach(), target, reduction="none").numpy()
