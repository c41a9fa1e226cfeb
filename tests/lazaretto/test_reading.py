"""Files as people write them: encodings, options, JSON arrays, zstd, partitions, patterns."""

from __future__ import annotations

import csv
import io
import json
import re
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from decoding import decoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.batch import Wanted, declared, delivered_digest, open_batch
from lazaretto.batch._json_lines import as_lines
from lazaretto.errors import DeliveryError, NotArrivedError, PolicyError
from lazaretto.policy import Limits, Policy
from lazaretto.policy.read import ENCODINGS

if TYPE_CHECKING:
    from pathlib import Path

_FEW = settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_ODD = re.compile("[\0\r\ufeff]")
ROWS = [{"a": 1, "b": {"c": 'x]"}\\'}}, {"a": 2, "b": {"c": "y\n"}}, {"a": 3, "b": {"c": ""}}]


def _rows(path: Path, data: bytes, **read: Any) -> list[dict[str, Any]]:
    path.write_bytes(data)
    found: list[dict[str, Any]] = decoded(path, wanted=Wanted(read=read)).table().to_pylist()
    return found


def _refusal(path: Path, data: bytes, **read: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        _rows(path, data, **read)
    return raised.value


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_read_and_a_wrong_byte_is_told_by_its_place(
    tmp_path: Path, encoding: str
) -> None:
    text = "x,y\n1,abc\n"
    for char in "äж字한":
        try:
            text += f"2,{char}\n" if char.encode(encoding).decode(encoding) == char else ""
        except UnicodeEncodeError:
            continue
    wanted = [line.split(",")[1] for line in text.splitlines()[1:]]
    found = _rows(tmp_path / "a.csv", text.encode(encoding), encoding=encoding)
    assert [row["y"] for row in found] == wanted
    if encoding in ("latin-1", "cp1251", "mac-roman", "koi8-r", "iso8859-2", "iso8859-15"):
        return  # (nearly) every byte is a character there
    bad = {"utf-16": b"\xff\xfeA", "utf-16-le": b"A", "utf-16-be": b"A"}.get(encoding)
    data = b"x,y\n1,\x81" if bad is None else bad
    refused = _refusal(tmp_path / "b.csv", data, encoding=encoding)
    assert refused.code == "unreadable"
    assert f"is not of the encoding {encoding}" in str(refused)
    assert "byte " in str(refused)


def test_utf_16_without_its_mark_is_told_with_a_way_out(tmp_path: Path) -> None:
    refused = _refusal(tmp_path / "a.csv", b"x,y\n1,2\n", encoding="utf-16")
    assert refused.code == "unreadable"
    assert "begins without a byte order mark" in str(refused)
    assert "utf-16-le" in str(refused)


def test_the_place_of_a_wrong_byte_is_right_far_inside(tmp_path: Path) -> None:
    data = b"x\n" + b"abc\n" * 400_000 + b"\xff\n"
    refused = _refusal(tmp_path / "a.csv", data)
    assert "byte 1,600,002 (0xff) is not of the encoding utf-8" in str(refused)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_a_byte_order_mark_is_left_out(tmp_path: Path, name: str) -> None:
    text = "a\n1\n" if name == "a.csv" else '{"a": 1}\n'
    for encoding in ("utf-8", "utf-16"):
        data = text.encode("utf-8-sig" if encoding == "utf-8" else encoding)
        assert _rows(tmp_path / name, data, encoding=encoding) == [{"a": 1}]


@_FEW
@given(
    cells=st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    quote=st.sampled_from("\"'"),
    encoding=st.sampled_from(["utf-8", "utf-16", "cp1252", "shift_jis", "gb18030"]),
)
def test_cells_are_what_was_written_whatever_the_marks(
    tmp_path: Path,
    cells: list[tuple[str, str]],
    delimiter: str,
    quote: str,
    encoding: str,
) -> None:
    plain = [[c.encode(encoding, "ignore").decode(encoding) for c in row] for row in cells]
    plain = [[_ODD.sub("", cell) for cell in row] for row in plain]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quotechar=quote, quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "label"], *plain])
    data = text.getvalue().encode(encoding)
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    read = {"delimiter": delimiter, "quote": quote, "encoding": encoding}
    found = decoded(path, wanted=Wanted("id", "label", read=read)).table()
    assert [list(row.values()) for row in found.to_pylist()] == plain


