"""Types of CSV columns: declared ones, else the first of a row of types that every cell has.

The types, their order and what counts as null are those of pyarrow (``ConvertOptions`` defaults: an
empty number is null, text is never null), as it would infer them if the file were one block. But a
guess changes nothing: ids and labels are text, and so is a column with numbers that no number type
holds as they were delivered, such as 007 or 18446744073709551615, and one with times of day, which
no dataset can keep.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from lazaretto.batch._exact import InexactError, first_failing
from lazaretto.batch._from_text import INTEGER, NOT_READ, PLAIN_NUMBER, from_text
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.batch._options import TextOptions
    from lazaretto.batch._wanted import Declaration, Role, Wanted

_OPTIONS = pa_csv.ConvertOptions()
_NULLS = pa.array(_OPTIONS.null_values, pa.string())
_NANS = pa.array(["NaN", "-NaN", "nan", "-nan"], pa.string())
_TRUE = pa.array(_OPTIONS.true_values, pa.string())
_FALSE = pa.array(_OPTIONS.false_values, pa.string())
_TYPES = (
    pa.null(),
    pa.int64(),
    pa.bool_(),
    pa.date32(),
    pa.timestamp("s"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("us"),
    pa.timestamp("us", "UTC"),
    pa.timestamp("ns"),
    pa.timestamp("ns", "UTC"),
    pa.float64(),
    pa.string(),
)


class CellTypes:
    """Looks at cells, block by block, and then converts them."""

    def __init__(
        self, names: Sequence[str], delivery: str, wanted: Wanted, unlike: list[str] | None = None
    ) -> None:
        """Starts with what is declared.

        Args:
            names: of the columns.
            delivery: its name, for messages.
            wanted: what is known of the columns.
            unlike: gets, for each column that holds what is not of its declared type, what that is;
                such a column's type is guessed. None: the delivery is refused.

        Raises:
            DeliveryError: code ``wrong_type``: a column is declared as lists or records.
        """
        self._names, self._delivery, self._unlike = list(names), delivery, unlike
        self._marks = _Marks.of(wanted.text)
        self._roles = [wanted.role(name) for name in names]
        self._declared = [wanted.declaration(name) for name in names]
        self._possible: list[tuple[pa.DataType, ...]] = []
        self._looked = self._converted = 0
        for number, (role, said) in enumerate(zip(self._roles, self._declared, strict=True)):
            if said is not None and pa.types.is_nested(said.kind):
                self._tell(number, self._nested(names[number], said))
            known = said is not None and unlike is None
            guessed = (pa.string(),) if role != "value" else _TYPES
            self._possible.append((said.kind,) if said and known else guessed)

    def look(self, cells: pa.RecordBatch) -> pa.Table:
        """Strikes out types that the cells do not have, and returns the cells as text.

        Raises:
            DeliveryError: code ``unreadable``: they are not UTF-8.
        """
        texts = []
        for number, (name, column) in enumerate(zip(self._names, cells.columns, strict=True)):
            try:
                text = column.cast(pa.string())
            except pa.ArrowInvalid as error:
                raise DeliveryError(
                    f"{self._delivery}: column {name!r} is not UTF-8 text", code="unreadable"
                ) from error
            said = self._declared[number]
            if self._unlike is not None and said is not None:
                role = self._roles[number]
                if not _is_of(text, said.kind, role, self._marks):
                    self._tell(number, self._refusal(number, text, said, self._looked))
            self._possible[number] = _having(text, self._possible[number], self._marks)
            texts.append(text)
        self._looked += cells.num_rows
        return pa.table(texts, names=self._names)

    def schema(self) -> pa.Schema:
        """Columns in their declared type, or in the first that all cells seen so far have."""
        kinds = (
            possible[0] if said is None else said.kind
            for possible, said in zip(self._possible, self._declared, strict=True)
        )
        return pa.schema(list(zip(self._names, kinds, strict=True)))

    def convert(self, cells: pa.RecordBatch) -> pa.RecordBatch:
        """The next text cells in the types of `schema`.

        Raises:
            DeliveryError: code ``wrong_type``: a cell is not of the declared type.
        """
        schema = self.schema()
        columns = [self._column(n, cells.column(n), kind) for n, kind in enumerate(schema.types)]
        self._converted += cells.num_rows
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _column(self, number: int, text: pa.Array, kind: pa.DataType) -> pa.Array:
        said = self._declared[number]
        try:
            return _convert(text, kind, self._roles[number], self._marks)
        except NOT_READ:
            assert said is not None  # noqa: S101  a guess is of what all cells are
            raise self._refusal(number, text, said, self._converted) from None

    def _refusal(
        self, number: int, text: pa.Array, said: Declaration, before: int
    ) -> DeliveryError:
        role = self._roles[number]
        row = first_failing(len(text), partial(self._are, text, said.kind, role))
        record, value = before + row + 1, text[row].as_py()
        return said.refusal(self._delivery, self._names[number], record, value)

    def _nested(self, name: str, said: Declaration) -> DeliveryError:
        return DeliveryError(
            f"{self._delivery}: column {name!r} is of type {said.kind}, as {said.by} says, and "
            "CSV holds no lists and no records: deliver Parquet or JSON Lines",
            code="wrong_type",
        )

    def _tell(self, number: int, refusal: DeliveryError) -> None:
        """Notes that a column is not of its declared type, and guesses that from here on."""
        if self._unlike is None:
            raise refusal
        self._unlike.append(str(refusal))
        self._declared[number] = None

    def _are(self, text: pa.Array, kind: pa.DataType, role: Role, start: int, stop: int) -> bool:
        return _is_of(text.slice(start, stop - start), kind, role, self._marks)


class _Marks(NamedTuple):
    """How cells of numbers and nulls are written.

    Attributes:
        nulls: cells that are null.
        texts: whether they are null as texts, too.
        comma: whether a comma stands before a fraction.
    """

    nulls: pa.Array
    texts: bool
    comma: bool

    @classmethod
    def of(cls, options: TextOptions) -> _Marks:
        """As the policy says."""
        said = options.null_values
        nulls = _NULLS if said is None else pa.array(said, pa.string())
        return cls(nulls, said is not None, options.decimal == ",")


def _having(
    text: pa.Array, possible: tuple[pa.DataType, ...], marks: _Marks
) -> tuple[pa.DataType, ...]:
    """Those of the types that all cells have."""
    if len(possible) == 1:
        return possible
    cells = _with_nulls(text, pa.null(), marks)
    if cells.null_count == len(cells):
        return possible
    return tuple(kind for kind in possible if _looks_like(text, kind, marks))


def _looks_like(text: pa.Array, kind: pa.DataType, marks: _Marks) -> bool:
    """Whether cells are of a type without being told so."""
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        cells = pc.ascii_trim(_with_nulls(text, pa.null(), marks), " \t")
        try:
            cells = _pointed(cells, marks)
        except InexactError:
            return False
        pattern = INTEGER if pa.types.is_integer(kind) else PLAIN_NUMBER
        plain = pc.match_substring_regex(cells, pattern)
        words = pc.match_substring_regex(cells, r"^[+-]?[a-zA-Z]+$")  # such as inf
        if pc.all(pc.or_(plain, words), min_count=0).as_py() is False:
            return False
    return _is_of(text, kind, "value", marks)


def _is_of(text: pa.Array, kind: pa.DataType, role: Role, marks: _Marks) -> bool:
    try:
        _convert(text, kind, role, marks)
    except NOT_READ:
        return False
    return True


def _pointed(cells: pa.Array, marks: _Marks) -> pa.Array:
    """Numbers with a point before the fraction.

    Raises:
        InexactError: there are points already, which may stand for anything.
    """
    if not marks.comma:
        return cells
    if pc.any(pc.match_substring(cells, "."), min_count=0).as_py():
        raise InexactError("")
    return pc.replace_substring(cells, ",", ".")


def _with_nulls(text: pa.Array, kind: pa.DataType, marks: _Marks) -> pa.Array:
    """Cells with null for the words that mean it; NaN is a value where numbers have fractions."""
    if pa.types.is_floating(kind):
        text = pc.if_else(pc.is_in(text, _NANS), "nan", text)
        return pc.if_else(
            pc.and_not(pc.is_in(text, marks.nulls), pc.equal(text, "nan")), None, text
        )
    return pc.if_else(pc.is_in(text, marks.nulls), None, text)


def _convert(text: pa.Array, kind: pa.DataType, role: Role, marks: _Marks) -> pa.Array:
    """Cells in a type.

    Raises:
        ArrowInvalid: not all of them have it; likewise the other errors of `NOT_READ`.
    """
    t = pa.types
    if t.is_string(kind) or t.is_large_string(kind) or t.is_binary(kind):
        if marks.texts and role == "value":
            text = pc.if_else(pc.is_in(text, marks.nulls), None, text)
        return from_text(text, kind)
    cells = _with_nulls(text, kind, marks)
    if t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind):
        cells = _pointed(cells, marks)
    if t.is_boolean(kind):
        known = pc.or_(pc.is_in(cells, _TRUE), pc.is_in(cells, _FALSE))
        if pc.any(pc.and_(pc.is_valid(cells), pc.invert(known))).as_py():
            raise pa.ArrowInvalid("not true or false")
        return pc.if_else(pc.is_valid(cells), pc.is_in(cells, _TRUE), None)
    return from_text(cells, kind, role)
