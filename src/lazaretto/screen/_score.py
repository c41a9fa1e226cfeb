"""The streaming pass of screening: every record's ranks, score and p-value, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass
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
from lazaretto.screen._explain import explain, explain_apart
from lazaretto.screen._groups import GroupTap
from lazaretto.screen._measured import Measured, class_numbers
from lazaretto.screen._piece import Piece
from lazaretto.screen._scan import MOST, SUSPECT
from lazaretto.stats.conformal import Calibration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.embed.reader import Rows, Tap
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._sample import Oddest, Sample
    from lazaretto.stats.localised import KnownRows


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
    whole = score_piece(
        batch,
        reference,
        policy,
        exclude=exclude,
        embeddings=embeddings,
        tap=tap,
        offset=0,
        seed=seed,
    )
    return gathered([whole], reference, policy, seed=seed)


def score_piece(
    batch: Batch | pa.Table | str | Path,
    reference: Reference,
    policy: Policy,
    *,
    exclude: Collection[str],
    embeddings: pa.Table | None,
    tap: Tap | None,
    offset: int,
    seed: int,
) -> Piece:
    """Scores a batch, or some of its records; see `lazaretto.screen.screen`.

    Args:
        batch: the records.
        reference: that they are compared with.
        policy: says how.
        exclude: ids of records that are not judged.
        embeddings: their vectors, for another encoder than ``column``.
        tap: gets every chunk as well.
        offset: position of the first of them in the batch: the sample of a batch is the same,
            however it is cut.
        seed: of what is drawn at random, the same for all of the batch.
    """
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
    bits = np.random.PCG64(seed).advance(offset)
    piece, rng = Piece.empty(reference), np.random.Generator(bits)
    judged = 0
    for rows in reader.rows(batch):
        keep, keys = np.ones(len(rows), dtype=bool), rng.random(len(rows))
        if len(excluded):
            keep = ~pc.is_in(rows.ids, excluded).to_numpy(zero_copy_only=False)
        groups.keep(keep)
        chunk, positions, good = _scorable(rows, keep, reference, judged, piece)
        numbers = np.full((int(keep.sum()), 3 + 2 * len(weights)), np.nan)
        if len(chunk):
            numbers[positions] = _numbers(chunk, reference, weights, calibrated)
            piece.sample = piece.sample.add(chunk, positions + judged, keys[good])
            odd = np.flatnonzero(numbers[positions, 1] <= SUSPECT)
            piece.oddest = piece.oddest.add(
                take(chunk, odd),
                positions[odd] + judged,
                numbers[positions[odd], 1],
                most=MOST,
            )
            piece.reasons |= explain(
                chunk, positions + judged, numbers[positions], reference, policy
            )
            explain_apart(
                chunk, positions + judged, numbers[positions], reference, policy, piece.apart
            )
        # The ranks have served; what is kept grows with the batch.
        piece.numbers.append(np.delete(numbers, np.s_[3 : 3 + len(weights)], axis=1))
        judged += len(numbers)
    piece.groups = groups.parts
    return piece


def gathered(pieces: Iterable[Piece], reference: Reference, policy: Policy, *, seed: int) -> Scored:
    """All records of a batch, from its pieces in order.

    Args:
        pieces: as `score_piece` gives them.
        reference: that they were compared with.
        policy: under which.
        seed: of what is drawn at random.
    """
    whole = Piece.empty(reference)
    for piece in pieces:
        whole.add(piece)
    calibrated = CalibrationScores.of(reference, policy, detector_weights(policy, reference))
    numbers = np.concatenate(whole.numbers)
    return Scored(
        ids=pa.chunked_array(whole.ids, pa.string()),
        label=pa.chunked_array(whole.label, pa.string()),
        problems=whole.problems,
        score=numbers[:, 0],
        p_value=numbers[:, 1],
        detector_p=numbers[:, 3:],
        reasons=whole.reasons,
        apart=whole.apart,
        calibration=Calibration(
            calibrated.rows, np.nan_to_num(numbers[:, 2]).astype(np.int64), calibrated.delta
        ),
        calibration_rows=reference.calibration_rows,
        by_class=calibrated.by_class,
        known=calibrated.known,
        sample=whole.sample,
        oddest=whole.oddest,
        seed=seed,
        groups={name: pa.chunked_array(texts, pa.string()) for name, texts in whole.groups.items()},
    )


def _scorable(
    rows: Rows, keep: npt.NDArray[np.bool_], reference: Reference, judged: int, parts: Piece
) -> tuple[Chunk, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The kept rows that can be scored, their place among the kept, and which they are."""
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
    return chunk, place[good], good


def _numbers(
    chunk: Chunk, reference: Reference, weights: Sequence[float], calibrated: CalibrationScores
) -> npt.NDArray[np.float64]:
    """Per row: score, p-value, group of calibration rows, J mean ranks, J p-values."""
    group = group_of(calibrated.by_class, chunk.label, len(chunk))
    ranks = unseen_ranks(chunk, reference, fold_by_chance(chunk, reference))
    fused, mean = fused_mean(ranks, weights), ranks.mean(1)
    p_value, alone = calibrated.p_values(fused, group), calibrated.alone(mean)
    return np.column_stack([fused, p_value, group, mean, alone])