def test_a_decimal_comma_a_null_and_a_comment_are_read_as_the_policy_says(tmp_path: Path) -> None:
    text = 'made by x\n# c\nid;price;note\n1;1,50;"a\n# b"\n# d\n2;-;-\n3;2;c\n'
    read = {"delimiter": ";", "decimal": ",", "null_values": ["-"], "comment": "#", "skip_rows": 1}
    found = _rows(tmp_path / "a.csv", text.encode(), **read)
    assert [row["price"] for row in found] == [1.5, None, 2.0]
    assert [row["note"] for row in found] == ["a\n# b", None, "c"]
    # A point may stand for thousands there: such a column is no number.
    found = _rows(tmp_path / "b.csv", b"n;m\n1.500;1,5\n", delimiter=";", decimal=",")
    assert found == [{"n": "1.500", "m": 1.5}]


def test_a_declared_type_is_read_with_a_decimal_comma(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"n;m\n1,25;7\n")
    kinds = [declared("n", pa.decimal128(5, 2), "the contract")]
    wanted = Wanted.of(None, kinds, {"delimiter": ";", "decimal": ","})
    assert str(decoded(path, wanted=wanted).table()["n"][0].as_py()) == "1.25"
    path.write_bytes(b"n;m\n1.25;7\n")
    with pytest.raises(DeliveryError, match=r"column 'n', record 1: '1\.25' is not"):
        decoded(path, wanted=wanted)


def test_columns_without_a_header_have_the_names_of_the_policy(tmp_path: Path) -> None:
    read = {"header": False, "column_names": ["p", "q"]}
    assert _rows(tmp_path / "a.csv", b"1,2\n3,4\n", **read) == [{"p": 1, "q": 2}, {"p": 3, "q": 4}]
    refused = _refusal(tmp_path / "b.csv", b"1,2,3\n", **read)
    assert "3 cells, and read.column_names in the policy has 2 names" in str(refused)


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_of_objects_is_read_as_lines_are(tmp_path: Path, indent: int | None) -> None:
    lines = "".join(f"{json.dumps(row)}\n" for row in ROWS).encode()
    assert _rows(tmp_path / "a.jsonl", lines) == ROWS
    assert _rows(tmp_path / "a.json", json.dumps(ROWS, indent=indent).encode()) == ROWS
    assert _rows(tmp_path / "b.json", lines) == ROWS


@_FEW
@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=8)), max_size=4), st.data())
def test_an_array_is_split_at_its_objects_wherever_blocks_end(
    rows: list[dict[str, str]], data: st.DataObject
) -> None:
    text = json.dumps(rows, ensure_ascii=data.draw(st.booleans())).encode()
    size = data.draw(st.integers(1, 7))
    blocks = (text[start : start + size] for start in range(0, len(text), size))
    found = [json.loads(line) for line in as_lines(blocks, "x", 10_000)]
    assert found == rows


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('[{"a": 1}', "truncated"),
        ('[{"a": 1}, {"a": ', "truncated"),
        ('[{"a": "x', "truncated"),
        ('[{"a": 1}] []', "unreadable"),
        ('[{"a": 1} {"a": 2}]', "unreadable"),
        ('[{"a": 1},, {"a": 2}]', "unreadable"),
        ("[1, 2]", "unreadable"),
        ('[{"a": "x\ny"}]', "unreadable"),
        ("[]", "zero_rows"),
        ('[{"a": "' + "x" * 2000 + '"}]', "line_too_long"),
        ('[{"a": ' + "[" * 50 + "]" * 50 + "}]", "too_deep"),
    ],
)
def test_what_is_no_array_of_objects_is_refused(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DeliveryError) as raised:
        decoded(path, block=1000)
    assert raised.value.code == code


def test_zstd_is_read_as_the_file_in_it_and_never_more_than_the_limit(tmp_path: Path) -> None:
    text = b"a,b\n" + b"".join(b"%d,x%d\n" % (n, n) for n in range(500))
    frames = b"".join(_zstd(part) for part in (text[:1000], text[1000:]))
    path = tmp_path / "a.csv.zst"
    path.write_bytes(frames)
    plain = tmp_path / "a.csv"
    plain.write_bytes(text)
    assert decoded(path).digest() == decoded(plain).digest()
    path.write_bytes(_zstd(b"a\n" + b"1\n" * 500_000))
    assert path.stat().st_size < 1000
    with pytest.raises(DeliveryError, match="unpacked it has more than") as raised:
        decoded(path, limits=Limits(max_bytes=100_000))
    assert raised.value.code == "too_large"
    path.write_bytes(text)
    with pytest.raises(DeliveryError, match="its bytes are not zstd"):
        decoded(path)


