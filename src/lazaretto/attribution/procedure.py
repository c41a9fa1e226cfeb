"""The answer: who drove wrong predictions, and whether that is more than chance and place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.attribution.contrast import contrast
from lazaretto.attribution.gradients import influence
from lazaretto.attribution.inputs import check
from lazaretto.attribution.power import plant
from lazaretto.attribution.probe import train, whitening
from lazaretto.attribution.report import Evidence, make_report, with_planted
from lazaretto.attribution.testing import run_tests
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from lazaretto.attribution.inputs import Queries, Training
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
    may_plant: bool = True,
    progress: Progress | None = None,
) -> Attribution:
    """Says which training records, batches and sources drove wrong predictions of a model.

    1. A short linear probe is trained on the features that go into the model's last layer. A
       record's influence on a prediction is the dot product of their gradients, averaged over the
       probe's checkpoints (TracIn). Only records whose label is the predicted class count.
    2. A record's share in the wrong predictions, less its share in right predictions of the same
       class, is summed to batches and sources.
    3. A source is accused by three tests (`lazaretto.attribution.testing`), at a third of the
       level each. Do its records pull on the wrong predictions beyond their reach, which is the
       most that any group of right predictions takes of them? Do its batches differ, when records
       change places within it? Does all of it stand out among sources? Predicted classes are
       tested apart from each other. Only a source with more influence than usual is accused.

    The level holds exactly where nobody is to blame and records of one label are alike, wherever
    they come from: then they may change places. Where sources differ, what right predictions do
    with them is taken off; how well that goes is measured in `benchmarks/results/attribution.md`.

    The order of the records and rows makes no difference.

    Args:
        training: features, labels, batches and sources of the records that the model learned from.
        wrong: predictions that were wrong.
        right: predictions on rows that it did not learn from, which were right.
        level: chance of accusing anybody where nobody is to blame.
        shuffles: how often records change places in each test.
        seed: of the shuffling.
        against: reasons of yours for accusing nobody, which are told with the answer.
        may_plant: where nobody is accused, records are planted to see whom it would have accused;
            where it would have accused nobody, nothing can be said.
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
    tests = run_tests(given, compared, shuffles, seed, tell)
    evidence = Evidence(
        contrast=compared,
        influences=influences,
        tests=tests,
        wrong_agrees=_agreement(final, wrong_inputs, given.wrong_class),
        right_agrees=_agreement(final, right_inputs, given.right_class),
        level=level,
        shuffles=shuffles,
        against=against,
    )
    found = make_report(given, evidence)
    if not may_plant or found.accused or found.cannot_say:
        return found
    planted = plant(
        given,
        compared,
        inputs,
        wrong_inputs,
        right_inputs,
        level=level,
        seed=seed,
        progress=lambda done, size: tell(
            "planting records, to see whom it would accuse", done, size
        ),
    )
    return with_planted(found, planted)


def _agreement(final: Floats, inputs: Floats, predicted: npt.NDArray[np.int64]) -> float | None:
    if not len(inputs):
        return None
    return float(((inputs @ final.T).argmax(1) == predicted).mean())
