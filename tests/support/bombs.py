"""Small hostile files, of at most 5 MB, that ask for a great deal more: a corpus made by code.

Every function that `bomb` marks writes one file; `write_all` writes them all.
"""

from __future__ import annotations

import codecs
import gzip
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from many import some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

MOST_BYTES = 5_000_000
MILLION = 1_000_000
# Of refusals that no third has.
_ALWAYS = ("csv_compressed.csv", "jsonl_one_giant_text.jsonl")
_MAKERS: dict[str, Callable[[Path], object]] = {}


def write_all(folder: Path) -> list[Path]:
    """Writes every bomb into a folder, by name; every third by default."""
    paths = []
    wanted = {*some(list(_MAKERS), 3), *_ALWAYS}
    for name, make in ((name, _MAKERS[name]) for name in _MAKERS if name in wanted):
        path = folder / name
        make(path)
        assert path.stat().st_size <= MOST_BYTES, name
        paths.append(path)
    return paths


def bomb(suffix: str) -> Callable[[Callable[[Path], object]], Callable[[Path], object]]:
    """Marks a function that writes a bomb; its name, with the suffix, is the file's."""

    def mark(make: Callable[[Path], object]) -> Callable[[Path], object]:
        _MAKERS[f"{make.__name__}.{suffix}"] = make
        return make

    return mark


def _arrow(
    path: Path, column: pa.Array, *, times: int = 1, compression: str | None = "zstd"
) -> None:
    batch = pa.record_batch([column], names=["x"])
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, batch.schema, options=options) as writer,
    ):
        for _ in range(times):
            writer.write_batch(batch)


def _parquet(path: Path, column: pa.Array, **options: Any) -> None:
    pq.write_table(pa.table({"x": column}), path, **{"compression": "zstd", **options})


