"""What is proposed for samples of many kinds."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import lazaretto as lz
from lazaretto.batch import open_batch
from lazaretto.contract import contract_of
from lazaretto.errors import UsageError
from lazaretto.proposal import Proposal, Wishes, examine, project_files, propose
from lazaretto.stages.check_policy import check_policy

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
N = 200
IDS = [f"k{n}" for n in range(N)]
WORDS = np.array(["red", "blue", "old", "new", "fast", "slow", "warm", "cold"])
TEXT = [" ".join(RNG.choice(WORDS, 6)) + f" {n}" for n in range(N)]


def proposed(folder: Path, columns: dict[str, object], wishes: Wishes | None = None) -> Proposal:
    pq.write_table(pa.table(columns), folder / "sample.parquet")
    return propose(examine(open_batch(folder / "sample.parquet")), wishes or Wishes())


def png() -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"id": IDS, "text": TEXT, "label": RNG.integers(2, size=N)}, ("hashing", ("text",))),
        ({"id": IDS, "instruction": TEXT, "Output": TEXT[::-1]},
         ("instruction", ("instruction", "Output"))),
        ({"id": IDS, "chosen": TEXT, "rejected": TEXT[::-1], "prompt": TEXT},
         ("instruction", ("prompt", "chosen", "rejected"))),
        ({"id": IDS, "b": ["x", "y"] * (N // 2), "a": RNG.normal(size=N)}, ("tabular", ("b", "a"))),
        ({"id": IDS, "image": pa.array([png()] * N, pa.binary())}, ("image", ("image",))),
        ({"id": IDS, "emb": [[1.0, 2.0]] * N, "a": RNG.normal(size=N)}, ("column", ())),
        # Lists of several widths are no vectors, and neither is a list of one number.
        ({"id": IDS, "v": [[1.0] * (1 + n % 3) for n in range(N)], "a": RNG.normal(size=N)},
         ("tabular", ("a",))),
        # Nothing but names: better their letters than nothing.
        ({"id": IDS, "url": [f"https://e.org/{n}" for n in range(N)]}, ("hashing", ("url",))),
    ],
)  # fmt: skip
def test_the_encoder_fits_the_columns(
    tmp_path: Path, columns: dict[str, object], expected: tuple[str, tuple[str, ...]]
) -> None:
    gate = proposed(tmp_path, columns)
    assert (gate.encoder, gate.inputs) == expected
    assert gate.record_id == "id"


@pytest.mark.parametrize(
    ("columns", "record_id"),
    [
        ({"amount": RNG.normal(size=N), "customerId": IDS}, "customerId"),
        ({"session_key": IDS, "id": range(N)}, "id"),
        ({"isbn": IDS, "a": RNG.normal(size=N)}, "isbn"),  # the first column, if it is unique
        ({"a": RNG.normal(size=N), "b": range(N)}, None),  # a count is no id by itself
        ({"id": ["x"] * N, "a": RNG.normal(size=N)}, None),  # not unique
        ({"id": [None, *IDS[1:]], "a": RNG.normal(size=N)}, None),
        ({"id": RNG.normal(size=N), "b": ["x", "y"] * (N // 2)}, None),  # fractions name nothing
    ],
)
def test_the_id_is_what_tells_records_apart(
    tmp_path: Path, columns: dict[str, object], record_id: str | None
) -> None:
    assert proposed(tmp_path, columns).record_id == record_id


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"id": IDS, "a": RNG.normal(size=N), "isFraud": [True, False] * (N // 2)}, "isFraud"),
        ({"id": IDS, "class": RNG.integers(5, size=N), "a": RNG.normal(size=N)}, "class"),
        ({"id": IDS, "a": RNG.normal(size=N), "exited": [0, 1] * (N // 2)}, "exited"),  # the last
        ({"id": IDS, "label": ["one"] * N, "a": RNG.normal(size=N)}, None),  # never changes
        ({"id": IDS, "label": IDS[::-1], "a": RNG.normal(size=N)}, None),  # never repeats
        ({"id": IDS, "a": RNG.normal(size=N), "b": RNG.normal(size=N)}, None),
    ],
)
def test_the_label_is_what_says_what_a_record_is(
    tmp_path: Path, columns: dict[str, object], label: str | None
) -> None:
    if label is None and len(set(columns.get("label", []))) == N:  # type: ignore[call-overload]
        columns = {"label": columns["label"], "id": columns["id"], "a": columns["a"]}
    assert proposed(tmp_path, columns).label == label


def test_fields_of_columns_are_encoded_by_their_paths(tmp_path: Path) -> None:
    nested = [
        {"age": n % 70, "where": {"zone": "a" if n % 3 else "b"}, "tags": ["x"]} for n in range(N)
    ]
    gate = proposed(
        tmp_path, {"id": IDS, "user": nested, "at": pa.array(range(N), pa.timestamp("s"))}
    )
    assert gate.inputs == ("user.age", "user.where.zone")
    assert gate.payload == ("user",)
    assert set(gate.left_out) == {"user.tags", "at"}


def test_a_column_whose_own_name_has_a_dot_is_not_mistaken_for_a_field(tmp_path: Path) -> None:
    columns = {
        "id": IDS,
        "a": [{"b": n % 5, "c.d": 1} for n in range(N)],
        "a.b": RNG.normal(size=N),
    }
    gate = proposed(tmp_path, columns)
    assert gate.inputs == ("a.b",)


def test_wishes_come_first(tmp_path: Path) -> None:
    columns = {"id": IDS, "other": IDS[::-1], "a": RNG.normal(size=N), "b": ["x", "y"] * (N // 2)}
    gate = proposed(tmp_path, columns, Wishes("other", "", ("a",)))
    assert (gate.record_id, gate.label, gate.inputs) == ("other", None, ("a",))
    for wish, message in (
        (Wishes(record_id="no"), "--id: the sample has no column 'no'"),
        (Wishes(label="no"), "--label: the sample has no column 'no'"),
        (Wishes(inputs=("no",)), "--input"),
        (Wishes(record_id="b", label="b"), "both the id and the label"),
    ):
        with pytest.raises(UsageError, match=message):
            proposed(tmp_path, columns, wish)


def test_what_cannot_be_encoded_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing in the sample can be encoded"):
        proposed(tmp_path, {"id": IDS, "at": pa.array(range(N), pa.timestamp("s"))})


ODD = {
    "nothing": pa.nulls(N),
    "some": pa.array([None] * N, pa.float64()),
    "decimal": pa.array([1] * N, pa.decimal128(30, 2)),
    "wide": pa.array([1] * N, pa.decimal256(60, 2)),
    "unsigned": pa.array(range(N), pa.uint64()),
    "half": pa.array(np.ones(N, np.float16)),
    "clock": pa.array([1] * N, pa.time64("ns")),
    "span": pa.array([1] * N, pa.duration("ns")),
    "instant": pa.array([1] * N, pa.timestamp("ns", "Europe/Rome")),
    "map": pa.array([[("k", 1)]] * N, pa.map_(pa.string(), pa.int64())),
    "lists": pa.array([[{"x": 1}]] * N),
    "long": pa.array([[1.0]] * N, pa.large_list(pa.float64())),
    "bytes": pa.array([b"x"] * N, pa.large_binary()),
    "fixed": pa.array([b"xy"] * N, pa.binary(2)),
    "coded": pa.array(["a", "b"] * (N // 2)).dictionary_encode(),
    "empty": pa.array([""] * N),
    "^v_1$": pa.array([1.5] * N),
}


@pytest.mark.parametrize("name", ODD)
def test_a_column_of_any_type_may_come_along(tmp_path: Path, name: str) -> None:
    """It is looked at, and at most left out; a file of it is valid as far as Parquet takes it."""
    table = pa.table({"id": IDS, "a": RNG.normal(size=N), name: ODD[name]})
    path = tmp_path / "sample.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    gate = propose(examine(open_batch(path)), Wishes())
    assert "a" in gate.inputs
    files = project_files(gate, "odd")
    for file_name, content in files.items():
        (tmp_path / file_name).parent.mkdir(exist_ok=True)
        (tmp_path / file_name).write_bytes(content)
    policy = lz.Policy.load(tmp_path / "policies/odd.yaml")
    check_policy(policy)
    assert contract_of(policy) is not None
    assert lz.Reference.fit(open_batch(path), policy).rows == 3 * N // 4
