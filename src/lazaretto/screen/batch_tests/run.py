"""Runs the batch tests of a policy on what record-level screening left, Holm across them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.screen._pool import small_p_values
from lazaretto.screen._seed import seed_for
from lazaretto.screen.batch_tests.base import Outcome, Pair
from lazaretto.screen.batch_tests.class_spread import class_spread
from lazaretto.screen.batch_tests.label_shift import label_shift
from lazaretto.screen.batch_tests.near_duplicates import near_duplicates
from lazaretto.screen.batch_tests.two_sample import energy, mmd
from lazaretto.stats.conformal import excess_of_small_p
from lazaretto.stats.multiple import holm
from lazaretto.stats.pooled import Part
from lazaretto.values import REPORTED_ONLY, TestSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._pool import Pool
    from lazaretto.screen._score import Scored

LOCAL = "near_duplicates"
SHADOW_ROWS, SHADOW_SHARE = 250, 0.1
"""A test in shadow looks at so many rows of either side, or at this share of the batch, where that
is more: what holds nothing must not cost a small batch more than what does."""
TRUSTED_ROWS = 2000
"""Rows of the reference that a batch is compared with, at least, where it has so many: of fewer, it
would hang on the draw whether a batch that differs a little is held."""
_WHOLE: dict[str, Callable[[Pair], Outcome]] = {
    "class_spread": class_spread,
    "mmd": mmd,
    "energy": energy,
    "label_shift": label_shift,
}


@dataclass(frozen=True, slots=True)
class Tested:
    """Outcome of the batch tests.

    Attributes:
        tests: every test that is not off, with Holm-adjusted p-values.
        fired: the enforced tests that fired and name no records: reasons to hold the batch.
        copies: positions of records that `near_duplicates` names, if it is enforced and fired.
        copies_text: what it says of them.
        copies_of: their vectors, float32 (s, d).
        radius: how close to one of them another record of the batch must be to be a copy too.
    """

    tests: list[TestSummary]
    fired: list[str]
    copies: npt.NDArray[np.int64]
    copies_text: str
    copies_of: Floats
    radius: float


def run_tests(
    scored: Scored,
    held: npt.NDArray[np.bool_],
    reference: Reference,
    policy: Policy,
    pool: Pool | None = None,
) -> Tested:
    """Tests the records that are not held: is what would be admitted like the reference?

    Holding the most extreme records first makes the tests conservative on clean batches. Copies are
    looked for first, and left out of the other tests, which they would make fire as well.

    Args:
        scored: the batch.
        held: what record-level screening holds, bool (m,).
        reference: to compare with.
        policy: which tests, at which level.
        pool: other small batches of the source; `small_p_values` looks at them, too.
    """
    modes = {name: mode for name, mode in policy.screen.test_modes.items() if mode != "off"}
    for name in ("broad_excess", "neighbourhood", "group_excess"):
        modes.pop(name, None)  # look before this, at levels of their own
    if reference.label is None:
        modes.pop("label_shift", None)
    alpha = policy.screen.batch.alpha
    keep = ~held & ~np.isnan(scored.p_value)
    outcomes: dict[str, Outcome] = {}
    pair, position = _pair(scored, keep, reference, alpha / max(1, len(modes)))
    copies = np.empty(0, dtype=np.int64)
    if LOCAL in modes and len(pair.batch):
        outcomes[LOCAL] = near_duplicates(pair)
        members = outcomes[LOCAL].members
        if members is not None and outcomes[LOCAL].p_value <= alpha / len(modes):
            copies = position[members]
            keep[copies] = False
            left = ~members
            labels = pair.batch_label
            pair = replace(
                pair,
                batch=pair.batch[left],
                batch_label=None if labels is None else labels[left],
            )
    if "small_p_values" in modes and keep.any() and pool is not None:
        usable = ~np.isnan(scored.p_value)
        own = Part(scored.p_value[usable], scored.calibration.group[usable], ~keep[usable])
        outcomes["small_p_values"] = Outcome(*small_p_values(own, scored.calibration, pool, policy))
    elif "small_p_values" in modes and keep.any():
        found = excess_of_small_p(scored.p_value[keep], scored.calibration.keep(keep))
        outcomes["small_p_values"] = Outcome(
            found.p_value,
            f"{found.count} of {int(keep.sum())} records that are not held have p <= 0.05; "
            f"{found.expected:.1f} are expected",
        )
    shadowed = max(SHADOW_ROWS, int(SHADOW_SHARE * len(scored)))
    for name, test in _WHOLE.items():
        if name in modes and len(pair.batch):
            outcomes[name] = test(pair if modes[name] == "enforce" else pair.first(shadowed))
    return _tested(outcomes, modes, alpha, copies, scored)


def _tested(
    outcomes: dict[str, Outcome],
    modes: Mapping[str, str],
    alpha: float,
    copies: npt.NDArray[np.int64],
    scored: Scored,
) -> Tested:
    adjusted = holm([outcome.p_value for outcome in outcomes.values()])
    tests, fired = [], []
    for (name, outcome), p_value in zip(outcomes.items(), adjusted, strict=True):
        enforced = modes[name] == "enforce"
        detail = outcome.detail if enforced else f"{outcome.detail}. {REPORTED_ONLY}"
        tests.append(TestSummary(name, p_value, alpha, p_value <= alpha, detail))
        if p_value <= alpha and enforced and (name != LOCAL or not len(copies)):
            fired.append(name)
    named = copies if modes.get(LOCAL) == "enforce" else copies[:0]
    inside = np.isin(scored.sample.position, named)
    local = outcomes.get(LOCAL)
    return Tested(
        tests,
        fired,
        named,
        "" if local is None else local.detail,
        scored.sample.embedding[inside],
        0.0 if local is None else local.radius,
    )


def _pair(
    scored: Scored, keep: npt.NDArray[np.bool_], reference: Reference, resolution: float
) -> tuple[Pair, npt.NDArray[np.int64]]:
    """Samples of what is left and of the reference, in random order; the former's positions."""
    sample = scored.sample
    order = np.argsort(sample.key, kind="stable")
    order = order[keep[sample.position[order]]]
    rng = np.random.default_rng(seed_for(scored.seed, "trusted rows"))
    known = rng.permutation(reference.rows)[: max(len(sample.position), TRUSTED_ROWS)]
    labels = reference.sample.label
    pair = Pair(
        batch=sample.embedding[order],
        reference=reference.sample.embedding[known],
        batch_label=None if sample.label is None else sample.label[order],
        reference_label=None if labels is None else labels[known],
        classes=reference.classes,
        resolution=resolution,
        seed=seed_for(scored.seed, "batch tests"),
    )
    return pair, sample.position[order]
