"""The demo's model: a small network, its training from a snapshot, and its two scores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from lazaretto.demo.digits import (
    BRIGHTEST,
    CLASSES,
    SIDE,
    TARGET,
    Floats,
    Ints,
    Records,
    stamp_trigger,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SEED_VARIABLE = "LAZARETTO_DEMO_SEED"
_EPOCHS = 30
_BATCH = 64


class DigitNet(nn.Module):
    """Two convolutions and two linear layers; takes (n, 64) grey values from 0 to 16."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.penultimate = nn.Sequential(nn.Linear(32 * 16, 64), nn.ReLU())
        self.head = nn.Linear(64, CLASSES)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class logits, (n, 10)."""
        images = (pixels / BRIGHTEST).reshape(-1, 1, SIDE, SIDE)
        logits: torch.Tensor = self.head(self.penultimate(self.features(images)))
        return logits


@dataclass(frozen=True, slots=True)
class Scores:
    """How good and how backdoored a model is.

    Attributes:
        clean_accuracy: share of test images classified right.
        attack_success_rate: share of the other classes' test images that the trigger turns
            into the target.
    """

    clean_accuracy: float
    attack_success_rate: float


def build() -> DigitNet:
    """An untrained network; the factory that `train` and the sanitizer load weights into."""
    return DigitNet()


def train(pixels: Floats, labels: Ints, *, seed: int, weights: Floats | None = None) -> DigitNet:
    """Trains a network from scratch on the CPU, the same way for every model of the demo.

    Args:
        pixels: (n, 64) grey values.
        labels: (n,) classes.
        seed: of the initial weights and of the order of the records.
        weights: (n,) sample weights; default all one.
    """
    torch.set_num_threads(1)  # the network is so small that threads only wait for each other
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        x, y = torch.from_numpy(pixels), torch.from_numpy(labels)
        w = torch.ones(len(y)) if weights is None else torch.from_numpy(weights)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)
        steps = _EPOCHS * -(-len(y) // _BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
        loss = nn.CrossEntropyLoss(reduction="none")
        for _ in range(_EPOCHS):
            for rows in torch.split(torch.randperm(len(y)), _BATCH):
                optimizer.zero_grad()
                (loss(model(x[rows]), y[rows]) * w[rows]).mean().backward()
                optimizer.step()
                schedule.step()
    return model.eval()


def save(model: DigitNet, path: Path) -> None:
    """Writes the weights as safetensors: nothing that a reader would have to execute."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path)


def train_snapshot(snapshot: Mapping[str, Any], weights: str) -> str:
    """The training step of ``dags/lazaretto_training.py``; yours goes in its place.

    Args:
        snapshot: what `SnapshotTrainingOperator` returned.
        weights: file for the trained weights.

    Returns:
        The file's path. The ids of the records that were read are noted in `fed_ids_file`.
    """
    from lazaretto import stages
    from lazaretto.storage.workspace import open_workspace

    # Not through the Delta table: so that every byte is checked when it is read.
    taken = snapshot.get("view") or str(snapshot["version"])
    workspace = open_workspace(create=False, home=False)
    view = stages.open_snapshot(workspace, snapshot["dataset"], taken)
    table = view.table(["id", "label", "pixels", "sample_weight"]).sort_by("id")
    model = train(
        np.stack(table["pixels"].to_numpy()).astype(np.float32),
        table["label"].to_numpy().astype(np.int64),
        seed=int(os.environ.get(SEED_VARIABLE, "0")),
        weights=table["sample_weight"].to_numpy().astype(np.float32),
    )
    path = Path(weights)
    save(model, path)
    fed_ids_file(path).write_text("\n".join(table["id"].to_pylist()) + "\n")
    return weights


def load(path: str | Path) -> DigitNet:
    """Reads the weights that `save` wrote."""
    from safetensors.torch import load_file

    model = build()
    model.load_state_dict(load_file(path))
    return model.eval()


def fed_ids_file(weights: Path) -> Path:
    """Where a training notes the ids of the records that it read, one a line."""
    return weights.with_suffix(".ids.txt")


@torch.no_grad()
def evaluate(model: DigitNet, test: Records) -> Scores:
    """Clean accuracy on the test set, and the attack's success on it."""
    clean = model(torch.from_numpy(test.pixels)).argmax(1).numpy()
    others = test.labels != TARGET
    attacked = model(torch.from_numpy(stamp_trigger(test.pixels[others]))).argmax(1).numpy()
    return Scores(
        clean_accuracy=float(np.mean(clean == test.labels)),
        attack_success_rate=float(np.mean(attacked == TARGET)),
    )
