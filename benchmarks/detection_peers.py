"""What the detection benchmark compares with: cleanlab, scikit-learn and PyOD on the same rows.

They come with `pip install 'lazaretto[bench]'`. Each method gets the reference where it can take
one, and answers with a score per row of the batch (higher = more anomalous) and its own decision.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

    from detection_sets import Floats, Mask, Rows

    Answer = tuple[npt.NDArray[np.floating], Mask]

SHARE = 0.01
"""Where a method has no threshold of its own: beyond this share of the reference."""


def methods(trusted: Rows, batch: Rows, *, few: bool = False) -> dict[str, Callable[[], Answer]]:
    """The peers by name.

    Args:
        trusted: reference.
        batch: rows to score.
        few: cleanlab's label score, or the three best without labels, only.
    """
    found: dict[str, Callable[[], Answer]] = {}
    if trusted.y is not None:
        found["cleanlab find_label_issues"] = lambda: _label_issues(trusted, batch)
        if few:
            return found
    names = ["LedoitWolf", "LOF"] if few else ["LedoitWolf", "IsolationForest", "LOF"]
    for name in names:
        found[f"sklearn {name}"] = lambda name=name: _sklearn(name, trusted.x, batch.x)
    for name in ["KNN"] if few else ["KNN", "ECOD", "MCD", "AutoEncoder"]:
        found[f"pyod {name}"] = lambda name=name: _pyod(name, trusted.x, batch.x)
    if trusted.y is not None:
        found["cleanlab Datalab near_duplicate"] = lambda: _datalab(batch, "near_duplicate")
        found["cleanlab Datalab outlier"] = lambda: _datalab(batch, "outlier")
    return found


def versions() -> dict[str, str]:
    """Versions of the peers, and of what they and we compute with."""
    found = {}
    for name in ("cleanlab", "pyod", "scikit-learn", "torch", "faiss-cpu", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _label_issues(trusted: Rows, batch: Rows) -> Answer:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    plain = LogisticRegression(max_iter=300)
    # The better of two usual probes, by its own log loss on clean rows that neither has seen.
    cut = len(trusted.x) * 3 // 4
    losses = [
        -np.log(
            m.fit(trusted.x[:cut], trusted.y[:cut]).predict_proba(trusted.x[cut:])[
                np.arange(len(trusted.x) - cut), trusted.y[cut:]
            ]
        ).mean()
        for m in (probe, plain)
    ]
    chosen = (probe, plain)[int(np.argmin(losses))].fit(trusted.x, trusted.y)
    probabilities = chosen.predict_proba(batch.x)
    score = 1 - get_label_quality_scores(batch.y, probabilities, method="self_confidence")
    # Its own processes share arrays by globals, which a spawned process of ours does not pass on.
    return score, find_label_issues(batch.y, probabilities, n_jobs=1)


def _datalab(batch: Rows, issue: str) -> Answer:
    from cleanlab import Datalab

    lab = Datalab({"x": list(range(len(batch.x)))}, verbosity=0)
    lab.find_issues(features=batch.x, issue_types={issue: {}})
    found = lab.get_issues(issue)
    return 1 - found[f"{issue}_score"].to_numpy(), found[f"is_{issue}_issue"].to_numpy()


def _sklearn(name: str, trusted: Floats, batch: Floats) -> Answer:
    from sklearn.covariance import LedoitWolf
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    if name == "LedoitWolf":
        model = LedoitWolf().fit(trusted)
        known, score = model.mahalanobis(trusted), model.mahalanobis(batch)
    elif name == "LOF":
        model = LocalOutlierFactor(novelty=True).fit(trusted)
        known, score = -model.score_samples(trusted), -model.score_samples(batch)
    else:
        model = IsolationForest(random_state=0).fit(trusted)
        known, score = -model.score_samples(trusted), -model.score_samples(batch)
    return score, score > np.quantile(known, 1 - SHARE)


def _pyod(name: str, trusted: Floats, batch: Floats) -> Answer:
    if name == "KNN":
        from pyod.models.knn import KNN as Model  # noqa: N811
    elif name == "ECOD":
        from pyod.models.ecod import ECOD as Model  # noqa: N811
    elif name == "MCD":
        from pyod.models.mcd import MCD as Model  # noqa: N811
    else:
        from pyod.models.auto_encoder import AutoEncoder as Model
    options = {"epoch_num": 10, "verbose": 0} if name == "AutoEncoder" else {}
    if name == "MCD" and trusted.shape[1] > 64:
        from sklearn.decomposition import PCA

        axes = PCA(32, random_state=0).fit(trusted)
        trusted, batch = axes.transform(trusted), axes.transform(batch)
    model = Model(contamination=SHARE, **options)
    model.fit(trusted)
    return model.decision_function(batch), model.predict(batch).astype(bool)
