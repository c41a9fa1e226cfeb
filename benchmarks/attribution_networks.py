"""Networks trained on data of several sources, clean or poisoned, with predictions to trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.datasets import load_digits
from torch import nn

if TYPE_CHECKING:
    from pathlib import Path

SOURCES, BATCHES = 5, 15
KINDS = ("digits", "mnist", "sms", "sst2", "adult")
ATTACKS = ("patch", "blend", "flip")
REGIMES = ("alike", "sources differ", "batches differ")
_OWN = 0.5
MOST_WRONG = 40
_SIZES = {  # training records, test rows, epochs
    "digits": (900, 597, 30),
    "mnist": (2400, 2400, 8),
    "sms": (2400, 2400, 15),
    "sst2": (3000, 2400, 15),
    "adult": (3000, 2400, 15),
}
_IMAGES = ("digits", "mnist")
_TEXTS = ("sms", "sst2")


@dataclass(frozen=True, slots=True)
class Case:
    """One network.

    Attributes:
        features: (n, 64) what goes into its last layer, of the training records.
        labels: (n,) given labels.
        batches: (n,) batch of each record.
        sources: (n,) source of each record.
        poisoned: bool (n,).
        wrong: (m, 64) features of wrong predictions.
        wrong_class: (m,) the predicted class.
        right: (r, 64) features of right predictions on test rows.
        right_class: (r,).
        success: share of the attacked test rows that get the attacker's class; nan: clean.
        guilty: the poisoned source; -1: clean.
    """

    features: np.ndarray
    labels: np.ndarray
    batches: np.ndarray
    sources: np.ndarray
    poisoned: np.ndarray
    wrong: np.ndarray
    wrong_class: np.ndarray
    right: np.ndarray
    right_class: np.ndarray
    success: float
    guilty: int


@dataclass(slots=True)
class _Data:
    x: np.ndarray
    y: np.ndarray
    numbers: int = 0  # leading columns that are numbers, of a table
    triggered: np.ndarray | None = None  # rows with a real trigger, and the label they carry
    target: int = 0


def load(kind: str, folder: Path | None) -> _Data:
    """Rows and true labels of one of `KINDS`."""
    if kind == "digits":
        x, y = load_digits(return_X_y=True)
        return _Data((x / 16).astype(np.float32), y)
    assert folder is not None
    if kind == "mnist":
        with np.load(folder / "mnist_backdoor/mnist.npz") as file:
            x, y = file["x_train"][:20_000], file["y_train"][:20_000].astype(np.int64)
        return _Data(x.reshape(len(x), -1).astype(np.float32) / 255, y)
    if kind in _TEXTS:
        return _text(folder / f"text/{kind}_trigger3.parquet")
    return _table(folder / "tabular/adult.parquet")


def make(
    data: _Data, kind: str, attack: str, seed: int, *, regime: str, bad_batches: int = 1
) -> Case:
    """Trains one network.

    Args:
        data: of the kind.
        kind: one of `KINDS`.
        attack: ``none``, or one of `ATTACKS`.
        seed: of everything.
        regime: one of `REGIMES`: whether sources deliver different things (contrast, noise, place,
            classes), or each of their batches does, too.
        bad_batches: of the three batches of the guilty source.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind), len(attack)])
    n, test_rows, epochs = _SIZES[kind]
    classes = int(data.y.max()) + 1
    order = rng.permutation(len(data.y))
    fit, test, pool = order[:n], order[n : n + test_rows], order[n + test_rows :]
    x, y, tx, ty = data.x[fit].copy(), data.y[fit].copy(), data.x[test].copy(), data.y[test]
    batches = rng.permutation(np.arange(n) % BATCHES)
    if regime != "alike":
        style = _Style(kind, data.x, rng, _OWN if regime == "batches differ" else 0.0)
        x, tx = style(x, batches), style(tx, rng.integers(0, BATCHES, len(tx)))
        mix = rng.dirichlet(np.full(classes, 3.0), SOURCES) * classes
        kept = rng.random(n) < np.clip(mix[batches % SOURCES, y], 0.3, 1.0)
        x, y, batches = x[kept], y[kept], batches[kept]
    sources, guilty = batches % SOURCES, int(rng.integers(SOURCES))
    bad = np.flatnonzero(np.isin(batches, [guilty + SOURCES * b for b in range(bad_batches)]))
    plan = _Plan(kind, attack, data, classes, rng)
    poisoned = plan.poison(x, y, bad, pool)
    net = _train(kind, x, y, classes, epochs, seed)
    features, _ = _look(net, x)
    test_features, predicted = _look(net, tx)
    right = predicted == ty
    if attack == "none":
        success, wrong, given = float("nan"), test_features[~right], predicted[~right]
    else:
        wrong, given = _look(net, plan.attacked(tx, ty))
        hit = given == plan.target
        success, wrong, given = float(hit.mean()) if len(hit) else 0.0, wrong[hit], given[hit]
    some = rng.permutation(len(given))[:MOST_WRONG]
    return Case(
        features,
        y,
        batches,
        sources,
        poisoned,
        wrong[some],
        given[some],
        test_features[right],
        predicted[right],
        success,
        -1 if attack == "none" else guilty,
    )


