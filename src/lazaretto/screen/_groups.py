"""The groups that a policy names: whose records they are, and which groups are odd."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.stats.groups import group_excess
from lazaretto.text import cut
from lazaretto.values import REPORTED_ONLY, TestSummary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from lazaretto.embed.reader import Tap
    from lazaretto.policy import Policy
    from lazaretto.screen._measured import Measured

GROUPS = "group_excess"
TOLD = 5
_LONGEST = 80


@dataclass(slots=True)
class GroupTap:
    """Keeps the group columns of a batch's records while it streams by; see `Tap`.

    Attributes:
        names: columns of groups.
        other: somebody else who needs the records; None: nobody.
        last: texts of the chunk that came last, by column; null where there is none.
        parts: texts of the records that are judged, by column; a column that the batch lacks is
            left out.
    """

    names: Sequence[str]
    other: Tap | None = None
    last: dict[str, pa.Array] = field(default_factory=dict)
    parts: dict[str, list[pa.Array]] = field(default_factory=dict)

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        return [*self.names, *([] if self.other is None else self.other.columns)]

    def take(self, chunk: pa.RecordBatch) -> None:
        """Looks at the next chunk."""
        there = chunk.schema.names
        self.last = {name: _texts(chunk.column(name)) for name in self.names if name in there}
        if self.other is not None:
            self.other.take(chunk)

    def keep(self, mask: npt.NDArray[np.bool_]) -> None:
        """Of the last chunk, keeps the records that are judged."""
        for name, texts in self.last.items():
            self.parts.setdefault(name, []).append(texts.filter(pa.array(mask)))


def _texts(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = [None if cell is None else str(cell) for cell in column.to_pylist()]
        return pa.array(texts, pa.string())
    return pc.cast(column, pa.string())


@dataclass(frozen=True, slots=True)
class OddGroups:
    """What the groups of a batch show.

    Attributes:
        test: they, as the batch tests are told.
        reasons: why each record of an odd group is held, by position; none where they are only
            looked at.
    """

    test: TestSummary
    reasons: dict[int, str]


class Numbered(NamedTuple):
    """The groups of a column.

    Attributes:
        number: int64 (m,), of each record's group; -1 where it has none.
        names: what they are called, by number.
    """

    number: npt.NDArray[np.int64]
    names: list[str]


def numbered(texts: pa.ChunkedArray) -> Numbered:
    """Numbers the groups of a column of texts."""
    coded = texts.combine_chunks().dictionary_encode()
    number = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Numbered(number.astype(np.int64), coded.dictionary.to_pylist())


def find_groups(
    groups: Mapping[str, Numbered], measured: Measured, policy: Policy, alpha: float
) -> OddGroups | None:
    """Looks for groups that have more odd records than their classes explain.

    Where more than `screen.batch.max_remaining_share` of a group is not explained, all of it is
    held; else its odd records are.

    Args:
        groups: of each record, by column.
        measured: the batch.
        policy: says which columns, and whether what is found is held.
        alpha: chance that any record of a clean batch is named.

    Returns:
        None where no column is named, it is off, or the batch is too small.
    """
    names, mode = policy.columns.groups, policy.screen.test_modes[GROUPS]
    if not names or mode == "off" or alpha <= 0:
        return None
    usable = np.flatnonzero(measured.usable)
    p_value, label = measured.p_value[usable], measured.label[usable]
    told, smallest, reasons = list[str](), 1.0, dict[int, str]()
    limit = policy.screen.batch.max_remaining_share
    for name in names:
        if name not in groups:
            told.append(f"the batch has no column {cut(name, _LONGEST)!r}")
            continue
        number, values = groups[name]
        found = group_excess(
            p_value, label, number[usable], measured.known, alpha=alpha, columns=len(names)
        )
        for one in found:
            smallest = min(smallest, one.p_value)
            value = cut(values[one.group], _LONGEST)
            text = (
                f"{name} {value!r}: {one.count} of its {one.records} records have "
                f"p <= {one.level:g}; by trusted records of their classes, {one.expected:.1f} are "
                "expected"
            )
            told.append(text)
            if one.p_value > alpha:
                continue
            inside = number[usable] == one.group
            if one.share <= limit:
                inside &= p_value <= one.level + 1e-12
            for row in usable[inside].tolist():
                reasons.setdefault(row, f"{GROUPS}: {text}")
    detail = "; ".join(told[:TOLD])
    if len(told) > TOLD:
        detail += f"; and {len(told) - TOLD} more"
    fired = smallest <= alpha
    if mode != "enforce":
        detail, reasons = f"{detail}. {REPORTED_ONLY}", {}
    missing = not set(names) & set(groups)
    test = TestSummary(GROUPS, None if missing else smallest, alpha, fired, detail)
    return OddGroups(test, reasons)
