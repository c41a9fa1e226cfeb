"""Which records drove wrong predictions: the sums are right, and only the guilty are accused."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.activations import capture
from lazaretto.attribution import Attribution, Queries, Training, attribute
from lazaretto.attribution.gradients import influence, traced
from lazaretto.attribution.probe import residuals, softmax, train, whitening
from lazaretto.attribution.report import with_planted
from lazaretto.attribution.units import Statistic, Units, as_they_are, spread_of
from lazaretto.attribution.usual import noise_of_others
from lazaretto.demo.digits import TARGET, load_split, stamp_trigger
from lazaretto.demo.network import train as train_network
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# The mathematics.


def _small(seed: int = 0, n: int = 40, m: int = 6) -> tuple[Any, ...]:
    random = np.random.default_rng(seed)
    inputs = np.hstack([random.normal(size=(n, 4)), np.ones((n, 1))])
    labels = random.integers(0, 3, n)
    queries = np.hstack([random.normal(size=(m, 4)), np.ones((m, 1))])
    return inputs, labels, queries, random.integers(0, 3, m)


def _gradients(weights: Floats, inputs: Floats, labels: npt.NDArray[np.int64]) -> torch.Tensor:
    """One gradient per row, by autograd."""
    rows = []
    for x, y in zip(inputs, labels, strict=True):
        w = torch.tensor(weights, requires_grad=True)
        loss = torch.nn.functional.cross_entropy((w @ torch.tensor(x))[None], torch.tensor([y]))
        (slope,) = torch.autograd.grad(loss, w)
        rows.append(slope.ravel())
    return torch.stack(rows)


def test_the_factored_products_are_those_of_autograd_s_gradients() -> None:
    inputs, labels, queries, predicted = _small()
    checkpoints = train(inputs, labels, np.ones(len(labels)), 3, steps=6, checkpoints=3)
    wanted = sum(
        _gradients(w, inputs, labels) @ _gradients(w, queries, predicted).T for w in checkpoints
    ) / len(checkpoints)
    assert np.allclose(traced(checkpoints, inputs, labels, queries, predicted), wanted.numpy())


def test_the_factored_products_are_those_of_captum() -> None:
    """Its TracIn for a last layer, where it is installed; it sums where ours averages."""
    influences = pytest.importorskip("captum.influence")
    inputs, labels, queries, predicted = _small()
    checkpoints = train(inputs, labels, np.ones(len(labels)), 3, steps=6, checkpoints=3)[:3]
    layer = torch.nn.Linear(5, 3, bias=False, dtype=torch.float64)  # it leaves biases out

    def place(_: object, number: int) -> float:
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(checkpoints[number]))
        return 1.0

    rows = torch.utils.data.TensorDataset(torch.from_numpy(inputs), torch.from_numpy(labels))
    theirs = influences.TracInCPFast(
        torch.nn.Sequential(layer),
        layer,
        rows,
        [0, 1, 2],
        checkpoints_load_func=place,
        loss_fn=torch.nn.CrossEntropyLoss(reduction="sum"),
        batch_size=8,
    )
    asked = (torch.from_numpy(queries), torch.from_numpy(predicted))
    wanted = theirs.influence(asked).numpy() / 3
    assert np.allclose(traced(checkpoints, inputs, labels, queries, predicted), wanted.T)


def _minimum(inputs: Floats, labels: npt.NDArray[np.int64], share: Floats, ridge: float) -> Floats:
    """The minimum of the mean loss with a ridge, by Newton's method."""
    w = np.zeros(3 * inputs.shape[1])
    for _ in range(12):
        weights = w.reshape(3, -1)
        slope = (residuals(weights, inputs, labels) * share[:, None]).T @ inputs
        chances = softmax(inputs @ weights.T)
        curved = np.eye(3) * chances[:, :, None] - chances[:, :, None] * chances[:, None, :]
        hessian = np.einsum("n,nab,ni,nj->aibj", share, curved, inputs, inputs)
        hessian = hessian.reshape(len(w), len(w)) + ridge * np.eye(len(w))
        w = w - np.linalg.solve(hessian, slope.ravel() + ridge * w)
    return w.reshape(3, -1)


