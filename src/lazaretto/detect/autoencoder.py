"""What an autoencoder, trained on the reference, cannot reconstruct of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import torch
from torch.nn.functional import gelu, mse_loss

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from lazaretto.detect.arrays import Floats, State
    from lazaretto.detect.base import Chunk, Split

HELD_OUT = 0.15
PATIENCE = 8


class Autoencoder:
    """Mean squared reconstruction error of a small network (one hidden layer on either side).

    The network adds a correction to the projection on the principal axes, from which it starts: its
    error on held-out rows can only fall below theirs, and training stops early when it does not.

    Args:
        bottleneck: units; None takes an eighth of the width, from 2 to 64.
        epochs: at most; 0 leaves the projection as it is.
        learning_rate: of Adam.
    """

    name: ClassVar[str] = "autoencoder"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding"})
    weights: ClassVar[tuple[float, ...]] = (0.5,)

    def __init__(
        self, bottleneck: int | None = None, epochs: int = 100, learning_rate: float = 2e-3
    ) -> None:
        if bottleneck is not None and (not isinstance(bottleneck, int) or bottleneck < 1):
            raise UsageError(
                "screen.detectors.autoencoder.bottleneck: must be a whole number from 1, "
                f"not {bottleneck!r}"
            )
        if not isinstance(epochs, int) or epochs < 0 or not learning_rate > 0:
            raise UsageError(
                "screen.detectors.autoencoder: epochs must be a whole number from 0 and "
                "learning_rate positive"
            )
        self.bottleneck, self.epochs, self.learning_rate = bottleneck, epochs, learning_rate
        self._state: dict[str, Tensor] = {}

    def fit(self, reference: Split) -> Self:
        """Trains on the rows but a held-out share, which says when to stop."""
        rows = torch.from_numpy(reference.rows.embedding)
        center = rows.double().mean(0).float()
        scale = (rows - center).square().mean().sqrt().clamp(min=1e-12)
        scaled = (rows - center) / scale
        generator = torch.Generator().manual_seed(reference.seed)
        order = torch.randperm(len(scaled), generator=generator)
        held = max(1, round(HELD_OUT * len(scaled)))
        train, check = scaled[order[held:]], scaled[order[:held]]
        width = rows.shape[1]
        code = min(self.bottleneck or max(2, min(64, width // 8)), width)
        weights = _start(train, code, generator)
        if self.epochs:
            weights = self._train(weights, train, check, generator)
        state = {"center": center, "scale": scale.reshape(1)}
        state |= weights
        return self.restore({k: v.detach().numpy() for k, v in state.items()}, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float32 (n,), in units of the reference's mean variance."""
        if not self._state:
            raise UsageError("autoencoder: fit it before scoring")
        rows = torch.from_numpy(np.ascontiguousarray(chunk.embedding))
        scaled = (rows - self._state["center"]) / self._state["scale"]
        with torch.no_grad():
            score: Floats = (scaled - _reconstruct(scaled, self._state)).square().mean(1).numpy()
        return score

    def explain(self, chunk: Chunk) -> list[str]:
        """The share that cannot be reconstructed."""
        return [
            f"an autoencoder of trusted records leaves {error:.2f} of the variance unexplained"
            for error in self.score(chunk).tolist()
        ]

    def state(self) -> dict[str, State]:
        """The network."""
        return {key: value.numpy() for key, value in self._state.items()}

    def restore(self, state: dict[str, State], reference: Split) -> Self:  # noqa: ARG002
        """Brings it back."""
        self._state = {key: torch.from_numpy(value) for key, value in state.items()}
        return self

    def _train(
        self,
        weights: dict[str, Tensor],
        train: Tensor,
        check: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        for tensor in weights.values():
            tensor.requires_grad_(True)
        optimizer = torch.optim.AdamW(weights.values(), lr=self.learning_rate, weight_decay=1e-3)
        with torch.no_grad():
            lowest = float(mse_loss(_reconstruct(check, weights), check))
        best = {key: value.detach().clone() for key, value in weights.items()}
        waited = 0
        for _ in range(self.epochs):
            shuffled = torch.randperm(len(train), generator=generator)
            for rows in torch.split(shuffled, 256):
                optimizer.zero_grad()
                loss = mse_loss(_reconstruct(train[rows], weights), train[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            with torch.no_grad():
                missed = float(mse_loss(_reconstruct(check, weights), check))
            waited += 1
            if missed < lowest:
                lowest, waited = missed, 0
                best = {key: value.detach().clone() for key, value in weights.items()}
            if waited >= PATIENCE:
                break
        return best


def _start(train: Tensor, code: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The principal axes, and a hidden layer whose output starts at zero."""
    width = train.shape[1]
    hidden = min(512, 2 * width)
    gram = (train.double().T @ train.double()) / len(train)
    axes = torch.linalg.eigh(gram).eigenvectors[:, -code:].T.float().contiguous()

    def random(rows: int, columns: int) -> Tensor:
        weights: Tensor = torch.randn(rows, columns, generator=generator) / columns**0.5
        return weights

    return {
        "encode": axes.clone(),
        "decode": axes.T.contiguous(),
        "in_hidden": random(hidden, width),
        "in_bias": torch.zeros(hidden),
        "in_code": torch.zeros(code, hidden),
        "out_hidden": random(hidden, code),
        "out_bias": torch.zeros(hidden),
        "out_row": torch.zeros(width, hidden),
    }


def _reconstruct(rows: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    hidden = gelu(rows @ weights["in_hidden"].T + weights["in_bias"])
    code = rows @ weights["encode"].T + hidden @ weights["in_code"].T
    hidden = gelu(code @ weights["out_hidden"].T + weights["out_bias"])
    row: Tensor = code @ weights["decode"].T + hidden @ weights["out_row"].T
    return row
