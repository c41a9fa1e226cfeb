"""What screening a batch gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from lazaretto.screen._pool import Pool
    from lazaretto.values import DetectorSummary, OddRecords, TestSummary, Verdict


@dataclass(frozen=True, slots=True)
class Screening:
    """What screening found.

    Attributes:
        verdict: of the batch.
        records: one row per judged record, in the batch's order: ``record_id`` string, ``label``
            string (null without labels), ``score`` double (higher = more anomalous), ``p_value``
            double, ``held`` bool, ``reasons`` list<string>, ``named_at`` double, the level from
            which on a search for neighbourhoods names it (null: it does not), and
            ``rank_<detector>`` float, the share of the reference that the detector finds less
            anomalous. Score, p-value and ranks are null where a record could not be scored; such a
            record is held. Where all detectors only watch, score and p-value are theirs, and hold
            nothing.
        tests: batch-level tests, on the records that are not held.
        min_detectable: smallest number of extreme records that this calibration can hold in a
            batch of this size; a number above the batch's size means that it can hold none, as
            where all detectors only watch.
        detectors: mode of each detector, and how many records it would hold by itself.
        n_held: records held.
        note: why the batch as a whole is held, or what limits the judgement.
        smallest: so many usable records make a batch large enough to be judged alone; None where
            small batches are not pooled, no batch is large enough, or no detector decides.
        pool: what it could be judged with, being smaller; None where it is not.
        odd: its odd records by class, and those of the calibration, before anything was held.
        suspects: its oddest records, for later batches of its source: ``record_id``, ``label``,
            ``p_value`` and ``embedding``; None where no record could be scored.
    """

    verdict: Verdict
    records: pa.Table
    tests: list[TestSummary]
    min_detectable: int
    detectors: list[DetectorSummary]
    n_held: int
    note: str | None = None
    smallest: int | None = None
    pool: Pool | None = None
    odd: tuple[list[OddRecords], list[OddRecords]] = field(default_factory=lambda: ([], []))
    suspects: pa.Table | None = None

    def noted(self, more: str | None) -> Screening:
        """The same, with one more note; None: nothing is to be noted."""
        note = "; ".join(text for text in (self.note, more) if text)
        return replace(self, note=note or None)
