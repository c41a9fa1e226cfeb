"""What a reference is made of: its encoder, its rows and everything fitted on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.detect.arrays import Ints
    from lazaretto.detect.base import Chunk
    from lazaretto.detect.scorer import Scorer


@dataclass(frozen=True, slots=True)
class EncoderId:
    """Which encoder made the vectors.

    Attributes:
        name: the policy's name of it.
        digest: sha256 (hex) over weights and preprocessing.
        dimensions: width of the vectors.
        weights: sha256 (hex) of the weights alone; empty where there are none, or not known.
    """

    name: str
    digest: str
    dimensions: int
    weights: str = ""


@dataclass(frozen=True, slots=True)
class Power:
    """How much of a poison would be held, by trial on the reference's own calibration rows.

    Attributes:
        attack: ``flips``: labels changed by chance; ``turned``: one class labelled as another.
        share: of the batch that is poisoned.
        recall: share of the poisoned records that would be held; what only vectors show is not in
            it.
    """

    attack: str
    share: float
    recall: float


@dataclass(frozen=True, slots=True)
class ReferenceState:
    """The content of a reference, without the ways to make, save and load it.

    Attributes:
        name: of the reference.
        version: of the reference; a new fit is a new version.
        encoder: who made the vectors.
        encoder_state: what the encoder learned, where the reference fitted it; else None.
        label: name of the label column, or None.
        classes: label texts, sorted; empty without labels.
        value_columns: raw numeric columns that detectors look at.
        detectors: options by name, as fitted.
        rows: trusted rows, after those that cannot be used were left out.
        seed: of the splits and fits.
        notes: what fitting found wrong with the trusted rows.
        sample: the trusted rows.
        positions: int64 (rows,), the place of each among all rows that were given, from 0.
        scorers: one, or one per pair of folds.
        fit_rows: rows of the sample that each scorer was fitted on, int64.
        folds: rows of the sample that calibrate, int64: one fold, or several. A scorer has a side
            for each fold that it leaves out.
        power: what it would show of wrong labels under the policy that it was fitted with.
        digest: sha256 (hex) over everything above.
    """

    name: str
    version: str
    encoder: EncoderId
    encoder_state: bytes | None
    label: str | None
    classes: tuple[str, ...]
    value_columns: tuple[str, ...]
    detectors: Mapping[str, Mapping[str, Any]]
    rows: int
    seed: int
    notes: tuple[str, ...]
    sample: Chunk
    positions: Ints
    scorers: tuple[Scorer, ...]
    fit_rows: tuple[Ints, ...]
    folds: tuple[Ints, ...]
    power: tuple[Power, ...]
    digest: str