def test_influence_is_what_leaving_a_record_out_does() -> None:
    ridge, n = 0.1, 120
    inputs, labels, queries, predicted = _small(n=n)
    weights = _minimum(inputs, labels, np.full(n, 1 / n), ridge)

    def loss(w: Floats) -> float:
        chances = softmax(queries @ w.T)[np.arange(len(predicted)), predicted]
        return float(-np.log(chances).mean())

    found = influence(weights, inputs, labels, np.ones(n), queries, predicted, damping=ridge)
    left_out = []
    for row in range(n):
        share = np.full(n, 1 / n)
        share[row] = 0
        left_out.append(loss(_minimum(inputs, labels, share, ridge)) - loss(weights))
    assert np.corrcoef(found, left_out)[0, 1] > 0.995
    assert np.allclose(found, left_out, atol=0.2 * np.abs(left_out).max())


def test_the_probe_goes_to_the_minimum_that_newton_finds() -> None:
    inputs, labels, _, _ = _small()
    share = np.full(len(labels), 1 / len(labels))
    *_, final = train(inputs, labels, share, 3, steps=2000, ridge=0.1)
    assert np.allclose(final, _minimum(inputs, labels, share, 0.1), atol=1e-5)


def test_a_weight_of_two_is_a_record_twice() -> None:
    inputs, labels, queries, predicted = _small()
    weights = np.ones(len(labels))
    weights[:7] = 2
    twice = np.r_[np.arange(len(labels)), np.arange(7)]
    *_, one = train(inputs, labels, weights, 3)
    *_, other = train(inputs[twice], labels[twice], np.ones(len(twice)), 3)
    assert np.allclose(one, other)
    first = influence(one, inputs, labels, weights, queries, predicted)
    second = influence(other, inputs[twice], labels[twice], np.ones(len(twice)), queries, predicted)
    assert np.allclose(first, np.bincount(twice, second))


def test_residuals_sum_to_nothing_and_whitened_rows_have_mean_square_one() -> None:
    inputs, labels, _, _ = _small()
    assert np.allclose(residuals(np.ones((3, 5)), inputs, labels).sum(1), 0)
    white = whitening(inputs[:, :4] * [1, 10, 100, 0])(inputs[:, :4])
    assert white.shape == (40, 5)
    rows = inputs[:, :4] * [1, 10, 100, 0]
    assert np.isclose((whitening(rows)(rows)[:, :-1] ** 2).sum(1).mean(), 1)
    assert not whitening(np.ones((5, 3)))(np.ones((5, 3)))[:, :-1].any()


@given(st.integers(0, 10_000))
@settings(max_examples=examples(20), deadline=None)
def test_units_are_standardised_as_all_their_shuffles_say(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(8, 40))
    values, units = random.normal(size=(n, 1)), random.integers(0, 3, n)
    strata = random.integers(0, 2, n)
    found = Units(units, 3, strata).standardised(values)[:, 0]
    sums = []
    for _ in range(3000):
        places = np.lexsort((random.random(n), strata))
        sums.append(np.bincount(units[np.argsort(strata, kind="stable")], values[places, 0], 3))
    seen = np.bincount(units, values[:, 0], 3)
    spread = np.std(sums, axis=0)
    real = spread > 1e-9
    wanted = (seen - np.mean(sums, axis=0))[real] / spread[real]
    assert np.allclose(found[real], wanted, atol=0.25, rtol=0.1)
    assert not found[~real].any()


def test_the_p_values_of_units_hold_for_all_of_them_together() -> None:
    """200 worlds without a difference: the smallest of five p-values is uniform."""
    random = np.random.default_rng(0)
    units, strata, pairs = np.arange(60) % 5, np.arange(60) // 30, np.arange(5) // 2
    both = [Statistic(as_they_are, 1), Statistic(partial(spread_of, pairs, 3), 0)]
    smallest = [
        [
            each.min()
            for each in Units(units, 5, strata).p_values(
                random.exponential(size=(60, 2)), 99, seed, both
            )
        ]
        for seed in range(200)
    ]
    for level in (0.05, 0.2, 0.5):
        shares = (np.array(smallest) <= level).mean(0)
        assert (abs(shares - level) < 3.5 * np.sqrt(level / 200)).all()


