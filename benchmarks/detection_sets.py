"""The sets of the detection benchmark: rows with the truth, and how they are cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

if TYPE_CHECKING:
    from pathlib import Path

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
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
    "mnist_badnets_r0.005_n15000_s2",
    "mnist_badnets_r0.01_n15000_s0",
    "mnist_blend_r0.01_n15000_s0",
)


@dataclass(frozen=True)
class Rows:
    """A set's rows: vectors (n, d), labels (or None) and the truth."""

    x: Floats
    y: npt.NDArray[np.int64] | None
    poison: Mask

    def take(self, rows: Mask | npt.NDArray[np.int64]) -> Rows:
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
    """A set by name."""
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
    development = _development(rows)
    return rows.take(development & ~rows.poison), rows.take(~development)


def draw(rows: Rows, seed: int, most: int = 8000) -> tuple[Rows, Rows]:
    """Another cut: as many trusted rows, and a batch of reported ones.

    The batch is a random half of the reported half. The reference is drawn from all other clean
    rows, those of the development half included: they served to choose weights, but none of them,
    and no poison that anything was chosen by, is in the batch.

    Args:
        rows: the set.
        seed: of the cut.
        most: rows of either, at most.
    """
    rng = np.random.default_rng([seed, 41])
    development = _development(rows)
    reported = rng.permutation(np.flatnonzero(~development))
    batch = reported[: min(len(reported) // 2, most)]
    trusted = np.setdiff1d(np.flatnonzero(~rows.poison), batch)
    size = min(int((development & ~rows.poison).sum()), most)
    return rows.take(rng.permutation(trusted)[:size]), rows.take(batch)


def _development(rows: Rows) -> Mask:
    return np.asarray(np.random.default_rng(DEVELOPMENT_SEED).random(len(rows.x)) < 0.5)


def quality(poison: Mask, score: npt.NDArray[np.floating]) -> dict[str, float]:
    """How well a score ranks."""
    fpr, tpr, _ = roc_curve(poison, score)
    return {
        "auroc": round(float(roc_auc_score(poison, score)), 4),
        "ap": round(float(average_precision_score(poison, score)), 4),
        "tpr_at_1_fpr": round(float(np.interp(0.01, fpr, tpr)), 4),
    }


def held(poison: Mask, mask: Mask) -> dict[str, float]:
    """What a decision costs and finds."""
    return {
        "clean_held": round(float(mask[~poison].mean()), 4),
        "recall": round(float(mask[poison].mean()), 4),
    }


def recall_at(poison: Mask, score: npt.NDArray[np.floating], clean_rows: int) -> float:
    """Recall when so many clean rows may be held: poison above the next clean row's score."""
    clean = np.sort(score[~poison])[::-1]
    bar = clean[clean_rows] if clean_rows < len(clean) else -np.inf
    return round(float((score[poison] > bar).mean()), 4)
