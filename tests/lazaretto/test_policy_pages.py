"""The pages on replays and bases, and the schema for editors, are what the code does."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pages
import pytest
from typer.testing import CliRunner
from yard import blobs, make_policy

from lazaretto.cli.app import app
from lazaretto.errors import PolicyError
from lazaretto.policy import Policy, policy_schema
from lazaretto.policy.tighter import RULES

if TYPE_CHECKING:
    from yard import Yard

DOCS = Path(__file__).parents[2] / "docs"
BASE, REPLAY = DOCS / "how-to/organisation-base.md", DOCS / "how-to/replay-a-policy.md"


def lines(page: Path) -> list[list[str]]:
    """The commands of a page, without `lazaretto`."""
    (block,) = [block for block in pages.blocks(page) if block.language == "bash"]
    return [shlex.split(line)[1:] for line in pages.shell_lines(block)]


def test_the_page_on_replays_runs(sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    yard = sqlite_yard
    monkeypatch.chdir(yard.folder)
    yard.judge("monday", blobs(60, 5, flips=6))
    file = yard.folder / "candidate.yaml"
    file.write_text(json.dumps(make_policy().model_dump(mode="json")))
    environment = {
        "LAZARETTO_CATALOG_URL": yard.workspace.catalog.display_url,
        "LAZARETTO_STORE": yard.workspace.store.root,
    }
    for command in lines(REPLAY):
        told = CliRunner().invoke(app, command, env=environment)
        assert told.exit_code == 0, f"{command}\n{told.output}"


def test_the_page_on_bases_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAZARETTO_CATALOG_URL", f"sqlite:///{tmp_path}/none.db")
    shown = {block.title: block.text for block in pages.blocks(BASE) if block.title}
    for name, text in shown.items():
        Path(name).write_text(text)
    for command in lines(BASE):
        told = CliRunner().invoke(app, command)
        assert told.exit_code == 0, f"{command}\n{told.output}"
    with pytest.raises(PolicyError) as error:
        Policy.load("loose.yaml")
    (words,) = [block.text for block in pages.blocks(BASE) if block.language == "text"]
    assert str(error.value) == words.strip()


def test_the_table_of_what_is_tighter_is_that_of_the_code() -> None:
    table = "".join(f"| `{pattern}` | {words} |\n" for pattern, _, words in RULES)
    assert table in BASE.read_text("utf-8")


def test_the_schema_describes_every_key_and_is_current() -> None:
    told = CliRunner().invoke(app, ["policy", "schema"])
    schema = json.loads(told.stdout)
    assert schema == policy_schema()
    assert schema == json.loads((DOCS / "reference/policy.schema.json").read_text("utf-8"))
    assert schema["$schema"].startswith("https://json-schema.org/draft/")
    assert schema["$id"].startswith("urn:lazaretto:schema:policy:")

    def walk(node: Any, at: str) -> None:
        for name, inner in node.get("properties", {}).items():
            assert inner.get("description"), f"{at}.{name} has no description"
        for name, inner in node.get("$defs", {}).items():
            walk(inner, name)

    walk(schema, "policy")
    # Editors know older drafts: none of its words means another thing there.
    for draft in (jsonschema.Draft7Validator, jsonschema.Draft202012Validator):
        draft.check_schema(schema)
        valid = {"version": 1, "dataset": "d", "columns": {}, "extends": "base.yaml"}
        draft(schema).validate(valid)
        assert not draft(schema).is_valid(valid | {"screan": {}})
