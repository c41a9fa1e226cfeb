"""What sanitizing found: per record, per class, and whether the stated rate is backed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.values import ClassSummary

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Sanitization:
    """Outcome of `lazaretto.sanitize`.

    Attributes:
        records: one row per record, in input order: ``record_id`` string, ``label`` string,
            ``score`` float32 (higher = more anomalous; null when it could not be scored),
            ``p_value`` float64 (by all the evidence together that its class is searched by; null
            when not calibrated), ``held`` bool, ``reasons`` list<string>, and
            one float32 column ``rank_<method>@<layer>`` per evidence: the share of trusted rows
            that score lower.
        classes: one row per class: ``label``, ``n``, ``statistic`` (mean score of the class over
            that of its trusted rows; 1 is what a clean class has), ``p_value``, ``fired``,
            ``n_held``, then ``n_trusted``, ``evidence`` (what the class stands out by,
            as method@layer, the strongest first), ``threshold`` (the statistic from which the class
            would have fired by it; null when not calibrated, or fired by its tail) and ``note``.
        calibrated: whether every class was judged against trusted rows. When False, nothing here
            carries the policy's rate.
        rate: the stated rate: the share of clean records that may be held.
        layers: names of the layers that were judged.
        methods: names of the methods that were used.
        note: what the reader should know, or None.
    """

    records: pa.Table
    classes: pa.Table
    calibrated: bool
    rate: float
    layers: tuple[str, ...]
    methods: tuple[str, ...]
    note: str | None = None

    @property
    def n_held(self) -> int:
        """Number of held records."""
        import pyarrow.compute as pc

        return int(pc.sum(self.records["held"], min_count=0).as_py())

    @property
    def held_ids(self) -> pa.Array:
        """Record ids (string array) of the held records, in input order."""
        return self.records.filter(self.records["held"])["record_id"].combine_chunks()

    @property
    def class_summaries(self) -> list[ClassSummary]:
        """The class table as it is written to the ledger."""
        columns = ["label", "n", "statistic", "p_value", "fired", "n_held"]
        return [ClassSummary(**row) for row in self.classes.select(columns).to_pylist()]
