"""The command line through Airflow: as the token's owner, without catalog and store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy

from lazaretto.cli.application import application
from lazaretto.cli.remote import Remote
from lazaretto.errors import UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, CaseAssigned, CaseCommented, RecordsDecided

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.airflow


@pytest.fixture
def run(
    site: str,
    token: Callable[[str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[..., Any]:
    """Runs a command as somebody; catalog and store are nowhere."""
    monkeypatch.setenv("LAZARETTO_SERVER", site.removesuffix("/lazaretto"))
    monkeypatch.setenv("LAZARETTO_CATALOG_URL", f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")
    monkeypatch.setenv("LAZARETTO_STORE", str(tmp_path / "nowhere"))

    def command(role: str, *words: str, code: int = 0) -> Any:
        monkeypatch.setenv("LAZARETTO_TOKEN", token(role)["Authorization"].split()[1])
        done = CliRunner().invoke(application(), ["quarantine", *words, "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    return command


def _actors(yard: Yard, kind: Any) -> list[str]:
    with yard.workspace.catalog.read() as connection:
        return [entry.actor.id for entry in entries(connection, kinds=[kind.kind])]


def test_a_whole_review(run: Callable[..., Any], yard: Yard, tmp_path: Path) -> None:
    case = str(yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case)
    (listed,) = run("VIEWER", "list", "--dataset", "blobs")
    assert (listed["id"], listed["held"]) == (case, 4)
    shown = run("VIEWER", "show", case, "--limit", "2")
    assert [record["record_id"] for record in shown["records"]] == ["m0", "m1"]
    assert shown["records"][0]["payload"] == {"text": "record 0 <script>"}
    assert shown["triage"]["evidence"]
    run("OP", "assign", case, "--to", "user:op")
    run("OP", "comment", case, "the first is a one")
    assert [c["id"] for c in run("OP", "list", "--assignee", "user:op")] == [case]
    wrong = run("OP", "reject", case, "--all", "--reason", "all wrong", "--yes")
    run("OP", "undo", wrong["id"], "--reason", "not all")
    run("OP", "relabel", case, "--id", "m0", "--to", "1", "--reason", "a one")
    run("OP", "reweight", case, "--id", "m1", "--weight", "0.5", "--reason", "unsure")
    file = tmp_path / "case.csv"
    run("OP", "export", case, "--to", str(file), "--undecided")
    file.write_text(file.read_text().replace(",,\n", ",,\n"))
    lines = file.read_text().splitlines()
    filled = [lines[0], *(line[: line.rindex(",,")] + "REJECT,," for line in lines[1:])]
    file.write_text("\n".join(filled) + "\n")
    imported = run("OP", "import", case, str(file), "--reason", "by hand", "--yes")
    assert [group["records"] for group in imported["groups"]] == [2]
    assert run("ADMIN", "publish", case)["rows"] == 2
    assert sorted(yard.ids()) == ["m0", "m1"]
    assert set(_actors(yard, RecordsDecided)) == {"user:op"}
    assert _actors(yard, BatchAdmitted) == ["user:admin"]
    assert _actors(yard, CaseAssigned) == _actors(yard, CaseCommented) == ["user:op"]


def test_what_is_refused_there_is_refused_here_with_its_own_exit_code(
    run: Callable[..., Any], yard: Yard
) -> None:
    strict = Yard(yard.workspace, make_policy(review={"require_two_people": True}), yard.folder)
    case = str(strict.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case)
    reject = ("reject", case, "--all", "--reason", "no", "--yes")
    assert "Forbidden" in run("VIEWER", *reject, code=2)["error"]["message"]
    assert "no case" in run("OP", "show", "case-x", code=2)["error"]["message"]
    run("OP", "release", case, "--all", "--reason", "fine", "--yes")
    refused = run("OP", "publish", case, code=1)["error"]
    assert "somebody else publishes" in refused["message"]
    alone = run("OP", "approve", case, "--yes", code=2)["error"]["message"]
    assert "somebody else approves" in alone
    assert run("ADMIN", "approve", case, "--yes")["by"]["id"] == "user:admin"
    assert run("OP", "publish", case)["rows"] == 4


def test_a_token_that_is_none_and_a_server_that_is_away(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(token: str, server: str | None = None) -> tuple[int, str]:
        monkeypatch.setenv("LAZARETTO_TOKEN", token)
        if server is not None:
            monkeypatch.setenv("LAZARETTO_SERVER", server)
        done = CliRunner().invoke(application(), ["quarantine", "list", "--json"])
        return done.exit_code, json.loads(done.stdout)["error"]["message"]

    code, message = failed("e30.e30.e30")
    assert (code, "the token is not accepted" in message) == (2, True)
    code, message = failed("")
    assert (code, "LAZARETTO_TOKEN" in message) == (2, True)
    code, message = failed("x", "http://127.0.0.1:9")
    assert (code, "does not answer" in message) == (3, True)


@pytest.mark.parametrize(
    "server", ["http://airflow.example", "ftp://x", "airflow", "https://ann:secret@airflow.example"]
)
def test_a_token_goes_over_https_or_nowhere(server: str) -> None:
    with pytest.raises(UsageError):
        Remote.at(server, "secret")


def test_this_machine_may_be_http() -> None:
    for server in ("http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:8080"):
        assert Remote.at(server, "x").server == server.rstrip("/")
