"""What the rules of a contract find in a piece of a batch, such that pieces can be put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

_FACTS = pa.schema(
    [
        ("kind", pa.string()),
        ("rule", pa.int32()),
        ("name", pa.string()),
        ("text", pa.string()),
        ("number", pa.int64()),
    ]
)
_LISTED = pa.schema([("rule", pa.int32()), ("position", pa.int64()), ("text", pa.string())])
_COLUMN = "column-"


@dataclass(frozen=True, slots=True)
class Breaking:
    """Records that break one rule.

    Attributes:
        positions: in the batch, ascending, int64 (n,).
        texts: their values, string (n,); None where the rule shows none.
    """

    positions: NDArray[np.int64]
    texts: pa.Array | None


@dataclass(frozen=True, slots=True)
class Piece:
    """What was found in records that lie behind each other.

    Attributes:
        rows: how many they are.
        wrong: of columns, what is wrong with their type.
        problems: what hangs on all records together, in words: a rule that raised, or a value that
            the contract's type cannot hold. A piece that has one cannot be put to others.
        counts: of rules about single records, how many break them.
        listed: the first of those, by position and then by rule.
        columns: of rules about columns as a whole, what they keep.
    """

    rows: int
    wrong: Mapping[str, str]
    problems: Sequence[str]
    counts: Mapping[int, int]
    listed: Mapping[int, Breaking]
    columns: Mapping[int, pa.Table]

    def tables(self) -> dict[str, pa.Table]:
        """All of it, to be sent."""
        facts: list[tuple[str, int | None, str | None, str | None, int | None]] = [
            ("rows", None, None, None, self.rows)
        ]
        facts += [("wrong", None, name, text, None) for name, text in self.wrong.items()]
        facts += [("problem", None, None, text, None) for text in self.problems]
        facts += [("count", rule, None, None, count) for rule, count in self.counts.items()]
        columns = list(zip(*facts, strict=True))
        arrays = [pa.array(one, field.type) for one, field in zip(columns, _FACTS, strict=True)]
        parts = [
            pa.table(
                [
                    pa.array(np.full(len(one.positions), rule, np.int32)),
                    pa.array(one.positions),
                    pa.nulls(len(one.positions), pa.string()) if one.texts is None else one.texts,
                ],
                schema=_LISTED,
            )
            for rule, one in self.listed.items()
        ]
        return {
            "facts": pa.Table.from_arrays(arrays, schema=_FACTS),
            "listed": pa.concat_tables([_LISTED.empty_table(), *parts]),
            **{f"{_COLUMN}{rule}": table for rule, table in self.columns.items()},
        }

    @classmethod
    def of_tables(cls, tables: Mapping[str, Iterable[pa.RecordBatch | pa.Table]]) -> Piece:
        """The same again; other tables may be among them."""
        facts = as_table(tables["facts"]).to_pylist()
        listed = as_table(tables["listed"]).combine_chunks()
        of_rule = listed["rule"].to_numpy()
        found = {}
        # The records of a rule lie behind each other.
        edges = np.flatnonzero(np.diff(of_rule)) + 1
        for first, last in zip([0, *edges], [*edges, len(of_rule)], strict=True):
            if first == last:
                continue
            rows = listed.slice(first, last - first)
            texts = pa.concat_arrays([pa.array([], pa.string()), *rows["text"].chunks])
            found[int(of_rule[first])] = Breaking(rows["position"].to_numpy(), texts)
        return cls(
            sum(one["number"] for one in facts if one["kind"] == "rows"),
            {one["name"]: one["text"] for one in facts if one["kind"] == "wrong"},
            [one["text"] for one in facts if one["kind"] == "problem"],
            {one["rule"]: one["number"] for one in facts if one["kind"] == "count"},
            found,
            {
                int(name.removeprefix(_COLUMN)): as_table(chunks)
                for name, chunks in tables.items()
                if name.startswith(_COLUMN)
            },
        )


def first_of(listed: Mapping[int, Breaking], most: int) -> dict[int, Breaking]:
    """The first records of all rules together, by position and then by rule.

    Which ones these are does not depend on how a batch was cut.

    Args:
        listed: by rule.
        most: of all rules together; none where it is not positive.

    Examples:
        >>> found = {0: Breaking(np.array([1, 5]), None), 1: Breaking(np.array([1, 2]), None)}
        >>> {rule: one.positions.tolist() for rule, one in first_of(found, 3).items()}
        {0: [1], 1: [1, 2]}
    """
    sizes = [len(one.positions) for one in listed.values()]
    if sum(sizes) <= most:
        return dict(listed)
    if most <= 0:
        return {}
    positions = np.concatenate([one.positions for one in listed.values()])
    rules = np.repeat(np.array(list(listed)), sizes)
    kept = rules[np.lexsort((rules, positions))[:most]]
    counts = {rule: int(np.count_nonzero(kept == rule)) for rule in listed}
    return {
        rule: Breaking(
            one.positions[: counts[rule]],
            None if one.texts is None else one.texts.slice(0, counts[rule]),
        )
        for rule, one in listed.items()
        if counts[rule]
    }


def as_table(chunks: Iterable[pa.RecordBatch | pa.Table]) -> pa.Table:
    """Chunks, of which there is at least one, as one table."""
    tables = [one if isinstance(one, pa.Table) else pa.Table.from_batches([one]) for one in chunks]
    return pa.concat_tables(tables)
