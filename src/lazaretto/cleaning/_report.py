"""Everything that cleaning says of a batch, once copies and earlier lengths are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.cleaning._keys import repeated
from lazaretto.cleaning._lengths import counted, extreme, needed
from lazaretto.cleaning._near import near_before
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lazaretto.cleaning._scan import Scan
    from lazaretto.policy import Cleaning
    from lazaretto.values import RuleCount

_NAME = 80


@dataclass(frozen=True, slots=True)
class Original:
    """The record that another one is a copy of.

    Attributes:
        source: who delivered it.
        batch: in which batch.
        record: its id.
        similarity: of the two texts, estimated; None: their content is the same.
    """

    source: str
    batch: str
    record: str
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier batches tell.

    Attributes:
        source: who delivered this one.
        exact: by position, the earlier record with the same content.
        near: by position, an earlier one with nearly the same text.
        lengths: by column, how many texts each earlier batch of the source had of each size class.
        notes: what is not known, in words.
    """

    source: str = ""
    exact: Mapping[int, Original] = field(default_factory=dict)
    near: Mapping[int, Original] = field(default_factory=dict)
    lengths: Mapping[str, Sequence[NDArray[np.int64]]] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """What cleaning says of a batch.

    Attributes:
        findings: see `findings_schema`.
        fixes: see `FIXES`.
        rules: every rule that found something, with its count.
        broken: what is wrong with the batch as a whole.
        notes: what could not be judged, in words.
        lengths: by column, how many texts have each size class.
    """

    findings: pa.Table
    fixes: pa.Table
    rules: list[RuleCount]
    broken: list[str]
    notes: list[str]
    lengths: dict[str, NDArray[np.int64]]

    @property
    def stopped(self) -> pa.Table:
        """Findings by which a record does not go on."""
        return self.findings.filter(pc.is_in(self.findings["action"], pa.array(["hold", "drop"])))

    @property
    def flagged(self) -> pa.Table:
        """Findings with which a record goes on: what is only flagged, and what is mended."""
        return self.findings.filter(pc.is_in(self.findings["action"], pa.array(["fix", "flag"])))

    def dropped(self, held: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the records that are dropped: nothing but rules that drop spoke against.

        Args:
            held: positions that something else speaks against.
        """
        action, position = self.findings["action"], self.findings["position"]
        drop = position.filter(pc.equal(action, "drop")).to_numpy().astype(np.int64)
        hold = position.filter(pc.equal(action, "hold")).to_numpy().astype(np.int64)
        return np.setdiff1d(np.setdiff1d(drop, hold), held)


def report(found: Scan, cleaning: Cleaning, known: Known | None = None) -> CleaningReport:
    """Judges copies and lengths, and puts everything together.

    Args:
        found: of one pass over the batch.
        cleaning: the policy's section.
        known: what earlier batches tell; None: nothing.

    Examples:
        >>> import pyarrow as pa
        >>> from lazaretto.cleaning import scan
        >>> from lazaretto.policy import Cleaning, Columns
        >>> rows = pa.table({"id": ["a", "b"], "text": ["Hello  you", "hello you"]})
        >>> found = report(scan(rows, Columns(record_id="id"), Cleaning()), Cleaning())
        >>> found.findings["text"].to_pylist()
        ["same content as record 'a' of this batch"]
    """
    known = known or Known()
    notes = list(known.notes)
    copies = _Copies(found, known)
    if found.keys is not None:
        rule = cleaning.exact_duplicates
        copies.exact(rule.action, rule.within)
    if found.sketches is not None:
        near = cleaning.near_duplicates
        copies.near(near.action, near.within, near.similarity)
    for name, classes in found.classes.items():
        notes += _judge_lengths(found, cleaning, known, name, classes)
    return CleaningReport(
        findings=found.findings.table(found.ids),
        fixes=found.fixes,
        rules=found.findings.counts(),
        broken=found.findings.problems(),
        notes=notes,
        lengths={name: counted(classes) for name, classes in found.classes.items()},
    )


def _judge_lengths(
    found: Scan, cleaning: Cleaning, known: Known, name: str, classes: NDArray[np.int16]
) -> list[str]:
    """Adds the lengths that are extreme; says so where there is nothing to compare with."""
    rule = cleaning.lengths
    odd, seen = extreme(classes, known.lengths.get(name, ()), rule.level)
    if seen < needed(rule.level):
        return [
            f"cleaning.lengths cannot judge {name} yet: {known.source or 'the source'} has "
            f"{seen:,} earlier values of it, and it takes {needed(rule.level):,}"
        ]
    asks = f"{name} must be about as long as the source's earlier values"
    positions = np.flatnonzero(odd)
    found.findings.add("cleaning.lengths", name, rule.action, asks, positions)
    return []


@dataclass(slots=True)
class _Copies:
    scan: Scan
    known: Known
    _exact: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self._exact = np.zeros(len(self.scan.ids), dtype=np.bool_)

    def exact(self, action: str, within: str) -> None:
        """Adds the records whose content is another's."""
        assert self.scan.keys is not None  # noqa: S101  the caller looked
        first = repeated(self.scan.keys)
        self._exact |= first != np.arange(len(first))
        self._exact[list(self.known.exact)] = True
        self._add("exact_duplicates", action, self.known.exact, "same content as", "have")
        self._within("exact_duplicates", action, within, first, None, self.known.exact)

    def near(self, action: str, within: str, least: float) -> None:
        """Adds the records whose text is nearly another's, and whose content is not the same."""
        assert self.scan.sketches is not None  # noqa: S101  the caller looked
        first, how = near_before(self.scan.sketches, least)
        same = np.flatnonzero(self._exact)
        first[same] = same
        earlier = {at: one for at, one in self.known.near.items() if not self._exact[at]}
        self._add("near_duplicates", action, earlier, "nearly the text of", "nearly have")
        self._within("near_duplicates", action, within, first, how, earlier)

    def _add(
        self,
        rule: str,
        action: str,
        earlier: Mapping[int, Original],
        is_a: str,
        must_not: str,
    ) -> None:
        """Copies of the source's own records, and of another's, which are a rule of their own."""
        for other in (False, True):
            mine = {
                at: one for at, one in earlier.items() if (one.source != self.known.source) == other
            }
            positions = np.array(sorted(mine), np.int64)
            texts = [_said(mine[at], is_a, other) for at in positions.tolist()]
            whose = "another source's records" if other else "the source's earlier records"
            self.scan.findings.add(
                f"cleaning.{rule}.other_source" if other else f"cleaning.{rule}.earlier",
                None,
                action,
                f"a record must not {must_not} the content of {whose}",
                positions,
                texts=texts,
            )

    def _within(
        self,
        rule: str,
        action: str,
        within: str,
        first: NDArray[np.int64],
        how: NDArray[np.float64] | None,
        earlier: Mapping[int, Original],
    ) -> None:
        if within == "off":
            return
        positions = np.flatnonzero(first != np.arange(len(first)))
        if within == "all":
            positions = np.union1d(positions, first[positions])
        positions = np.setdiff1d(positions, np.array(sorted(earlier), np.int64))
        texts = [self._in_batch(at, int(first[at]), how) for at in positions.tolist()]
        what = "content" if how is None else "text"
        asks = (
            f"the records of a batch must not have {'nearly ' * (how is not None)}the same {what}"
        )
        self.scan.findings.add(f"cleaning.{rule}", None, action, asks, positions, texts=texts)

    def _in_batch(self, at: int, first: int, how: NDArray[np.float64] | None) -> str:
        if at == first:
            return "later records of this batch are copies of it"
        record = excerpt(self.scan.ids[first].as_py(), _NAME)
        if how is None:
            return f"same content as record {record!r} of this batch"
        return f"nearly the text of record {record!r} of this batch (similarity {how[at]:.2f})"


def _said(one: Original, is_a: str, other: bool) -> str:
    record, batch = excerpt(one.record, _NAME), excerpt(one.batch, _NAME)
    how = "" if one.similarity is None else f" (similarity {one.similarity:.2f})"
    text = f"{is_a} record {record!r} of {batch}{how}"
    if not other:
        return text
    source = excerpt(one.source, _NAME)
    return (
        f"{text}, which {source} delivered first: records copied from another source can be poison"
    )
