"""Types of CSV and JSON Lines are those of the whole file, wherever its blocks end."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from decoding import decoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.batch import Wanted
from lazaretto.batch._cells import CellTypes
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path

CELLS = [
    *("", "NA", "null", "nan", " NaN", "N/A", "#N/A", " ", "abc", "ä", "\t1"),
    *("0", "1", "-1", "+1", " 1", "1 ", "007", "0x1F", "1_000", "9223372036854775807"),
    *("9223372036854775808", "-9223372036854775809", "1.5", " 1.5", "5.", ".5", "1e5", "1e400"),
    *("inf", "-inf", "true", "True", "TRUE", "tRUE", " true", "false", "FALSE"),
    *("2026-01-01", " 2026-01-01", "2026-01-01 ", "2026-13-01", "2026-1-1", "0001-01-01"),
    *("10:00", "10:00:00", " 10:00:00", "24:00:00", "23:59:60", "10:00:00.5"),
    *("2026-01-01 10", "2026-01-01 10:00", "2026-01-01T10:00:00", " 2026-01-01 10:00:00"),
    *("2026-01-01T10:00:00Z", "2026-01-01T10:00:00.5Z", "2026-01-01T10:00:00+01:00"),
    *("2026-01-01 10:00:00.123", "2026-01-01 10:00:00.123456789", "1677-09-20 10:00:00"),
]


@settings(max_examples=examples(400), deadline=None)
@given(
    st.lists(st.sampled_from(CELLS), min_size=1, max_size=3).flatmap(
        lambda few: st.lists(st.sampled_from(few), min_size=1, max_size=5)
    )
)
def test_cells_get_the_type_that_pyarrow_would_give_them_or_stay_text(cells: list[str]) -> None:
    written = io.StringIO()
    csv.writer(written).writerows([["a", "b"], *[[cell, "z"] for cell in cells]])
    expected = pa_csv.read_csv(io.BytesIO(written.getvalue().encode()))["a"].combine_chunks()
    types = CellTypes(["a"], "day", Wanted())
    texts = [
        types.look(pa.record_batch([pa.array([cell.encode()])], names=["a"])) for cell in cells
    ]
    text = pa.concat_tables(texts).combine_chunks().to_batches()[0]
    found = types.convert(text).column(0)
    if pa.types.is_string(found.type):
        assert found.to_pylist() == cells
        return
    if pa.types.is_timestamp(found.type):  # microseconds before nanoseconds
        expected = expected.cast(found.type)
    assert found.type == expected.type
    for value, there, cell in zip(found, expected, cells, strict=True):
        if pa.types.is_floating(found.type) and "nan" in cell.lower():
            assert math.isnan(value.as_py())
        else:
            assert value.equals(there)


@pytest.mark.parametrize(
    "cells",
    [
        ["007", "8"],
        ["1", "-0", "00.5"],
        ["+1"],
        ["18446744073709551615"],
        ["9007199254740993", "0.5"],
        ["1e400"],
        ["1e-400"],
        ["0.1234567890123456789"],
        ["10:30:00"],
        ["0x1F"],
        ["1.", "01."],
        ["2026-01-01", "10000-01-01"],
        ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00"],
    ],
)
def test_what_no_type_holds_as_it_was_delivered_stays_text(
    tmp_path: Path, cells: list[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{cell},1\n" for cell in cells))
    assert decoded(path).table()["a"].to_pylist() == cells


_LEAVES = [
    st.none(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.booleans(),
    st.text("ab\u00e4\u2028", max_size=4),
    st.just("2026-01-01T00:00:00Z"),
]


def _values(depth: int) -> st.SearchStrategy[Any]:
    """Values of one kind: of leaves, lists or records, with nulls among them."""
    leaf = st.sampled_from(_LEAVES)
    if depth == 0:
        return leaf
    inner = _values(depth - 1)
    return st.one_of(
        leaf,
        inner.map(lambda kind: st.none() | st.lists(st.none() | kind, max_size=3)),
        st.dictionaries(st.sampled_from("pqr"), inner, max_size=3).map(
            lambda kinds: st.none() | st.fixed_dictionaries({}, optional=kinds)
        ),
    )


@settings(
    max_examples=examples(120),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_json_records_are_the_same_in_blocks_of_any_size(tmp_path: Path, data: Any) -> None:
    kinds = data.draw(st.dictionaries(st.sampled_from("abcd"), _values(2), min_size=1, max_size=4))
    record = st.fixed_dictionaries({}, optional=kinds)
    lines = data.draw(st.lists(record, min_size=1, max_size=12))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    outcomes = []
    for block in (max(map(len, text.splitlines(keepends=True))), 10**6):
        try:
            batch = decoded(path, block=block)
            # Fields come in the order in which they are seen, which is that of the text.
            outcomes.append((batch.digest(), batch.num_rows))
        except DeliveryError as error:
            outcomes.append((error.code, 0))
    assert outcomes[0] == outcomes[1]


def test_whole_numbers_become_broken_ones_where_another_is(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a":9007199254740992,"l":[1,null]}\n' * 20 + '{"a":0.5,"l":[0.5]}\n')
    rows = decoded(path, block=100).table().to_pylist()
    assert rows[0] == {"a": 9007199254740992.0, "l": [1.0, None]}
    assert rows[-1] == {"a": 0.5, "l": [0.5]}


def test_numbers_that_no_number_type_holds_together_stay_as_they_were_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a":9007199254740993,"l":[1,null]}\n' * 20 + '{"a":0.5,"l":[1e999]}\n')
    rows = decoded(path, block=100).table().to_pylist()
    assert rows[0] == {"a": "9007199254740993", "l": ["1", None]}
    assert rows[-1] == {"a": "0.5", "l": ["1e999"]}


def test_ids_and_labels_are_as_they_were_delivered(tmp_path: Path) -> None:
    wanted = Wanted("id", "label")
    ids, labels = ["007", "7", "18446744073709551615", "1.10"], ["01", "1.10", "true", "NA"]
    path = tmp_path / "t.csv"
    path.write_text("id,label\n" + "".join(f"{i},{c}\n" for i, c in zip(ids, labels, strict=True)))
    found = decoded(path, wanted=wanted).table()
    assert (found["id"].to_pylist(), found["label"].to_pylist()) == (ids, labels)
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"id":18446744073709551615,"label":3}\n{"id":18446744073709551614,"label":3.0}\n'
    )
    found = decoded(path, wanted=wanted).table()
    assert found["id"].to_pylist() == ["18446744073709551615", "18446744073709551614"]
    assert found["label"].to_pylist() == [3.0, 3.0]
    path.write_text('{"id":7,"label":"a"}\n{"id":"007","label":"b"}\n')
    assert decoded(path, wanted=wanted).table()["id"].to_pylist() == ["7", "007"]


@pytest.mark.parametrize(
    ("first", "last"),
    [("1", '"x"'), ('{"b":1}', "[1]"), ("[1]", '["x"]'), ("true", "1")],
)
def test_a_field_of_two_kinds_is_refused(tmp_path: Path, first: str, last: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"a":{first}}}\n' * 20 + f'{{"a":{last}}}\n')
    with pytest.raises(DeliveryError) as raised:
        decoded(path, block=100)
    assert raised.value.code == "unreadable"
