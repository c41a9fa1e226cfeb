"""`lazaretto init --from`: what it writes works, whatever the sample's columns are called."""

from __future__ import annotations

import ast
import contextlib
import csv
import json
import random
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import lazaretto as lz
from lazaretto.cli.app import app

EVIL = [
    'a: {b: "c"}',
    '"); import os; os.abort()  # ',
    "'''\\",
    "{{ 7 * 7 }}{% raw %}",
    "# no, &anchor *alias !!python/object",
    "-",
    "null",
    "ключ 数",
    "${HOME} $(id) `id`",
    " padded ",
]


def run(folder: Path, *words: str, code: int = 0) -> Any:
    environment = {
        "LAZARETTO_CATALOG_URL": f"sqlite:///{folder}/catalog.db",
        "LAZARETTO_STORE": str(folder / "store"),
        "LAZARETTO_POLICY": None,
    }
    with contextlib.chdir(folder):
        result = CliRunner().invoke(app, [*words, "--json"], env=environment)
    assert result.exit_code == code, f"{words}: {result.exit_code}\n{result.output}"
    return json.loads(result.stdout)


def sample(path: Path, names: list[str], rows: int = 400, seed: int = 0) -> None:
    """An id, a label, and numbers and categories under other names."""
    rng = random.Random(seed)  # noqa: S311
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", *names, "outcome"])
        for row in range(rows):
            cells = [
                round(rng.gauss(0, 1), 3) if column % 2 else rng.choice(["p", "q"])
                for column in range(len(names))
            ]
            writer.writerow([f"{seed}-{row}", *cells, rng.choice(["good", "bad"])])


def test_the_commands_that_it_prints_work_as_printed(tmp_path: Path) -> None:
    (tmp_path / "my data").mkdir()
    sample(tmp_path / "my data/Customer List (2).csv", ["age", "plan"])
    said = run(tmp_path, "init", "a gate", "--from", "my data/Customer List (2).csv", "--yes")
    assert said["dataset"] == "customer_list_2"
    assert len(said["next"]) == 3
    for line in said["next"]:
        program, *words = shlex.split(line)
        assert program == "lazaretto"
        told = run(tmp_path, *words)
    assert told["judgement"]["verdict"] == "PASS"


@pytest.mark.parametrize("name", ["amount", *EVIL[:4]])
def test_a_contract_in_yaml_takes_no_python_and_holds_what_breaks_it(
    tmp_path: Path, name: str
) -> None:
    sample(tmp_path / "orders.csv", [name, "size"])
    done = run(
        tmp_path, "init", "shop", "--from", "orders.csv", "--yes", "--contract", "yaml",
        "--id", "key", "--label", "outcome",
    )  # fmt: skip
    assert done["contract"] == "shop/contracts/orders.rules.yaml"
    text = (tmp_path / done["contract"]).read_text()
    assert "# Check by hand: whether one_of is complete." in text
    for line in done["next"][:1]:
        run(tmp_path, *shlex.split(line)[1:])
    policy = lz.Policy.load(tmp_path / done["policy"])
    assert policy.contract is not None
    checked = run(tmp_path, "contract", "check", done["policy"], "--data", "orders.csv")
    assert (checked["failing"], checked["broken"]) == (0, [])
    odd = (tmp_path / "orders.csv").read_text().replace(",good", ",perfect").replace(",0.", ",x.")
    (tmp_path / "odd.csv").write_text(odd)
    checked = run(tmp_path, "contract", "check", done["policy"], "--data", "odd.csv", code=1)
    assert any("the contract says number" in one for one in checked["broken"])
    assert any(one["rule"].endswith(".one_of") for one in checked["rules"])


def test_signed_deliveries_have_their_commands_too(tmp_path: Path) -> None:
    sample(tmp_path / "s.csv", ["age", "plan"])
    said = run(tmp_path, "init", "--from", "s.csv", "--yes", "--signed", "--source", "crm")
    assert lz.Policy.load(tmp_path / said["policy"]).sources.require_signature
    for line in said["next"]:
        run(tmp_path, *shlex.split(line)[1:])


