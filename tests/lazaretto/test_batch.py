"""Deliveries: what is well-formed is read; all else is refused with a reason, before it hurts."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from decoding import decoded

from lazaretto.batch import (
    Batch,
    Wanted,
    as_chunks,
    file_digest,
    open_batch,
    open_canonical,
    records,
    table_digest,
)
from lazaretto.errors import ChangedFileError, DeliveryError, SystemFaultError, UsageError
from lazaretto.policy import Columns, Limits

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pa.table({"id": ["a", "b", "c"], "x": [1, 2, 3], "y": [0.5, None, 2.5]})


def write_arrow(
    path: Path, table: pa.Table, *, compression: str | None = None, size: int = 2
) -> Path:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, table.schema, options=options) as writer,
    ):
        writer.write_table(table, max_chunksize=size)
    return path


def write_parquet(path: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, path, **options)
    return path


def refused(path: Path, **options: Any) -> DeliveryError:
    """By what happens in the box; `test_box` has what happens to it."""
    with pytest.raises(DeliveryError) as raised:
        decoded(path, **options)
    return raised.value


def not_opened(uri: Path | str) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        open_batch(uri)
    return raised.value


@pytest.fixture
def every_format(tmp_path: Path) -> list[Path]:
    write_parquet(tmp_path / "t.parquet", TABLE)
    write_arrow(tmp_path / "t.arrow", TABLE)
    (tmp_path / "t.csv").write_text("id,x,y\na,1,0.5\nb,2,\nc,3,2.5\n")
    (tmp_path / "t.jsonl").write_text(
        '{"id":"a","x":1,"y":0.5}\n{"id":"b","x":2}\n{"id":"c","x":3,"y":2.5}\n'
    )
    return sorted(tmp_path.glob("t.*"))


def test_the_same_records_are_the_same_batch_in_every_format(every_format: list[Path]) -> None:
    for path in every_format:
        batch = open_batch(path)
        assert batch.table().equals(TABLE), path
        assert batch.num_rows == 3
        assert batch.digest() == table_digest(TABLE)
        assert batch.table(columns=["y", "id"]).equals(TABLE.select(["y", "id"]))
        assert [chunk.num_rows for chunk in batch.chunks(size=1)] == [1, 1, 1]


def test_a_batch_is_read_by_any_fsspec_uri(every_format: list[Path]) -> None:
    memory = fsspec.filesystem("memory")
    for path in every_format:
        memory.pipe(f"/batch/{path.name}", path.read_bytes())
        for uri in (f"memory://batch/{path.name}", f"file://{path}"):
            assert open_batch(uri).digest() == table_digest(TABLE)
            assert file_digest(uri) == file_digest(path)


def test_an_extension_may_be_replaced_by_a_declared_format(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "delivery.bin", TABLE)
    assert open_batch(path, format="parquet").num_rows == 3
    error = refused(path)
    assert error.code == "wrong_format"
    assert (
        str(error) == f"{path}: unknown format; name the file .parquet, .arrow, .csv, .json, "
        ".jsonl, or .tar for images, or say the format"
    )


def test_a_column_that_is_not_there_is_the_callers_mistake(every_format: list[Path]) -> None:
    for path in every_format:
        with pytest.raises(UsageError, match="has no column 'z'"):
            list(open_batch(path).chunks(columns=["z"]))


def test_a_missing_file_and_a_folder_are_unreadable(tmp_path: Path) -> None:
    for path, code, problem in (
        (tmp_path / "no.csv", "unreadable", "no such file"),
        (tmp_path, "not_a_regular_file", "is a folder; only regular files are read"),
    ):
        error = not_opened(path)
        assert error.code == code
        assert problem in str(error)


def test_messages_do_not_tell_credentials() -> None:
    error = not_opened("no-such-protocol://user:secret@host/x.csv?X-Amz-Signature=secret")
    assert error.code == "unknown_scheme"
    assert "secret" not in str(error)
    assert "no-such-protocol://host/x.csv" in str(error)


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    (write_parquet if name == "t.parquet" else write_arrow)(path, TABLE)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    assert refused(path).code == ("zero_rows" if keep == 0 else "truncated")


def test_the_message_about_a_truncated_file_says_what_to_do(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", TABLE)
    path.write_bytes(path.read_bytes()[:-1])
    assert str(refused(path)) == (
        f"{path}: the Parquet is truncated: its last bytes are not PAR1; send it again"
    )


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("t.parquet", b"id,x\n1,2\n", "its bytes are CSV"),
        ("t.csv", b'{"a": 1}\n', "its bytes are JSON Lines"),
        ("t.jsonl", b"id,x\n1,2\n", "its bytes are CSV"),
        (
            "t.jsonl",
            b'[{"a": 1}]',
            "its bytes are a JSON array (name it .json, or deliver one object per line)",
        ),
        (
            "t.csv",
            b"\x1f\x8b\x08\x00",
            "its bytes are gzip (of CSV and JSON Lines, name it .csv.gz or .jsonl.gz)",
        ),
        ("t.csv", b"PK\x03\x04", "its bytes are zip (deliver it uncompressed)"),
        ("t.csv", b"\x80\x04\x95\0\0", "its bytes are binary"),
        (
            "t.arrow",
            b"\xff\xff\xff\xff\x10",
            "its bytes are an Arrow stream (write the file format)",
        ),
        ("t.arrow", b"PAR1....PAR1", "its bytes are Parquet"),
        ("t.parquet", b"PARE....PARE", "its bytes are an encrypted Parquet file"),
    ],
)
def test_bytes_that_disagree_with_the_extension_are_refused(
    tmp_path: Path, name: str, content: bytes, found: str
) -> None:
    (tmp_path / name).write_bytes(content)
    error = refused(tmp_path / name)
    assert error.code == "wrong_format"
    assert str(error).endswith(found)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"id,x\n"),
        ("t.csv", b""),
        ("t.jsonl", b""),
        ("t.jsonl", b"{}\n"),
        ("t.csv", b"\n\n"),
    ],
)
def test_text_without_records_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert refused(tmp_path / name).code in ("zero_rows", "unreadable")


@pytest.mark.parametrize("write", [write_parquet, write_arrow])
def test_zero_rows_are_refused(tmp_path: Path, write: Any) -> None:
    path = write(
        tmp_path / ("t.parquet" if write is write_parquet else "t.arrow"), TABLE.slice(0, 0)
    )
    error = refused(path)
    assert (error.code, str(error)) == ("zero_rows", f"{path}: no records")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a", "a"], "is there twice (also as 'a'; letter case does not tell columns apart)"),
        (
            ["Text", "text"],
            "is there twice (also as 'Text'; letter case does not tell columns apart)",
        ),
        (["a", ""], "has an empty name"),
        (["a", "b\nc"], "has control or direction characters in its name"),
        (["a", "b\u202ec"], "has control or direction characters in its name"),
        (["a", "x" * 256], "has a name of more than 255 bytes"),
        (["a", "_lazaretto_batch"], "is reserved for what admission adds; rename it"),
        (["a", "Sample_Weight"], "is reserved for what admission adds; rename it"),
    ],
)
def test_hostile_column_names_are_refused(tmp_path: Path, names: list[str], problem: str) -> None:
    table = pa.table([[1], [2]], names=names)
    for path in (
        write_arrow(tmp_path / "t.arrow", table),
        write_parquet(tmp_path / "t.parquet", table),
    ):
        error = refused(path)
        assert error.code == "bad_column_name"
        assert str(error).endswith(problem)
    text = tmp_path / "t.csv"
    with text.open("w", newline="") as file:
        csv.writer(file).writerows([names, [1, 2]])
    assert refused(text).code == "bad_column_name"


@pytest.mark.parametrize(
    "names", [["a", "a.b"], ["a.b", "a"], ["a b", "ä,;{}()=", "'; DROP TABLE batch; --"]]
)
def test_odd_but_harmless_column_names_are_read_exactly(tmp_path: Path, names: list[str]) -> None:
    table = pa.table([[i] for i in range(len(names))], names=names)
    path = write_parquet(tmp_path / "t.parquet", table)
    for name in names:
        assert open_batch(path).table(columns=[name]).equals(table.select([name]))


def test_too_many_columns_are_refused(tmp_path: Path) -> None:
    table = pa.table({f"c{i}": [i] for i in range(11)})
    write_arrow(tmp_path / "t.arrow", table)
    write_parquet(tmp_path / "t.parquet", table)
    (tmp_path / "t.csv").write_text(",".join(table.column_names) + "\n" + ",".join("1" * 11) + "\n")
    (tmp_path / "t.jsonl").write_text(json.dumps(dict.fromkeys(table.column_names, 1)))
    for path in sorted(tmp_path.glob("t.*")):
        error = refused(path, limits=Limits(max_columns=10))
        assert (error.code, str(error)) == (
            "too_many_columns",
            f"{path}: 11 columns, more than limits.max_columns = 10",
        )


def test_a_header_of_a_million_columns_is_refused_before_types_are_inferred(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",".join(f"c{i}" for i in range(500_000)) + "\n")
    assert refused(tmp_path / "t.csv").code == "too_many_columns"


def test_files_and_rows_beyond_the_limits_are_refused(every_format: list[Path]) -> None:
    for path in every_format:
        assert refused(path, limits=Limits(max_bytes=10)).code == "too_large"
        limits = Limits(max_rows=2)
        if path.suffix in (".csv", ".jsonl"):
            assert refused(path, limits=limits).code == "too_large"
        else:
            assert (
                str(refused(path, limits=limits))
                == f"{path}: more than limits.max_rows = 2 records"
            )


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_lists_over_many_pages_are_read_whole(
    tmp_path: Path, version: str, dictionary: bool
) -> None:
    rows = [[i, i + 1] * (i % 5) if i % 7 else None for i in range(5_000)]
    table = pa.table({"l": rows, "deep": [[["a"] * (i % 3)] for i in range(5_000)]})
    path = write_parquet(
        tmp_path / "l.parquet",
        table,
        data_page_version=version,
        use_dictionary=dictionary,
        data_page_size=500,
        row_group_size=1_300,
    )
    assert open_batch(path).table().to_pylist() == table.to_pylist()


def test_long_values_that_do_fit_are_read_whole(tmp_path: Path) -> None:
    values = ["x" * 40_000, "y", None] * 20
    path = write_parquet(
        tmp_path / "t.parquet", pa.table({"t": values, "l": [[v] for v in values]})
    )
    batch = open_batch(path, limits=Limits(max_record_bytes=200_000))
    assert batch.table().column("t").to_pylist() == values
    assert batch.schema.field("t").type == pa.string()


def test_nested_junk_is_refused(tmp_path: Path) -> None:
    value: Any = 1
    kind = pa.int64()
    for _ in range(9):
        value, kind = [value], pa.list_(kind)
    table = pa.table({"junk": pa.array([value], kind)})
    for path in (
        write_arrow(tmp_path / "t.arrow", table),
        write_parquet(tmp_path / "t.parquet", table),
    ):
        error = refused(path)
        assert (error.code, str(error)) == (
            "too_deep",
            f"{path}: column 'junk' is nested deeper than limits.max_nesting = 8",
        )
        assert open_batch(path, limits=Limits(max_nesting=9)).num_rows == 1


@pytest.mark.parametrize("unit", ["[", '{"a":'])
def test_json_nested_deep_enough_to_overflow_a_stack_is_refused(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "t.jsonl"
    close = "]" if unit == "[" else "}"
    path.write_text('{"a":1}\n{"a":' + unit * 200_000 + "1" + close * 200_000 + "}\n")
    error = refused(path)
    assert (error.code, str(error)) == (
        "too_deep",
        f"{path}: a record is nested deeper than limits.max_nesting = 8",
    )


def test_brackets_inside_text_are_not_nesting(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"a": '[[[[[[[[[[{{{{{{{{{{\\"'}) + "\n")
    assert open_batch(path).table().to_pylist() == [{"a": '[[[[[[[[[[{{{{{{{{{{\\"'}]


def test_types_without_a_canonical_form_are_refused(tmp_path: Path) -> None:
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    path = write_arrow(tmp_path / "t.arrow", pa.table({"u": union}))
    error = refused(path)
    assert error.code == "unsupported_type"
    assert "column 'u' has type sparse_union" in str(error)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe")]
    )
    table = pa.table({"t": broken})
    for path in (
        write_arrow(tmp_path / "t.arrow", table),
        write_parquet(tmp_path / "t.parquet", table),
    ):
        error = refused(path)
        assert error.code == "unreadable"
        assert "UTF8" in str(error).upper().replace("-", "")
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,\xff\n")
    error = refused(tmp_path / "t.csv")
    assert (error.code, str(error)) == (
        "unreadable",
        f"{tmp_path / 't.csv'}: byte 6 (0xff) is not of the encoding utf-8: say the right one as "
        "read.encoding in the policy, or deliver UTF-8",
    )
    (tmp_path / "t.jsonl").write_bytes(b'{"a": "\xff"}\n')
    assert refused(tmp_path / "t.jsonl").code == "unreadable"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a,b\n1\n", "Expected 2 columns, got 1"),
        (b"a,b\n1,2,3\n", "Expected 2 columns, got 3"),
    ],
)
def test_malformed_csv_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    error = refused(tmp_path / "t.csv")
    assert error.code in ("unreadable", "line_too_long", "zero_rows")
    assert problem in str(error)


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1}\nnonsense\n',
        b'{"a": 1}\n{"a": "x"}\n',
        b'{"a": [1]}\n{"a": {"b": 1}}\n',
        b'{"a": 1',
    ],
)
def test_malformed_jsonl_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.jsonl").write_bytes(content)
    assert refused(tmp_path / "t.jsonl").code == "unreadable"


def test_a_field_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'{"\xff": 1}\n')
    assert refused(tmp_path / "t.jsonl").code == "unreadable"


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_line_without_end_is_refused(tmp_path: Path, name: str) -> None:
    long = "x" * 5000
    text = f"a\n1\n{long}\n2\n" if name == "t.csv" else f'{{"a": "1"}}\n{{"a": "{long}"}}\n'
    (tmp_path / name).write_text(text)
    with pytest.raises(DeliveryError) as raised:
        decoded(tmp_path / name, block=1000)
    assert raised.value.code == "line_too_long"
    assert str(raised.value).startswith(f"{tmp_path / name}: a record is longer than 1,000 bytes")


def test_csv_types_are_those_of_the_whole_file(tmp_path: Path) -> None:
    """pyarrow alone decides by the first block and then fails on the rest."""
    rows = [["i", "f", "s", "empty", "d"], *[[i, i, i, "", "2026-01-01"] for i in range(100)]]
    rows += [[100, 0.5, 'word, "quoted"\nand broken', "late", "2026-01-01 10:00:00"]]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    batch = decoded(tmp_path / "t.csv", block=200)
    assert [str(kind) for kind in batch.schema.types] == [
        "int64",
        "double",
        "string",
        "string",
        "timestamp[s]",
    ]
    last = batch.table().to_pylist()[-1]
    assert (last["f"], last["s"]) == (0.5, 'word, "quoted"\nand broken')
    assert batch.num_rows == 101


def test_jsonl_fields_and_types_are_those_of_the_whole_file(tmp_path: Path) -> None:
    lines = [{"a": i, "t": "2026-01-01T00:00:00Z"} for i in range(100)] + [
        {"a": 0.5, "late": {"x": [1]}}
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    batch = decoded(tmp_path / "t.jsonl", block=200)
    assert batch.num_rows == 101
    assert batch.schema.field("t").type == pa.string()
    assert batch.schema.field("a").type == pa.float64()
    assert batch.table().to_pylist()[-1] == {"a": 0.5, "t": None, "late": {"x": [1]}}


def test_dictionaries_and_extensions_become_plain(tmp_path: Path) -> None:
    table = pa.table({"d": pa.array(["a", "b", "a"]).dictionary_encode(), "l": [["a"], [], None]})
    for path in (
        write_arrow(tmp_path / "t.arrow", table),
        write_parquet(tmp_path / "t.parquet", table),
    ):
        batch = open_batch(path)
        assert batch.schema.field("d").type == pa.string()
        assert batch.table().column("d").to_pylist() == ["a", "b", "a"]
    assert [c.schema.field("d").type for c in as_chunks(table, size=2)] == [
        pa.string(),
        pa.string(),
    ]


def all_ids(data: Batch | pa.Table, columns: Columns) -> list[str]:
    return [name for ids, _ in records(data, columns, columns=[]) for name in ids.to_pylist()]


def test_ids_of_a_whole_batch_are_those_of_its_chunks(every_format: list[Path]) -> None:
    for path in every_format:
        batch = open_batch(path)
        assert all_ids(batch, Columns(record_id="id")) == ["a", "b", "c"]
        by_content = all_ids(batch, Columns())
        assert by_content == all_ids(TABLE, Columns())
        assert [name.rpartition("-")[2] for name in by_content] == ["0", "1", "2"]


@pytest.mark.parametrize("made_of", ["id", None, "no such column"])
@pytest.mark.parametrize("asked", ["id", "x", None, "no such column"])
def test_ids_are_those_of_the_column_that_is_asked_for(
    tmp_path: Path, made_of: str | None, asked: str | None
) -> None:
    """The copy holds ids of one column; under a policy that names another they are made anew."""
    path = write_parquet(tmp_path / "t.parquet", TABLE)
    batch = open_batch(path, wanted=Wanted(made_of))
    for columns in (["y"], ["x", "id"], []):
        found = list(records(batch, Columns(record_id=asked), columns=columns, size=2))
        expected = list(records(TABLE, Columns(record_id=asked), columns=columns, size=2))
        assert [(ids.to_pylist(), chunk) for ids, chunk in found] == [
            (ids.to_pylist(), chunk) for ids, chunk in expected
        ]


def test_a_copy_of_which_somebody_says_another_number_of_records_is_no_copy(
    tmp_path: Path,
) -> None:
    copy = tmp_path / "t.csv.canonical"
    (tmp_path / "t.csv").write_text("a\n1\n2\n")
    decoded(tmp_path / "t.csv", block=1000)
    with pytest.raises(SystemFaultError, match="has 2 records instead of 3"):
        list(open_canonical(copy.open("rb"), rows=3, name="t").chunks())
    (tmp_path / "other").write_bytes(b"no Arrow file at all")
    with pytest.raises(SystemFaultError, match="cannot be read"):
        open_canonical((tmp_path / "other").open("rb"), rows=3, name="t")


def test_what_the_file_says_while_it_is_read_reaches_the_reader(tmp_path: Path) -> None:
    """Arrow calls back into a file that checks its bytes; its error must come through as it is."""

    class Changed(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.armed:
                raise ChangedFileError("data.arrow", expected="aa", found="bb")
            return super().read(size)

    (tmp_path / "t.csv").write_text("a\n1\n2\n")
    decoded(tmp_path / "t.csv", block=1000)
    file = Changed((tmp_path / "t.csv.canonical").read_bytes())
    file.armed = False
    batch = open_canonical(file, rows=2, name="t")
    file.armed = True
    with pytest.raises(ChangedFileError):
        list(batch.chunks())


def test_reading_a_long_file_holds_a_few_chunks_in_memory(tmp_path: Path) -> None:
    group, groups = 2**14, 80
    rows = np.random.default_rng(0).random(group * groups)
    path = write_parquet(tmp_path / "long.parquet", pa.table({"x": rows}))
    del rows
    before, most = pa.total_allocated_bytes(), 0
    for chunk in open_batch(path).chunks():
        most = max(most, pa.total_allocated_bytes() - before)
        assert chunk.num_rows
    assert most < 8 * group * 8, "memory grows with the file"
