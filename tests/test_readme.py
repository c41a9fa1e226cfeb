"""What the README shows is what the project has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_dag_in_the_readme_is_the_tested_file() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert block == (ROOT / "dags/lazaretto_ingest.py").read_text()
    assert block.count("\n") < 40


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_readme_names_commands_that_exist() -> None:
    from typer.testing import CliRunner

    from lazaretto.cli.app import app

    commands = set(re.findall(r"^lazaretto ([a-z]+(?: [a-z]+)?)", README, re.MULTILINE))
    assert commands
    for command in commands:
        words = command.split()
        result = CliRunner().invoke(app, [*words, "--help"])
        if result.exit_code != 0:
            result = CliRunner().invoke(app, [words[0], "--help"])
        assert result.exit_code == 0, command
