"""What would have been accused: records like the wrong predictions, planted in one batch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.attribution.contrast import contrast
from lazaretto.attribution.probe import train
from lazaretto.attribution.result import Planted
from lazaretto.attribution.testing import TESTS, run_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from lazaretto.attribution.contrast import Contrast
    from lazaretto.attribution.inputs import Checked

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

DOSES = (50, 15, 5)
"""Records planted in one batch, most first."""
TRIALS = 5
ENOUGH = 0.8
"""Share of the trials that must be accused, for a dose to count as seen."""
_LARGEST_PART = 0.5


def plant(
    given: Checked,
    compared: Contrast,
    inputs: Floats,
    wrong: Floats,
    right: Floats,
    *,
    level: float,
    seed: int,
    doses: Sequence[int] = DOSES,
    progress: Callable[[int, int], None] | None = None,
) -> list[Planted]:
    """Plants records in batches, one batch at a time, and tests as for the wrong predictions.

    A planted record lies between two of the wrong predictions, so it is of their kind for the
    model; it has the predicted class as its label, and takes the place of a record with another
    one. That is what a source would have delivered if it had taught the model these mistakes.
    The probe is trained anew; the features are those of the model as it is. Smaller doses are
    left out once one is not seen.

    Args:
        given: the checked input.
        compared: its contrast; the tested class with most wrong predictions is planted.
        inputs: (n, d) of the training records.
        wrong: (m, d) of the wrong predictions.
        right: (r, d) of the right ones.
        level: at which a source is accused.
        seed: of the choice of batches and records.
        doses: records in one batch, most first.
        progress: called with trials done and trials in all.

    Returns:
        One for each dose that was tried, at most half of the batch that it was planted in.
    """
    many = len(compared.tested)
    if not many:
        return []
    label = max(compared.tested, key=lambda c: (int((given.wrong_class == c).sum()), -c))
    mine = given.wrong_class == label
    one = replace(given, wrong=given.wrong[mine], wrong_class=given.wrong_class[mine])
    allowed = level / (TESTS * many)
    shuffles = int(np.ceil(1 / allowed))
    found: list[Planted] = []
    done = 0
    for dose in doses:
        accused = records = 0
        for trial in range(TRIALS):
            random = np.random.default_rng([seed, dose, trial])
            source, rows = _places(given, label, dose, random)
            records += len(rows)
            if len(rows):
                accused += _accused(
                    one, inputs, wrong[mine], right, rows, source, label, random, allowed, shuffles
                )
            done += 1
            if progress is not None:
                progress(done, len(doses) * TRIALS)
        found.append(Planted(round(records / TRIALS), TRIALS, accused))
        if accused < ENOUGH * TRIALS:
            break
    return found


def _places(given: Checked, label: int, dose: int, random: np.random.Generator) -> tuple[int, Ints]:
    """A source, and records of one of its batches that have another label."""
    source = int(random.integers(len(given.source_names)))
    batch = random.choice(np.flatnonzero(given.batch_source == source))
    there = given.batches == batch
    others = np.flatnonzero(there & (given.labels != label))
    most = min(dose, len(others), int(_LARGEST_PART * there.sum()))
    return source, random.choice(others, most, replace=False)


def _accused(
    given: Checked,
    inputs: Floats,
    wrong: Floats,
    right: Floats,
    rows: Ints,
    source: int,
    label: int,
    random: np.random.Generator,
    allowed: float,
    shuffles: int,
) -> bool:
    labels, changed = given.labels.copy(), inputs.copy()
    pairs = random.integers(0, len(wrong), (2, len(rows)))
    part = random.random((len(rows), 1))
    changed[rows] = part * wrong[pairs[0]] + (1 - part) * wrong[pairs[1]]
    labels[rows] = label
    now = replace(given, labels=labels)
    *checkpoints, _ = train(changed, labels, given.weights, len(given.classes))
    compared = contrast(now, checkpoints, changed, wrong, right, seed=0)
    tests = run_tests(now, compared, shuffles, 0, lambda *_: None)
    more = compared.excess[(labels == label) & (given.sources == source)].sum() > 0
    smallest = min(float(each[source]) for each in tests[:TESTS])
    return bool(more and smallest <= allowed)