def _pointing(values: pa.Array, rows: int = 60_000) -> pa.DictionaryArray:
    """Rows that all point at the first entry of a dictionary."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, "i4")), values)


def _ends(stop: int) -> pa.Array:
    return pa.array([0, stop], pa.int32())


def _huge_text() -> pa.Array:
    return pa.array(["a" * MILLION])


# Arrow: nothing, a thousand million times.


@bomb("arrow")
def arrow_list_of_nulls(path: Path) -> None:
    many = 2**31 - 2
    _arrow(path, pa.ListArray.from_arrays(_ends(many), pa.nulls(many)))


@bomb("arrow")
def arrow_large_list_of_nulls(path: Path) -> None:
    many = 2**31 - 1
    _arrow(path, pa.LargeListArray.from_arrays(pa.array([0, many], pa.int64()), pa.nulls(many)))


@bomb("arrow")
def arrow_fixed_list_of_nulls(path: Path) -> None:
    _arrow(path, pa.FixedSizeListArray.from_arrays(pa.nulls(10**9), 10**9))


@bomb("arrow")
def arrow_list_of_structs_of_nulls(path: Path) -> None:
    many = 10**9
    items = pa.StructArray.from_arrays([pa.nulls(many), pa.nulls(many)], names=["a", "b"])
    _arrow(path, pa.ListArray.from_arrays(_ends(many), items))


@bomb("arrow")
def arrow_list_of_lists_of_nulls(path: Path) -> None:
    many = 2**31 - 2
    inner = pa.ListArray.from_arrays(_ends(many), pa.nulls(many))
    _arrow(path, pa.ListArray.from_arrays(_ends(1), inner))


@bomb("arrow")
def arrow_two_thousand_million_records_of_null(path: Path) -> None:
    _arrow(path, pa.nulls(2**31 - 1))


@bomb("arrow")
def arrow_map_to_nulls(path: Path) -> None:
    many = 50 * MILLION
    keys = pa.array(np.zeros(many, "?"))
    _arrow(path, pa.MapArray.from_arrays(_ends(many), keys, pa.nulls(many)))


# Arrow: one thing, pointed at by everything.


@bomb("arrow")
def arrow_dictionary_of_text(path: Path) -> None:
    _arrow(path, _pointing(_huge_text()))


@bomb("arrow")
def arrow_dictionary_of_lists(path: Path) -> None:
    _arrow(path, _pointing(pa.array([[0] * MILLION], pa.list_(pa.int64()))))


@bomb("arrow")
def arrow_dictionary_of_records(path: Path) -> None:
    _arrow(path, _pointing(pa.StructArray.from_arrays([_huge_text()], names=["s"])))


@bomb("arrow")
def arrow_dictionary_of_fixed_bytes(path: Path) -> None:
    _arrow(path, _pointing(pa.array([b"a" * MILLION], pa.binary(MILLION))))


@bomb("arrow")
def arrow_dictionary_of_a_dictionary(path: Path) -> None:
    inner = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), _huge_text())
    _arrow(path, _pointing(inner))


@bomb("arrow")
def arrow_map_to_a_dictionary(path: Path) -> None:
    keys = pa.array(["k"] * 60_000)
    offsets = pa.array(range(60_001), pa.int32())
    _arrow(path, pa.MapArray.from_arrays(offsets, keys, _pointing(_huge_text())))


@bomb("arrow")
def arrow_list_of_a_dictionary(path: Path) -> None:
    _arrow(path, pa.ListArray.from_arrays(_ends(60_000), _pointing(_huge_text())))


@bomb("arrow")
def arrow_struct_of_a_dictionary(path: Path) -> None:
    _arrow(path, pa.StructArray.from_arrays([_pointing(_huge_text())], names=["s"]))


@bomb("arrow")
def arrow_fixed_list_of_a_dictionary(path: Path) -> None:
    _arrow(path, pa.FixedSizeListArray.from_arrays(_pointing(_huge_text()), 60_000))


@bomb("arrow")
def arrow_dictionary_whose_indices_point_outside(path: Path) -> None:
    indices = pa.array([0, 5, -7, 2**30], pa.int32())
    _arrow(path, pa.DictionaryArray.from_arrays(indices, pa.array(["a"]), safe=False))


@bomb("arrow")
def arrow_text_view(path: Path) -> None:
    _arrow(path, _views(pa.string_view()))


@bomb("arrow")
def arrow_binary_view(path: Path) -> None:
    _arrow(path, _views(pa.binary_view()))


@bomb("arrow")
def arrow_list_of_text_views(path: Path) -> None:
    _arrow(path, pa.ListArray.from_arrays(_ends(60_000), _views(pa.string_view())))


@bomb("arrow")
def arrow_view_beyond_its_buffer(path: Path) -> None:
    views = struct.pack("<i4sii", 2**31 - 1, b"aaaa", 0, 2**30) * 10
    buffers = [None, pa.py_buffer(views), pa.py_buffer(b"a" * 100)]
    _arrow(path, pa.Array.from_buffers(pa.string_view(), 10, buffers))


def _views(kind: pa.DataType) -> pa.Array:
    views = struct.pack("<i4sii", MILLION, b"aaaa", 0, 0) * 60_000
    buffers = [None, pa.py_buffer(views), pa.py_buffer(b"a" * MILLION)]
    return pa.Array.from_buffers(kind, 60_000, buffers)


@bomb("arrow")
def arrow_list_views_of_the_same_items(path: Path) -> None:
    rows, items = 60_000, pa.array(np.zeros(MILLION, "i8"))
    offsets, sizes = pa.array(np.zeros(rows, "i4")), pa.array(np.full(rows, MILLION, "i4"))
    _arrow(path, pa.ListViewArray.from_arrays(offsets, sizes, items))


@bomb("arrow")
def arrow_run_ends(path: Path) -> None:
    _arrow(path, pa.RunEndEncodedArray.from_arrays([10**9], ["a"]))


@bomb("arrow")
def arrow_struct_of_run_ends(path: Path) -> None:
    runs = pa.RunEndEncodedArray.from_arrays([10**9], ["a"])
    _arrow(path, pa.StructArray.from_arrays([runs], names=["r"]))


@bomb("arrow")
def arrow_list_of_run_ends(path: Path) -> None:
    runs = pa.RunEndEncodedArray.from_arrays([10**9], [1])
    _arrow(path, pa.ListArray.from_arrays(_ends(10**9), runs))


@bomb("arrow")
def arrow_sparse_union(path: Path) -> None:
    many = 20 * MILLION
    _arrow(path, pa.UnionArray.from_sparse(pa.array(np.zeros(many, "i1")), [pa.nulls(many)]))


@bomb("arrow")
def arrow_dense_union(path: Path) -> None:
    kinds, offsets = pa.array(np.zeros(MILLION, "i1")), pa.array(np.zeros(MILLION, "i4"))
    _arrow(path, pa.UnionArray.from_dense(kinds, offsets, [_huge_text()]))


# Arrow: what compresses well, and what lies.


@bomb("arrow")
def arrow_zeros(path: Path) -> None:
    _arrow(path, pa.array(np.zeros(100 * MILLION, "i8")))


@bomb("arrow")
def arrow_one_record_of_zeros(path: Path) -> None:
    _arrow(
        path,
        pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(50 * MILLION, "i1")), 50 * MILLION),
    )


@bomb("arrow")
def arrow_null_records_of_a_wide_list(path: Path) -> None:
    items = pa.array(np.zeros(50 * MILLION, "i1"))
    null = pa.array([True], pa.bool_())
    _arrow(path, pa.FixedSizeListArray.from_arrays(items, 50 * MILLION, mask=null))


@bomb("arrow")
def arrow_empty_texts(path: Path) -> None:
    _arrow(path, pa.array([""]).take(pa.array(np.zeros(MILLION, "i4"))))


@bomb("arrow")
def arrow_a_gigabyte_of_text(path: Path) -> None:
    _arrow(path, pa.array(["a" * 1000]).take(pa.array(np.zeros(MILLION, "i4"))))


@bomb("arrow")
def arrow_buffer_of_a_petabyte(path: Path) -> None:
    _lying(path, 2**50)


@bomb("arrow")
def arrow_buffer_of_less_than_nothing(path: Path) -> None:
    _lying(path, -5)


@bomb("arrow")
def arrow_buffer_of_almost_all_there_is(path: Path) -> None:
    _lying(path, 2**29)


def _lying(path: Path, claimed: int) -> None:
    """A compressed buffer starts with its length."""
    _arrow(path, pa.array(np.zeros(1000, "i8")))
    data = path.read_bytes()
    assert data.count(struct.pack("<q", 8000)) >= 1
    path.write_bytes(data.replace(struct.pack("<q", 8000), struct.pack("<q", claimed)))


@bomb("arrow")
def arrow_offsets_that_go_back(path: Path) -> None:
    offsets = pa.py_buffer(struct.pack("<5i", 0, 900, -900, 2**31 - 1, 3))
    column = pa.Array.from_buffers(pa.string(), 4, [None, offsets, pa.py_buffer(b"a" * 1000)])
    _arrow(path, column, compression=None)


@bomb("arrow")
def arrow_list_offsets_that_go_back(path: Path) -> None:
    offsets = pa.py_buffer(struct.pack("<4i", 5, 2**31 - 1, -2, 7))
    items = pa.array(range(10))
    column = pa.Array.from_buffers(pa.list_(pa.int64()), 3, [None, offsets], children=[items])
    _arrow(path, column, compression=None)


@bomb("arrow")
def arrow_many_batches(path: Path) -> None:
    _arrow(path, pa.array([1]), times=4_000, compression=None)


@bomb("arrow")
def arrow_the_same_batch_many_times(path: Path) -> None:
    """Its footer lists one batch of a million records again and again."""
    _arrow(path, pa.array(np.zeros(MILLION, "i8")))
    data = path.read_bytes()
    length = int.from_bytes(data[-10:-6], "little")
    footer = bytearray(data[-10 - length : -10])
    # Field 3 of the footer's flatbuffer: an offset to a count and that many blocks of 24 bytes.
    table = struct.unpack_from("<I", footer, 0)[0]
    vtable = table - struct.unpack_from("<i", footer, table)[0]
    slot = table + struct.unpack_from("<H", footer, vtable + 4 + 2 * 3)[0]
    vector = slot + struct.unpack_from("<I", footer, slot)[0]
    block, many = bytes(footer[vector + 4 : vector + 28]), 150_000
    footer += bytes(-(len(footer) + 4) % 8)
    struct.pack_into("<I", footer, slot, len(footer) - slot)
    footer += struct.pack("<I", many) + block * many
    tail = len(footer).to_bytes(4, "little") + b"ARROW1"
    path.write_bytes(data[: -10 - length] + footer + tail)


@bomb("arrow")
def arrow_many_columns(path: Path) -> None:
    names = [f"{number:x}" for number in range(20_000)]
    schema = pa.schema([(name, pa.null()) for name in names])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.record_batch([pa.nulls(1)] * len(names), names=names))


@bomb("arrow")
def arrow_deep_lists(path: Path) -> None:
    _arrow(path, _deep(60))


@bomb("arrow")
def arrow_deep_structs(path: Path) -> None:
    column = pa.array([1])
    for _ in range(60):
        column = pa.StructArray.from_arrays([column], names=["a"])
    _arrow(path, column)


def _deep(levels: int) -> pa.Array:
    column = pa.array([1])
    for _ in range(levels):
        column = pa.ListArray.from_arrays(_ends(1), column)
    return column


@bomb("arrow")
def arrow_tensor_that_is_none(path: Path) -> None:
    metadata = {
        "ARROW:extension:name": "arrow.fixed_shape_tensor",
        "ARROW:extension:metadata": json.dumps({"shape": [2**31, 2**31]}),
    }
    field = pa.field("x", pa.list_(pa.int8(), 4), metadata=metadata)
    batch = pa.record_batch([pa.array([[1, 2, 3, 4]], field.type)], schema=pa.schema([field]))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


@bomb("arrow")
def arrow_footer_of_noise(path: Path) -> None:
    noise = np.random.default_rng(0).bytes(100_000)
    path.write_bytes(b"ARROW1\0\0" + noise + len(noise).to_bytes(4, "little") + b"ARROW1")


# Parquet: repetition is free.


@bomb("parquet")
def parquet_list_of_nulls(path: Path) -> None:
    many = 100 * MILLION
    _parquet(path, pa.ListArray.from_arrays(_ends(many), pa.nulls(many, pa.int8())))


@bomb("parquet")
def parquet_struct_of_lists_of_nulls(path: Path) -> None:
    many = 50 * MILLION
    lists = pa.ListArray.from_arrays(_ends(many), pa.nulls(many, pa.int8()))
    _parquet(path, pa.StructArray.from_arrays([lists, lists], names=["a", "b"]))


@bomb("parquet")
def parquet_map_to_nulls(path: Path) -> None:
    many = 20 * MILLION
    keys = pa.array(np.zeros(many, "?"))
    _parquet(path, pa.MapArray.from_arrays(_ends(many), keys, pa.nulls(many, pa.int8())))


@bomb("parquet")
def parquet_many_equal_records(path: Path) -> None:
    table = pa.table({"id": pa.array(["a"]).take(pa.array(np.zeros(5 * MILLION, "i4")))})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(4):
            writer.write_table(table, row_group_size=5 * MILLION)


@bomb("parquet")
def parquet_dictionary_of_text(path: Path) -> None:
    _parquet(path, _pointing(_huge_text(), 200_000))


@bomb("parquet")
def parquet_dictionary_of_text_without_its_schema(path: Path) -> None:
    _parquet(path, _pointing(_huge_text(), 200_000), store_schema=False)


@bomb("parquet")
def parquet_list_of_one_text(path: Path) -> None:
    _parquet(path, pa.array([["x" * 1000] * 300_000]))


@bomb("parquet")
def parquet_list_of_one_number(path: Path) -> None:
    _parquet(path, pa.array([np.full(10 * MILLION, 7)]))


@bomb("parquet")
def parquet_zeros_without_a_dictionary(path: Path) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(50 * MILLION, "f4")), 100)
    _parquet(path, vectors, use_dictionary=False, write_statistics=False)


@bomb("parquet")
def parquet_lists_whose_footer_lies(path: Path) -> None:
    items = 3 * MILLION
    _parquet(
        path,
        pa.array([np.zeros(items, np.int64)]),
        write_statistics=False,
        store_schema=False,
    )
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length :]
    truth, lie = (_varint(2 * n, 4) for n in (items, 10))
    assert footer.count(truth) >= 1
    path.write_bytes(data[: -8 - length] + footer.replace(truth, lie))


@bomb("parquet")
def parquet_the_same_row_group_many_times(path: Path) -> None:
    """Its footer lists one row group of ten thousand records again and again."""
    _parquet(path, pa.array(np.zeros(10_000, "i8")), write_statistics=False, store_schema=False)
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length : -8]
    group, start, stop = _row_group(footer)
    many = 30_000
    grown = footer[: start - 1] + b"\xfc" + _varint(many) + group * many + footer[stop:]
    path.write_bytes(data[: -8 - length] + grown + len(grown).to_bytes(4, "little") + b"PAR1")


def _row_group(footer: bytes) -> tuple[bytes, int, int]:
    """The one row group of a footer, and where it is: before it comes its list's head, 0x1c."""
    named = footer.index(b"parquet-cpp-arrow")
    stop = footer.rindex(b"\x28", 0, named)
    start = footer.index(b"\x19\x1c") + 2
    return footer[start:stop], start, stop


