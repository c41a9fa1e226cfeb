"""Put what was found into words and tables; say what cannot be said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.attribution.contrast import FEWEST_RIGHT, FEWEST_WRONG
from lazaretto.attribution.power import ENOUGH
from lazaretto.attribution.result import Attribution, BatchShare, SourceShare
from lazaretto.attribution.testing import TESTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lazaretto.attribution.contrast import Contrast
    from lazaretto.attribution.inputs import Checked
    from lazaretto.attribution.result import Planted
    from lazaretto.attribution.testing import Tests

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

FOUND_BY = ("records", "batches", "source")
"""Names of these tests: its records reach further, its batches differ, all of it stands out."""
LEAST_AGREEMENT_RIGHT = 0.8
"""Of probe and model on right predictions: below it, the features are not what the model uses."""
LEAST_AGREEMENT_WRONG = 0.2
"""The same on wrong ones: below it, the probe does not show what made them."""
_MOST_LEFT_OUT = 0.05


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was found, record by record and unit by unit.

    Attributes:
        contrast: shares of each record.
        influences: (n,) last-layer influence of each record.
        tests: p-values of sources and batches.
        wrong_agrees: share of the wrong predictions that the probe makes, too.
        right_agrees: the same of the right ones.
        level: at which a source is accused.
        shuffles: made in each test.
        against: reasons that were known before for accusing nobody.
    """

    contrast: Contrast
    influences: Floats
    tests: Tests
    wrong_agrees: float | None
    right_agrees: float | None
    level: float
    shuffles: int
    against: Sequence[str]


def make_report(given: Checked, evidence: Evidence) -> Attribution:
    """Sums records to batches and sources, and decides whom to accuse."""
    smallest = _smallest_p(evidence)
    cannot = _cannot_say(given, evidence, smallest)
    mine = np.isin(given.labels, np.unique(given.wrong_class))
    sources = _sources(given, evidence, mine, may_accuse=not cannot)
    return Attribution(
        sources=sources,
        batches=_batches(given, evidence, mine),
        records=_records(given, evidence, np.flatnonzero(mine)),
        level=evidence.level,
        smallest_p=smallest,
        wrong=len(given.wrong),
        right=len(given.right),
        agreement_wrong=evidence.wrong_agrees or 0.0,
        agreement_right=evidence.right_agrees,
        cannot_say=cannot,
        notes=_notes(given, evidence),
    )


def with_planted(found: Attribution, planted: Sequence[Planted]) -> Attribution:
    """The answer that accuses nobody, with what would have been accused."""
    blind = [] if not planted else [_blind(planted[0])]
    cannot = [*found.cannot_say, *[words for words in blind if words]]
    return replace(found, planted=list(planted), cannot_say=cannot)


def _blind(most: Planted) -> str:
    if most.accused >= ENOUGH * most.trials:
        return ""
    return (
        f"even {most.records} records like these, planted in one batch, are accused in only "
        f"{most.accused} of {most.trials} trials: these rows cannot tell a guilty source. "
        "Give more wrong predictions of one kind"
    )


def _smallest_p(evidence: Evidence) -> float:
    """The smallest p-value of a source that these data could give."""
    tested = len(evidence.contrast.tested)
    return min(1.0, TESTS * tested / (1 + evidence.shuffles)) if tested else 1.0


def _cannot_say(given: Checked, evidence: Evidence, smallest: float) -> list[str]:
    found, right, tested = [*evidence.against], evidence.right_agrees, evidence.contrast.tested
    if not tested:
        found.append(
            f"no predicted class has {FEWEST_WRONG} wrong predictions, {FEWEST_RIGHT} right ones "
            "and training records: give more rows"
        )
    elif smallest > evidence.level:
        needed = int(np.ceil(TESTS * len(tested) / evidence.level)) - 1
        found.append(
            f"{evidence.shuffles} shuffles: accusing at {evidence.level:g} with {len(tested)} "
            f"predicted classes needs {needed}"
        )
    if right is not None and right < LEAST_AGREEMENT_RIGHT:
        found.append(
            f"the probe makes {right:.0%} of the right predictions, and "
            f"{LEAST_AGREEMENT_RIGHT:.0%} are needed: are these the features that go into the "
            "model's last layer?"
        )
    if (evidence.wrong_agrees or 0.0) < LEAST_AGREEMENT_WRONG:
        found.append(
            f"the probe makes {evidence.wrong_agrees or 0.0:.0%} of the wrong predictions, and "
            f"{LEAST_AGREEMENT_WRONG:.0%} are needed: it does not show what made them"
        )
    everything = len(given.ids) + given.left_out
    if given.left_out > _MOST_LEFT_OUT * everything:
        found.append(
            f"{given.left_out} of {everything} training records have no usable features, or no "
            "known label, batch or source"
        )
    return found


