"""Content digests and record ids: the same for the same records, another for any change."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from decoding import decoded
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.batch import CHUNK_ROWS, as_chunks, batch_id, open_batch, record_ids, table_digest
from lazaretto.policy import Columns

_VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint8(): st.integers(0, 255),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    pa.binary(): st.binary(max_size=8),
    pa.timestamp("us", "UTC"): st.integers(-(2**52), 2**52),
    pa.decimal128(12, 3): st.decimals(-(10**6), 10**6, places=3),
    pa.list_(pa.int32()): st.lists(st.none() | st.integers(-9, 9), max_size=3),
    pa.list_(pa.string()): st.lists(st.text("ab", max_size=2), max_size=3),
    pa.struct([("a", pa.int16()), ("b", pa.string())]): st.fixed_dictionaries(
        {"a": st.none() | st.integers(-9, 9), "b": st.none() | st.text("xy", max_size=2)}
    ),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 12))
    kinds = draw(st.lists(st.sampled_from(list(_VALUES)), min_size=1, max_size=4))
    columns = {
        f"c{i}": pa.array(
            draw(st.lists(st.none() | _VALUES[kind], min_size=rows, max_size=rows)), kind
        )
        for i, kind in enumerate(kinds)
    }
    return pa.table(columns)


relaxed = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck)
)


@given(table=tables(), size=st.integers(1, 5), split=st.integers(0, 12))
@relaxed
def test_chunking_does_not_change_the_digest(table: pa.Table, size: int, split: int) -> None:
    digest = table_digest(table)
    rebuilt = pa.Table.from_batches(list(as_chunks(table, size=size)))
    assert table_digest(rebuilt) == digest
    assert table_digest(pa.concat_tables([table[:split], table[split:]])) == digest


@given(
    table=tables(),
    compression=st.sampled_from(["none", "snappy", "zstd"]),
    group=st.integers(1, 5),
    dictionary=st.booleans(),
    store_schema=st.booleans(),
)
@relaxed
def test_format_and_storage_do_not_change_the_digest(
    tmp_path: Any,
    table: pa.Table,
    compression: str,
    group: int,
    dictionary: bool,
    store_schema: bool,
) -> None:
    parquet, arrow = tmp_path / "t.parquet", tmp_path / "t.arrow"
    pq.write_table(
        table,
        parquet,
        compression=compression,
        row_group_size=group,
        use_dictionary=dictionary,
        store_schema=store_schema,
    )
    options = pa.ipc.IpcWriteOptions(compression=None if compression != "zstd" else "zstd")
    with (
        pa.OSFile(str(arrow), "wb") as file,
        pa.ipc.new_file(file, table.schema, options=options) as writer,
    ):
        writer.write_table(table, max_chunksize=group)
    digest = table_digest(table)
    assert decoded(arrow).digest() == digest
    assert decoded(parquet).digest() == digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array(["a", None, "a"]), pa.array(["a", None, "a"]).dictionary_encode()),
        (pa.array(["a", None]), pa.array(["a", None], pa.large_string())),
        (pa.array(["a", None]), pa.array(["a", None], pa.string_view())),
        (pa.array([[1.0, 2.0], None]), pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2))),
        (pa.array([1, None], pa.timestamp("s")), pa.array([10**9, None], pa.timestamp("ns"))),
        (pa.array([[1], [2, 3]]), pa.array([[9], [1], [2, 3]])[1:]),
    ],
    ids=["dictionary", "large offsets", "string view", "fixed-size list", "time unit", "slice"],
)
def test_storage_types_do_not_change_the_digest(one: pa.Array, other: pa.Array) -> None:
    assert table_digest(pa.table({"x": one})) == table_digest(pa.table({"x": other}))
    assert _content_ids(pa.table({"x": one})) == _content_ids(pa.table({"x": other}))


@given(table=tables(), data=st.data())
@relaxed
def test_any_change_of_a_value_or_null_changes_the_digest(
    table: pa.Table, data: st.DataObject
) -> None:
    column = data.draw(st.integers(0, table.num_columns - 1))
    row = data.draw(st.integers(0, table.num_rows - 1))
    kind = table.schema.types[column]
    values = table.column(column).to_pylist()
    new = data.draw(st.none() | _VALUES[kind])
    changed = pa.array([*values[:row], new, *values[row + 1 :]], kind)
    assume(not _same(changed, table.column(column).combine_chunks()))
    other = table.set_column(column, table.schema.field(column), changed)
    assert table_digest(other) != table_digest(table)
    assert _content_ids(other)[row] != _content_ids(table)[row]


@given(table=tables(), data=st.data())
@relaxed
def test_order_and_names_change_the_digest(table: pa.Table, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(table.num_rows)))
    shuffled = table.take(order)
    assume(
        not all(
            _same(a.combine_chunks(), b.combine_chunks())
            for a, b in zip(shuffled.columns, table.columns, strict=True)
        )
    )
    assert table_digest(shuffled) != table_digest(table)


def test_column_names_column_order_types_and_row_borders_change_the_digest() -> None:
    table = pa.table({"a": [1, 2], "b": [1, 2]})
    digests = {
        table_digest(t)
        for t in (
            table,
            table.rename_columns(["a", "c"]),
            table.select(["b", "a"]),
            table.select(["a"]),
            table.slice(0, 1),
            table.cast(pa.schema([("a", pa.int32()), ("b", pa.int64())])),
            pa.table({"a": ["1", "2"], "b": [1, 2]}),
        )
    }
    assert len(digests) == 7
    assert table_digest(pa.table({"x": ["ab", "c"]})) != table_digest(pa.table({"x": ["a", "bc"]}))
    assert table_digest(pa.table({"x": [[1, 2], [3]]})) != table_digest(
        pa.table({"x": [[1], [2, 3]]})
    )
    nulls = [pa.table({"x": pa.array(v, pa.string())}) for v in (["", None], [None, ""])]
    assert table_digest(nulls[0]) != table_digest(nulls[1])


def test_what_lies_under_a_null_does_not_count() -> None:
    mask = pa.array([False, True])
    hidden = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.array([7, 99]).buffers()[1]]
    )
    assert table_digest(pa.table({"x": hidden})) == table_digest(
        pa.table({"x": pa.array([7, None])})
    )
    struct = pa.StructArray.from_arrays([pa.array([1, 2])], ["a"], mask=mask)
    assert table_digest(pa.table({"x": struct})) == table_digest(
        pa.table({"x": pa.array([{"a": 1}, None], struct.type)})
    )


def test_digest_is_a_stable_format() -> None:
    # Digests identify batches for ever: this value may only change together with the domain string.
    table = pa.table({"id": ["a", None], "x": pa.array([[1.5], [None]], pa.list_(pa.float32()))})
    assert table_digest(table) == "c5041c10ef0f8da99f4607b2fb56ea841e43ea4d9e4c39a65dfeb5c9a07456eb"
    assert _content_ids(table) == ["d6ca8d2cb1f5ede6-0", "e3930a71d7ae3f33-1"]


def test_batch_id_names_source_day_and_content() -> None:

    assert batch_id("vendor-a", "ab" * 32) == f"vendor-a/{'ab' * 16}"


def test_record_ids_are_the_column_as_text() -> None:
    table = pa.table({"id": [7, 8]})
    assert record_ids(table, Columns(record_id="id")).to_pylist() == ["7", "8"]


@pytest.mark.parametrize("bad", [None, "", "a\0b", "x" * 513, "a\nb", "a\u202eb", "\x85"])
def test_an_unusable_id_is_replaced_by_content_and_position(bad: str | None) -> None:
    table = pa.table({"id": ["ok", bad]})
    first, second = record_ids(table, Columns(record_id="id"), offset=40).to_pylist()
    assert first == "ok"
    digest, position = second.split("-")
    assert len(digest) == 16
    assert position == "41"


def test_content_ids_do_not_depend_on_chunks() -> None:
    table = pa.table({"x": [[1.0, None], None, []], "y": ["a", "b", "c"]})
    whole = record_ids(table, Columns()).to_pylist()
    parts = [record_ids(table.slice(i, 1), Columns(), offset=i).to_pylist()[0] for i in range(3)]
    assert parts == whole
    assert len({name.split("-")[0] for name in whole}) == 3


def test_a_large_batch_streams_in_bounded_chunks(tmp_path: Any) -> None:
    pq.write_table(pa.table({"x": range(CHUNK_ROWS + 5)}), tmp_path / "x.parquet")
    batch = open_batch(tmp_path / "x.parquet")
    sizes = [chunk.num_rows for chunk in batch.chunks()]
    assert sum(sizes) == CHUNK_ROWS + 5
    assert max(sizes) <= CHUNK_ROWS
    sizes = [chunk.num_rows for chunk in batch.chunks(size=1_000)]
    assert sum(sizes) == CHUNK_ROWS + 5
    assert max(sizes) == 1_000


def _content_ids(table: pa.Table) -> list[str]:
    ids: list[str] = record_ids(table, Columns()).to_pylist()
    return ids


def _same(one: pa.Array, other: pa.Array) -> bool:
    """Bit-wise equality: unlike ==, it tells 0.0 from -0.0."""
    sink = [io.BytesIO(), io.BytesIO()]
    for stream, array in zip(sink, (one, other), strict=True):
        stream.write(repr(array.to_pylist()).encode())
    return sink[0].getvalue() == sink[1].getvalue()
