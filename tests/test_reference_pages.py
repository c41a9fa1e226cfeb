"""The generated pages of docs/reference: current, and nothing in them without a description."""

from __future__ import annotations

import inspect
import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import example_setup
import pytest
import yaml
from yard import make_policy

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
NAMES = (
    "cli.md",
    "policy.md",
    "detectors.md",
    "operators.md",
    "python.md",
    "ledger-and-events.md",
)


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


def python_blocks(name: str) -> list[str]:
    text = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_python_page_begins_with_code_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other Python blocks of operators.md and python.md are signatures, below."""
    example_setup.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    policy = make_policy(dataset="reviews").model_dump(mode="json")
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
    names: dict[str, Any] = {}
    exec(python_blocks("python.md")[0], names)  # noqa: S102 the page's own code
    assert names["result"].verdict.name == "PASS"
    assert names["result"].records.column_names[:3] == ["record_id", "label", "score"]


@pytest.mark.parametrize(("name", "first"), [("operators.md", 0), ("python.md", 1)])
def test_every_signature_is_python(name: str, first: int) -> None:
    signatures = python_blocks(name)[first:]
    assert len(signatures) > 9
    for signature in signatures:
        compile(f"def {signature.strip()}: ...", name, "exec")


def test_every_detector_has_its_options_on_the_page() -> None:
    from lazaretto.detect import make_detector
    from lazaretto.detect.registry import built_in

    text = (ROOT / "docs/reference/detectors.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(built_in())
    for name, section in sections.items():
        told = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
        assert told == set(inspect.signature(type(make_detector(name))).parameters)
