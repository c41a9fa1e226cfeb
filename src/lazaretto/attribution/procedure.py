"""The answer: who drove wrong predictions, and whether that is more than chance and place."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lazaretto.attribution.contrast import batch_units, contrast, source_units
from lazaretto.attribution.gradients import influence
from lazaretto.attribution.inputs import check
from lazaretto.attribution.probe import train, whitening
from lazaretto.attribution.report import Evidence, make_report
from lazaretto.attribution.units import as_they_are, spread_of
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
       when records of one label change places? Do its batches differ, when they change places
       within it? Each must also stand out more than in groups of right predictions, because
       sources differ in what they deliver without being at fault. What is particular to a source
       shows in its records of other labels, too, and is taken off before that. Only a source with
       more influence than usual is accused. Predicted classes are tested apart from each other.

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
    tests = _tests(given, compared, shuffles, seed, tell)
    evidence = Evidence(
        contrast=compared,
        influences=influences,
        source_p=tests.sources,
        batch_p=tests.batches,
        spread_p=tests.spreads,
        wrong_agrees=_agreement(final, wrong_inputs, given.wrong_class),
        right_agrees=_agreement(final, right_inputs, given.right_class),
        level=level,
        shuffles=shuffles,
        against=against,
    )
    return make_report(given, evidence)


class _Tests(NamedTuple):
    """p-values over all tested classes: of sources, of batches, of how far batches differ."""

    sources: Floats
    batches: Floats
    spreads: Floats


def _tests(given: Checked, compared: Contrast, shuffles: int, seed: int, tell: Progress) -> _Tests:
    n = len(given.source_names)
    smallest = _Tests(np.ones(n), np.ones(len(given.batch_names)), np.ones(n))
    spread = partial(spread_of, given.batch_source, n)
    for label, groups in compared.tested.items():
        rows = np.flatnonzero(given.labels == label)
        values = compared.excess[rows]
        name = given.classes[label]
        by_source, by_batch = source_units(given, rows), batch_units(given, rows)
        step = partial(tell, f"testing sources for class {name}")
        (chance,) = by_source.p_values(values, shuffles, seed, [as_they_are], step)
        seen = by_source.standardised(values[:, None])
        of_sources = seen[:, 0] - groups.slope * compared.beside[label]
        _lower(smallest.sources, chance, of_sources, groups.sources)
        step = partial(tell, f"testing batches for class {name}")
        alone, differing = by_batch.p_values(values, shuffles, seed, [as_they_are, spread], step)
        seen = by_batch.standardised(values[:, None])
        _lower(smallest.batches, alone, seen[:, 0], groups.batches)
        _lower(smallest.spreads, differing, spread(seen)[:, 0], groups.spreads)
    many = max(1, len(compared.tested))
    return _Tests(*(np.minimum(1.0, many * each) for each in smallest))


def _lower(smallest: Floats, chance: Floats, seen: Floats, ordinary: Floats) -> None:
    """Lowers p-values to those of one class: by chance, and among groups of right predictions."""
    ranks = (1 + (ordinary >= seen[:, None] - 1e-9).sum(1)) / (1 + len(ordinary))
    np.minimum(smallest, np.maximum(chance, ranks), out=smallest)


def _agreement(final: Floats, inputs: Floats, predicted: npt.NDArray[np.int64]) -> float | None:
    if not len(inputs):
        return None
    return float(((inputs @ final.T).argmax(1) == predicted).mean())
