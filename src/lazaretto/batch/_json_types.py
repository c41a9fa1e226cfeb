"""Types of JSON's values: declared, or guessed. Long: records and lists have types within.

A guess changes nothing: numbers that neither 64-bit integers nor doubles hold as they were
delivered become text, and so do ids that are no such integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._exact import InexactError, first_failing
from lazaretto.batch._from_text import INTEGER, NOT_READ, from_text
from lazaretto.batch._json_marks import NUMBER, TEXT, WORD, Leaves
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch._wanted import Declaration, Role, Wanted

Path = tuple[str, ...]
_ITEMS = "[]"
_NUMBERS = (pa.int64(), pa.float64())


class JsonTypes:
    """Looks at tables of marked texts, one after the other, and then converts them."""

    def __init__(self, delivery: str, wanted: Wanted, unlike: list[str] | None = None) -> None:
        """Starts with what is declared.

        Args:
            delivery: its name, for messages.
            wanted: what is known of the columns.
            unlike: gets, for each column that holds what is not of its declared type, what that is;
                such a column's type is guessed. None: the delivery is refused.
        """
        self._delivery, self._wanted, self._unlike = delivery, wanted, unlike
        self._guessed: set[str] = set()
        self._compared = 0
        self._kinds: dict[Path, set[str]] = {}
        self._numbers: dict[Path, tuple[pa.DataType, ...]] = {}
        self._converted = 0

    def look(self, table: pa.Table) -> None:
        """Notes what the leaves of a table are.

        Raises:
            DeliveryError: code ``unreadable``: something is no JSON value.
        """
        for column in table.column_names:
            values = table[column].combine_chunks()
            for path, leaves in _leaves(values, (column,)):
                try:
                    found = Leaves(leaves)
                except InexactError as error:
                    raise DeliveryError(
                        f"{self._delivery}: field {_name(path)!r} holds what is no JSON value",
                        code="unreadable",
                    ) from error
                kinds = found.kinds()
                self._kinds.setdefault(path, set()).update(kinds)
                possible = self._numbers.get(path, _NUMBERS)
                if NUMBER in kinds and possible and (self.lenient or self._said(column) is None):
                    texts = pc.if_else(found.is_marked, found.texts(), None)
                    possible = tuple(kind for kind in possible if _are(texts, kind))
                self._numbers[path] = possible

    def schema(self, structure: pa.Schema) -> pa.Schema:
        """Types of columns whose records and lists are as in `structure`, with text as leaves.

        Raises:
            DeliveryError: ``unreadable``: a field is of two kinds in different records;
                ``wrong_type``: a record or list where another is declared.
        """
        fields = []
        for field in structure:
            said = self._said(field.name)
            kind = None if said is None else said.kind
            try:
                found = self._type(field.type, (field.name,), kind)
            except InexactError as error:
                assert said is not None  # noqa: S101  nothing else is compared with
                refusal = DeliveryError(
                    f"{self._delivery}: field {error.value!r} holds no value of type {said.kind}, "
                    f"which {said.by} says",
                    code="wrong_type",
                )
                self._tell(field.name, refusal)
                found = self._type(field.type, (field.name,), None)
            fields.append(pa.field(field.name, found))
        return pa.schema(fields)

    @property
    def lenient(self) -> bool:
        """Whether a column that is not of its declared type is of another, instead of refused."""
        return self._unlike is not None

    def compare(self, table: pa.Table, structure: pa.Schema) -> None:
        """Notes which columns of a table of marked texts are not of their declared types."""
        schema = self.schema(structure)
        for field in schema:
            said = self._said(field.name)
            values = table[field.name].combine_chunks()
            role = self._wanted.role(field.name)
            if said is not None and not _is_of(values, field, role):
                self._tell(field.name, self._refusal(values, field, role, said, self._compared))
        self._compared += table.num_rows

    def _said(self, column: str) -> Declaration | None:
        return None if column in self._guessed else self._wanted.declaration(column)

    def _tell(self, column: str, refusal: DeliveryError) -> None:
        """Notes that a column is not of its declared type, and guesses that from here on."""
        if self._unlike is None:
            raise refusal
        self._unlike.append(str(refusal))
        self._guessed.add(column)

    def convert(self, table: pa.Table, schema: pa.Schema) -> pa.Table:
        """A table of marked texts in the types of a schema.

        Raises:
            DeliveryError: code ``wrong_type``: a value is not of the declared type.
        """
        columns = []
        for field in schema:
            values = table[field.name].combine_chunks()
            role = self._wanted.role(field.name)
            try:
                columns.append(_typed(values, field.type, role, loose=field.name in self._guessed))
            except NOT_READ:
                said = self._said(field.name)
                assert said is not None  # noqa: S101  a guess is of what all values are
                raise self._refusal(values, field, role, said, self._converted) from None
        self._converted += table.num_rows
        return pa.table(columns, schema=schema)

    def _refusal(
        self, values: pa.Array, field: pa.Field, role: Role, said: Declaration, before: int
    ) -> DeliveryError:
        row = first_failing(len(values), lambda a, b: _is_of(values.slice(a, b - a), field, role))
        value = _unmarked(values[row])
        return said.refusal(self._delivery, field.name, before + row + 1, value)

    def _type(self, found: pa.DataType, path: Path, wanted: pa.DataType | None) -> pa.DataType:
        """A type with the structure of the one found; `wanted` where it is declared.

        Raises:
            InexactError: with the path, where the two do not go together.
        """
        if pa.types.is_null(found):
            return found if wanted is None else wanted
        if pa.types.is_struct(found):
            return self._record_type(found, path, wanted)
        if pa.types.is_list(found):
            if wanted is not None and not hasattr(wanted, "value_type"):
                raise InexactError(_name(path))
            inner = None if wanted is None else wanted.value_type
            return pa.list_(self._type(found.value_type, (*path, _ITEMS), inner))
        if wanted is not None and pa.types.is_nested(wanted):
            raise InexactError(_name(path))
        return self._guess(path) if wanted is None else wanted

    def _record_type(
        self, found: pa.DataType, path: Path, wanted: pa.DataType | None
    ) -> pa.DataType:
        if wanted is not None and not pa.types.is_struct(wanted):
            raise InexactError(_name(path))
        said = {} if wanted is None else {field.name: field.type for field in wanted}
        fields = {
            field.name: self._type(field.type, (*path, field.name), said.get(field.name))
            for field in found
        }
        # A field that no record has is null in all of them.
        return pa.struct([*fields.items(), *((n, k) for n, k in said.items() if n not in fields)])

    def _guess(self, path: Path) -> pa.DataType:
        kinds = self._kinds.get(path, set())
        role = self._wanted.role(path[0]) if len(path) == 1 else "value"
        if kinds <= {NUMBER, TEXT} and kinds != {NUMBER} and (kinds == {TEXT} or role != "value"):
            return pa.string()
        if kinds == {NUMBER}:
            possible = self._numbers[path]
            if role == "id":
                return pa.int64() if pa.int64() in possible else pa.string()
            return possible[0] if possible else pa.string()
        if kinds == {WORD}:
            return pa.bool_()
        if not kinds:
            return pa.null()
        if path[0] in self._guessed:
            return pa.string()  # of any kinds, as they were written: its batch is held
        raise DeliveryError(
            f"{self._delivery}: a field has different types in different records: {_name(path)!r} "
            f"is {' and '.join(sorted(kinds))}",
            code="unreadable",
        )


def _name(path: Path) -> str:
    return ".".join(path)


def _are(texts: pa.Array, kind: pa.DataType) -> bool:
    """Whether numbers are of a type without being told so."""
    if pa.types.is_integer(kind):
        plain = pc.match_substring_regex(texts, INTEGER)
        if pc.all(plain, min_count=0).as_py() is False:
            return False
    try:
        from_text(texts, kind)
    except NOT_READ:
        return False
    return True


def _leaves(values: pa.Array, path: Path) -> Iterator[tuple[Path, pa.Array]]:
    """Columns of texts inside of a column, by their path."""
    if pa.types.is_struct(values.type):
        for field, child in zip(values.type, values.flatten(), strict=True):
            yield from _leaves(child, (*path, field.name))
    elif pa.types.is_list(values.type):
        yield from _leaves(values.flatten(), (*path, _ITEMS))
    elif not pa.types.is_null(values.type):
        yield path, values


def _is_of(values: pa.Array, field: pa.Field, role: Role) -> bool:
    try:
        _typed(values, field.type, role)
    except NOT_READ:
        return False
    return True


def _typed(
    values: pa.Array, kind: pa.DataType, role: Role = "value", *, loose: bool = False
) -> pa.Array:
    """Marked texts, and lists and records of them, in a type.

    Args:
        values: they.
        kind: the type.
        role: what they are.
        loose: words such as true may stand among texts.

    Raises:
        InexactError: a value is not of that type; likewise the other errors of `NOT_READ`.
    """
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), kind)
    if pa.types.is_struct(kind):
        children = dict(zip([f.name for f in values.type], values.flatten(), strict=True))
        columns = [
            _typed(children[field.name], field.type, loose=loose)
            if field.name in children
            else pa.nulls(len(values), field.type)
            for field in kind
        ]
        if not columns:
            return values
        return pa.StructArray.from_arrays(columns, fields=list(kind), mask=values.is_null())
    if pa.types.is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        items = _typed(values.flatten(), kind.value_type, loose=loose)
        return pa.ListArray.from_arrays(offsets, items, type=kind, mask=values.is_null())
    return _typed_leaf(Leaves(values), kind, role, loose=loose)


def _typed_leaf(leaves: Leaves, kind: pa.DataType, role: Role, *, loose: bool) -> pa.Array:
    t, kinds = pa.types, leaves.kinds()
    if t.is_boolean(kind):
        allowed = {WORD}
    elif t.is_integer(kind) or t.is_floating(kind):
        allowed = {NUMBER}
    elif t.is_string(kind) or t.is_large_string(kind) or t.is_decimal(kind):
        # Texts are the only exact form that some writers have.
        allowed = {NUMBER, TEXT, WORD} if loose else {NUMBER, TEXT}
    else:
        allowed = {TEXT}
    if not kinds <= allowed:
        raise InexactError("")
    return from_text(leaves.texts(), kind, role)


def _unmarked(value: pa.Scalar) -> object:
    """A value as it was delivered, for messages."""
    if isinstance(value, pa.StructScalar):
        return {key: _unmarked(value[key]) for key in value}
    if isinstance(value, pa.ListScalar):
        return [_unmarked(item) for item in value.values or ()]
    if not value.is_valid or pa.types.is_null(value.type):
        return None
    leaves = Leaves(pa.array([value.as_buffer().to_pybytes()], pa.binary()))
    text = leaves.texts()[0].as_py()
    return text if leaves.kinds() == {TEXT} else _Bare(text)


class _Bare(str):
    """A number or word of JSON, shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