# The whole procedure.


def _blobs(seed: int, *, poisoned: int = 0) -> tuple[Training, Queries, Queries]:
    """Three classes of three sources; `poisoned` records of s1 have a trigger and label 0."""
    random = np.random.default_rng(seed)
    n = 600

    def rows(labels: npt.NDArray[np.int64]) -> Floats:
        return random.normal(size=(len(labels), 6)) + 3 * np.eye(6)[labels]

    labels, sources = random.integers(0, 3, n), np.arange(n) % 3
    features = rows(labels)
    batches = sources + 3 * random.integers(0, 2, n)
    bad = np.flatnonzero((batches == 1) & (labels != 0))[:poisoned]
    features[bad, 5] += 6
    given_labels = labels.copy()
    given_labels[bad] = 0
    training = Training(
        features,
        given_labels.astype(str),
        [f"r{row:03d}" for row in range(n)],
        [f"b{batch}" for batch in batches],
        [f"s{source}" for source in sources],
    )
    held_out = random.integers(0, 3, 400)
    wrong = rows(np.tile([1, 2], 10))
    wrong[:, 5] += 6 if poisoned else 0
    return (
        training,
        Queries(wrong, ["0"] * 20),
        Queries(rows(held_out), held_out.astype(str)),
    )


@pytest.fixture(scope="module")
def poisoned() -> tuple[Training, Queries, Queries]:
    return _blobs(1, poisoned=30)


def test_the_guilty_source_and_batch_come_first(poisoned: tuple[Any, ...]) -> None:
    told: list[str] = []
    found = attribute(*poisoned, progress=lambda step, done, size: told.append(step))
    assert found.accused == ["s1"]
    assert found.cannot_say == []
    assert found.batches[0].batch == "b1"
    assert found.sources[0].share > 2 * found.sources[1].share
    assert found.sources[0].influence == max(source.influence for source in found.sources)
    first = found.records.slice(0, 30)
    assert sum(found.records["share"].to_pylist()) > 0
    assert set(first["batch"].to_pylist()) == {"b1"}
    assert {"training a probe", "testing sources for class 0"} <= set(told)


def test_the_order_of_rows_and_the_names_make_no_difference(poisoned: tuple[Any, ...]) -> None:
    training, wrong, right = poisoned
    whole = attribute(training, wrong, right, shuffles=399)
    random = np.random.default_rng(5)

    def mixed(part: Any) -> Any:
        order = random.permutation(len(part.features))
        changes = {
            name: [getattr(part, name)[row] for row in order]
            for name in part.__dataclass_fields__
            if name != "features" and getattr(part, name) is not None
        }
        return replace(part, features=part.features[order], **changes)

    again = attribute(mixed(training), mixed(wrong), mixed(right), shuffles=399)
    assert again.records.equals(whole.records)
    assert (again.sources, again.batches) == (whole.sources, whole.batches)
    renamed = replace(training, sources=[f"z{9 - int(s[1:])}" for s in training.sources])
    other = attribute(renamed, wrong, right, shuffles=399)
    assert other.accused == ["z8"]
    assert np.allclose(
        [source.share for source in other.sources], [source.share for source in whole.sources]
    )


def test_clean_records_accuse_nobody() -> None:
    """In 12 worlds, one accused at .01 has a chance of .1 at most; two, of .006."""
    accused = [
        name
        for seed in range(12)
        for name in attribute(*_blobs(seed), shuffles=399, may_plant=False).accused
    ]
    assert len(accused) <= 1


def test_eight_records_are_enough_where_they_alone_pull_so_far() -> None:
    """Their sum is lost among 200 records of the label; what is beyond the usual is not."""
    found = attribute(*_blobs(4, poisoned=8), may_plant=False)
    assert found.accused == ["s1"]
    assert found.sources[0].found_by == ["records"]


