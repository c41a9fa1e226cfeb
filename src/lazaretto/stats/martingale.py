"""One e-process per source: evidence that its batches drift together, valid whenever one looks."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, log, log1p, log2
from typing import TYPE_CHECKING

from lazaretto.stats.counts import beta_binomial, beta_binomial_moments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.values import OddRecords

POWERS = (0.1, 0.3, 0.5, 0.7, 0.9)
SMALL = 0.05
"""Record p-values up to it are counted."""
CLASSES = 4
"""Classes of batch tests' p-values to a factor of two."""
SMALLEST = 2.0**-40
"""Smaller p-values of batch tests are in one class with it."""
LOCAL_CAUTION = 4
"""A p-value of the tests that look at parts of a batch counts as so many times as large: a source's
batches share one reference, and its luck."""
REACH = 40.0
"""Standard deviations beyond which a beta-binomial has no mass worth adding up."""


@dataclass(frozen=True, slots=True)
class EProcess:
    """Evidence against "every batch of this source is clean".

    A mixture of power martingales (Vovk et al., 2003): each batch's p-value multiplies a bet by
    ``power * p ** (power - 1)``, whose mean is at most 1 for a valid p-value. Averaged over
    `POWERS`, and over the batches at which the drift may have begun, with prior weights
    ``1 / (t (t + 1))`` for a start at batch t. By Ville's inequality the chance that it ever
    reaches ``1 / alpha`` for a clean source is at most alpha, however often one looks. The batches'
    p-values must be valid given the past: see `batch_p_value`.

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


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What one batch contributes.

    Attributes:
        tests: smallest Holm-adjusted p-value of its enforced batch tests, which is Bonferroni over
            all that ran; None where none did.
        small: its scored records with a p-value of at most `SMALL`, counted before any is held.
        scored: its scored records.
        odd: its odd records by class, for `lazaretto.stats.slow`.
        known: those of the calibration.
        local: smallest p-value of the tests that look at parts of it (classes, neighbourhoods,
            groups), Bonferroni over them; None where none did.
        together: p-value of neighbourhoods over it and batches before it, for
            `lazaretto.stats.looks`; None where it was not looked at.
    """

    tests: float | None
    small: int
    scored: int
    odd: tuple[OddRecords, ...] = ()
    known: tuple[OddRecords, ...] = ()
    local: float | None = None
    together: float | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What a source's batches have contributed, in bounded memory, however many there were.

    Attributes:
        small: their records with a small p-value.
        scored: their scored records.
        tests: how many of their `BatchFacts.tests` lie in each class of p-values, by class.
        local: the same of their `BatchFacts.local`.
    """

    small: int = 0
    scored: int = 0
    tests: tuple[tuple[int, int], ...] = ()
    local: tuple[tuple[int, int], ...] = ()

    def after(self, batch: BatchFacts) -> Past:
        """With one more batch."""
        small, scored = self.small + batch.small, self.scored + batch.scored
        return Past(small, scored, _with(self.tests, batch.tests), _with(self.local, batch.local))


def _with(
    counts: tuple[tuple[int, int], ...], p_value: float | None
) -> tuple[tuple[int, int], ...]:
    """Counts by class, with one more p-value."""
    found = dict(counts)
    if p_value is not None:
        into = _class_of(p_value)
        found[into] = found.get(into, 0) + 1
    return tuple(sorted(found.items()))


def rank(p_value: float, counts: tuple[tuple[int, int], ...]) -> float:
    """Share of p-values up to this one, itself among them: rather too large than too small.

    A p-value counts where its class is not above that of `p_value`: where it is at most 1.19 times
    as large.

    Args:
        p_value: the new one.
        counts: those before, how many in each class.
    """
    mine = _class_of(p_value)
    below = sum(count for into, count in counts if into <= mine)
    return (1 + below) / (1 + sum(count for _, count in counts))


def _class_of(p_value: float) -> int:
    """Class of a p-value: they are `CLASSES` to a factor of two, and end at `SMALLEST`."""
    return ceil(CLASSES * log2(max(p_value, SMALLEST)))


def batch_p_value(batch: BatchFacts, before: Past, calibration_rows: int) -> float | None:
    """One p-value for a batch, valid given the source's batches before it.

    All batches of a source meet one frozen reference, so they share its luck: a p-value that is
    valid over references and batches is not valid given the reference, and a product of them grows
    by luck alone once the source has delivered more records than the reference has rows. The
    parts of this p-value take that out; Bonferroni joins the three.

    * Small record p-values. Over calibrations, the share of clean records with ``p <= SMALL`` is
      ``Beta(a, n + 1 - a)``, ``a = floor(SMALL * (n + 1))``. What the batches before have shown of
      it makes the count of this batch beta-binomial. They are counted before records are held, so
      a source whose poison is held batch by batch is seen.
    * Batch tests. They look at what record-level screening leaves, which in a clean batch is short
      of its most extreme records at most, so their p-values are rather too large. While the source
      has delivered fewer records than there are calibration rows they count as they are. After
      that counts their rank among those of the source's batches before, uniform whatever the
      luck, because clean batches are exchangeable (Vovk et al., 2003).
    * Tests of parts of the batch: the same, but `LOCAL_CAUTION` times as large while they count as
      they are.

    Args:
        batch: the batch.
        before: what the source's batches before contributed, screened against the same reference.
        calibration_rows: n, of that reference.

    Returns:
        None where nothing was scored or tested.
    """
    found = []
    if batch.scored:
        found.append(_count_p_value(batch, before, calibration_rows))
    early = before.scored + batch.scored <= calibration_rows
    if batch.tests is not None:
        found.append(batch.tests if early else rank(batch.tests, before.tests))
    if batch.local is not None:
        usual = min(1.0, LOCAL_CAUTION * batch.local)
        found.append(usual if early else rank(batch.local, before.local))
    return min(1.0, len(found) * min(found)) if found else None


def _count_p_value(batch: BatchFacts, before: Past, calibration_rows: int) -> float:
    """P(at least so many small p-values), given those of the batches before."""
    a = int(SMALL * (calibration_rows + 1) + 1e-9)
    if not a:
        return 1.0
    shape = a + before.small
    other = calibration_rows + 1 - a + before.scored - before.small
    mean, spread = beta_binomial_moments(batch.scored, shape, other)
    reach = int(REACH * spread) + 50
    last = min(batch.scored, max(batch.small, int(mean) + reach))
    mass = beta_binomial(batch.scored, shape, other, batch.small, last)
    return float(min(1.0, max(1e-300, mass.sum())))


def _log_add(first: float, second: float) -> float:
    high, low = max(first, second), min(first, second)
    return high if low == float("-inf") else high + log1p(exp(low - high))
