"""What is known of a delivery's columns before it is read: their types, and the parts they play."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._options import TextOptions
from lazaretto.errors import DeliveryError
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lazaretto.policy import Columns

Role = Literal["id", "label", "value"]
"""A record id, a label, or any other value: ids and labels are names, whatever they look like."""
_BY, _PATTERN = b"by", b"pattern"
_NO_TYPES = pa.schema([])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Declared types, and which columns hold ids and labels.

    Attributes:
        record_id: column of record ids.
        label: column of labels.
        declared: fields as `declared` makes them; the first that fits a column counts.
        read: how text is written, where it is not the usual way: `lazaretto.policy.Read.options`.
        lenient: a column of text that holds what is not of its declared type gets the type that
            it would have if none were declared; otherwise the delivery is refused.
    """

    record_id: str | None = None
    label: str | None = None
    declared: pa.Schema = field(default_factory=lambda: _NO_TYPES)
    read: Mapping[str, Any] = field(default_factory=dict)
    lenient: bool = False

    @classmethod
    def of(
        cls,
        columns: Columns | None,
        fields: Iterable[pa.Field] = (),
        read: Mapping[str, Any] | None = None,
    ) -> Wanted:
        """What a policy says of columns, with declared types, and of how text is written."""
        if columns is None:
            return cls(declared=pa.schema(fields), read=read or {})
        return cls(columns.record_id, columns.label, pa.schema(fields), read or {})

    @property
    def text(self) -> TextOptions:
        """How text is written."""
        return TextOptions.of(self.read)

    def role(self, column: str) -> Role:
        """The part that a column plays."""
        if column == self.record_id:
            return "id"
        return "label" if column == self.label else "value"

    def declaration(self, column: str) -> Declaration | None:
        """The type that is declared for a column, and by whom."""
        for one in self.declared:
            said = one.metadata or {}
            matches = (
                pc.match_substring_regex(pa.scalar(column), one.name).as_py()
                if _PATTERN in said
                else one.name == column
            )
            if matches:
                return Declaration(one.type, said.get(_BY, b"").decode())
        return None

    def dump(self) -> dict[str, Any]:
        """The same as JSON, for another process."""
        types = base64.b64encode(self.declared.serialize().to_pybytes()).decode()
        said = {"record_id": self.record_id, "label": self.label, "declared": types}
        return said | {"read": dict(self.read), "lenient": self.lenient}

    @classmethod
    def load(cls, said: dict[str, Any]) -> Wanted:
        """What `dump` gave."""
        types = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(said["declared"])))
        return cls(said["record_id"], said["label"], types, said["read"], said["lenient"])


@dataclass(frozen=True, slots=True)
class Declaration:
    """A declared type.

    Attributes:
        kind: the type.
        by: who declares it, such as ``the contract``.
    """

    kind: pa.DataType
    by: str

    def refusal(self, delivery: str, column: str, record: int, value: object) -> DeliveryError:
        """The refusal of a value that is not of this type.

        Args:
            delivery: name of the delivery.
            column: its column, with the path inside of it.
            record: number of the record, from 1.
            value: what is there.
        """
        return DeliveryError(
            f"{delivery}: column {column!r}, record {record:,}: {excerpt(repr(value), 120)} is not "
            f"exactly a value of type {self.kind}, which {self.by} says: deliver such a value, or "
            "correct the type",
            code="wrong_type",
        )


def declared(name: str, kind: pa.DataType, by: str, *, pattern: bool = False) -> pa.Field:
    """A declared type, as a field.

    Args:
        name: of the column, or a pattern (RE2) of such names.
        kind: its type.
        by: who declares it, in words.
        pattern: whether `name` is a pattern.

    Examples:
        >>> declared("price", pa.float64(), "the contract").type
        DataType(double)
    """
    said = {_BY: by.encode()} | ({_PATTERN: b"1"} if pattern else {})
    return pa.field(name, kind, metadata=said)
