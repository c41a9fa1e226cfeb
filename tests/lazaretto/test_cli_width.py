"""Every table is readable at 80 columns: nothing to copy is broken, and nothing is lost.

The files in `tables/` are what the tables look like. `python tests/lazaretto/test_cli_width.py`
writes them anew, after a change that was meant.
"""

from __future__ import annotations

import ast
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, Group
from shown_tables import TABLES, WHOLE

from lazaretto.cli.layout import Document, facts, grid
from lazaretto.cli.reply import print_error, print_note
from lazaretto.cli.text import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

HERE = Path(__file__).parent
CLI = HERE.parents[1] / "src/lazaretto/cli"
WIDTHS = (80, 120)


def shown(view: RenderableType, width: int) -> str:
    """What a file would get, as `print_reply` writes it."""
    console = Console(width=width, file=io.StringIO(), markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(Group(view), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_looks_as_on_file(name: str, width: int) -> None:
    told = shown(TABLES[name](), width)
    assert told == (HERE / f"tables/{name}-{width}.txt").read_text("utf-8")


@pytest.mark.parametrize("width", [40, *WIDTHS, 300])
@pytest.mark.parametrize("name", TABLES)
def test_nothing_to_copy_is_broken(name: str, width: int) -> None:
    told, wide = shown(TABLES[name](), width), shown(TABLES[name](), 2000)
    for word in WHOLE:
        assert told.count(word) == wide.count(word), word


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TABLES)
def test_no_line_is_wider_than_the_terminal_but_for_one_word(name: str, width: int) -> None:
    for line in shown(TABLES[name](), width).splitlines():
        assert len(line) <= width or len(line.split()) <= 3, line


def test_every_table_of_the_command_line_is_among_them() -> None:
    """A module that makes a table has a function that these tests call with fixed values."""
    calls = {
        file.stem
        for file in CLI.glob("*.py")
        if file.stem != "layout"
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("grid", "Grid", "Table")
    }
    source = (HERE.parents[0] / "support/shown_tables.py").read_text("utf-8")
    used = set(re.findall(r"lambda: (\w+)\.", source))
    assert calls - used == set()


_words = st.text(st.characters(categories=["L", "N"], max_codepoint=0x24F), min_size=1, max_size=60)
_rows = st.lists(st.tuples(_words, _words, st.lists(_words, max_size=9).map(" ".join)), max_size=4)


@given(_rows, st.integers(20, 200))
def test_whole_cells_stand_on_one_line_at_any_width(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    told = shown(grid(["id", "state", "about"], rows, text=["about"]), width)
    words = told.replace("│", " ").split()
    for ident, state, text in rows:
        for word in (ident, state, *text.split()):
            assert word in words
    if "│" in told:
        assert all(len(line) <= width for line in told.splitlines())


@given(st.dictionaries(_words, st.lists(_words, max_size=9).map(" ".join), max_size=4))
def test_facts_lose_nothing(values: dict[str, str]) -> None:
    words = shown(facts(values), 60).split()
    for name, value in values.items():
        assert all(word in words for word in (name, *plain(value).split()))


def test_what_somebody_else_wrote_breaks_anywhere_and_does_not_push_the_rest_out() -> None:
    told = shown(grid(["id", "payload"], [("digit-1", "x" * 399)], free=["payload"]), 80)
    assert "│" in told
    assert all(len(line) <= 80 for line in told.splitlines())
    assert told.count("x") == 399


def test_a_document_is_printed_as_it_is() -> None:
    text = '{"long": "' + "word " * 100 + '"}'
    assert shown(Document(text, json=True), 40) == f"{text}\n"


@pytest.mark.parametrize("length", [10, 70, 79, 80, 81, 200])
def test_a_path_in_an_error_or_a_note_stays_whole(
    length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A terminal or a log is copied from, and a broken path is not the path."""
    place = "/" + "a-b.c/" * (length // 6) + "policy.yaml:6:"
    for say in (print_error, print_note):
        say(f"{place} what is wrong with it, in a sentence that needs more than one line of 80.")
        said = capsys.readouterr().err
        assert place in said
        assert all(len(line) <= 80 for line in said.splitlines() if place not in line)


if __name__ == "__main__":
    (HERE / "tables").mkdir(exist_ok=True)
    for table, make in TABLES.items():
        for columns in WIDTHS:
            (HERE / f"tables/{table}-{columns}.txt").write_text(shown(make(), columns), "utf-8")
