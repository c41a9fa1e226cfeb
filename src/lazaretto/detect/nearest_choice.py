"""Chooses how nearest rows are searched for: the cheapest way that loses next to nothing.

Each way is tried on rows that are searched through, without themselves, and on trusted rows that
only rank maps are fitted on, never on rows that calibrate: so a score stays a function of other
rows than those, and p-values stay exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.base import Chunk, Split
from lazaretto.detect.density import Density
from lazaretto.detect.knn_distance import KnnDistance
from lazaretto.detect.knn_label import KnnLabel
from lazaretto.detect.nearest_compressed import LIST_ROWS, Compressed
from lazaretto.detect.neighbours import NeighbourIndex, Neighbours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.detect.nearest_backends import Search

MOST_LOSS = 0.002
"""Of AUROC, on any of the threats that are tried."""
FEWEST_ROWS = 4_000
"""With fewer rows, comparing a record with all of them is as fast."""
MOST_ROWS_OF_DENSITY = 60_000
"""A density is fitted on the neighbours of every row, once for each way that is tried."""
WAYS = (
    (64, 1 / 8, 1.5),
    (64, 1 / 4, 2.0),
    (96, 1 / 4, 2.0),
    (128, 1 / 4, 3.0),
    (192, 1 / 2, 4.0),
)
"""Dimensions, share of the rows that are looked through, candidates per neighbour; cheapest first.

