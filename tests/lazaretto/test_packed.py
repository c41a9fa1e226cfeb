"""Files as other tools write them: gzip, folders of parts, encodings of Parquet, pandas' index."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.batch import delivered_digest, open_batch, table_digest
from lazaretto.errors import DeliveryError, NotArrivedError
from lazaretto.policy import Limits

if TYPE_CHECKING:
    from pathlib import Path

TEXT = b"a,b\n" + b"".join(b"%d,x%d\n" % (n, n) for n in range(100))
LINES = b"".join(b'{"a":%d,"b":"x%d"}\n' % (n, n) for n in range(100))


def refused(path: Path, **limits: int) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        open_batch(path, limits=Limits(**limits))
    return raised.value


@pytest.mark.parametrize(("name", "data"), [("a.csv", TEXT), ("a.jsonl", LINES)])
def test_gzip_is_read_as_the_file_in_it(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    # Two members: so does `cat a.gz b.gz`.
    half = len(data) // 2
    (tmp_path / f"{name}.gz").write_bytes(
        gzip.compress(data[:half], mtime=0) + gzip.compress(data[half:])
    )
    assert open_batch(tmp_path / f"{name}.gz").digest() == open_batch(tmp_path / name).digest()


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.csv.gz", TEXT, "wrong_format"),
        ("a.csv", gzip.compress(TEXT, mtime=0), "wrong_format"),
        ("a.csv.gz", gzip.compress(LINES, mtime=0), "wrong_format"),
        ("a.csv.gz", gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0), "wrong_format"),
        ("a.csv.gz", gzip.compress(TEXT, mtime=0)[:-9], "truncated"),
        ("a.csv.gz", gzip.compress(TEXT, mtime=0)[:-8] + b"12345678", "unreadable"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "zero_rows"),
        ("a.parquet.gz", gzip.compress(b"PAR1PAR1", mtime=0), "wrong_format"),
        ("a.csv.gz", gzip.compress(b"a\n" + b"1\n" * 10**6, mtime=0), "too_large"),
    ],
)
def test_gzip_that_is_none_or_damaged_or_a_bomb_is_refused(
    tmp_path: Path, name: str, data: bytes, code: str
) -> None:
    (tmp_path / name).write_bytes(data)
    assert refused(tmp_path / name, max_bytes=10**6).code == code


def test_a_folder_of_parts_is_one_delivery(tmp_path: Path) -> None:
    one = pa.table({"a": [1, 2], "b": ["x", "y"]})
    folder = tmp_path / "parquet"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    (folder / ".part-1.crc").write_bytes(b"crc")
    pq.write_table(one, folder / "part-1.parquet")
    # Dask writes the type null where a part has no value; another order of columns is no matter.
    other = pa.table({"b": pa.nulls(1), "a": [0.5]})
    pq.write_table(other, folder / "part-2.parquet")
    found = open_batch(folder).table().to_pylist()
    assert found == [{"a": 1.0, "b": "x"}, {"a": 2.0, "b": "y"}, {"a": 0.5, "b": None}]
    texts = tmp_path / "csv"
    texts.mkdir()
    (texts / "part-1.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1,007\r\n")
    (texts / "part-2.csv").write_bytes(b"")
    (texts / "part-3.csv.gz").write_bytes(gzip.compress(b"a,b\n2,8", mtime=0))
    assert open_batch(texts).table().to_pylist() == [{"a": 1, "b": "007"}, {"a": 2, "b": "8"}]
    lines = tmp_path / "jsonl"
    lines.mkdir()
    (lines / "1.jsonl").write_bytes(b'{"a":1}')
    (lines / "2.ndjson").write_bytes(b'{"a":1.5}\n')
    assert open_batch(lines).table().to_pylist() == [{"a": 1.0}, {"a": 1.5}]


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({}, "not_a_regular_file"),
        ({"_SUCCESS": b""}, "not_a_regular_file"),
        ({"1.csv": b"a\n1\n", "2.jsonl": b'{"a":1}\n'}, "wrong_format"),
        ({"1.csv": b"a\n1\n", "notes.txt": b"?"}, "wrong_format"),
        ({"1.csv": b"a\n1\n", "2.csv": b"b\n1\n"}, "unreadable"),
        ({"1.csv": b'"a\nb"\n1\n'}, "unreadable"),
        ({"1.csv": b""}, "zero_rows"),
        ({"1.csv.gz": gzip.compress(b"a\n" + b"1\n" * 10**6, mtime=0)}, "too_large"),
        ({"1.csv": b"a\n1\n", "2.csv/3.csv": b"a\n1\n"}, "not_a_regular_file"),
    ],
)
def test_a_folder_that_is_no_delivery_is_refused(
    tmp_path: Path, files: dict[str, bytes], code: str
) -> None:
    folder = tmp_path / "delivery"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    assert refused(folder, max_bytes=10**6).code == code


def test_parts_that_do_not_go_together_are_refused_by_column(tmp_path: Path) -> None:
    for number, values in enumerate((pa.array([2**53 + 1]), pa.array([0.5]))):
        pq.write_table(pa.table({"price": values}), tmp_path / f"{number}.parquet")
    error = refused(tmp_path)
    assert error.code == "unreadable"
    assert "'price'" in str(error)
    assert "9007199254740993" in str(error)
    pq.write_table(pa.table({"cost": [1]}), tmp_path / "1.parquet")
    assert "different columns" in str(refused(tmp_path))


def test_links_in_a_folder_are_not_followed_and_half_a_folder_has_not_arrived(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_bytes(b"a\n1\n")
    folder = tmp_path / "delivery"
    folder.mkdir()
    (folder / "1.csv").symlink_to(secret)
    assert refused(folder).code == "link"
    (folder / "1.csv").unlink()
    os.mkfifo(folder / "1.csv")
    assert refused(folder).code == "not_a_regular_file"
    (folder / "_temporary").mkdir()
    with pytest.raises(NotArrivedError):
        open_batch(folder)


def test_a_folder_is_received_under_one_digest_that_a_manifest_signs(sqlite_yard: Yard) -> None:
    folder = sqlite_yard.folder / "day"
    folder.mkdir()
    rows = blobs(60, seed=5)
    for number in range(3):
        pq.write_table(rows.slice(20 * number, 20), folder / f"part-{number}.parquet")
    before = delivered_digest(folder)
    for part in folder.iterdir():
        os.utime(part, (1, 1))
    assert delivered_digest(folder) == before
    yard = sqlite_yard
    batch = stages.receive(yard.workspace, folder, "vendor-a", policy=yard.policy)
    assert batch.rows == 60
    assert batch.digest == open_batch(folder).digest() == table_digest(rows)
    again = stages.receive(yard.workspace, folder, "vendor-a", policy=yard.policy)
    assert again.id == batch.id
    (folder / "part-0.parquet").rename(folder / "part-9.parquet")
    assert delivered_digest(folder) != before


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_every_encoding_of_parquet_is_read_as_pyarrow_reads_it(
    tmp_path: Path, version: str, compression: str
) -> None:
    count = 20_000  # more than one chunk, and several pages
    table = pa.table(
        {
            "delta": [None if n % 7 == 0 else n * n for n in range(count)],
            "length": [f"text {n}" + "x" * (n % 50) for n in range(count)],
            "prefix": [f"prefix/{n // 10}/{n}" for n in range(count)],
            "split": pa.array([n / 3 for n in range(count)], pa.float32()),
            "flag": [n % 2 == 0 for n in range(count)],
            "lists": [[f"{n}"] * (n % 3) for n in range(count)],
        }
    )
    pq.write_table(
        table,
        tmp_path / "t.parquet",
        use_dictionary=False,
        data_page_version=version,
        compression=compression,
        data_page_size=4096,
        column_encoding={
            "delta": "DELTA_BINARY_PACKED",
            "length": "DELTA_LENGTH_BYTE_ARRAY",
            "prefix": "DELTA_BYTE_ARRAY",
            "split": "BYTE_STREAM_SPLIT",
            "flag": "RLE" if version == "2.0" else "PLAIN",
            "lists.list.element": "DELTA_LENGTH_BYTE_ARRAY",
        },
    )
    assert open_batch(tmp_path / "t.parquet").digest() == table_digest(table)


def test_the_nameless_index_of_pandas_is_no_data(tmp_path: Path) -> None:
    said = b'{"index_columns": ["__index_level_0__", "id"], "columns": []}'
    table = pa.table({"id": ["a"], "x": [1], "__index_level_0__": [7]})
    for name, metadata, names in (
        ("with", {b"pandas": said}, ["id", "x"]),
        ("none", {b"pandas": b"{"}, table.column_names),
        ("deep", {b"pandas": b"[" * 100_000}, table.column_names),
        ("plain", None, table.column_names),
    ):
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / f"{name}.parquet")
        assert open_batch(tmp_path / f"{name}.parquet").schema.names == names