def test_damaged_zstd_is_read_or_refused(tmp_path: Path) -> None:
    good = _zstd(b"a,b\n" + b"".join(b"%d,x%d\n" % (n, n * n) for n in range(200)))
    random, path, codes = Random(5), tmp_path / "a.csv.zst", set()  # noqa: S311
    cut = [good[:size] for size in range(1, len(good), 37)]
    flipped = [_flipped(good, random.randrange(4, len(good))) for _ in range(60)]
    for data in [*cut, *flipped]:
        path.write_bytes(data)
        try:
            decoded(path)
        except DeliveryError as error:
            codes.add(error.code)
    assert {"unreadable", "truncated"} & codes


def test_folders_of_partitions_give_columns(tmp_path: Path) -> None:
    folder = tmp_path / "days"
    for day in ("year=2023/month=01", "year=2024/month=__HIVE_DEFAULT_PARTITION__"):
        (folder / day).mkdir(parents=True)
        pq.write_table(pa.table({"a": [1]}), folder / day / "part-0.parquet")
    (folder / "_SUCCESS").touch()
    found = open_batch(folder).table().to_pylist()
    assert found == [
        {"a": 1, "year": "2023", "month": "01"},
        {"a": 1, "year": "2024", "month": None},
    ]
    wanted = Wanted(declared=pa.schema([declared("year", pa.int32(), "the contract")]))
    assert open_batch(folder, wanted=wanted).schema.field("year").type == pa.int32()
    pq.write_table(pa.table({"year": [1]}), folder / "year=2023/month=01/part-0.parquet")
    with pytest.raises(DeliveryError, match="in a part file and in the name of its folder"):
        open_batch(folder)
    (folder / "year=2023/link=1").symlink_to(folder / "year=2024")
    with pytest.raises(DeliveryError):
        open_batch(folder)


def test_files_by_a_pattern_are_one_delivery(sqlite_yard: Yard) -> None:
    yard, drop = sqlite_yard, sqlite_yard.folder / "drop"
    drop.mkdir()
    rows = blobs(60, seed=5)
    for number in range(3):
        pq.write_table(rows.slice(number * 20, 20), drop / f"2024-{number}.parquet")
    (drop / "notes.txt").write_text("not of it")
    batch = stages.receive(yard.workspace, drop / "2024-*.parquet", "vendor-a", policy=yard.policy)
    assert batch.rows == 60
    again = stages.receive(yard.workspace, drop / "2024-*.parquet", "vendor-a", policy=yard.policy)
    assert again == batch
    assert len(delivered_digest(drop / "2024-*.parquet")) == 64
    with pytest.raises(NotArrivedError, match=r"no file in .* matches"):
        stages.receive(yard.workspace, drop / "2025-*.parquet", "vendor-a", policy=yard.policy)


def test_the_same_bytes_read_in_another_way_are_another_batch(sqlite_yard: Yard) -> None:
    yard, path = sqlite_yard, sqlite_yard.folder / "a.csv"
    path.write_bytes("id;label;text\nx;1;ä\n".encode("cp1252"))
    one = make_policy(read={"delimiter": ";", "encoding": "cp1252"})
    other = make_policy(read={"delimiter": ";", "encoding": "koi8-r"})
    first = stages.receive(yard.workspace, path, "vendor-a", policy=one)
    second = stages.receive(yard.workspace, path, "vendor-a", policy=other)
    assert first.digest != second.digest
    assert stages.receive(yard.workspace, path, "vendor-a", policy=one) == first


@pytest.mark.parametrize(
    ("section", "line", "said"),
    [
        ("  delimiter: ';;'", 5, "read.delimiter"),
        ("  encoding: utf-7", 5, "read.encoding"),
        ("  decimal: ','", 4, "needs another delimiter"),
        ("  delimiter: ';'\n  quote: ';'", 4, "must be different characters"),
        ("  header: false", 4, "header: false needs column_names"),
        ("  column_names: [a]", 4, "column_names goes with header: false"),
        ("  delimeter: ';'", 5, "did you mean 'delimiter'"),
    ],
)
def test_a_mistake_in_the_section_is_told_with_its_line(
    tmp_path: Path, section: str, line: int, said: str
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"version: 1\ndataset: d\ncolumns: {{}}\nread:\n{section}\n")
    with pytest.raises(PolicyError) as raised:
        Policy.load(path)
    assert str(raised.value).startswith(f"{path}:{line}: ")
    assert said in str(raised.value)


def test_keep_without_new_columns_is_a_mistake_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\ndataset: d\ncolumns: {}\nevolve:\n  extra_columns: keep\n")
    with pytest.raises(PolicyError, match=r"policy.yaml:4: evolve: .*add_columns: true"):
        Policy.load(path)


def _zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, "zstd", asbytes=True)
    return packed


def _flipped(data: bytes, position: int) -> bytes:
    bad = bytearray(data)
    bad[position] ^= 1 << position % 8
    return bytes(bad)