def test_hostile_column_names_stay_names(tmp_path: Path) -> None:
    sample(tmp_path / "s.csv", EVIL)
    said = run(tmp_path, "init", "--from", "s.csv", "--dataset", "d", "--yes")
    policy = lz.Policy.load(tmp_path / said["policy"])
    assert policy.embed.columns == EVIL
    run(tmp_path, "policy", "check", said["policy"])
    tree = ast.parse((tmp_path / said["contract"]).read_text("utf-8"))
    record = next(node for node in tree.body if isinstance(node, ast.Assign))
    assert isinstance(record.value, ast.Call)
    rules = record.value.args[0]
    assert isinstance(rules, ast.Dict)
    assert [ast.literal_eval(key) for key in rules.keys if key] == ["key", *EVIL, "outcome"]
    assert len(tree.body) == 4, "a text, two imports and the rules"
    for line in said["next"]:
        run(tmp_path, *shlex.split(line)[1:])


def test_the_dag_names_this_policy_and_this_dataset(tmp_path: Path) -> None:
    sample(tmp_path / "s.csv", ["age", "plan"])
    said = run(tmp_path, "init", "p", "--from", "s.csv", "--dataset", "people.v-2", "--yes")
    text = (tmp_path / said["dag"]).read_text()
    tree = ast.parse(text)
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert ast.literal_eval(values["DATASET"]) == "people.v-2"
    given = {"Path": Path, "os": __import__("os"), "__file__": str(tmp_path / said["dag"])}
    code = "".join(f"{name} = {ast.unparse(values[name])}\n" for name in ("PROJECT", "POLICY"))
    exec(code, given)  # noqa: S102
    assert Path(str(given["POLICY"])) == (tmp_path / said["policy"]).resolve()
    assert "/opt/airflow" not in text
    assert "reviews" not in text


def test_a_project_has_any_number_of_datasets(tmp_path: Path) -> None:
    sample(tmp_path / "a.csv", ["age", "plan"])
    first = run(tmp_path, "init", "p", "--from", "a.csv", "--yes")
    before = {path: path.read_bytes() for path in (tmp_path / "p").rglob("*") if path.is_file()}
    second = run(tmp_path, "init", "p", "--from", "a.csv", "--dataset", "b", "--yes")
    third = run(tmp_path, "init", "p", "--dataset", "c")
    assert {path: path.read_bytes() for path in before} == before
    names = [lz.Policy.load(tmp_path / one["policy"]).dataset for one in (first, second, third)]
    assert names == ["a", "b", "c"]
    again = run(tmp_path, "init", "p", "--from", "a.csv", "--yes", code=2)
    assert "exists already; nothing was written" in again["error"]["message"]


def test_without_a_terminal_somebody_must_say_yes(tmp_path: Path) -> None:
    sample(tmp_path / "a.csv", ["age", "plan"])
    said = run(tmp_path, "init", "--from", "a.csv", code=2)
    assert "--yes" in said["error"]["message"]
    assert not (tmp_path / "policies").exists()


def test_on_a_terminal_it_asks_where_a_person_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real terminal, with answers typed into it."""
    import os
    import pty
    import subprocess
    import sys

    sample(tmp_path / "a.csv", ["age", "plan"])
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-c", "from lazaretto.cli import main; main()",
         "init", "--from", "a.csv", "--json"],
        cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # Dataset, id, a label that is not there, no label, source, signed.
    os.write(ours, b"people\n\nnobody\n-\ncrm\ny\n")
    printed, _ = started.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    said = json.loads(printed)
    assert (said["dataset"], said["source"]) == ("people", "crm")
    assert (said["proposal"]["record_id"], said["proposal"]["label"]) == ("key", None)
    assert said["proposal"]["signed"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "no.csv", "--yes"], "the sample cannot be used"),
        (["--from", "a.csv", "--yes", "--dataset", "../evil"], "cannot name a dataset"),
        (["--from", "a.csv", "--yes", "--source", "../evil"], "cannot name a source"),
        (["--from", "a.csv", "--yes", "--id", "nothing"], "no column 'nothing'"),
        (["--id", "x"], "add --from SAMPLE"),
    ],
)
def test_mistakes_write_nothing(tmp_path: Path, words: list[str], message: str) -> None:
    sample(tmp_path / "a.csv", ["age", "plan"])
    said = run(tmp_path, "init", "p", *words, code=2)
    assert message in said["error"]["message"]
    assert not any(path.is_file() for path in (tmp_path / "p").rglob("*"))
