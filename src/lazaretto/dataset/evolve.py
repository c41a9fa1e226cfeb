"""What must change so that a batch's columns fit a dataset's, and whether the policy allows it.

Nothing is changed here. No value changes on its way into a dataset: it fits as it is, or the
dataset's column gets a wider type that holds old and new values exactly, or the batch is held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch._exact import InexactError, exact, widens
from lazaretto.batch._plain import plain_type
from lazaretto.dataset.delta import ADDED
from lazaretto.dataset.schema import storable_field
from lazaretto.dataset.wider import always_fits, wider_type
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lazaretto.policy import Evolve

_ADDED = frozenset(column.name for column in ADDED)
_INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+")


@dataclass(frozen=True, slots=True)
class Fit:
    """What a dataset needs so that a batch fits.

    Attributes:
        columns: the dataset's columns afterwards, with those that admission adds.
        added: names of new ones.
        wider: new types of columns that have another one today.
        dropped: columns of the batch that are not admitted.
        filled: columns of the dataset in which the batch has null.
        doubtful: columns whose values have to be looked at: not all that their type can hold has a
            place. Each with the wider type that the policy allows, or None.
        narrow: columns for which there is a wider type, which the policy does not allow.
        problems: why the batch does not fit, in words; empty: it does.
    """

    columns: pa.Schema
    added: tuple[str, ...] = ()
    wider: Mapping[str, pa.DataType] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    doubtful: Mapping[str, pa.DataType | None] = field(default_factory=dict)
    narrow: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()

    @property
    def grows(self) -> bool:
        """Whether the dataset's columns become others."""
        return bool(self.added or self.wider)


def find_change(
    delivered: pa.Schema, dataset: pa.Schema | None, rules: Evolve, named: Collection[str]
) -> Fit:
    """Compares columns by name and type.

    Args:
        delivered: columns of the batch, with or without those that admission adds.
        dataset: columns of the dataset; None: it has none yet, and gets the batch's.
        rules: of the policy.
        named: columns of the batch that the contract names.
    """
    known = {*named, *_ADDED}
    if dataset is None:
        # What the first batch has, the dataset has; unless the contract knows better.
        unknown = [name for name in delivered.names if name not in known]
        leave = unknown if rules.extra_columns == "drop" and named else []
        return _first(delivered, leave)
    found = _extra(delivered, dataset, rules, known)
    present = set(delivered.names) | (_ADDED if _ADDED.isdisjoint(delivered.names) else set())
    missing = [name for name in dataset.names if name not in present]
    if missing and rules.missing_columns == "hold":
        found.problems += [
            f"column {excerpt(name, 80)!r} is missing: deliver it, or set evolve.missing_columns: "
            "fill in the policy, which puts null there"
            for name in missing
        ]
    for column in dataset:
        if column.name in delivered.names:
            _compare(plain_type(delivered.field(column.name).type), column, rules, found)
    fields = [pa.field(one.name, found.wider.get(one.name, one.type)) for one in dataset]
    return Fit(
        columns=pa.schema([*fields, *found.added]),
        added=tuple(one.name for one in found.added),
        wider=found.wider,
        dropped=tuple(found.dropped),
        filled=tuple(missing),
        doubtful=found.doubtful,
        narrow=frozenset(found.narrow),
        problems=tuple(found.problems),
    )


@dataclass(slots=True)
class _Found:
    """What a comparison has found so far."""

    problems: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    added: list[pa.Field] = field(default_factory=list)
    wider: dict[str, pa.DataType] = field(default_factory=dict)
    doubtful: dict[str, pa.DataType | None] = field(default_factory=dict)
    narrow: set[str] = field(default_factory=set)


def _extra(
    delivered: pa.Schema, dataset: pa.Schema, rules: Evolve, known: Collection[str]
) -> _Found:
    """What becomes of the columns that the dataset does not have."""
    found, twins = _Found(), {name.casefold(): name for name in dataset.names}
    for column in delivered:
        # Flags that an older dataset has no place for stay in the store.
        if column.name in dataset.names or column.name in _ADDED:
            continue
        if column.name not in known and rules.extra_columns == "drop":
            found.dropped.append(column.name)
        elif (twin := twins.get(column.name.casefold())) is not None:
            found.problems.append(
                f"column {excerpt(column.name, 80)!r} is {twin!r} in the dataset: letter case does "
                "not tell columns apart, so write it as there"
            )
        elif reason := _not_added(column.name, rules, named=column.name in known):
            found.problems.append(reason)
        else:
            kept, why = storable_field(column)
            if kept is None:
                found.problems.append(str(why))
                continue
            found.added.append(kept)
            if not always_fits(column.type, kept.type):
                found.doubtful[column.name] = None
    return found


