"""Names that somebody else chose stay names, in YAML and in Python."""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lazaretto as lz
from lazaretto.proposal.quote import to_python, to_yaml

NAMES = st.text(
    alphabet=st.characters(exclude_categories=["Cs"])
    | st.sampled_from("\"'\\:#{}[],&*!|>%@`-? \n"),
    min_size=1,
    max_size=40,
)
WORDS = [
    "null",
    "~",
    "yes",
    "No",
    "true",
    "1",
    "1e3",
    "0x1f",
    ".inf",
    "12:30:45",
    "2026-01-01",
    "<<",
]


def read(name: str) -> lz.Policy:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "policy.yaml")
        path.write_text(
            f"version: 1\ndataset: d\ncolumns:\n  record_id: {to_yaml(name)}  # a note\n"
            f"  payload: {to_yaml([name, 'x'])}\n",
            encoding="utf-8",
        )
        return lz.Policy.load(path)


@given(NAMES)
def test_a_name_in_yaml_is_read_back(name: str) -> None:
    columns = read(name).columns
    assert columns.record_id == name
    assert columns.payload == [name, "x"]
    assert "\n" not in to_yaml(name)


@pytest.mark.parametrize("name", WORDS)
def test_a_word_that_yaml_would_understand_is_quoted(name: str) -> None:
    assert read(name).columns.record_id == name


@given(NAMES)
def test_a_name_in_python_is_one_literal(name: str) -> None:
    written = to_python((name, None, 1))
    assert written.isascii()
    assert "\n" not in written
    assert ast.literal_eval(written) == (name, None, 1)


def test_nothing_else_is_written() -> None:
    for write in (to_yaml, to_python):
        with pytest.raises(TypeError):
            write(object())
