"""The scores of a case's batch as a histogram, with the point from which records are held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.ledger.deletions import deletions_told
from lazaretto.quarantine.cases import find_case
from lazaretto.quarantine.map_files import screening_of
from lazaretto.storage.sidecars import read_chunks

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.storage.workspace import Workspace

_BINS = 60
_MAGNITUDES = 50


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """How the scores of a batch are distributed. B bins; higher scores are stranger.

    Attributes:
        edges: B + 1 limits of the bins, ascending: of equal width, or of equal ratio where scores
            differ by magnitudes.
        held: screened records in each bin that screening holds, (B,).
        others: those that it does not hold, (B,).
        unscored: screened records without a score; they are held.
        rate: the stated false-quarantine rate.
        threshold: lowest score of a record whose p-value is at most the rate; None: there is none.
        highest: highest score of a record whose p-value is above the rate; None: there is none.
            It may be above the threshold where each class has a calibration of its own.
        words: the same for whoever does not see it.
    """

    edges: list[float]
    held: list[int]
    others: list[int]
    unscored: int
    rate: float
    threshold: float | None
    highest: float | None
    words: str


def score_histogram(workspace: Workspace, case: str) -> ScoreHistogram:
    """Counts the scores of the screening that a case was judged by.

    Raises:
        NotFoundError: no such case; or its batch was not screened.
        DeletedPayloadError: retention deleted the scores.
        ChangedFileError: their file is gone or was changed.

    Examples:
        >>> found = score_histogram(workspace, case)
        >>> sum(found.held) + sum(found.others), found.rate
        (60, 0.02)
    """
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        screened = screening_of(connection, row)
        batch = row.batch
    scores, p_values, held = [], [], []
    with deletions_told(workspace.catalog.read, batch):
        columns = ["score", "p_value", "held"]
        for chunk in read_chunks(workspace.store, screened.scores, columns=columns):
            scores.append(chunk.column(0).to_numpy(zero_copy_only=False).astype(np.float32))
            p_values.append(chunk.column(1).to_numpy(zero_copy_only=False).astype(np.float32))
            held.append(chunk.column(2).to_numpy(zero_copy_only=False).astype(bool))
    return _count(
        np.concatenate([*scores, np.empty(0, np.float32)]),
        np.concatenate([*p_values, np.empty(0, np.float32)]),
        np.concatenate([*held, np.empty(0, bool)]),
        screened.false_quarantine_rate,
    )


def _count(
    score: npt.NDArray[np.float32],
    p_value: npt.NDArray[np.float32],
    held: npt.NDArray[np.bool_],
    rate: float,
) -> ScoreHistogram:
    known = np.isfinite(score)
    score, p_value, held = score[known], p_value[known], held[known]
    edges = _edges(score)
    at = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, _BINS - 1)
    suspect = p_value <= rate
    threshold = float(score[suspect].min()) if suspect.any() else None
    highest = float(score[~suspect].max()) if not suspect.all() else None
    unscored = int((~known).sum())
    return ScoreHistogram(
        edges=edges.tolist(),
        held=np.bincount(at[held], minlength=_BINS).tolist(),
        others=np.bincount(at[~held], minlength=_BINS).tolist(),
        unscored=unscored,
        rate=rate,
        threshold=threshold,
        highest=highest,
        words=_words(int(held.sum()), len(held), unscored, rate, threshold),
    )


def _edges(score: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Limits of the bins: of equal width, or of equal ratio where scores differ by magnitudes."""
    if not len(score):
        return np.linspace(0, 1, _BINS + 1)
    first, last = float(score.min()), float(score.max())
    if first > 0 and last > _MAGNITUDES * first:
        return np.geomspace(first, last, _BINS + 1)
    if not last > first:
        first, last = first - 0.5, first + 0.5
    return np.linspace(first, last, _BINS + 1)


def _words(held: int, scored: int, unscored: int, rate: float, threshold: float | None) -> str:
    told = f"Scores of {scored:,} records; a higher score is stranger. "
    if threshold is None:
        told += f"No record has a p-value of at most the stated rate, {100 * rate:g} %. "
    else:
        told += (
            f"From {threshold:.4g} on a p-value can be at most the stated rate, {100 * rate:g} %. "
        )
    told += f"Screening holds {held:,} of them."
    return told + (f" {unscored:,} more have no score and are held." if unscored else "")
