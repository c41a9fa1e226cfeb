"""Are our fast scores as good as scikit-learn's? Both are fitted on the same rows of every set.

    python benchmarks/equal_quality.py DATA_DIR

`screen_speed.py` compares seconds; this says what the seconds buy. The trusted half of a set (its
first 8,000 rows) fits both; both score the reported half. Covariances of the peer are in float64:
of float32 rows its pseudo-inverse drops directions. Last, what a reference's search loses where it
is compressed: the same score with the search that `lazaretto.detect.nearest_choice` takes, which is
tried on an eighth of the trusted rows, against the exact one. Prints one JSON line per set and
score.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from detection_sets import IMAGES, TEXT, Floats, Rows, halves, load
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from lazaretto.detect import Chunk, Split, make_detector
from lazaretto.detect.nearest_backends import Search
from lazaretto.detect.nearest_choice import choose
from lazaretto.detect.neighbours import NeighbourIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 8_000
K_LABEL, K_DISTANCE, K_DENSITY = 20, 10, 10
Pair = tuple[str, str, Floats, str, Floats]


def ours(name: str, trusted: Rows, batch: Rows, **options: object) -> Floats:
    """One of our detectors' views (n, views), fitted on all the trusted rows."""
    classes = () if trusted.y is None else tuple(map(str, range(int(trusted.y.max()) + 1)))
    known = Chunk(trusted.x, trusted.y)
    split = Split(known, classes, (), NeighbourIndex(known.embedding), 0)
    detector = make_detector(name, options).fit(split)
    return detector.score(Chunk(batch.x, batch.y)).reshape(len(batch.x), -1)


def pairs(trusted: Rows, batch: Rows) -> Iterator[Pair]:
    """(score, ours, its values, peer, its values) of everything that both can compute."""
    near = NearestNeighbors(n_neighbors=K_LABEL).fit(trusted.x)
    distance, found = near.kneighbors(batch.x)
    lof = LocalOutlierFactor(n_neighbors=K_DENSITY, novelty=True).fit(trusted.x)
    yield (
        "distance to neighbours",
        "knn_distance",
        ours("knn_distance", trusted, batch, k=K_DISTANCE)[:, 0],
        "NearestNeighbors",
        distance[:, :K_DISTANCE].mean(1),
    )
    yield (
        "local density",
        "density",
        ours("density", trusted, batch, k=K_DENSITY)[:, 0],
        "LocalOutlierFactor",
        -lof.score_samples(batch.x),
    )
    if trusted.y is None or batch.y is None:
        yield (
            "distance to the reference",
            "mahalanobis",
            ours("mahalanobis", trusted, batch)[:, 0],
            "LedoitWolf",
            LedoitWolf().fit(trusted.x.astype(float)).mahalanobis(batch.x.astype(float)),
        )
        return
    classes = int(trusted.y.max()) + 1
    means = np.stack([trusted.x[trusted.y == c].mean(0) for c in range(classes)])
    tied = LedoitWolf(assume_centered=True).fit((trusted.x - means[trusted.y]).astype(float))
    to_classes = np.stack([tied.mahalanobis(batch.x - mean) for mean in means], 1)
    own = np.take_along_axis(to_classes, batch.y[:, None], 1)[:, 0]
    np.put_along_axis(to_classes, batch.y[:, None], np.inf, 1)
    views = ours("mahalanobis", trusted, batch, covariance="tied")
    yield "distance to the own class", "mahalanobis", views[:, 0], "LedoitWolf", own
    margin = own - to_classes.min(1)
    yield "margin to other classes", "mahalanobis", views[:, 2], "LedoitWolf", margin
    yield (
        "neighbours' labels",
        "knn_label",
        ours("knn_label", trusted, batch, k=K_LABEL, balanced=False)[:, 0],
        "NearestNeighbors",
        (trusted.y[found] != batch.y[:, None]).mean(1),
    )


def compressed(trusted: Rows, batch: Rows) -> Iterator[Pair]:
    """(score, ours, its values, "exact search", its values) where the search is compressed."""
    apart = np.random.default_rng(0).permutation(len(trusted.x)) % 8 == 0
    known, held_out = trusted.take(~apart), trusted.take(apart)
    classes = () if trusted.y is None else tuple(map(str, range(int(trusted.y.max()) + 1)))
    chunk = Chunk(known.x, known.y)
    choice = choose(chunk, classes, Chunk(held_out.x, held_out.y), Search())
    if choice.search.compressed is None:
        return
    indices = (
        NeighbourIndex(known.x, choice.search, learned=choice.learned),
        NeighbourIndex(known.x),
    )
    names = ["knn_distance", "density"] + ["knn_label"] * (batch.y is not None and bool(classes))
    for name in names:
        ours, exact = (
            make_detector(name)
            .fit(Split(chunk, classes, (), index, 0))
            .score(Chunk(batch.x, batch.y))
            .reshape(len(batch.x), -1)[:, 0]
            for index in indices
        )
        yield f"{name}, compressed search", name, ours, "exact search", exact


def main() -> None:
    """Prints a line per set and score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    adbench = sorted(path.stem for path in (arguments.folder / "adbench").glob("*.npz"))
    for name in (*TEXT, *IMAGES, *adbench):
        trusted, batch = halves(load(arguments.folder, name))
        trusted = trusted.take(np.arange(len(trusted.x)) < MOST)
        for score, detector, mine, peer, theirs in (
            *pairs(trusted, batch),
            *compressed(trusted, batch),
        ):
            mine_auroc = roc_auc_score(batch.poison, mine)
            peer_auroc = roc_auc_score(batch.poison, theirs)
            line = {
                "equal_quality": name,
                "score": score,
                "ours": detector,
                "peer": peer,
                "ours_auroc": round(float(mine_auroc), 4),
                "peer_auroc": round(float(peer_auroc), 4),
                "difference": round(float(mine_auroc - peer_auroc), 4),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