def _varint(value: int, width: int = 1) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    while len(found) < width:
        found[-1] |= 128
        found.append(0)
    return bytes(found)


@bomb("parquet")
def parquet_many_row_groups(path: Path) -> None:
    table = pa.table({"a": [1]})
    with pq.ParquetWriter(path, table.schema, write_statistics=False) as writer:
        for _ in range(4_000):
            writer.write_table(table)


@bomb("parquet")
def parquet_empty_row_groups(path: Path) -> None:
    table = pa.table({"a": [1]})
    with pq.ParquetWriter(path, table.schema, write_statistics=False) as writer:
        for number in range(1_000):
            writer.write_table(table.slice(0, number % 2))


@bomb("parquet")
def parquet_many_columns(path: Path) -> None:
    names = [f"{number:x}" for number in range(10_000)]
    pq.write_table(
        pa.table([pa.array([1])] * len(names), names=names), path, write_statistics=False
    )


@bomb("parquet")
def parquet_deep_lists(path: Path) -> None:
    _parquet(path, _deep(60))


@bomb("parquet")
def parquet_hollow_footer(path: Path) -> None:
    count = MOST_BYTES - 100
    _footer(path, b"\x49\xfc" + _varint(count) + bytes(count) + b"\0")


@bomb("parquet")
def parquet_hollow_schema(path: Path) -> None:
    count = 900_000
    element = b"\x48\x01a\0"
    _footer(path, b"\x15\x02\x19\xfc" + _varint(count) + element * count + b"\x16\x02\x19\x0c\0")