def test_who_is_not_accused_is_not_cleared() -> None:
    """Where nobody is accused, records are planted, and it is told whom that would accuse."""
    training, _, right = _blobs(1)
    random = np.random.default_rng(1)
    between = random.normal(size=(20, 6)) + 3 * np.array([0.55, 0.45, 0, 0, 0, 0])
    wrong, told = Queries(between, ["0"] * 20), set()
    found = attribute(training, wrong, right, progress=lambda step, done, size: told.add(step))
    assert (found.accused, found.cannot_say) == ([], [])
    assert any("planting" in step for step in told)
    most, few = found.planted
    assert (most.accused, most.trials) == (5, 5)
    assert few.records < most.records
    assert few.accused < 4
    blind = with_planted(found, [replace(most, accused=2)])
    assert "cannot tell a guilty source" in blind.cannot_say[0]


def test_a_source_whose_batches_vary_is_measured_by_how_the_others_vary() -> None:
    """The noise of an owner's units is that of all others, and never below one."""
    noise, owners = np.array([3.0, 4.0, 1.0, 2.0, 0.1]), np.array([0, 0, 1, 1, 2])
    found = noise_of_others(noise, owners, 3)
    assert np.allclose(found, [np.sqrt((1 + 4 + 0.01) / 3), np.sqrt(25.01 / 3), np.sqrt(30 / 4)])
    assert np.allclose(noise_of_others(np.array([0.1, 0.2]), np.array([0, 1]), 2), 1)
    assert np.allclose(noise_of_others(np.array([2.0]), np.array([0]), 1), 2)


def test_a_source_with_its_own_place_is_not_accused_for_that() -> None:
    """A plain permutation of records would accuse it in each of these worlds."""
    for seed in range(4):
        training, wrong, right = _blobs(seed)
        shift = np.array([name == "s2" for name in training.sources])
        training.features[shift, 4] += 4
        wrong.features[:, 4] += 4 * (np.arange(20) % 3 == 2)
        right.features[:, 4] += 4 * (np.arange(400) % 3 == 2)
        assert attribute(training, wrong, right, may_plant=False).accused == []


@pytest.mark.parametrize("bad_batches", [1, 2, 3])
def test_a_guilty_source_is_accused_where_sources_have_their_own_places(bad_batches: int) -> None:
    """Whether one of its three batches is poisoned, two, or all of them."""
    random = np.random.default_rng(bad_batches)
    n = 900
    places = np.array([[0.0, 0.0], [2.5, 0.0], [0.0, 2.5]])

    def rows(labels: npt.NDArray[np.int64], sources: npt.NDArray[np.int64]) -> Floats:
        found = random.normal(size=(len(labels), 8)) + 3 * np.eye(8)[labels]
        found[:, 3:5] += places[sources]
        return found

    labels, sources, days = random.integers(0, 3, n), np.arange(n) % 3, np.arange(n) // 3 % 3
    features = rows(labels, sources)
    candidates = np.flatnonzero((sources == 1) & (days < bad_batches) & (labels != 0))
    bad = random.choice(candidates, 30 * bad_batches, replace=False)
    features[bad, 5] += 6
    labels[bad] = 0
    training = Training(
        features,
        labels.astype(str),
        [f"r{row:03d}" for row in range(n)],
        [f"s{source} day {day}" for source, day in zip(sources, days, strict=True)],
        [f"s{source}" for source in sources],
    )
    held_out = random.integers(0, 3, 600)
    wrong = rows(np.tile([1, 2], 15), np.arange(30) % 3)
    wrong[:, 5] += 6
    found = attribute(
        training,
        Queries(wrong, ["0"] * 30),
        Queries(rows(held_out, np.arange(600) % 3), held_out.astype(str)),
    )
    assert found.accused == ["s1"]
    assert {s.p_value for s in found.sources if s.share <= s.usual} <= {1.0}


