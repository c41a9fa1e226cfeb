"""What tracing wrong predictions to training records gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class SourceShare:
    """One source's part in the wrong predictions.

    Shares are of all influence of the records whose label is the predicted class. One below zero
    says that the records spoke against the prediction.

    Attributes:
        source: its name.
        records: how many of its records have a predicted class as label.
        share: of the influence on the wrong predictions.
        usual: of the influence on right predictions of the same classes.
        influence: of last-layer influence on the wrong predictions.
        p_value: chance that some source stands out as much where none is to blame.
        accused: whether that is at most the level, and nothing speaks against accusing.
        found_by: tests that accuse it: ``records`` (some of its records pull further than on any
            right predictions), ``batches`` (they differ), ``source`` (all of it stands out).
    """

    source: str
    records: int
    share: float
    usual: float
    influence: float
    p_value: float
    accused: bool
    found_by: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BatchShare:
    """One batch's part in the wrong predictions; see `SourceShare`.

    Attributes:
        batch: its id.
        source: who delivered it.
        records: how many of its records have a predicted class as label.
        share: of the influence on the wrong predictions.
        usual: of the influence on right predictions of the same classes.
        p_value: chance that some batch stands out as much among those of its own source.
    """

    batch: str
    source: str
    records: int
    share: float
    usual: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Planted:
    """Whether a source would have been accused that had taught the model these mistakes.

    Attributes:
        records: like the wrong predictions, that were planted in one batch of a source.
        trials: how often, each time in another batch.
        accused: in how many of them the source was accused.
    """

    records: int
    trials: int
    accused: int


@dataclass(frozen=True, slots=True)
class Attribution:
    """Which records, batches and sources drove wrong predictions.

    Attributes:
        sources: the accused first, then whom the wrong predictions draw on beyond the usual.
        batches: those that they draw on beyond the usual, most first.
        records: one row per training record whose label is a predicted class, most first:
            ``record_id``, ``batch``, ``source``, ``label``, ``share``, ``usual``, ``influence``.
        level: at which a source is accused.
        smallest_p: the smallest p-value that these data could give.
        wrong: number of wrong predictions.
        right: number of right predictions.
        agreement_wrong: share of the wrong predictions that the probe makes, too.
        agreement_right: share of the right ones; null: there are none.
        cannot_say: why nobody can be accused; empty where it can be said.
        notes: what else the reader should know.
        planted: where nobody is accused: what would have been. Empty where it was not tried.
    """

    sources: list[SourceShare]
    batches: list[BatchShare]
    records: pa.Table
    level: float
    smallest_p: float
    wrong: int
    right: int
    agreement_wrong: float
    agreement_right: float | None
    cannot_say: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)

    @property
    def accused(self) -> list[str]:
        """Names of the accused sources, most to blame first."""
        return [share.source for share in self.sources if share.accused]
