"""The answer: who drove wrong predictions, and whether that is more than chance and place."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.attribution.contrast import batch_units, contrast, source_units
from lazaretto.attribution.gradients import influence
from lazaretto.attribution.inputs import check
from lazaretto.attribution.probe import train, whitening
from lazaretto.attribution.report import Evidence, make_report
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from lazaretto.attribution.contrast import Contrast
    from lazaretto.attribution.inputs import Checked, Queries, Training
    from lazaretto.attribution.result import Attribution

    Floats = npt.NDArray[np.float64]
    Progress = Callable[[str, int, int], None]

SHUFFLES = 1999


def attribute(
    training: Training,
    wrong: Queries,
    right: Queries,
    *,
    level: float = 0.01,
    shuffles: int = SHUFFLES,
    seed: int = 0,
    against: Sequence[str] = (),
    progress: Progress | None = None,
) -> Attribution:
    """Says which training records, batches and sources drove wrong predictions of a model.

    1. A short linear probe is trained on the features that go into the model's last layer. A
       record's influence on a prediction is the dot product of their gradients, averaged over the
       probe's checkpoints (TracIn). Only records whose label is the predicted class count.
    2. A record's share in the wrong predictions, less its share in right predictions of the same
       class, is summed to batches and sources.
    3. A source is accused by two tests, at half the level each. Does it stand out among sources,
       when records of one label change places? Does one of its batches, among its own? Each must
       also stand out more than in groups of right predictions, because sources differ in what they
       deliver without being at fault. Predicted classes are tested apart from each other.

    The order of the records and rows makes no difference.

    Args:
        training: features, labels, batches and sources of the records that the model learned from.
        wrong: predictions that were wrong.
        right: predictions on rows that it did not learn from, which were right.
        level: chance of accusing anybody where nobody is to blame.
        shuffles: how often records change places in each test.
        seed: of the shuffling.
        against: reasons of yours for accusing nobody, which are told with the answer.
        progress: called with what is done, steps done and steps in all.

    Raises:
        UsageError: the arguments do not fit together.

    Examples:
        >>> import numpy as np
        >>> from lazaretto.attribution import Queries, Training, attribute
        >>> random = np.random.default_rng(0)
        >>> labels = np.repeat(["cat", "dog"], 300)
        >>> features = random.normal(size=(600, 5)) + 4 * (labels == "dog")[:, None]
        >>> features[540:, 0] -= 8  # the last 60 dogs look different
        >>> sources = ["mallory" if row >= 540 else "abc"[row % 3] for row in range(600)]
        >>> ids = [str(row) for row in range(600)]
        >>> known = Training(features, labels, ids, sources, sources)
        >>> odd = random.normal(size=(20, 5)) + [-4, 4, 4, 4, 4]
        >>> held_out = np.repeat(["cat", "dog"], 150)
        >>> rows = random.normal(size=(300, 5)) + 4 * (held_out == "dog")[:, None]
        >>> attribute(known, Queries(odd, ["dog"] * 20), Queries(rows, held_out)).accused
        ['mallory']
    """
    if not 0 < level < 1 or shuffles < 1:
        raise UsageError("level is a chance between 0 and 1, shuffles at least one")
    tell: Progress = progress or (lambda *_: None)
    given = check(training, wrong, right)
    white = whitening(given.features)
    inputs, wrong_inputs = white(given.features), white(given.wrong)
    right_inputs = white(given.right)
    *checkpoints, final = train(
        inputs,
        given.labels,
        given.weights,
        len(given.classes),
        progress=lambda done, size: tell("training a probe", done, size),
    )
    compared = contrast(
        given,
        checkpoints,
        inputs,
        wrong_inputs,
        right_inputs,
        seed,
        progress=lambda done, size: tell("tracing gradients, by class", done, size),
    )
    influences = influence(
        final, inputs, given.labels, given.weights, wrong_inputs, given.wrong_class
    )
    by_source, by_batch = _tests(given, compared, shuffles, seed, tell)
    evidence = Evidence(
        contrast=compared,
        influences=influences,
        source_p=by_source,
        batch_p=by_batch,
        wrong_agrees=_agreement(final, wrong_inputs, given.wrong_class),
        right_agrees=_agreement(final, right_inputs, given.right_class),
        level=level,
        shuffles=shuffles,
        against=against,
    )
    return make_report(given, evidence)


def _tests(
    given: Checked, compared: Contrast, shuffles: int, seed: int, tell: Progress
) -> tuple[Floats, Floats]:
    """p-values of the sources, and of the batches within their sources, over tested classes."""
    sources, batches = np.ones(len(given.source_names)), np.ones(len(given.batch_names))
    for label, groups in compared.tested.items():
        rows = np.flatnonzero(given.labels == label)
        values = compared.excess[rows]
        for smallest, units, ordinary, what in (
            (sources, source_units(given, rows), groups.sources, "sources"),
            (batches, batch_units(given, rows), groups.batches, "batches"),
        ):
            seen = units.standardised(values[:, None])[:, 0]
            ranks = (1 + (ordinary >= seen[:, None] - 1e-9).sum(1)) / (1 + len(ordinary))
            step = f"testing {what} for class {given.classes[label]}"
            by_chance = units.p_values(values, shuffles, seed, partial(tell, step))
            np.minimum(smallest, np.maximum(by_chance, ranks), out=smallest)
    many = max(1, len(compared.tested))
    return np.minimum(1.0, many * sources), np.minimum(1.0, many * batches)


def _agreement(final: Floats, inputs: Floats, predicted: npt.NDArray[np.int64]) -> float | None:
    if not len(inputs):
        return None
    return float(((inputs @ final.T).argmax(1) == predicted).mean())
