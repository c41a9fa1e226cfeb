"""``lazaretto ledger`` as auditors use it: verify, checkpoint, show and prove, with exit codes."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from lazaretto.cli.app import app

pytestmark = pytest.mark.alike
HOSTILE = "\x1b[2J\u202e[red]x"


class Auditor:
    """A folder with two sources on record and a key pair, and the database in hand."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.environment: dict[str, str | None] = {
            "LAZARETTO_CATALOG_URL": url,
            "LAZARETTO_STORE": str(folder / "store"),
            "COLUMNS": "300",
        }
        self.run("catalog upgrade")
        self.run("source keygen auditor")
        self.run("source add vendor --trust-tier reviewed")
        self.run("source add other --key auditor.pub")

    def run(self, line: str, *more: str, code: int = 0) -> str:
        with contextlib.chdir(self.folder):
            result = CliRunner().invoke(app, [*line.split(), *more], env=self.environment)
        assert result.exit_code == code, f"{line}: {result.exit_code}\n{result.output}"
        assert "Traceback" not in result.output
        assert "bug" not in result.stderr
        return result.stdout if result.stdout else " ".join(result.stderr.split())

    def json(self, line: str, *more: str, code: int = 0) -> Any:
        return json.loads(self.run(line, *more, "--json", code=code))

    def sql(self, *statements: str) -> None:
        engine = sa.create_engine(self.url)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    def problems(self, line: str) -> str:
        report = self.json(line, code=1)
        assert report["outcome"] == "VIOLATED"
        return "\n".join(problem["what"] for problem in report["problems"])


@pytest.fixture
def auditor(tmp_path: Path, catalog_url: str) -> Auditor:
    """On each database."""
    return Auditor(tmp_path, catalog_url)


@pytest.fixture
def sqlite_auditor(tmp_path: Path, sqlite_catalog: str) -> Auditor:
    """On SQLite."""
    return Auditor(tmp_path, sqlite_catalog)


def test_from_a_checkpoint_to_an_emptied_ledger(auditor: Auditor) -> None:
    taken = auditor.json("ledger checkpoint --key auditor.key --out kept.txt")
    assert (taken["size"], taken["new"]) == (3, True)
    assert auditor.folder.joinpath("kept.txt").read_text() == taken["note"]
    assert auditor.json("ledger checkpoint --key auditor.key --out kept.txt")["new"] is False
    report = auditor.json("ledger verify --key auditor.pub --checkpoint kept.txt")
    assert (report["outcome"], report["entries"], report["covered"]) == ("HOLDS", 4, 3)
    auditor.folder.joinpath("vkey.txt").write_text(taken["verifier_key"] + "\n")
    for key in (taken["verifier_key"], "vkey.txt"):
        assert auditor.json("ledger verify --key", key)["covered"] == 3
    assert "not checked (no --key)" in auditor.run("ledger verify")
    assert "3 of 4 entries" in auditor.run("ledger verify")

    auditor.sql("DELETE FROM ledger", "DELETE FROM ledger_head")
    shutil.rmtree(auditor.folder / "store")
    assert "source (2)" in auditor.problems("ledger verify")
    assert "no checkpoint" in auditor.problems("ledger verify --key auditor.pub")
    assert "the last ones are missing" in auditor.problems("ledger verify --checkpoint kept.txt")
    found = auditor.json("catalog check", code=1)["findings"]
    assert {finding["kind"] for finding in found} >= {"ledger"}
    auditor.sql("DELETE FROM source_key", "DELETE FROM source")
    assert "kept.txt" in auditor.problems("ledger verify --checkpoint kept.txt --key auditor.pub")
    report = auditor.json("ledger verify", code=4)
    assert (report["outcome"], report["problems"]) == ("NOTHING_TO_VERIFY", [])
    assert "nothing to verify" in auditor.run("ledger verify", code=4)


def test_a_fresh_catalog_is_nothing_to_verify_and_none_is_no_success(
    tmp_path: Path, empty_url: str
) -> None:
    runner = CliRunner()
    environment = {"LAZARETTO_CATALOG_URL": empty_url, "LAZARETTO_STORE": str(tmp_path / "s")}
    lines = ["verify", "show", "checkpoint --key k", "prove 1 --out p.json"]
    (tmp_path / "k").write_text("k")
    with contextlib.chdir(tmp_path):
        for line in lines:
            result = runner.invoke(app, ["ledger", *line.split()], env=environment)
            assert result.exit_code in (2, 3), line
            assert "lazaretto catalog upgrade" in " ".join(result.stderr.split())
        assert not (tmp_path / "catalog.db").exists()
        assert runner.invoke(app, ["catalog", "upgrade"], env=environment).exit_code == 0
        assert runner.invoke(app, ["ledger", "verify"], env=environment).exit_code == 4
        shown = runner.invoke(app, ["ledger", "show", "--json"], env=environment)
        assert json.loads(shown.stdout) == {"entries": [], "more": False}