def _compare(kind: pa.DataType, column: pa.Field, rules: Evolve, found: _Found) -> None:
    """What becomes of a column that both have."""
    if always_fits(kind, column.type):
        return
    broader = wider_type(column.type, kind)
    broader = None if broader == column.type else broader
    if broader is not None and not rules.widen_types:
        found.narrow.add(column.name)
    if widens(kind, column.type):
        found.doubtful[column.name] = broader if rules.widen_types else None
    elif broader is not None and rules.widen_types:
        found.wider[column.name] = broader
        if not always_fits(kind, broader):
            found.doubtful[column.name] = None
    else:
        hint = ", or set evolve.widen_types: true in the policy" if broader is not None else ""
        found.problems.append(
            f"column {excerpt(column.name, 80)!r} is {kind}, the dataset has {column.type}: "
            f"deliver that type{hint}"
        )


def look_at_values(change: Fit, chunks: Iterable[pa.RecordBatch]) -> Fit:
    """The change after the values of doubtful columns were looked at, which are read once.

    Args:
        change: what was found by names and types.
        chunks: the records.
    """
    if not change.doubtful:
        return change
    wider, problems = dict(change.wider), list(change.problems)
    kinds = {name: change.columns.field(name).type for name in change.doubtful}
    failed: set[str] = set()
    for chunk in chunks:
        for name in kinds.keys() - failed:
            values = chunk.column(name)
            why = first_inexact(values, kinds[name])
            broader = change.doubtful[name]
            if why is not None and broader is not None and name not in wider:
                wider[name] = kinds[name] = broader
                # It holds all that the narrower one does, so what came before fits, too.
                why = first_inexact(values, broader)
            if why is not None:
                failed.add(name)
                problems.append(_no_place(name, why, kinds[name], name in change.narrow))
    fields = [pa.field(one.name, wider.get(one.name, one.type)) for one in change.columns]
    return Fit(
        columns=pa.schema(fields),
        added=change.added,
        wider=wider,
        dropped=change.dropped,
        filled=change.filled,
        problems=tuple(problems),
    )


def needs_look(dataset: pa.Schema, change: Fit) -> list[str]:
    """Columns of a dataset whose old values a wider type may not all hold."""
    return [
        name
        for name, kind in change.wider.items()
        if not always_fits(dataset.field(name).type, kind)
    ]


def old_value_stays(name: str, value: str, kind: pa.DataType) -> str:
    """Why a column gets no wider type: a value that is in the dataset already."""
    return (
        f"column {excerpt(name, 80)!r} would have to become {kind}, which cannot keep {value} "
        "exactly, and that is in the dataset: deliver the dataset's own type"
    )


def in_words(change: Fit, dataset: str) -> list[str]:
    """What becomes of columns, for the verdict."""
    told = [f"column {excerpt(one, 80)!r} is not admitted, by evolve" for one in change.dropped]
    told += [f"dataset {dataset!r} gets column {excerpt(one, 80)!r}" for one in change.added]
    told += [
        f"column {excerpt(one, 80)!r} of dataset {dataset!r} becomes {kind}"
        for one, kind in change.wider.items()
    ]
    return told + [f"column {excerpt(one, 80)!r} is missing: it is null" for one in change.filled]


def _first(delivered: pa.Schema, leave: list[str]) -> Fit:
    """What a dataset gets of its first batch."""
    fields: list[pa.Field] = []
    doubtful: dict[str, pa.DataType | None] = {}
    problems: list[str] = []
    for column in delivered:
        if column.name in leave:
            continue
        kept, why = storable_field(column)
        if kept is None:
            problems.append(str(why))
            continue
        fields.append(kept)
        if not always_fits(column.type, kept.type):
            doubtful[column.name] = None
    return Fit(
        columns=pa.schema(fields),
        dropped=tuple(leave),
        doubtful=doubtful,
        problems=tuple(problems),
    )


def _not_added(name: str, rules: Evolve, *, named: bool) -> str | None:
    """Why a column that the dataset has not may not be added to it; None: it may."""
    shown = excerpt(name, 80)
    if named:
        if rules.add_columns:
            return None
        return (
            f"column {shown!r} is in the contract and not in the dataset: set evolve.add_columns: "
            "true in the policy, which gives the dataset this column"
        )
    if rules.extra_columns == "keep":
        return None
    reason = f"column {shown!r} is neither in the dataset nor in the contract: "
    if _INDEX.fullmatch(name):
        return (
            f"{reason}it holds the row numbers that pandas adds. Write the file with index=False, "
            "or set evolve.extra_columns: drop in the policy"
        )
    return (
        f"{reason}deliver the batch without it, or set evolve.extra_columns: drop in the policy, "
        "which leaves it out, or keep, which gives the dataset this column"
    )


def first_inexact(values: pa.Array, kind: pa.DataType) -> str | None:
    """The first value that a type does not hold exactly, as text; None: it holds them all."""
    try:
        exact(values, kind)
    except InexactError as error:
        return error.value
    return None


def _no_place(name: str, value: str, kind: pa.DataType, narrow: bool) -> str:
    hint = ", or set evolve.widen_types: true in the policy" if narrow else ""
    return (
        f"column {excerpt(name, 80)!r} holds {value}, which the dataset's type {kind} cannot keep "
        f"exactly: deliver a value that it can{hint}"
    )
