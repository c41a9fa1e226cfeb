"""The page "Great Expectations": its suite, its policy, its commands and its checkpoint work."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import metadata
from typing import TYPE_CHECKING

import pages
import pyarrow as pa
import pytest
import yaml

from lazaretto.cli.entry import _run
from lazaretto.contract import evaluate, load_contract
from lazaretto.policy import Columns

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = pages.blocks(pages.ROOT / "docs/how-to/great-expectations.md")


def block(title: str) -> str:
    (found,) = [one.text for one in BLOCKS if one.title == title]
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, where its commands find catalog and store."""
    for name in ("reviews.json", "policy.yaml"):
        (tmp_path / name).write_text(block(name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LAZARETTO_CATALOG_URL", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv("LAZARETTO_STORE", str(tmp_path / "store"))
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    def run(title: str) -> str:
        # In this process: Great Expectations is imported once.
        monkeypatch.setattr("sys.argv", shlex.split(block(title)))
        capsys.readouterr()
        assert _run() in (0, 1, 4)  # 4: nothing is wrong, and the reference is still to be fitted
        return capsys.readouterr().out

    return run


def test_what_the_page_installs_is_an_extra() -> None:
    (extra,) = re.findall(r"lazaretto\[(\w+)\]", block("install"))
    assert extra in (metadata("lazaretto").get_all("Provides-Extra") or ())


def test_the_suite_holds_what_the_table_says(folder: Path) -> None:
    loaded = load_contract(yaml.safe_load(block("policy.yaml"))["contract"], base=folder)
    texts = [*["fine"] * 18, "x" * 2001, None]
    table = pa.table(
        {"id": [str(n) for n in range(20)], "stars": [9, *[3] * 19], "text": pa.array(texts)}
    )
    report = evaluate(table, loaded, Columns(record_id="id", label="stars"))
    assert report.failing_ids == ["0"]
    assert report.broken == []
    assert [(rule.rule, rule.warning) for rule in report.rules] == [
        ("stars.expect_column_values_to_be_in_set", False),
        ("text.expect_column_values_to_not_be_null", True),
        ("text.expect_column_value_lengths_to_be_between", True),
    ]
    few = evaluate(table.slice(0, 2), loaded, Columns())
    assert few.broken == [
        "rule expect_table_row_count_to_be_between does not hold for the batch: Must have greater "
        "than or equal to 3 rows. (found: 2)"
    ]


def test_the_checkpoint_hands_a_delivery_to_the_quarantine(folder: Path, command: object) -> None:
    assert callable(command)
    command("before")
    assert "gx: reviews.json" in command("check")
    (folder / "drop").mkdir()
    (folder / "drop/monday.csv").write_text("id,stars,text\na,3,good\nb,9,bad\nc,1,fine\n")
    names: dict[str, object] = {}
    exec(compile(block("nightly.py"), "nightly.py", "exec"), names)  # noqa: S102  a page's block
    assert names["result"].success is False  # type: ignore[attr-defined]
    assert "case-" in command("after")