def test_entries_are_shown_filtered_and_whole(auditor: Auditor) -> None:
    everything = auditor.json("ledger show")
    assert [e["kind"] for e in everything["entries"]] == [
        "source_registered",
        "source_registered",
        "key_added",
    ]
    assert not everything["more"]
    assert all(e["actor"]["id"].startswith("os:") for e in everything["entries"])
    assert all(e["intact"] for e in everything["entries"])
    one = auditor.json("ledger show 2")
    assert one == everything["entries"][1]
    seqs = lambda line: [e["seq"] for e in auditor.json(line)["entries"]]  # noqa: E731
    assert seqs("ledger show --source other") == [2, 3]
    assert seqs("ledger show --kind key_added --kind batch_judged") == [3]
    assert seqs("ledger show --where trust_tier=REVIEWED") == [1]
    assert seqs(f"ledger show --actor {one['actor']['id']}") == [1, 2, 3]
    assert seqs("ledger show --actor os:nobody@nowhere") == []
    assert seqs("ledger show --until 2020-01-01") == []
    assert seqs("ledger show --since 2020-01-01 --limit 2") == [2, 3]
    assert auditor.json("ledger show --limit 2")["more"]
    assert seqs("ledger show --after 0 --limit 2") == [1, 2]
    assert seqs("ledger show --after 2 --limit 2") == [3]
    shown = auditor.run("ledger show")
    assert "key_id" in shown
    assert "BEGIN PUBLIC KEY" not in shown
    assert "BEGIN PUBLIC KEY" in auditor.run("ledger show --full")
    assert one["hash"] in auditor.run("ledger show 2")
    assert "--after 2" in auditor.run("ledger show --after 0 --limit 2")
    for line, told in {
        "ledger show 9": "no entry 9",
        "ledger show --kind batch_judge": "batch_judged",
        "ledger show --where x": "FIELD=VALUE",
    }.items():
        assert told in auditor.run(line, code=2)


def test_what_a_source_wrote_cannot_move_the_cursor(sqlite_auditor: Auditor) -> None:
    key = sqlite_auditor.json("source list")[0]["keys"][0]["key_id"]
    sqlite_auditor.run(f"source revoke other {key}", "--reason", HOSTILE)
    for line in ("ledger show", "ledger show --full", "ledger show 4", "ledger show 4 --json"):
        shown = sqlite_auditor.run(line)
        assert not set(shown) & {"\x1b", "\u202e"}
        assert "[2J" in shown
    shown = sqlite_auditor.run("ledger show", "--where", f"reason={HOSTILE}")
    assert "key_revoked" in shown
    assert "[red]x" in shown


def test_an_edited_entry_is_shown_as_such(sqlite_auditor: Auditor) -> None:
    sqlite_auditor.sql('UPDATE ledger SET payload = \'{"source":"x"}\' WHERE seq = 2')
    assert "EDITED" in sqlite_auditor.run("ledger show", code=1)
    assert "DOES NOT MATCH" in sqlite_auditor.run("ledger show 2", code=1)
    assert sqlite_auditor.json("ledger show 2", code=1)["intact"] is False
    assert sqlite_auditor.json("ledger show 3")["intact"] is True