@bomb("parquet")
def parquet_footer_of_a_text_of_two_gigabytes(path: Path) -> None:
    _footer(path, b"\x15\x02\x68" + _varint(2**31 - 1) + b"a" * 100)


@bomb("parquet")
def parquet_footer_of_noise(path: Path) -> None:
    _footer(path, np.random.default_rng(1).bytes(100_000))


@bomb("parquet")
def parquet_footer_longer_than_the_file(path: Path) -> None:
    path.write_bytes(b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1")


def _footer(path: Path, footer: bytes) -> None:
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")


@bomb("parquet")
def parquet_large_statistics(path: Path) -> None:
    texts = pa.array(["a" * 200_000, "b" * 200_000])
    _parquet(path, texts, use_dictionary=False, row_group_size=1, write_page_index=True)


@bomb("parquet")
def parquet_metadata_of_megabytes(path: Path) -> None:
    table = pa.table({"x": [1]}).replace_schema_metadata({"a": "b" * 1_500_000})
    pq.write_table(table, path)


@bomb("parquet")
def parquet_schema_in_metadata_of_noise(path: Path) -> None:
    table = pa.table({"x": [1]}).replace_schema_metadata({"ARROW:schema": "////" * 1000})
    pq.write_table(table, path, store_schema=False)


# CSV.


def _text(path: Path, parts: Iterable[str] | bytes) -> None:
    path.write_bytes(parts if isinstance(parts, bytes) else "".join(parts).encode())


@bomb("csv")
def csv_half_a_million_columns(path: Path) -> None:
    _text(path, "\n" + ",".join(f"{n:x}" for n in range(500_000)) + "\n1\n")


@bomb("csv")
def csv_half_a_million_columns_beyond_blank_lines(path: Path) -> None:
    _text(path, "\r\n" * 1000 + ",".join(f"{n:x}" for n in range(500_000)) + "\n1\n")


@bomb("csv")
def csv_as_many_columns_as_may_be(path: Path) -> None:
    header = ",".join(f"{n:x}" for n in range(4096))
    _text(path, "\n".join([header, *["," * 4095] * 100]))


@bomb("csv")
def csv_one_giant_field(path: Path) -> None:
    _text(path, "a\n" + "x" * 4_900_000 + "\n")


@bomb("csv")
def csv_a_giant_header(path: Path) -> None:
    _text(path, "x" * 4_900_000 + "\n1\n")


@bomb("csv")
def csv_unterminated_quote(path: Path) -> None:
    _text(path, 'a,b\n1,"' + "2,3\n" * 1_200_000)


@bomb("csv")
def csv_nothing_but_quotes(path: Path) -> None:
    _text(path, "a\n" + '"' * 4_500_000)


@bomb("csv")
def csv_nothing_but_line_ends(path: Path) -> None:
    _text(path, "\n" * 4_900_000)


@bomb("csv")
def csv_nothing_but_commas(path: Path) -> None:
    _text(path, "," * 4_900_000)


@bomb("csv")
def csv_half_a_million_records(path: Path) -> None:
    _text(path, "a\n" + "1\n" * 300_000)


@bomb("csv")
def csv_records_of_nothing(path: Path) -> None:
    _text(path, "a,b\n" + ",\n" * 300_000)


@bomb("csv")
def csv_an_integer_of_a_million_digits(path: Path) -> None:
    _text(path, "a\n1\n" + "9" * MILLION + "\n")


@bomb("csv")
def csv_ragged(path: Path) -> None:
    _text(path, "a,b\n" + "".join("1," * (n % 7) + "\n" for n in range(100_000)))


@bomb("csv")
def csv_nul_bytes(path: Path) -> None:
    _text(path, b"a,b\n" + b"1," + b"\0" * 2_000_000 + b"\n")


@bomb("csv")
def csv_utf16(path: Path) -> None:
    _text(path, codecs.BOM_UTF16_LE + "a,b\n1,2\n".encode("utf-16-le") * 1000)


@bomb("csv")
def csv_byte_order_marks(path: Path) -> None:
    _text(path, codecs.BOM_UTF8 * 1_000_000 + b"\n1\n")


@bomb("csv")
def csv_old_line_ends(path: Path) -> None:
    _text(path, "a,b\r" + "1,2\r" * 100_000)


@bomb("csv")
def csv_no_text(path: Path) -> None:
    _text(path, b"a\n" + bytes(range(128, 256)) * 1000)


@bomb("csv")
def csv_compressed(path: Path) -> None:
    _text(path, gzip.compress(b"a\n" + b"1\n" * MILLION))


@bomb("csv")
def csv_escape_sequences(path: Path) -> None:
    _text(path, 'a\x1b[31m,b\u202e\n1,2,"\x1b]8;;http://evil/\x1b\\"\n')


# JSON Lines.


@bomb("jsonl")
def jsonl_a_key_per_record(path: Path) -> None:
    _text(path, (f'{{"{n:x}":1}}\n' for n in range(30_000)))


@bomb("jsonl")
def jsonl_a_nested_key_per_record(path: Path) -> None:
    _text(path, (f'{{"a":{{"{n:x}":1}}}}\n' for n in range(25_000)))


@bomb("jsonl")
def jsonl_a_key_per_item(path: Path) -> None:
    items = ",".join(f'{{"{n:x}":1}}' for n in range(20_000))
    _text(path, f'{{"a":[{items}]}}\n')


@bomb("jsonl")
def jsonl_one_wide_record(path: Path) -> None:
    _text(path, json.dumps({f"{n:x}": 1 for n in range(60_000)}) + "\n")


@bomb("jsonl")
def jsonl_deep_lists(path: Path) -> None:
    _text(path, '{"a":' + "[" * MILLION + "]" * MILLION + "}\n")


@bomb("jsonl")
def jsonl_deep_objects(path: Path) -> None:
    _text(path, '{"a":' * 500_000 + "1" + "}" * 500_000 + "\n")


@bomb("jsonl")
def jsonl_brackets_that_never_close(path: Path) -> None:
    _text(path, '{"a":' + "[" * 4_000_000 + "\n")


@bomb("jsonl")
def jsonl_duplicate_keys(path: Path) -> None:
    _text(path, "{" + ",".join(['"a":1'] * 500_000) + "}\n")


@bomb("jsonl")
def jsonl_an_integer_of_a_million_digits(path: Path) -> None:
    _text(path, '{"a":' + "9" * MILLION + "}\n")


@bomb("jsonl")
def jsonl_exponents(path: Path) -> None:
    _text(path, '{"a":1e999999999}\n{"a":-1e-999999999}\n{"a":1E400}\n')


@bomb("jsonl")
def jsonl_one_giant_text(path: Path) -> None:
    _text(path, '{"a":"' + "x" * 4_900_000 + '"}\n')


@bomb("jsonl")
def jsonl_no_line_end(path: Path) -> None:
    _text(path, '{"a":"' + "x" * 4_900_000)


@bomb("jsonl")
def jsonl_two_million_nulls(path: Path) -> None:
    _text(path, '{"a":[' + ",".join(["null"] * 400_000) + "]}\n")


@bomb("jsonl")
def jsonl_empty_lists(path: Path) -> None:
    _text(path, '{"a":[' + ",".join(["[]"] * 300_000) + "]}\n")


@bomb("jsonl")
def jsonl_empty_objects(path: Path) -> None:
    _text(path, "{}\n" * 1_600_000)


@bomb("jsonl")
def jsonl_records_of_null(path: Path) -> None:
    _text(path, '{"a":null}\n' * 200_000)


@bomb("jsonl")
def jsonl_types_by_turns(path: Path) -> None:
    _text(path, '{"a":1}\n{"a":"x"}\n{"a":[1]}\n{"a":{"b":1}}\n' * 50_000)


@bomb("jsonl")
def jsonl_types_that_change_late(path: Path) -> None:
    _text(path, '{"a":1}\n' * 550_000 + '{"a":"x"}\n')


@bomb("jsonl")
def jsonl_half_surrogates(path: Path) -> None:
    _text(path, '{"a":"\\ud800","\\udfff":1}\n')


@bomb("jsonl")
def jsonl_nul_in_a_key(path: Path) -> None:
    _text(path, b'{"a\\u0000b":1}\n{"c\0":2}\n')


@bomb("jsonl")
def jsonl_utf16(path: Path) -> None:
    _text(path, '{"a":1}\n'.encode("utf-16") * 1000)


@bomb("jsonl")
def jsonl_no_text(path: Path) -> None:
    _text(path, b'{"a":"' + bytes(range(128, 256)) * 1000 + b'"}\n')


@bomb("jsonl")
def jsonl_an_array(path: Path) -> None:
    _text(path, b"[" + b'{"a":1},' * 500_000 + b'{"a":1}]')


@bomb("jsonl")
def jsonl_moments_that_are_none(path: Path) -> None:
    _text(path, ('{"a":"2026-01-01T00:00:00Z"}\n' * 100_000 + '{"a":"no moment"}\n'))
