"""The streaming pass of screening: every record's ranks, score and p-value, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._columns import class_indices
from lazaretto.detect.base import Chunk
from lazaretto.detect.scorer import take
from lazaretto.embed import load_encoder
from lazaretto.embed.reader import Reader
from lazaretto.reference.calibrated import fused_mean
from lazaretto.reference.unseen import fold_by_chance, unseen_ranks
from lazaretto.screen._calibration import CalibrationScores, detector_weights, group_of
from lazaretto.screen._groups import GroupTap
from lazaretto.screen._measured import Measured, class_numbers
from lazaretto.screen._sample import Oddest, Sample
from lazaretto.screen._scan import MOST, SUSPECT
from lazaretto.stats.conformal import Calibration

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.embed.reader import Rows, Tap
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.stats.localised import KnownRows

MOST_REASONS = 3
DRIVING_SHARE = 0.7
"""A detector is named as a reason when its rank is at least this share of the worst one."""


@dataclass(frozen=True, slots=True)
class Scored:
    """All judged records of a batch. m records, J detectors.

    Attributes:
        ids: string (m,).
        label: string (m,), null where there is none.
        problems: why a record could not be scored, by position.
        score: float64 (m,), NaN where not scored; as are the next two.
        p_value: float64 (m,) of the fused score.
        detector_p: float64 (m, J), each detector calibrated alone.
        reasons: what the driving detectors say, by position, for records that may be held.
        apart: what each detector says that is judged by itself, by name and position, of records
            that it may hold.
        calibration: what the fused p-values were read from, one group per record.
        calibration_rows: rows that `detector_p` was read from.
        by_class: group of calibration rows of each class; empty when there is one group.
        known: the calibration rows as records.
        sample: some of the scored records, for the batch tests.
        oddest: those with the smallest p-values, for the search for neighbourhoods.
        seed: of what is drawn at random.
        groups: of each record, by column that the policy names for groups, as text.
    """

    ids: pa.ChunkedArray
    label: pa.ChunkedArray
    problems: dict[int, str]
    score: npt.NDArray[np.float64]
    p_value: npt.NDArray[np.float64]
    detector_p: npt.NDArray[np.float64]
    reasons: dict[int, list[str]]
    apart: dict[str, dict[int, str]]
    calibration: Calibration
    calibration_rows: int
    by_class: tuple[int, ...]
    known: KnownRows
    sample: Sample
    oddest: Oddest
    seed: int
    groups: dict[str, pa.ChunkedArray]

    def measured(self, classes: tuple[str, ...], *, apart: bool) -> Measured:
        """What the decision rule looks at.

        Args:
            classes: label texts of the reference.
            apart: whether a detector is judged by itself.
        """
        label = class_numbers(self.label, classes)
        known, groups = self.known, self.by_class
        return Measured(self.p_value, label, self.calibration, known, classes, groups, apart)

    def __len__(self) -> int:
        return len(self.score)


@dataclass(slots=True)
class _Parts:
    """Columns of `Scored`, as they come."""

    ids: list[pa.Array] = field(default_factory=list)
    label: list[pa.Array] = field(default_factory=list)
    numbers: list[npt.NDArray[np.float64]] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, list[str]] = field(default_factory=dict)
    apart: dict[str, dict[int, str]] = field(default_factory=dict)


def score_batch(
    batch: Batch | pa.Table | str | Path,
    reference: Reference,
    policy: Policy,
    *,
    seed: int,
    exclude: Collection[str] = (),
    embeddings: pa.Table | None = None,
    tap: Tap | None = None,
) -> Scored:
    """Scores every record that is not excluded; see `lazaretto.screen.screen`."""
    encoder = load_encoder(policy, reference.encoder_state)
    reference.check_encoder(encoder.name, encoder.digest, encoder.weights)
    weights = detector_weights(policy, reference)
    groups = GroupTap(policy.columns.groups, tap)
    reader = Reader(
        policy.columns,
        encoder,
        reference.encoder.dimensions,
        reference.value_columns,
        embeddings,
        groups if groups.names else tap,
    )
    calibrated = CalibrationScores.of(reference, policy, weights)
    excluded = pa.array(sorted(exclude), pa.string())
    parts, rng = _Parts(), np.random.default_rng(seed)
    has_label = reference.label is not None
    sample = Sample(
        np.empty((0, reference.encoder.dimensions), dtype=np.float32),
        np.empty(0, dtype=np.int64) if has_label else None,
        np.empty(0, dtype=np.int64),
        np.empty(0),
    )
    oddest = Oddest(sample.embedding, sample.label, sample.position, np.empty(0))
    judged = 0
    for rows in reader.rows(batch):
        keep = np.ones(len(rows), dtype=bool)
        if len(excluded):
            keep = ~pc.is_in(rows.ids, excluded).to_numpy(zero_copy_only=False)
        groups.keep(keep)
        chunk, positions = _scorable(rows, keep, reference, judged, parts)
        numbers = np.full((int(keep.sum()), 3 + 2 * len(weights)), np.nan)
        if len(chunk):
            numbers[positions] = _numbers(chunk, reference, weights, calibrated)
            sample = sample.add(chunk, positions + judged, rng)
            odd = np.flatnonzero(numbers[positions, 1] <= SUSPECT)
            oddest = oddest.add(
                take(chunk, odd),
                positions[odd] + judged,
                numbers[positions[odd], 1],
                most=MOST,
            )
            parts.reasons |= _explain(
                chunk, positions + judged, numbers[positions], reference, policy
            )
            _explain_apart(chunk, positions + judged, numbers[positions], reference, policy, parts)
        # The ranks have served; what is kept grows with the batch.
        parts.numbers.append(np.delete(numbers, np.s_[3 : 3 + len(weights)], axis=1))
        judged += len(numbers)
    numbers = np.concatenate(parts.numbers)
    return Scored(
        ids=pa.chunked_array(parts.ids, pa.string()),
        label=pa.chunked_array(parts.label, pa.string()),
        problems=parts.problems,
        score=numbers[:, 0],
        p_value=numbers[:, 1],
        detector_p=numbers[:, 3:],
        reasons=parts.reasons,
        apart=parts.apart,
        calibration=Calibration(
            calibrated.rows, np.nan_to_num(numbers[:, 2]).astype(np.int64), calibrated.delta
        ),
        calibration_rows=reference.calibration_rows,
        by_class=calibrated.by_class,
        known=calibrated.known,
        sample=sample,
        oddest=oddest,
        seed=seed,
        groups=groups.groups(),
    )


def _scorable(
    rows: Rows, keep: npt.NDArray[np.bool_], reference: Reference, judged: int, parts: _Parts
) -> tuple[Chunk, npt.NDArray[np.int64]]:
    """The kept rows that can be scored, and their place among the kept; notes the rest."""
    place = np.cumsum(keep) - 1
    good = keep.copy()
    for row, problem in rows.vectors.problems.items():
        good[row] = False
        if keep[row]:
            parts.problems[judged + int(place[row])] = problem
    label = None
    if rows.label is not None:
        label = class_indices(rows.label, reference.classes)
        for unseen in np.flatnonzero(good & (label < 0)):
            text = rows.label[int(unseen)].as_py()
            parts.problems[judged + int(place[unseen])] = (
                "label.missing: there is no label"
                if text is None
                else f"label.unseen: no trusted record is labelled {text[:80]!r}"
            )
        good &= label >= 0
    kept = pa.array(keep)
    parts.ids.append(rows.ids.filter(kept))
    nothing = pa.nulls(len(rows), pa.string())
    parts.label.append((nothing if rows.label is None else rows.label).filter(kept))
    chunk = Chunk(
        embedding=rows.vectors.values[good],
        label=None if label is None else label[good],
        values=None if rows.values is None else rows.values[good],
    )
    return chunk, place[good]


def _numbers(
    chunk: Chunk, reference: Reference, weights: Sequence[float], calibrated: CalibrationScores
) -> npt.NDArray[np.float64]:
    """Per row: score, p-value, group of calibration rows, J mean ranks, J p-values."""
    group = group_of(calibrated.by_class, chunk.label, len(chunk))
    ranks = unseen_ranks(chunk, reference, fold_by_chance(chunk, reference))
    fused, mean = fused_mean(ranks, weights), ranks.mean(1)
    p_value, alone = calibrated.p_values(fused, group), calibrated.alone(mean)
    return np.column_stack([fused, p_value, group, mean, alone])


def _explain(
    chunk: Chunk,
    positions: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float64],
    reference: Reference,
    policy: Policy,
) -> dict[int, list[str]]:
    """Asks the driving detectors about the rows that may be held: p at most the rate."""
    rows = np.flatnonzero(numbers[:, 1] <= policy.screen.false_quarantine_rate)
    if not len(rows):
        return {}
    weights = detector_weights(policy, reference)
    weighted = numbers[rows, 3 : 3 + len(weights)] * np.asarray(weights)
    alone = numbers[rows, 3 + len(weights) :]
    subset = take(chunk, rows)
    scorer = reference.scorers[0]
    said = [
        detector.explain(subset) if weight else []
        for detector, weight in zip(scorer.detectors.values(), weights, strict=True)
    ]
    names, reasons = list(scorer.detectors), {}
    for row, position in enumerate(positions[rows].tolist()):
        order = np.argsort(-weighted[row], kind="stable")[:MOST_REASONS]
        worst = weighted[row, order[0]]
        reasons[position] = [
            f"{names[j]}: {said[j][row]}; beyond {1 - alone[row, j]:.2%} of trusted records"
            for j in order
            if weights[j] and weighted[row, j] >= DRIVING_SHARE * worst
        ]
    return reasons


def _explain_apart(
    chunk: Chunk,
    positions: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float64],
    reference: Reference,
    policy: Policy,
    parts: _Parts,
) -> None:
    """Asks each detector that is judged by itself about the rows that it may hold."""
    detectors, rate = reference.scorers[0].detectors, policy.screen.false_quarantine_rate
    alone = numbers[:, 3 + len(detectors) :]
    for column, (name, detector) in enumerate(detectors.items()):
        config = policy.screen.detectors.get(name)
        rows = np.flatnonzero(alone[:, column] <= rate)
        if config is None or not config.apart or config.mode == "off" or not len(rows):
            continue
        said = detector.explain(take(chunk, rows))
        told = parts.apart.setdefault(name, {})
        for row, text in zip(rows.tolist(), said, strict=True):
            beyond = f"beyond {1 - alone[row, column]:.2%} of trusted records"
            told[int(positions[row])] = f"{name}: {text}; {beyond}"
