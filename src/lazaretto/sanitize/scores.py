"""What a method returns: one score per row of each side, comparable between the two."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


View = Literal["own", "others", "split"]

_NO_SCORE = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Scores:
    """Cross-fitted scores: no row is judged by anything that was fitted on the row itself.

    Attributes:
        train: float32 (n,), higher = more anomalous; NaN where a class cannot be judged.
        trusted: float32 (m,), the same score of the trusted rows; None without a reference.
        tested_train: float32 (n,), non-negative, whose class mean is tested; None: no mean is.
        tested_trusted: float32 (m,), the same of the trusted rows.
        ranked_train: float32 (n,), by which records of a class that stands out are ranked, of
            the same order of size as `train`; None: `train` is.
        ranked_trusted: float32 (m,), the same of the trusted rows.
        agreement: float64 (classes,), how far the far rows of each class agree in direction beyond
            chance, see `agreement`; NaN where nothing is said; None: the method says nothing of it.
        view: what rows are compared with: "own", what their class is like; "others", other
            classes; "split", a second identity within their class. Tails of classes differ by
            nature in the first view only.
        detail: {class index: what the method adds about the class, in words}.
        skipped: why the method judged nothing, or None.
    """

    train: NDArray[np.float32]
    trusted: NDArray[np.float32] | None
    tested_train: NDArray[np.float32] | None = None
    tested_trusted: NDArray[np.float32] | None = None
    ranked_train: NDArray[np.float32] | None = None
    ranked_trusted: NDArray[np.float32] | None = None
    agreement: NDArray[np.float64] | None = None
    view: View = "own"
    detail: dict[int, str] = field(default_factory=dict)
    skipped: str | None = None

    def tables(self) -> dict[str, pa.Table]:
        """The same in tables: one for each array, and `said` with the words."""
        said = {
            "view": [self.view],
            "skipped": pa.array([self.skipped], pa.string()),
            "detail": [json.dumps(list(self.detail.items()))],
        }
        arrays = {name: pa.table({"value": value}) for name, value in _arrays(self).items()}
        return arrays | {"said": pa.table(said)}

    @classmethod
    def of_tables(cls, tables: Mapping[str, Iterable[pa.RecordBatch | pa.Table]]) -> Scores:
        """What `tables` gave, in any chunks."""
        (said,) = (row for chunk in tables["said"] for row in chunk.to_pylist())
        arrays: dict[str, Any] = {"trusted": None} | {
            name: np.concatenate([_NO_SCORE, *(_values(one) for one in chunks)])
            for name, chunks in tables.items()
            if name != "said"
        }
        return cls(
            **arrays,
            view=said["view"],
            skipped=said["skipped"],
            detail=dict(json.loads(said["detail"])),
        )


def average(repeats: list[Scores]) -> Scores:
    """Mean scores over several splits into folds: less depends on which rows share a fold."""
    first = repeats[0]
    if len(repeats) == 1 or first.skipped is not None:
        return first
    means: dict[str, Any] = {
        name: np.mean([getattr(scores, name) for scores in repeats], axis=0, dtype=value.dtype)
        for name, value in _arrays(first).items()
    }
    return replace(first, **means)


def _values(chunk: pa.RecordBatch | pa.Table) -> NDArray[Any]:
    return np.array(chunk["value"])


def _arrays(scores: Scores) -> dict[str, NDArray[Any]]:
    return {
        f.name: value
        for f in fields(scores)
        if isinstance(value := getattr(scores, f.name), np.ndarray)
    }
