"""One pass over a batch: rules on texts, mended values, keys of contents, lengths."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch import own, records
from lazaretto.cleaning import _scripts
from lazaretto.cleaning._findings import Findings
from lazaretto.cleaning._lengths import size_classes
from lazaretto.cleaning._near import Sketches
from lazaretto.cleaning._plan import Plan, contents
from lazaretto.cleaning._texts import (
    TEXT_RULES,
    Leaf,
    found_by,
    leaves,
    mended,
    odd_texts,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.batch import Batch
    from lazaretto.policy import Cleaning, Columns

_SHOWN = 121
FIXES = pa.schema(
    [
        ("position", pa.uint64()),
        ("record_id", pa.string()),
        ("column", pa.string()),
        ("original", pa.large_string()),
        ("fixed", pa.large_string()),
    ]
)
"""Columns of the mended values: each with what was delivered in its place."""


@dataclass(slots=True)
class Scan:
    """What one pass over a batch gave.

    Attributes:
        ids: of all records, string.
        findings: of the rules on texts and names.
        fixes: mended values; see `FIXES`.
        keys: of every record's content; None where no rule compares contents.
        sketches: of every record's text; likewise.
        classes: size class of every text, by column.
    """

    ids: pa.ChunkedArray
    findings: Findings
    fixes: pa.Table
    keys: NDArray[np.int64] | None
    sketches: Sketches | None
    classes: dict[str, NDArray[np.int16]]


def scan(batch: Batch | pa.Table, columns: Columns, cleaning: Cleaning) -> Scan:
    r"""Looks at every record once.

    Args:
        batch: a batch as it was delivered, or its records in memory.
        columns: the policy's columns.
        cleaning: the policy's section.

    Raises:
        SystemFaultError: the records cannot be read.

    Examples:
        >>> from lazaretto.policy import Cleaning, Columns
        >>> found = scan(pa.table({"text": ["a", "b\u202ec"]}), Columns(), Cleaning())
        >>> found.findings.table(found.ids)["rule"].to_pylist()
        ['cleaning.bidi_controls']
    """
    plan = Plan.of(batch.schema, columns, cleaning)
    state = _State(plan, Findings(broken=list(plan.broken)))
    offset = 0
    for ids, chunk in records(batch, columns, columns=plan.read):
        state.take(own(ids), chunk, offset)
        offset += chunk.num_rows
    return state.done()


@dataclass(slots=True)
class _State:
    plan: Plan
    findings: Findings
    ids: list[pa.Array] = field(default_factory=list)
    fixes: list[pa.Table] = field(default_factory=list)
    keys: list[NDArray[np.int64]] = field(default_factory=list)
    sketches: list[Sketches] = field(default_factory=list)
    names: dict[str, list[pa.Array]] = field(default_factory=dict)
    classes: dict[str, list[NDArray[np.int16]]] = field(default_factory=dict)

    def take(self, ids: pa.Array, chunk: pa.RecordBatch, offset: int) -> None:
        """Looks at the next records."""
        self.ids.append(ids)
        looked_at = dict.fromkeys(name for names, _ in self.plan.texts.values() for name in names)
        for name in looked_at:
            column = self._texts(ids, name, chunk.column(name), offset)
            if column is not None:
                place = chunk.schema.get_field_index(name)
                chunk = chunk.set_column(place, chunk.schema.field(place), column)
        for name in self.plan.identifiers:
            values = pc.fill_null(chunk.column(name).cast(pa.string()), "")
            self.names.setdefault(name, []).append(values.dictionary_encode())
        for name in self.plan.lengths:
            self.classes.setdefault(name, []).append(size_classes(chunk.column(name)))
        keys, found = contents(chunk, self.plan)
        self.keys += [] if keys is None else [keys]
        self.sketches += [] if found is None else [found]

    def _texts(self, ids: pa.Array, name: str, values: pa.Array, offset: int) -> pa.Array | None:
        """Looks at one column; gives it back mended, where something is."""
        rules = {rule: action for rule, (names, action) in self.plan.texts.items() if name in names}
        fixed = None
        for leaf in leaves(name, values):
            odd = odd_texts(leaf)
            after = odd.texts
            mending = {rule for rule, action in rules.items() if action == "fix"}
            if mending and leaf.rows is None:
                after = self._mend(ids, odd, mending, offset)
                if not after.equals(odd.texts):
                    mask = np.zeros(len(values), dtype=np.bool_)
                    mask[odd.rows] = True
                    where = pc.and_(pa.array(mask), values.is_valid())
                    there = where.filter(pa.array(mask))
                    fixed = pc.replace_with_mask(values, where, after.filter(there))
            for rule, action in rules.items():
                if action == "fix" and leaf.rows is None:
                    continue
                found = found_by(TEXT_RULES[rule], odd.texts)
                if after is not odd.texts:
                    found |= found_by(TEXT_RULES[rule], after)
                self._add(leaf, odd, rule, "hold" if action == "fix" else action, found, offset)
        return fixed

    def _mend(self, ids: pa.Array, odd: Leaf, mending: set[str], offset: int) -> pa.Array:
        rules = {rule: TEXT_RULES[rule] for rule in TEXT_RULES if rule in mending}
        by_rule = {rule: found_by(one, odd.texts) for rule, one in rules.items()}
        any_of = np.logical_or.reduce(list(by_rule.values()))
        if not any_of.any():
            return odd.texts
        some = odd.texts.filter(pa.array(any_of))
        better, left = mended(some, list(rules.values()))
        rows = odd.positions(np.flatnonzero(any_of))
        for rule, found in by_rule.items():
            good = found.copy()
            good[any_of] &= ~left
            self._add(odd, odd, rule, "fix", good, offset)
        stuck = np.zeros(len(odd.texts), dtype=np.bool_)
        stuck[any_of] = left
        self._add(odd, odd, "unmendable", "hold", stuck, offset)
        columns = [
            pa.array((rows + offset).astype(np.uint64)),
            ids.take(pa.array(rows)),
            pa.repeat(odd.path, len(rows)),
            some.cast(pa.large_string()),
            better.cast(pa.large_string()),
        ]
        changed = pc.and_(pc.not_equal(columns[3], columns[4]), pa.array(~left))
        self.fixes.append(pa.Table.from_arrays(columns, schema=FIXES).filter(changed))
        kept = pc.if_else(pa.array(left), some, better)
        return pc.replace_with_mask(odd.texts, pa.array(any_of), kept)

    def _add(
        self,
        leaf: Leaf,
        odd: Leaf,
        rule: str,
        action: str,
        found: NDArray[np.bool_],
        offset: int,
    ) -> None:
        numbers = np.flatnonzero(found)
        if not len(numbers):
            return
        asks = TEXT_RULES[rule].asks if rule in TEXT_RULES else "must be a text that can be mended"
        asks += "; mended" if action == "fix" else ""
        rows, first = np.unique(_rows(leaf, odd, numbers), return_index=True)
        values = pc.utf8_slice_codeunits(odd.texts.take(pa.array(numbers[first])), 0, _SHOWN)
        self.findings.add(
            f"cleaning.{rule}",
            leaf.path,
            action,
            f"{leaf.path} {asks}",
            rows + offset,
            values=values.to_pylist(),
        )

    def done(self) -> Scan:
        """Everything, once all records were taken."""
        for name, parts in self.names.items():
            self._names(name, pa.chunked_array(parts))
        return Scan(
            ids=pa.chunked_array(self.ids, pa.string()),
            findings=self.findings,
            fixes=pa.concat_tables([FIXES.empty_table(), *self.fixes]).sort_by(
                [("position", "ascending"), ("column", "ascending")]
            ),
            keys=np.concatenate(self.keys) if self.plan.content and self.keys else None,
            sketches=Sketches.joined(self.sketches) if self.plan.near else None,
            classes={name: np.concatenate(parts) for name, parts in self.classes.items()},
        )

    def _names(self, name: str, parts: pa.ChunkedArray) -> None:
        section = self.plan.cleaning.identifiers
        values = parts.unify_dictionaries().cast(pa.string()).combine_chunks()
        mixed = _scripts.find_mixed(values, section.restriction)
        self._name(name, "identifiers", f"{name} must be of one script", values, mixed)
        twins = _scripts.find_twins(values)
        asks = f"{name} must not look like another value of the column"
        self._name(name, "identifiers.twins", asks, values, twins)

    def _name(self, name: str, rule: str, asks: str, values: pa.Array, found: pa.Array) -> None:
        rows = np.flatnonzero(found.to_numpy(zero_copy_only=False))
        shown = pc.utf8_slice_codeunits(values.take(pa.array(rows)), 0, _SHOWN).to_pylist()
        action = self.plan.cleaning.identifiers.action
        self.findings.add(f"cleaning.{rule}", name, action, asks, rows, values=shown)


def _rows(leaf: Leaf, odd: Leaf, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the chunk, of some odd texts of a leaf."""
    found = odd.positions(numbers)
    return found if leaf is odd else leaf.positions(found)