def _notes(given: Checked, evidence: Evidence) -> list[str]:
    found = []
    if evidence.contrast.untested:
        names = [given.classes[label] for label in evidence.contrast.untested]
        found.append(
            f"not tested, because there are too few rows: predictions of {', '.join(names[:10])}"
            f"{' and others' if len(names) > 10 else ''}"
        )
    if given.left_out:
        found.append(f"{given.left_out} training records were left out")
    if len(given.source_names) == 1:
        found.append("there is one source: only its batches could be compared with each other")
    return found


def _sources(
    given: Checked, evidence: Evidence, mine: npt.NDArray[np.bool_], *, may_accuse: bool
) -> list[SourceShare]:
    n = len(given.source_names)
    share, usual, count = _sums(evidence, mine, given.sources, n)
    by_influence = _influence_shares(given, evidence, mine, n)
    by_test = np.minimum(1.0, TESTS * np.stack(evidence.tests[:TESTS]))
    by_test[:, share <= usual] = 1.0
    p_values = by_test.min(0)
    accused = may_accuse & (p_values <= evidence.level)
    order = np.lexsort((np.arange(n), -(share - usual), ~accused))
    return [
        SourceShare(
            source=given.source_names[k],
            records=int(count[k]),
            share=float(share[k]),
            usual=float(usual[k]),
            influence=float(by_influence[k]),
            p_value=float(p_values[k]),
            accused=bool(accused[k]),
            found_by=[
                words
                for words, p in zip(FOUND_BY, by_test[:, k], strict=True)
                if may_accuse and p <= evidence.level
            ],
        )
        for k in order
    ]


def _batches(given: Checked, evidence: Evidence, mine: npt.NDArray[np.bool_]) -> list[BatchShare]:
    n = len(given.batch_names)
    share, usual, count = _sums(evidence, mine, given.batches, n)
    order = np.lexsort((np.arange(n), -(share - usual)))
    return [
        BatchShare(
            batch=given.batch_names[k],
            source=given.source_names[given.batch_source[k]],
            records=int(count[k]),
            share=float(share[k]),
            usual=float(usual[k]),
            p_value=float(evidence.tests.batches[k]),
        )
        for k in order
    ]


def _records(given: Checked, evidence: Evidence, rows: Ints) -> pa.Table:
    excess = evidence.contrast.excess[rows]
    rows = rows[np.lexsort((rows, -excess))]
    return pa.table(
        {
            "record_id": pa.array([given.ids[row] for row in rows], pa.string()),
            "batch": pa.array([given.batch_names[b] for b in given.batches[rows]], pa.string()),
            "source": pa.array([given.source_names[s] for s in given.sources[rows]], pa.string()),
            "label": pa.array([given.classes[c] for c in given.labels[rows]], pa.string()),
            "share": evidence.contrast.drive[rows],
            "usual": evidence.contrast.usual[rows],
            "influence": evidence.influences[rows],
        }
    )


def _sums(
    evidence: Evidence, mine: npt.NDArray[np.bool_], units: Ints, n: int
) -> tuple[Floats, Floats, Ints]:
    found = evidence.contrast
    share = np.bincount(units[mine], found.drive[mine], n).astype(np.float64)
    usual = np.bincount(units[mine], found.usual[mine], n).astype(np.float64)
    return share, usual, np.bincount(units[mine], minlength=n).astype(np.int64)


def _influence_shares(
    given: Checked, evidence: Evidence, mine: npt.NDArray[np.bool_], n: int
) -> Floats:
    values = evidence.influences[mine]
    total = max(float(np.abs(values).sum()), 1e-300)
    return np.bincount(given.sources[mine], values / total, n).astype(np.float64)
