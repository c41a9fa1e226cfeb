"""A policy with `screen.mode: off`: signature, contract and cleaning alone decide, and say so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner
from yard import make_policy

from lazaretto import stages
from lazaretto.cli.app import app
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import BatchEmbedded, BatchScreened
from lazaretto.quarantine import review
from lazaretto.values import Action, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from yard import Yard

    from lazaretto.policy import Policy

RULES = {"rules": {"columns": {"price": {"type": "number", "min": 0}}}}


BARE: dict[str, Any] = {
    "dataset": "orders",
    "columns": {"record_id": "id"},
    "contract": RULES,
}


def unscreened(**more: Any) -> Policy:
    return make_policy(
        dataset="orders",
        columns={"record_id": "id"},
        contract=RULES,
        screen={"mode": "off"},
        **more,
    )


def orders(folder: Path, name: str, prices: list[float]) -> Path:
    file = folder / f"{name}.parquet"
    ids = [f"{name}-{number}" for number in range(len(prices))]
    pq.write_table(pa.table({"id": ids, "price": prices}), file)
    return file


def test_a_batch_is_judged_by_its_contract_and_each_verdict_says_that_nothing_was_screened(
    sqlite_yard: Yard, tmp_path: Path
) -> None:
    workspace, policy = sqlite_yard.workspace, unscreened()
    good = stages.ingest(workspace, orders(tmp_path, "good", [1.0] * 30), "vendor-a", policy)
    assert good.judgement.verdict is Verdict.PASS
    assert good.admission is not None
    assert good.admission.rows == 30
    assert any("not screened" in note for note in good.judgement.notes)
    mixed = stages.ingest(
        workspace, orders(tmp_path, "mixed", [1.0] * 29 + [-1]), "vendor-a", policy
    )
    assert (mixed.judgement.verdict, mixed.judgement.held) == (Verdict.HOLD_RECORDS, 1)
    bad = stages.ingest(workspace, orders(tmp_path, "bad", [-1.0] * 20), "vendor-a", policy)
    assert bad.judgement.verdict is Verdict.HOLD_BATCH
    # Done again, it is what was decided.
    assert stages.gate(workspace, mixed.judgement.batch, policy).held == 1
    assert stages.screen(workspace, mixed.judgement.batch, policy).skipped == "screen.mode is off"
    with workspace.catalog.read() as connection:
        kinds = [BatchEmbedded.kind, BatchScreened.kind]
        assert list(ledger.entries(connection, kinds=kinds)) == []
    case = str(mixed.judgement.case)
    review.decide(workspace, case, Action.RELEASE, all=True, reason="a refund")
    assert review.publish(workspace, case).rows == 1


def test_screening_that_is_turned_on_later_is_another_policy(
    sqlite_yard: Yard, tmp_path: Path
) -> None:
    workspace = sqlite_yard.workspace
    file = orders(tmp_path, "good", [1.0] * 30)
    stages.ingest(workspace, file, "vendor-a", unscreened())
    other = make_policy(**BARE)
    assert json.loads(unscreened().says)["screen"]["mode"] == "off"
    assert "mode" not in json.loads(other.says)["screen"]
    assert unscreened().ref(None).meaning != other.ref(None).meaning


@pytest.mark.parametrize("command", ["check", "explain"])
def test_policy_check_asks_for_no_vectors_then(tmp_path: Path, command: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\ndataset: orders\ncolumns: {record_id: id}\nscreen: {mode: off}\n")
    done = CliRunner().invoke(app, ["policy", command, str(file)])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert ("none: screen.mode is off" if command == "check" else "Nothing is screened") in said


WITHOUT_EXTRAS = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "sklearn", "faiss", "safetensors", "scipy", "airflow"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Without())
from lazaretto.cli.entry import main
main()
"""  # noqa: E501


def test_the_base_installation_is_enough(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        "version: 1\ndataset: orders\ncolumns: {record_id: id}\n"
        "sources: {require_signature: false}\nread: {delimiter: ';', decimal: ','}\n"
        "contract: {rules: {columns: {price: {type: number, min: 0}}}}\n"
        "cleaning: {}\nscreen: {mode: off}\n"
    )
    rows = [f"o{number};{number},50;fine" for number in range(8)]
    rows[2] = "o2;2,50;fi\u200bne"
    rows[3] = "o3;-1,00;fine"
    (tmp_path / "orders.csv").write_text("\n".join(["id;price;note", *rows]), "utf-8")
    commands = [
        "catalog upgrade",
        "source add shop --trust-tier reviewed",
        "contract infer orders.csv --policy policy.yaml",
        "contract check policy.yaml --data orders.csv",
        "policy check policy.yaml",
        "batch ingest orders.csv --source shop --policy policy.yaml",
        "policy replay policy.yaml --since 2026-01-01",
    ]
    done = [
        subprocess.run(
            [sys.executable, "-c", WITHOUT_EXTRAS, *words.split()],
            cwd=tmp_path,
            env=os.environ | {"HOME": str(tmp_path), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        for words in commands
    ]
    told = [(one.returncode, one.stderr) for one in done]
    assert [code for code, _ in told] == [0, 0, 0, 1, 0, 1, 0], told
    assert "2 of 8 records" in done[5].stdout


def test_another_delimiter_is_suggested(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("id;price\na;1,5\nb;2,5\n")
    done = CliRunner().invoke(app, ["contract", "infer", str(file)])
    assert done.exit_code == 2
    assert 'read: {delimiter: ";"}' in done.output.replace("\n", " ")
