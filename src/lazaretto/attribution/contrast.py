"""Whom wrong predictions draw on, beside what right ones of the same class draw on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.attribution.gradients import traced
from lazaretto.attribution.usual import shares_of, usual

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from lazaretto.attribution.inputs import Checked
    from lazaretto.attribution.usual import Usual

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

MOST_RIGHT = 200
"""Right predictions that are compared, per class."""
FEWEST_RIGHT = 40
"""Right predictions of a class below which it is not tested."""
FEWEST_WRONG = 5
"""Wrong predictions of a class below which it is not tested."""
_FEWEST_COMPARED = 4


@dataclass(frozen=True, slots=True)
class Tested:
    """One predicted class that can be tested.

    Attributes:
        rows: (records,) of the records whose label it is.
        share: (records,) share of each in the wrong predictions of the class.
        usual: what right predictions of it do to the same records.
    """

    rows: Ints
    share: Floats
    usual: Usual


@dataclass(frozen=True, slots=True)
class Contrast:
    """What `contrast` found.

    Attributes:
        drive: (n,) share of each record in the influence on the wrong predictions; only records
            whose label is the predicted class have one. Negative: it spoke against the prediction.
        usual: (n,) the same of right predictions of these classes.
        tested: predicted classes that can be tested.
        untested: predicted classes that have too few records or predictions for that.
    """

    drive: Floats
    usual: Floats
    tested: dict[int, Tested]
    untested: list[int]

    @property
    def excess(self) -> Floats:
        """(n,) what each record has of the wrong predictions beyond its usual share."""
        return self.drive - self.usual


def contrast(
    given: Checked,
    checkpoints: Sequence[Floats],
    inputs: Floats,
    wrong: Floats,
    right: Floats,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Contrast:
    """Compares wrong predictions with right ones of the same class.

    Sources differ in what they deliver, so that some records are closer to a prediction than
    others without any being at fault. Right predictions show how much of that is usual.

    Args:
        given: the checked input.
        checkpoints: weights of the probe.
        inputs: (n, d) of the training records.
        wrong: (m, d) of the wrong predictions.
        right: (r, d) of the right ones.
        seed: of the choice among more than `MOST_RIGHT` right predictions of a class.
        progress: called with classes done and classes in all.
    """
    n, asked = len(inputs), np.unique(given.wrong_class).tolist()
    drive, ordinary = np.zeros(n), np.zeros(n)
    tested: dict[int, Tested] = {}
    random = np.random.default_rng(seed)
    for done, label in enumerate(asked, start=1):
        rows = np.flatnonzero(given.labels == label)
        queries = np.flatnonzero(given.wrong_class == label)
        known = np.flatnonzero(given.right_class == label)
        mine = (checkpoints, inputs[rows], given.labels[rows])
        weigh, part = given.weights[rows][:, None], len(queries) / len(wrong)
        share = np.zeros(len(rows))
        if len(rows):
            found = weigh * traced(*mine, wrong[queries], given.wrong_class[queries])
            share = shares_of(found.sum(1))
            drive[rows] = part * share
        if len(rows) > 1 and len(known) >= _FEWEST_COMPARED:
            if len(known) > MOST_RIGHT:
                known = np.sort(random.choice(known, MOST_RIGHT, replace=False))
            scores = weigh * traced(*mine, right[known], given.right_class[known])
            compared = usual(given, rows, scores, right[known], len(queries))
            ordinary[rows] = part * compared.share
            if len(known) >= FEWEST_RIGHT and len(queries) >= FEWEST_WRONG:
                tested[label] = Tested(rows, share, compared)
        if progress is not None:
            progress(done, len(asked))
    return Contrast(drive, ordinary, tested, [label for label in asked if label not in tested])