The share is that of `_USUAL` rows. Of n times as many, the cube root of n times as many rows are
looked through."""
_USUAL = 12_000
_MOST_TRIED = 2_000
_MOST_OWN, _MOST_PAIRS = 4_000, 4 * 10**8
"""Rows of the reference that are looked for without themselves, and pairs of them with others."""
_RELABELLED = 4
_COPY_DISTANCE = 0.5
"""Copies lie at this share of the usual distance to the nearest row."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How to search, and the tensors learned for it.

    Attributes:
        search: the settings, with what they lose.
        learned: tensors of a compressed search, by name; empty where it is exact.
    """

    search: Search
    learned: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class _Trial:
    """Trusted rows, and what an attacker makes of them.

    Attributes:
        honest: the rows as they are.
        own: int64 (m,), some rows of the reference.
        others: of both, first the honest rows, labels that are not theirs; empty without labels.
        copied: rows close to rows of the reference.
        made_up: rows whose values come from a different row in every column.
    """

    honest: Chunk
    own: Ints
    others: tuple[Ints, ...]
    copied: Chunk
    made_up: Chunk


def choose(
    known: Chunk,
    classes: tuple[str, ...],
    held_out: Chunk,
    search: Search,
    *,
    density: bool = True,
) -> Choice:
    """The cheapest compressed search that loses at most `MOST_LOSS`; else `search` as it is.

    Args:
        known: rows that are searched through.
        classes: class names, by index of the label.
        held_out: other trusted rows, which nothing is calibrated on.
        search: what is taken where no compressed search does, or rows are few.
        density: whether local densities, too, must lose no more. They lose the most, and of more
            than `MOST_ROWS_OF_DENSITY` rows that takes too long to try: then the search is exact.
    """
    too_many = density and len(known) > MOST_ROWS_OF_DENSITY
    if len(known) < FEWEST_ROWS or too_many or not len(held_out):
        return Choice(search, {})
    exact = NeighbourIndex(known.embedding, replace(search, compressed=None, exact_up_to=2**62))
    trial = _make_trial(known, classes, held_out, exact)
    best = _separates(exact, known, classes, trial, density=density)
    losses, learned_by_size = [], dict[int, dict[str, "Floats"]]()
    for way in _ways(len(known), known.embedding.shape[1]):
        settings = replace(search, compressed=way)
        learned = learned_by_size.get(way.dimensions)
        index = NeighbourIndex(known.embedding, settings, learned=learned)
        learned_by_size[way.dimensions] = index.learned
        now = _separates(index, known, classes, trial, density=density)
        losses.append(max(0.0, float((best - now).max())))
        if losses[-1] <= MOST_LOSS:
            return Choice(replace(settings, loss=round(losses[-1], 6)), index.learned)
    return Choice(replace(search, loss=round(min(losses), 6)), {})


def _ways(rows: int, width: int) -> Iterator[Compressed]:
    """`WAYS` for so many rows of so many columns."""
    # Every record is compared with every list: of many rows, longer lists cost less.
    lists = max(1, min(rows // LIST_ROWS, int(1.5 * rows**0.5)))
    for dimensions, share, candidates in WAYS:
        looked = share * min(1.0, (_USUAL / rows) ** (2 / 3))
        probes = max(1, round(lists * looked))
        yield Compressed(min(dimensions, width + width % 2), lists, probes, candidates)


def _make_trial(
    known: Chunk, classes: tuple[str, ...], held_out: Chunk, index: NeighbourIndex
) -> _Trial:
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(held_out))[:_MOST_TRIED]
    x = held_out.embedding[rows]
    label = None if held_out.label is None else held_out.label[rows]
    honest = Chunk(x, label)
    usual = float(np.median(index.search(honest, 1).distance))
    noise = rng.standard_normal(x.shape)
    noise *= _COPY_DISTANCE * usual / np.linalg.norm(noise, axis=1, keepdims=True)
    origin = known.embedding[rng.integers(len(known), size=len(x))]
    made_up = np.stack([rng.permutation(column) for column in x.T], 1)
    many = min(_MOST_OWN, max(1, _MOST_PAIRS // len(known)), len(known))
    own = rng.permutation(len(known))[:many]
    others: list[Ints] = []
    if label is not None and known.label is not None and len(classes) > 1:
        given = np.concatenate([label, known.label[own]])
        others += [
            (given + rng.integers(1, len(classes), len(given))) % len(classes)
            for _ in range(min(_RELABELLED, len(classes) - 1))
        ]
    return _Trial(
        honest,
        own,
        tuple(others),
        Chunk((origin + noise).astype(np.float32)),
        Chunk(made_up),
    )


def _separates(
    index: NeighbourIndex,
    known: Chunk,
    classes: tuple[str, ...],
    trial: _Trial,
    *,
    density: bool,
) -> Floats:
    """AUROC of copies and made-up rows by place, and of relabelled rows by neighbours' labels."""
    split, k = Split(known, classes, (), index), KnnLabel().k
    honest, copied, made_up = (
        Chunk(rows.embedding, rows.label, memo={})
        for rows in (trial.honest, trial.copied, trial.made_up)
    )
    # Asked for first, as by the detector that asks for the most: the others share the answer.
    for rows in (honest, copied, made_up):
        index.search(rows, k)
    near, far = KnnDistance(1).restore({}, split), KnnDistance().restore({}, split)
    values = [
        _auroc(-near.score(copied), -near.score(honest)),
        _auroc(far.score(made_up), far.score(honest)),
    ]
    if density:
        local = Density().fit(split)
        usual = local.score(honest)
        values.append(_auroc(local.score(made_up)[:, 0], usual[:, 0]))
        values.append(_auroc(local.score(copied)[:, 1], usual[:, 1]))
    if trial.others and honest.label is not None and known.label is not None:
        found = _joined(index.search(honest, k), _without_themselves(index, known, trial.own, k))
        by_label = KnnLabel().restore({}, split)
        given = np.concatenate([honest.label, known.label[trial.own]])
        vectors = np.concatenate([honest.embedding, known.embedding[trial.own]])
        true, *wrong = (
            by_label.score(Chunk(vectors, label, memo={index: found}))
            for label in (given, *trial.others)
        )
        values.append(_auroc(np.concatenate(wrong), true))
    return np.array(values)


def _without_themselves(index: NeighbourIndex, known: Chunk, own: Ints, k: int) -> Neighbours:
    """The nearest k others of some rows of the index."""
    found = index.search(Chunk(known.embedding[own]), k + 1)
    others = found.row != own[:, None]
    others[others.all(1), -1] = False
    return Neighbours(found.distance[others].reshape(-1, k), found.row[others].reshape(-1, k))


def _joined(first: Neighbours, second: Neighbours) -> Neighbours:
    return Neighbours(
        np.concatenate([first.distance, second.distance]),
        np.concatenate([first.row, second.row]),
    )


def _auroc(high: Floats, low: Floats) -> float:
    """Chance that a value of the first is above one of the second, ties counted half."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, "left") + np.searchsorted(ordered, high, "right")
    return float(below.mean() / (2 * len(low)))
