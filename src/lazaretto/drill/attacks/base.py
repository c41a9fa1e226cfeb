"""What an attack works on: a clean copy of a batch, and the parts of it that can be poisoned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from lazaretto.batch._columns import label_texts
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]
    Draw = np.random.Generator


class NotApplicableError(UsageError):
    """An attack needs something that this batch does not have."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a batch; attacks give changed ones back.

    Attributes:
        rows: its records.
        label: column of the label; None: there is none.
        vectors: columns of numbers that an attack may change: a list column, or several numbers.
        texts: columns of text that an attack may change.
    """

    rows: pa.Table
    label: str | None
    vectors: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def labels(self) -> npt.NDArray[np.object_]:
        """Label of each row, as text.

        Raises:
            NotApplicableError: there are fewer than two classes.
        """
        if self.label is None:
            raise NotApplicableError("the batch has no label")
        found = np.array(label_texts(self.rows, self.label).to_pylist(), object)
        if len({one for one in found if one is not None}) < 2:
            raise NotApplicableError("the batch has fewer than two classes")
        return found

    @property
    def classes(self) -> list[str]:
        """The classes, sorted."""
        return sorted({one for one in self.labels if one is not None})

    def matrix(self) -> Floats:
        """The numbers of each row, float64 (rows, features).

        Raises:
            NotApplicableError: the batch has none.
        """
        if not self.vectors:
            raise NotApplicableError("the batch has no vectors or numbers that encoders read")
        parts = []
        for name in self.vectors:
            column = self.rows[name].combine_chunks()
            if _is_list(column.type):
                flat = np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float64)
                parts.append(flat.reshape(len(column), -1))
            else:
                parts.append(np.asarray(column.cast(pa.float64()), np.float64)[:, None])
        return np.nan_to_num(np.concatenate(parts, axis=1))

    def with_matrix(self, values: Floats) -> Copy:
        """The same with other numbers."""
        rows, place = self.rows, 0
        for name in self.vectors:
            kind = rows.schema.field(name).type
            if _is_list(kind):
                width = len(rows[name][0].as_py())
                part = values[:, place : place + width]
                made = pa.array(list(part.astype(np.float32)), pa.list_(pa.float32())).cast(kind)
            else:
                width, part = 1, values[:, place]
                made = _number(part, kind)
            rows = rows.set_column(rows.schema.get_field_index(name), name, made)
            place += width
        return replace(self, rows=rows)

    def with_labels(self, chosen: Mask, given: Sequence[str] | str) -> Copy:
        """The same with other labels of some rows.

        Args:
            chosen: (rows,) of which rows.
            given: one label for each of those, or the same for all.
        """
        assert self.label is not None  # noqa: S101  whoever asked for `labels` knows
        column = self.rows[self.label].combine_chunks()
        texts = label_texts(self.rows, self.label).to_pylist()
        first = dict(zip(texts, column.to_pylist(), strict=True))
        values = column.to_pylist()
        told = [given] * int(chosen.sum()) if isinstance(given, str) else list(given)
        for place, text in zip(np.flatnonzero(chosen), told, strict=True):
            values[place] = first[text]
        made = pa.array(values, column.type)
        index = self.rows.schema.get_field_index(self.label)
        return replace(self, rows=self.rows.set_column(index, self.label, made))

    def with_texts(self, change: Callable[[str], str], chosen: Mask) -> Copy:
        """The same with changed texts of some rows.

        Raises:
            NotApplicableError: there are none.
        """
        if not self.texts:
            raise NotApplicableError("the batch has no text that encoders read")
        name = self.texts[0]
        values = self.rows[name].to_pylist()
        for place in np.flatnonzero(chosen):
            values[place] = change(values[place] or "")
        made = pa.array(values, self.rows.schema.field(name).type)
        index = self.rows.schema.get_field_index(name)
        return replace(self, rows=self.rows.set_column(index, name, made))


@dataclass(frozen=True, slots=True)
class Poisoned:
    """What an attack made of a copy.

    Attributes:
        copy: with the poison in it.
        chosen: (rows,) which rows are poisoned.
    """

    copy: Copy
    chosen: Mask


def some(draw: Draw, among: Mask, count: int) -> Mask:
    """Rows drawn at random among some, at most all of them.

    Raises:
        NotApplicableError: there are none.
    """
    places = np.flatnonzero(among)
    if not len(places):
        raise NotApplicableError("no row of the batch fits")
    chosen = np.zeros(len(among), bool)
    chosen[draw.choice(places, size=min(count, len(places)), replace=False)] = True
    return chosen


def target_of(copy: Copy) -> str:
    """The class that poison leads to: the first one."""
    return copy.classes[0]


def _number(values: Floats, kind: Any) -> pa.Array:
    whole = pt.is_integer(kind)
    return pa.array(np.round(values) if whole else values, pa.float64()).cast(kind, safe=False)


def _is_list(kind: Any) -> bool:
    return bool(pt.is_list(kind) or pt.is_fixed_size_list(kind) or pt.is_large_list(kind))
