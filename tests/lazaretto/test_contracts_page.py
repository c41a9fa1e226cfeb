"""docs/how-to/contracts.md is true: its commands run, and its contracts judge what they say."""

from __future__ import annotations

from pathlib import Path

import pages
import pytest
from typer.testing import CliRunner

from lazaretto.cli.application import application
from lazaretto.contract import load_contract

PAGE = "docs/how-to/contracts.md"
BLOCKS = list(pages.blocks(pages.ROOT / PAGE))
SAMPLE = """\
id,status,price,cost,email,ordered,sent
a,new,10.0,5.0,a@b,2026-01-01 10:00:00,
b,paid,20000.0,5.0,,2026-01-01 11:00:00,
c,sent,10.0,5.0,c@d,2026-01-02 10:00:00,2026-01-01 10:00:00
d,paid,10.5,25.0,c@d,2026-01-02 10:00:00,2026-01-03 10:00:00
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("sample.csv").write_text(SAMPLE)
    for block in BLOCKS:
        if block.title:
            Path(block.title).write_text(block.text)
    return tmp_path


def run(line: str) -> tuple[int, str]:
    words = line.split()[1:]
    result = CliRunner().invoke(application(words), words)
    return result.exit_code, result.output


def test_the_commands_propose_a_contract_that_the_sample_keeps() -> None:
    (block,) = [block for block in BLOCKS if block.language == "bash"]
    infer, check = block.text.splitlines()
    command, _, target = infer.partition(" > ")
    code, printed = run(command)
    assert code == 0
    Path(target).write_text(printed)
    code, printed = run(check)
    assert code == 0, printed


def test_the_contracts_of_the_page_judge_a_sample() -> None:
    code, printed = run("lazaretto contract check orders.rules.yaml --data sample.csv")
    assert code == 1
    for rule in ("records.price >= cost", "unique(email,ordered)", "price.max", "sent_later"):
        assert rule in printed
    code, printed = run("lazaretto contract check orders.py:Order --data sample.csv")
    assert code == 1
    assert "frame.no_loss" in printed
    assert "warning" in printed
    code, printed = run("lazaretto contract check orders.odcs.yaml --data sample.csv")
    assert code == 0, printed
    assert load_contract({"odcs": "orders.odcs.yaml#orders"}, base=Path()) is not None


def test_every_key_of_a_column_is_on_the_page() -> None:
    from lazaretto.policy.contract import ColumnRules

    text = (pages.ROOT / PAGE).read_text("utf-8")
    for key in ColumnRules.model_fields:
        assert f"`{key}`" in text or f"`{key}: " in text, key


def test_a_contract_can_stand_alone() -> None:
    code, printed = run("lazaretto policy check alone.yaml")
    assert code == 0, printed
    assert "none: screen.mode is off" in " ".join(printed.split())