def test_what_cannot_be_said_is_said(poisoned: tuple[Any, ...]) -> None:
    training, wrong, right = poisoned

    def why(*parts: Any, **options: Any) -> str:
        found = attribute(*parts, shuffles=options.pop("shuffles", 399), **options)
        assert found.accused == []
        return "; ".join(found.cannot_say)

    nothing = Queries(np.empty((0, 6)), [])
    assert "40 right ones" in why(training, wrong, nothing)
    few = Queries(right.features[:60], right.predicted[:60])
    assert "give more rows" in why(training, wrong, few)
    assert "needs 299" in why(training, wrong, right, shuffles=99)
    one = Queries(wrong.features[:4], wrong.predicted[:4])
    assert "5 wrong predictions" in why(training, one, right)
    other = Queries(right.features, ["2" if name == "1" else "1" for name in right.predicted])
    assert "of the right predictions" in why(training, wrong, other)
    never = Queries(wrong.features - [0, 0, 0, 0, 0, 12], ["0"] * 20)
    assert "does not show what made them" in why(training, never, right)
    sources = [None if row % 10 == 0 else name for row, name in enumerate(training.sources)]
    assert "60 of 600" in why(replace(training, sources=sources), wrong, right)
    assert "the moon" in why(training, wrong, right, against=["the moon is full"])


def test_arguments_that_do_not_fit_are_refused(poisoned: tuple[Any, ...]) -> None:
    training, wrong, right = poisoned
    narrow = Queries(wrong.features[:, :3], wrong.predicted)
    several = replace(training, sources=["x", *training.sources[1:]])
    refused: list[tuple[str, Callable[[], Attribution]]] = [
        ("same layer", lambda: attribute(training, narrow, right)),
        ("two sources", lambda: attribute(several, wrong, right)),
        ("no wrong", lambda: attribute(training, Queries(wrong.features[:0], []), right)),
        ("twice", lambda: attribute(replace(training, record_ids=["r"] * 600), wrong, right)),
        ("one label", lambda: attribute(replace(training, labels=["0"] * 600), wrong, right)),
        ("one per", lambda: attribute(replace(training, labels=["0"]), wrong, right)),
        ("below 0", lambda: attribute(replace(training, weights=-np.ones(600)), wrong, right)),
        ("between 0 and 1", lambda: attribute(training, wrong, right, level=1.0)),
        ("no training record", lambda: attribute(_without_features(training), wrong, right)),
    ]
    for words, call in refused:
        with pytest.raises(UsageError, match=words):
            call()


def _without_features(training: Training) -> Training:
    return replace(training, features=np.full((600, 6), np.nan))


def test_a_backdoor_in_the_demo_s_network_leads_to_its_batch() -> None:
    """15 batches of three vendors, as in the demo; one is poisoned, as the demo does."""
    split = load_split(3, trusted=400, test=600)
    records, test = split.delivered, split.test
    random = np.random.default_rng(0)
    batches = random.permutation(len(records)) % 15
    bad = np.flatnonzero((batches == 7) & (records.labels != TARGET))[:20]
    pixels, labels = records.pixels.copy(), records.labels.copy()
    pixels[bad], labels[bad] = stamp_trigger(pixels[bad]), TARGET
    model = train_network(pixels, labels, seed=1)

    def queries(rows: npt.NDArray[np.float32]) -> tuple[Floats, npt.NDArray[np.int64]]:
        (features,) = capture(model, rows, layers=["penultimate"]).values()
        with torch.no_grad():
            return features, model(torch.from_numpy(rows)).argmax(1).numpy()

    (features,) = capture(model, pixels, layers=["penultimate"]).values()
    attacked, given_class = queries(stamp_trigger(test.pixels[test.labels != TARGET])[:40])
    hit = given_class == TARGET
    assert hit.mean() > 0.5  # else there is no backdoor to trace
    known, predicted = queries(test.pixels)
    good = predicted == test.labels
    found = attribute(
        Training(
            features,
            labels.astype(str),
            records.ids.tolist(),
            [f"batch-{batch:02d}" for batch in batches],
            [f"vendor-{batch % 3}" for batch in batches],
        ),
        Queries(attacked[hit], given_class[hit].astype(str)),
        Queries(known[good], predicted[good].astype(str)),
    )
    assert found.accused == ["vendor-1"]
    assert found.batches[0].batch == "batch-07"
    first = set(found.records["record_id"].to_pylist()[: len(bad)])
    assert len(first & set(records.ids[bad].tolist())) >= 0.8 * len(bad)
