"""Rows of the catalog as Arrow: whatever value a row has, it comes as it is, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.storage.bulk import among, bulk_insert
from lazaretto.storage.bulk_read import bulk_read
from lazaretto.storage.catalog import Catalog
from lazaretto.storage.tables import held_record as held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

_NAMES = ("position", "record_id", "label", "score")
_SCHEMA = pa.schema(zip(_NAMES, (pa.int64(), pa.string(), pa.string(), pa.float64()), strict=True))
# Neither database keeps NUL in a text, nor half a pair of UTF-16; SQLite keeps no NaN.
_TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
_TRICKY = st.sampled_from(
    ["", '"', '""', ",", "\\.", "\\N", "\n", "\r\n", " ", "NULL", "NaN", "\ufeff"]
)
_ROWS = st.lists(
    st.tuples(
        _TEXTS | _TRICKY, st.none() | _TEXTS | _TRICKY, st.none() | st.floats(allow_nan=False)
    ),
    max_size=20,
)


@pytest.fixture
def connection(catalog_url: str) -> Iterator[Connection]:
    """Inside a transaction that comes to nothing."""
    catalog = Catalog.open(catalog_url)
    with catalog.engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()
    catalog.engine.dispose()


def _fill(connection: Connection, rows: list[tuple[str, str | None, float | None]]) -> None:
    connection.execute(held.delete())
    values = (("c", place, *row, "batch") for place, row in enumerate(rows))
    names = ("case_id", *_NAMES, "reason")
    bulk_insert(connection, held, names, values)


def _read(connection: Connection, *conditions: sa.ColumnElement[bool]) -> list[tuple[object, ...]]:
    query = sa.select(*(held.c[name] for name in _NAMES)).where(held.c.case_id == "c", *conditions)
    chunks = bulk_read(connection, query.order_by(held.c.position), _SCHEMA)
    return [tuple(row.values()) for chunk in chunks for row in chunk.to_pylist()]


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=_ROWS)
def test_what_was_written_is_read(
    connection: Connection, rows: list[tuple[str, str | None, float | None]]
) -> None:
    _fill(connection, rows)
    assert _read(connection) == [(place, *row) for place, row in enumerate(rows)]


def test_many_rows_come_in_order_and_in_parts(connection: Connection) -> None:
    count = 30_000
    _fill(connection, [(f"record {place} of many", None, place / 3) for place in range(count)])
    query = sa.select(held.c.position).where(held.c.case_id == "c").order_by(held.c.position)
    chunks = list(bulk_read(connection, query, pa.schema([("position", pa.int64())])))
    assert [place for chunk in chunks for place in chunk["position"].to_pylist()] == [*range(count)]
    assert _read(connection, held.c.position == count - 1) == [
        (count - 1, f"record {count - 1} of many", None, (count - 1) / 3)
    ]


@pytest.mark.parametrize("text", ["%", "%s", "%(x)s", "'; DROP TABLE held_record; --", "$1", ":x"])
def test_what_is_asked_for_is_a_value_and_nothing_else(connection: Connection, text: str) -> None:
    _fill(connection, [(text, text, None), ("other", "other", None)])
    assert _read(connection, held.c.label == text) == [(0, text, text, None)]


@pytest.mark.parametrize("wanted", [[], [2], [0, 4, 99], list(range(-50_000, 50_000))])
def test_one_of_many_numbers(connection: Connection, wanted: list[int]) -> None:
    _fill(connection, [("r", None, None)] * 5)
    found = [row[0] for row in _read(connection, among(connection, held.c.position, wanted))]
    assert found == [place for place in range(5) if place in wanted]
