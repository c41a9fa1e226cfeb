"""The generated pages of docs/reference: current, and nothing in them without a description."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
NAMES = ("cli.md", "policy.md", "operators.md", "python.md", "ledger-and-events.md")


@pytest.fixture(scope="module")
def pages() -> dict[str, Callable[[], str]]:
    found: dict[str, Callable[[], str]] = runpy.run_path(str(ROOT / "docs" / "generate"))["PAGES"]
    return found


def test_these_are_all_pages(pages: dict[str, Callable[[], str]]) -> None:
    assert tuple(pages) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_current(pages: dict[str, Callable[[], str]], name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    assert written == pages[name](), "run `python docs/generate`"


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_of_a_table_is_empty(name: str) -> None:
    text = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    empty = [
        line
        for line in tables
        if any(not cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|")))
    ]
    assert empty == []


@pytest.mark.parametrize("name", NAMES)
def test_every_heading_is_followed_by_words_and_stands_once(name: str) -> None:
    text = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    sections = re.split(r"^(##+ .*)$", text, flags=re.MULTILINE)[1:]
    bare: list[str] = []
    seen: list[tuple[str, ...]] = []
    path: tuple[str, ...] = ()
    for heading, body in zip(sections[::2], sections[1::2], strict=True):
        level = len(heading.split(" ")[0])
        path = (*path[: level - 2], heading)
        seen.append(path)
        prose = re.sub(r"```.*?```|^`[\w.]+`$", "", body, flags=re.DOTALL | re.MULTILINE)
        if level > 2 and not prose.strip():  # a heading of the second level may only group
            bare.append(heading)
    assert bare == []
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("name", ["operators.md", "python.md"])
def test_every_argument_has_a_description(name: str) -> None:
    text = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    assert re.findall(r"^\* `[\w*.]+`:\s*$\n(?!  \S)", text, re.MULTILINE) == []
