"""One e-process per source: evidence that its batches drift together, valid whenever one looks."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, log1p
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

POWERS = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, slots=True)
class EProcess:
    """Evidence against "every batch of this source is clean".

    A mixture of power martingales (Vovk et al., 2003): each batch's p-value multiplies a bet by
    ``power * p ** (power - 1)``, whose mean is at most 1 for a valid p-value. Averaged over
    `POWERS`, and over the batches at which the drift may have begun, with prior weights
    ``1 / (t (t + 1))`` for a start at batch t. By Ville's inequality the chance that it ever
    reaches ``1 / alpha`` for a clean source is at most alpha, however often one looks. The batches'
    p-values must be valid given the past, as they are against one frozen reference up to its own
    luck.

    Values, not state kept anywhere: fold a source's p-values in their order of arrival.

    Attributes:
        batches: how many were folded in.
        logs: log of the mixture over starts so far, per power; `started` weight included.
    """

    batches: int = 0
    logs: tuple[float, ...] = (float("-inf"),) * len(POWERS)

    def update(self, p_value: float) -> EProcess:
        """After one more batch.

        Args:
            p_value: of the batch, between 0 and 1; zero counts as the smallest float.

        Raises:
            ValueError: outside that range.
        """
        if not 0 <= p_value <= 1:
            raise ValueError(f"a p-value lies between 0 and 1, not at {p_value}")
        t = self.batches + 1
        start = -log(t * (t + 1))
        step = log(max(p_value, 1e-300))
        logs = tuple(
            _log_add(known, start) + log(power) + (power - 1) * step
            for power, known in zip(POWERS, self.logs, strict=True)
        )
        return EProcess(t, logs)

    @property
    def log_value(self) -> float:
        """Log of the evidence; starts still to come keep their prior weight, at a bet of 1."""
        total = -log(self.batches + 1)
        for value in self.logs:
            total = _log_add(total, value - log(len(POWERS)))
        return total

    @property
    def value(self) -> float:
        """The evidence: 1 at the start, at most 1 on average for a clean source."""
        return exp(min(self.log_value, 700.0))

    def raises(self, alpha: float) -> bool:
        """Whether the evidence has reached ``1 / alpha``."""
        return self.log_value >= -log(alpha)


def fold(p_values: Iterable[float]) -> EProcess:
    """The e-process after these p-values, in order."""
    process = EProcess()
    for p_value in p_values:
        process = process.update(p_value)
    return process


def batch_p_value(adjusted: Iterable[float], excess: float | None = None) -> float:
    """One valid p-value for a batch, from those of its tests.

    The smallest Holm-adjusted p-value is Bonferroni over all tests that ran: their number times the
    smallest one. It stays valid when only some of them, such as the enforced ones, are given. The
    batch tests look at what record-level screening leaves, and in a clean batch that takes away the
    most extreme records at most: the tests then see less than there is, so their p-values are too
    large rather than too small. For the same reason they miss a source whose poison is held batch
    by batch; `excess` sees it, because it counts all scored records, held ones included.

    Args:
        adjusted: Holm-adjusted p-values of batch tests.
        excess: p-value of the excess of small record p-values before anything is held
            (`lazaretto.calibrate.excess_of_small_p`); None where it is not known.
    """
    smallest = min(adjusted, default=None)
    known = [p for p in (smallest, excess) if p is not None]
    return min(1.0, len(known) * min(known)) if known else 1.0


def _log_add(first: float, second: float) -> float:
    high, low = max(first, second), min(first, second)
    return high if low == float("-inf") else high + log1p(exp(low - high))