def test_an_auditor_with_a_checkpoint_alone_checks_proofs(
    sqlite_auditor: Auditor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    auditor = sqlite_auditor
    auditor.run("ledger checkpoint --key auditor.key --out first.txt")
    auditor.run("source add third")
    auditor.run("ledger checkpoint --key auditor.key --out second.txt")
    auditor.run("ledger prove 2 --out entry.json")
    auditor.run("ledger prove 1 --checkpoint first.txt --out old.json")
    auditor.run("ledger prove --from first.txt --out extends.json")

    elsewhere = Auditor.__new__(Auditor)
    elsewhere.folder = tmp_path_factory.mktemp("elsewhere")
    elsewhere.environment = {
        "LAZARETTO_CATALOG_URL": "sqlite:////nowhere/at/all.db",
        "LAZARETTO_STORE": "/nowhere",
        "COLUMNS": "300",
    }
    for name in (
        "first.txt",
        "second.txt",
        "auditor.pub",
        "entry.json",
        "old.json",
        "extends.json",
    ):
        shutil.copy(auditor.folder / name, elsewhere.folder)
    report = elsewhere.json("ledger verify --proof entry.json --key auditor.pub")
    assert (report["ok"], report["signature"]) == (True, "VERIFIED")
    there = auditor.json("ledger show 2")
    assert all(there[name] == value for name, value in report["entry"].items())
    assert report["entry"]["hash"] == there["hash"]
    assert elsewhere.json("ledger verify --proof entry.json --checkpoint second.txt")["ok"]
    assert elsewhere.json("ledger verify --proof old.json --checkpoint first.txt")["ok"]
    line = "ledger verify --proof extends.json --checkpoint first.txt --checkpoint second.txt"
    assert elsewhere.json(line)["ok"]
    assert elsewhere.json("ledger verify --proof entry.json", code=4)["undecided"]
    assert "nobody vouches" in elsewhere.run("ledger verify --proof entry.json", code=4)
    line = "ledger verify --proof entry.json --checkpoint first.txt"
    assert "not about first.txt" in elsewhere.json(line, code=1)["problem"]
    forged = (elsewhere.folder / "entry.json").read_text().replace("other", "0ther")
    (elsewhere.folder / "entry.json").write_text(forged)
    assert "NOT PROVEN" in elsewhere.run(line.replace("first", "second"), code=1)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ledger prove --out p.json", "name an entry"),
        ("ledger prove 1 --from kept.txt --out p.json", "name an entry"),
        ("ledger prove 9 --out p.json", "no entry 9"),
        ("ledger prove 4 --out p.json", "covers 3 entries"),
        ("ledger prove 1 --out kept.txt", "exists already"),
        ("ledger verify --key kept.txt", "no key for checkpoints"),
        ("ledger verify --key missing.pub", "cannot read public key"),
        ("ledger verify --checkpoint missing.txt", "cannot read checkpoint"),
        ("ledger verify --proof kept.txt", "no proof"),
        ("ledger checkpoint --key auditor.pub", "Ed25519"),
        ("ledger checkpoint --key auditor.key --origin a+b", "cannot name a key"),
        ("ledger checkpoint --key auditor.key --out vkey", "exists already"),
    ],
)
def test_mistakes_are_exit_code_2(sqlite_auditor: Auditor, line: str, told: str) -> None:
    sqlite_auditor.run("ledger checkpoint --key auditor.key --out kept.txt")
    (sqlite_auditor.folder / "vkey").write_text("else")
    assert told in sqlite_auditor.run(line, code=2)


def test_a_folder_gathers_checkpoints(sqlite_auditor: Auditor) -> None:
    folder = sqlite_auditor.folder / "safe"
    folder.mkdir()
    line = "ledger checkpoint --key auditor.key --out safe"
    first = sqlite_auditor.json(line)
    sqlite_auditor.run("source add third")
    second = sqlite_auditor.json(line)
    sqlite_auditor.json(line)
    notes = {file.name: file.read_text() for file in folder.iterdir()}
    assert notes == {Path(one["path"]).name: one["note"] for one in (first, second)}
    files = " ".join(f"--checkpoint safe/{name}" for name in notes)
    assert sqlite_auditor.json(f"ledger verify --key auditor.pub {files}")["covered"] == 5


def test_a_note_that_was_tampered_with_is_exit_code_1(sqlite_auditor: Auditor) -> None:
    sqlite_auditor.run("ledger checkpoint --key auditor.key --out kept.txt")
    kept = sqlite_auditor.folder / "kept.txt"
    whole = kept.read_text()
    kept.write_text(whole.replace("\n3\n", "\n2\n"))
    line = "ledger verify --checkpoint kept.txt"
    assert "kept.txt was taken of 2 other entries" in sqlite_auditor.problems(line)
    assert "changed after signing" in sqlite_auditor.problems(f"{line} --key auditor.pub")
    kept.write_text(whole.split("\n\n")[0] + "\n")
    assert "kept.txt is no checkpoint" in sqlite_auditor.problems(line)
    sqlite_auditor.run("source keygen stranger")
    told = sqlite_auditor.problems("ledger verify --key stranger.pub")
    assert "not one of the checkpoints is signed" in told


def test_nothing_is_signed_after_a_rewrite(sqlite_auditor: Auditor) -> None:
    sqlite_auditor.run("ledger checkpoint --key auditor.key --out kept.txt")
    sqlite_auditor.sql(
        "DELETE FROM ledger WHERE seq > 2",
        "UPDATE ledger_head SET seq = 2, hash = (SELECT hash FROM ledger WHERE seq = 2)",
    )
    told = sqlite_auditor.run("ledger checkpoint --key auditor.key", code=3)
    assert "cut short, and is not signed" in told