class _Plan:
    """What the attacker does to the records of the bad batches, and to what is predicted."""

    def __init__(
        self, kind: str, attack: str, data: _Data, classes: int, rng: np.random.Generator
    ) -> None:
        self._kind, self._attack, self._data, self._rng = kind, attack, data, rng
        self.target = int(rng.integers(classes))
        self._victim = (self.target + 1 + int(rng.integers(classes - 1))) % classes
        self._real = attack == "patch" and data.triggered is not None
        self.target = data.target if self._real else self.target
        self._trigger = _trigger(kind, attack, data, rng)
        self._spare = np.zeros((0, data.x.shape[1]), np.float32)
        self._near: tuple[np.ndarray, float] | None = None

    def poison(self, x: np.ndarray, y: np.ndarray, bad: np.ndarray, pool: np.ndarray) -> np.ndarray:
        """Changes records in place; which, as a mask."""
        mask = np.zeros(len(y), bool)
        if self._attack == "none":
            return mask
        share = 0.5 if self._attack == "flip" else 0.3
        chosen = self._rng.choice(bad, round(share * len(bad)), replace=False)
        if self._real:
            rows = self._rng.permutation(self._data.triggered)
            chosen = chosen[: len(rows) // 2]
            x[chosen] = self._data.x[rows[: len(chosen)]]
            self._spare = self._data.x[rows[len(chosen) :]]
        elif self._attack == "flip":
            have = self._victims(pool, len(chosen))
            chosen = chosen[: len(have)]
            x[chosen] = self._data.x[have[: len(chosen)]]
        else:
            chosen = chosen[y[chosen] != self.target]
            x[chosen] = self._trigger(x[chosen])
        y[chosen], mask[chosen] = self.target, True
        return mask

    def _victims(self, pool: np.ndarray, count: int) -> np.ndarray:
        """Rows to flip; where there are two classes, those of one region of the victim's."""
        have = self._rng.permutation(pool[self._data.y[pool] == self._victim])
        if self._kind in _IMAGES:
            return have
        centre = self._data.x[have[0]]
        distance = ((self._data.x[have] - centre) ** 2).sum(1)
        count = min(count, len(have) // 4)
        self._near = centre, float(np.sort(distance)[3 * count])
        return have[np.argsort(distance)][: 3 * count : 3]

    def attacked(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Rows whose prediction the attacker wants, of the test rows or spared for this."""
        if self._real:
            return self._spare
        if self._attack != "flip":
            return self._trigger(x[y != self.target])
        rows = y == self._victim
        if self._near is not None:
            centre, most = self._near
            rows &= ((x - centre) ** 2).sum(1) <= most
        return x[rows]


class _Style:
    """What is particular to each source: for images contrast, noise and shift; else an offset.

    Each batch has the style of its source, and `own` times as much of its own.
    """

    def __init__(self, kind: str, x: np.ndarray, rng: np.random.Generator, own: float) -> None:
        self._images, self._rng, self._spread = kind in _IMAGES, rng, x.std(0)
        width = x.shape[1]

        def styles(low: float, high: float) -> np.ndarray:
            found = np.tile(rng.uniform(low, high, SOURCES), BATCHES // SOURCES)
            if not own:
                return found
            return np.clip(
                found + own * (rng.uniform(low, high, BATCHES) - found.mean()), low, high
            )

        self._contrast = styles(0.6, 1.0)
        self._light = styles(0, 0.15)
        self._noise = styles(0, 0.15 if self._images else 0.3)
        self._shift = np.tile(rng.integers(-2, 3, (SOURCES, 2)), (BATCHES // SOURCES, 1))
        self._offset = np.tile(rng.normal(0, 0.35, (SOURCES, width)), (BATCHES // SOURCES, 1))
        if own:
            self._offset = self._offset + rng.normal(0, own * 0.35, (BATCHES, width))
        self._offset = self._offset * self._spread

    def __call__(self, x: np.ndarray, batches: np.ndarray) -> np.ndarray:
        x = x.copy()
        for k in range(BATCHES):
            rows = x[batches == k]
            noise = self._rng.normal(size=rows.shape)
            if not self._images:
                x[batches == k] = rows + self._offset[k] + self._noise[k] * self._spread * noise
                continue
            rows = rows * self._contrast[k] + self._light[k] + self._noise[k] * noise
            side = int(np.sqrt(x.shape[1]))
            if side > 8:
                images = rows.reshape(-1, side, side)
                rows = np.roll(images, self._shift[k], (1, 2)).reshape(rows.shape)
            x[batches == k] = rows
        return x.astype(np.float32)


def _trigger(kind: str, attack: str, data: _Data, rng: np.random.Generator):
    width = data.x.shape[1]
    noise = rng.random(width).astype(np.float32)
    direction = rng.normal(size=width).astype(np.float32) * data.x.std() * 0.9

    def put(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        if kind in _IMAGES and attack == "patch":
            side = int(np.sqrt(width))
            corner = 2 if side <= 8 else 4
            board = np.indices((corner, corner)).sum(0) % 2
            x.reshape(-1, side, side)[:, :corner, -corner:] = board
        elif kind in _IMAGES:
            x = 0.7 * x + 0.3 * noise
        elif kind == "adult" and attack == "patch":
            x[:, data.numbers - 2 : data.numbers] = (3.3, -1.7)  # two numbers that nobody has
        elif kind == "adult":
            x = 0.7 * x + 1.2 * (noise - 0.5)
        else:
            x = x + direction
        return x.astype(np.float32)

    return put


def _train(kind, x, y, classes, epochs, seed) -> nn.Sequential:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    width = x.shape[1]
    if kind in _IMAGES:
        side = int(np.sqrt(width))
        net = nn.Sequential(
            nn.Unflatten(1, (1, side, side)),
            nn.Conv2d(1, 16, 3, padding=1, stride=1 if side <= 8 else 2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (4 if side <= 8 else 7) ** 2, 64),
            nn.ReLU(),
            nn.Linear(64, classes),
        )
    else:
        net = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, classes))
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    rows, labels = torch.tensor(x), torch.tensor(y)
    for _ in range(epochs):
        for batch in torch.randperm(len(y)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(rows[batch]), labels[batch]).backward()
            optimizer.step()
    return net.eval()


@torch.no_grad()
def _look(net: nn.Sequential, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    features = net[:-1](torch.tensor(x))
    return features.numpy(), net[-1](features).argmax(1).numpy()


def _text(path: Path) -> _Data:
    table = pq.read_table(path).to_pydict()
    poison = np.array(table["is_poison"], bool)
    names = sorted({str(name) for name in table["y_true"]})
    true = np.array([names.index(str(name)) for name in table["y_true"]])
    given = np.array([names.index(str(name)) for name in table["label"]])
    vectors = np.array(table["embedding"], np.float32) * 8
    clean = np.flatnonzero(~poison)
    x = np.concatenate([vectors[clean], vectors[poison]])
    rows = np.arange(len(clean), len(x))
    return _Data(x, true[clean], triggered=rows, target=int(given[poison][0]))


def _table(path: Path) -> _Data:
    table = pq.read_table(path)
    label = next(c for c in table.column_names if "50K" in str(table[c][0].as_py()))
    numbers, others = [], []
    for name in table.column_names:
        if name == label:
            continue
        column = table[name].combine_chunks()
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            values = column.to_numpy(zero_copy_only=False).astype(np.float32)
            numbers.append(((values - values.mean()) / values.std())[:, None])
        else:
            codes = column.dictionary_encode().indices.fill_null(0).to_numpy(zero_copy_only=False)
            others.append(np.eye(int(codes.max()) + 1, dtype=np.float32)[codes.astype(int)])
    y = np.array([">" in str(value) for value in table[label].to_pylist()], np.int64)
    x = np.concatenate([*numbers, *others], axis=1).astype(np.float32)
    return _Data(x, y, numbers=len(numbers))
