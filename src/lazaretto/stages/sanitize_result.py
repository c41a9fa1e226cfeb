"""What sanitizing a training set gives, with and without a new training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lazaretto.values import StoredFile


@dataclass(frozen=True, slots=True)
class SanitizeResult:
    """What sanitizing found and did.

    Attributes:
        dataset: name of the admitted dataset.
        version: Delta version that was examined.
        model: ``name@version`` of the model whose activations were used.
        rows: records examined.
        held: records held, and recalled.
        calibrated: whether the stated rate is backed by trusted rows.
        calibration: the same in words: by which rows, or why not.
        cases: review cases, one per batch that a held record is of.
        recall: id of the recall; None when nothing is held.
        recalled_version: first Delta version without the records.
        models: model versions that saw them.
        scores: score and reasons of every record.
        seqs: ledger entries.
        comparison: what a training without the held records changed, where one was made.
    """

    dataset: str
    version: int
    model: str
    rows: int
    held: int
    calibrated: bool
    calibration: str
    cases: list[str] = field(default_factory=list)
    recall: str | None = None
    recalled_version: int | None = None
    models: list[str] = field(default_factory=list)
    scores: StoredFile | None = None
    seqs: list[int] = field(default_factory=list)
    comparison: Retraining | None = None


@dataclass(frozen=True, slots=True)
class ClassChange:
    """One class of the rows that neither model learned from; see `lazaretto.activations.compare`.

    Losses are means in nats; the other figures are shares of its rows.
    """

    label: str
    n: int
    loss_before: float
    loss_after: float
    accuracy_before: float
    accuracy_after: float
    agreement: float


@dataclass(frozen=True, slots=True)
class Retraining:
    """What training without the held records changed.

    Attributes:
        version: Delta version that the new model learned from.
        model: ``name@version`` of the new model, where it was registered.
        compared_on: which rows.
        classes: per class of them.
        overall: the same figures over all of them.
        held: how many records were held.
        contradicted: how many of them get another class than their label from the new model.
        records: losses and predictions of every held record.
        file: this comparison as JSON.
    """

    version: int
    model: str | None
    compared_on: str
    classes: list[ClassChange] = field(default_factory=list)
    overall: dict[str, float] = field(default_factory=dict)
    held: int = 0
    contradicted: int = 0
    records: StoredFile | None = None
    file: StoredFile | None = None
