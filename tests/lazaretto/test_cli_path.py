"""The whole way by the command line alone, as a user without Airflow goes it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalogs import copy_sqlite
from typer.testing import CliRunner

from lazaretto.cli.app import app
from lazaretto.lineage.openlineage.emit import CURSOR
from lazaretto.lineage.openlineage.lease import acquire, release
from lazaretto.storage.workspace import open_workspace, os_user

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs/tutorial/first_gate_data.py"


class User:
    """Somebody in a folder with a scaffolded project, a key and the tutorial's data."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str | None] = {
            "LAZARETTO_CATALOG_URL": f"sqlite:///{folder}/catalog.db",
            "LAZARETTO_STORE": str(folder / "store"),
            "LAZARETTO_POLICY": "policies/digits.yaml",
            "LAZARETTO_NAMESPACE": None,
            "OPENLINEAGE_URL": None,
            "OPENLINEAGE_CONFIG": None,
            "COLUMNS": "300",
        }
        for file in data.iterdir():
            os.link(file, folder / file.name)  # a link of the other kind is no delivery
        self.run("init . --dataset digits")
        # This vendor delivers into the project's folder itself.
        policy = folder / "policies/digits.yaml"
        policy.write_text(policy.read_text().replace("../drop/{source}", ".."))
        self.run("source keygen vendor")
        self.run("source add vendor --key vendor.pub --trust-tier reviewed")

    def run(self, line: str, *more: str, code: int = 0) -> str:
        with contextlib.chdir(self.folder):
            result = CliRunner().invoke(app, [*line.split(), *more], env=self.environment)
        assert result.exit_code == code, f"{line}: {result.exit_code}\n{result.output}"
        assert "Traceback" not in result.output
        return result.stdout if code in (0, 1, 4) else " ".join(result.stderr.split())

    def json(self, line: str, *more: str, code: int = 0) -> Any:
        return json.loads(self.run(line, *more, "--json", code=code))

    def sign(self, file: str, day: int = 1, *, key: str = "vendor.key") -> None:
        self.run(
            f"manifest sign {file} --source vendor --key {key} --force "
            f"--collected-from 2026-03-0{day} --collected-to 2026-03-0{day + 1}"
        )

    def deliver(self, file: str, day: int, *, code: int) -> Any:
        self.sign(file, day)
        return self.json(f"batch ingest {file} --source vendor", code=code)

    def sanitized(self, *options: str) -> Any:
        """What sanitizing tells; whether it holds something is not said beforehand."""
        with contextlib.chdir(self.folder):
            line = ["dataset", "sanitize", "digits", *options, "--json"]
            result = CliRunner().invoke(app, line, env=self.environment)
        assert result.exit_code < 2, result.output
        done = json.loads(result.stdout)
        assert result.exit_code == int(done["held"] > 0)
        return done

    def path(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    subprocess.run([sys.executable, str(DATA)], cwd=folder, check=True)
    return folder


@pytest.fixture
def user(data: Path, made_catalog: Path, tmp_path: Path) -> User:
    """A new project: nothing delivered, no reference."""
    copy_sqlite(made_catalog, tmp_path / "catalog.db")
    return User(tmp_path, data)


@pytest.fixture(scope="module")
def reviewer(data: Path, tmp_path_factory: pytest.TempPathFactory) -> User:
    """A project with a reference and a poisoned delivery; tests only add to it."""
    user = User(tmp_path_factory.mktemp("project"), data)
    user.run("reference fit trusted.parquet")
    user.deliver("tuesday.parquet", 2, code=1)
    return user


def test_from_keys_to_a_blast_radius(user: User) -> None:
    user.run("reference fit trusted.parquet")
    monday = user.deliver("monday.parquet", 1, code=0)
    tuesday = user.deliver("tuesday.parquet", 2, code=1)
    assert monday["judgement"]["verdict"] == "PASS"
    assert tuesday["judgement"]["verdict"] == "HOLD_RECORDS"

    batch, case = tuesday["batch"]["id"], tuesday["judgement"]["case"]
    poisoned = [f"tuesday-{number:04d}" for number in range(0, 397, 10)]
    shown = user.json(f"quarantine show {case} --limit 1000")
    held = {record["record_id"]: record for record in shown["records"]}
    assert len(set(poisoned) & set(held)) >= 0.8 * len(poisoned)
    assert len(set(held) - set(poisoned)) <= 0.02 * 397
    assert all(record["reasons"] for record in held.values())
    assert "\n" in held[sorted(held)[0]]["payload"]["text"]

    # Three decisions on different records, one of them taken back.
    first, second, third, *_ = sorted(held)
    user.run(f"quarantine release {case} --id {first} --reason fine")
    user.run(f"quarantine relabel {case} --id {second} --to 7 --reason seven")
    slip = user.json(f"quarantine reweight {case} --id {third} --weight 0.5 --reason half")
    user.run(f"quarantine undo {slip['id']} --reason slip")
    user.run(f"quarantine reject {case} --undecided --reason patch --yes")
    listed = next(c for c in user.json("quarantine list") if c["id"] == case)
    assert listed["actions"] == {
        "REJECT": len(held) - 2,
        "RELABEL": 1,
        "RELEASE": 1,
    }
    published = user.json(f"quarantine publish {case}")
    assert published["rows"] == 2

    snapshot = user.json("dataset snapshot digits")
    user.run("dataset export digits --out train.parquet")
    rows = {row["id"]: row for row in pq.read_table(user.path("train.parquet")).to_pylist()}
    assert len(rows) == snapshot["rows"]
    assert rows[second]["label"] == 7
    assert not (set(held) - {first, second}) & set(rows)
    whats = [event["what"] for event in user.json("dataset log digits")]
    assert whats == ["ADMIT", "ADMIT", "PUBLISH", "SNAPSHOT"]

    user.path("weights.bin").write_bytes(b"weights")
    at = f"digits@{snapshot['version']}"
    user.run(f"model register net@1 --snapshot {at} --artifact weights.bin --param epochs=3")
    window = "--since 2026-03-02 --until 2026-03-03"
    written = "--html r.html --record --exclude-to out.txt"
    trace = user.json(f"trace source vendor {window} {written}", code=1)
    assert [b["id"] for b in trace["batches"]] == [batch]
    assert [m["id"] for m in trace["models"]] == ["net@1"]
    assert trace["retrain"][0]["exclude"] == [batch]
    assert "net@1" in user.path("r.html").read_text()
    assert user.path("r.html").read_bytes() == Path(trace["report"]["html"]).read_bytes()
    assert user.path("out.txt").read_text() == f"{batch}\n"
    check = jsonschema.Draft202012Validator(user.json("trace schema"))
    assert check.is_valid(trace)
    empty = user.json("trace source vendor --since 2025-01-01 --until 2025-02-01", code=4)
    assert (empty["batches"], empty["completeness"]["complete"]) == ([], False)
    assert check.is_valid(empty)
    assert user.json(f"trace batch {batch}", code=1)["models"][0]["id"] == "net@1"
    assert user.json(f"trace record {batch}#{first}", code=1)["record"]["action"] == "RELEASE"
    assert user.json(f"trace record {batch}#{third}")["models"] == []
    shown = user.json(f"quarantine show {case}")
    released = next(d["id"] for d in shown["decisions"] if d["action"] == "RELEASE")
    judged = next(d for d in trace["decisions"] if d["policy_sha256"])
    for question in (
        f"key {user.json('source list')[0]['keys'][0]['key_id']}",
        f"policy digits@{judged['policy_sha256'][:12]}",
        "reference digits@1",
        f"decision {released}",
        f"dataset {at}",
    ):
        answer = user.json(f"trace {question}", code=1)
        assert answer["question"]["kind"] == question.split()[0]
        assert [m["id"] for m in answer["models"]] == ["net@1"]
        assert check.is_valid(answer)
    what_if = user.json(f"trace source vendor --without {batch} --without {monday['batch']['id']}")
    assert (what_if["models"], what_if["unaffected"]) == ([], 1)
    assert {b["id"] for b in user.json("trace model net@1")["batches"]} == {
        batch,
        monday["batch"]["id"],
    }

    window = "--source vendor --since 2026-03-02 --until 2026-03-03"
    recalled = user.json(f"dataset recall digits {window} --reason bad --yes", code=1)
    assert recalled["models"] == ["net@1"]
    assert [member["batch"] for member in recalled["members"]] == [batch], "as traced"
    assert user.json("model list net")[0]["recalls"] == [recalled["id"]]

    assert user.json("lineage flush")["entries"] > 10
    assert user.json("lineage flush")["entries"] == 0
    assert user.json("lineage check store/lineage/events.jsonl --strict") == []
    user.run("source keygen ledger")
    user.run("ledger checkpoint --key ledger.key")
    report = user.json("ledger verify --key ledger.pub")
    assert report["outcome"] == "HOLDS"
    assert [c["signature"] for c in report["checkpoints"]] == ["VERIFIED"]
    health = user.json("catalog check")
    assert (health["sound"], health["findings"], health["leftovers"]["count"]) == (True, [], 0)
    assert user.json("catalog check --deep")["sound"]


def test_stage_by_stage_ends_where_ingest_does(reviewer: User) -> None:
    whole = reviewer.json("batch ingest tuesday.parquet --source vendor", code=1)
    entries = reviewer.json("ledger verify")["entries"]
    batch = reviewer.json("batch receive tuesday.parquet --source vendor")["id"]
    assert batch == whole["batch"]["id"]
    reviewer.run(f"batch validate {batch}")
    reviewer.run(f"batch embed {batch}")
    reviewer.run(f"batch screen {batch}", code=1)
    judged = reviewer.json(f"batch gate {batch}", code=1)
    assert judged == whole["judgement"]
    assert reviewer.json(f"batch admit {batch}") == whole["admission"]
    assert reviewer.json("ledger verify")["entries"] == entries, "a repetition is no new event"
    shown = reviewer.json(f"batch show {batch}")
    assert set(shown["stages"]) == {"validate", "embed", "screen", "gate"}
    assert shown["admissions"][0]["rows"] == judged["cleared"]


def test_a_reviewer_sees_the_triage_of_a_batch(reviewer: User) -> None:
    case = reviewer.json("quarantine list")[0]["id"]
    triage = reviewer.json(f"quarantine show {case}")["triage"]
    assert triage["category"] == "POISONING"
    assert triage["reference"] == "digits/1"
    told = reviewer.run(f"quarantine show {case}")
    assert triage["evidence"][0] in " ".join(told.split())
    assert "never releases" in told
    assert "POISONING" in reviewer.run(f"batch show {batch_of_case(reviewer, case)}")


def batch_of_case(user: User, case: str) -> str:
    return str(next(c["batch"] for c in user.json("quarantine list") if c["id"] == case))


def test_a_source_shows_its_evidence_batch_by_batch(reviewer: User) -> None:
    found = reviewer.json("source drift vendor")
    assert found["reference"] == "digits/1"
    assert [step["batch"] for step in found["steps"]] == [
        batch["id"] for batch in reviewer.json("batch list")[::-1]
    ]
    assert all(0 < step["p_value"] <= 1 for step in found["steps"])
    assert found["evidence"] == found["steps"][-1]["evidence"]
    told = reviewer.run("source drift vendor")
    assert "evidence" in told
    assert "no source" in reviewer.run("source drift nobody", code=2)
    reviewer.run("source add quiet --trust-tier reviewed")
    assert "no batch was screened" in reviewer.run("source drift quiet")


def test_a_new_reference_waits_for_a_person_who_saw_what_it_changes(user: User) -> None:
    user.run("reference fit trusted.parquet")
    tuesday = user.deliver("tuesday.parquet", 2, code=1)
    # A careless curator: the poisoned delivery is part of the new trusted rows.
    rows = pa.concat_tables(
        [pq.read_table(user.path(f)) for f in ("trusted.parquet", "tuesday.parquet")],
        promote_options="permissive",
    )
    pq.write_table(rows, user.path("careless.parquet"))
    fitted = user.json("reference fit careless.parquet")
    assert (fitted["version"], fitted["promoted"]) == ("2", False)
    compared = user.json("reference compare digits/2", code=1)
    assert compared["no_longer_held"] >= 0.5 * tuesday["judgement"]["held"]
    assert compared["changes"][0]["batch"] == tuesday["batch"]["id"]
    assert "--yes" in user.run("reference promote digits/2", code=2)
    assert promoted(user) == "1"
    assert "reference promote digits/1" in user.run("reference promote digits/2 --yes")
    assert promoted(user) == "2"
    user.run("reference promote digits/1 --yes")  # and back
    assert promoted(user) == "1"
    with sqlite3.connect(user.path("catalog.db")) as connection:
        query = (
            "SELECT payload, actor_id FROM ledger WHERE kind = 'reference_promoted' ORDER BY seq"
        )
        found = connection.execute(query).fetchall()
    events, actors = [json.loads(row[0]) for row in found], {row[1] for row in found}
    assert [(e["version"], e["previous"]) for e in events] == [("1", None), ("2", "1"), ("1", "2")]
    assert events[1]["change"]["no_longer_held"] == compared["no_longer_held"]
    assert actors == {os_user().id}
    assert "nothing to compare" in user.run("reference compare digits/1", code=2)
    assert "digits/9" in user.run("reference promote digits/9 --yes", code=2)
    assert "name the version" in user.run("reference promote digits --yes", code=2)


def promoted(user: User) -> str:
    return next(r["version"] for r in user.json("reference list digits") if r["promoted"])


def test_people_see_what_json_says(reviewer: User) -> None:
    batch = reviewer.json("batch list")[-1]["id"]
    case = reviewer.json(f"quarantine list --batch {batch}")[0]["id"]
    for line, words in {
        "source list": ["vendor", "REVIEWED", "ed25519"],
        "reference list": ["digits"],
        "reference show digits": ["mahalanobis", "knn_label"],
        "batch list": [batch, case],
        f"batch show {batch}": ["VERIFIED", "screen", "digits"],
        "quarantine list": [case, "undecided"],
        f"quarantine show {case} --limit 3": ["Held records (3 of", "p-value"],
        "dataset log digits": ["ADMIT"],
        "catalog check": ["all of it is what the ledger says"],
        "ledger verify": ["holds"],
        f"ledger show --batch {batch}": ["batch_judged", "HOLD_RECORDS"],
        f"trace batch {batch}": ["1 batch:", "HOLD_RECORDS"],
    }.items():
        shown = " ".join(reviewer.run(line).split())
        assert [word for word in words if word not in shown] == [], f"{line}\n{shown}"


def test_a_filter_is_counted_and_asked_for_before_a_bulk_decision(reviewer: User) -> None:
    case = reviewer.json("quarantine list")[-1]["id"]
    line = f"quarantine reject {case} --reason-is screen:mahalanobis --reason patch"
    count = reviewer.json(f"quarantine show {case} --reason-is screen:mahalanobis")["matching"]
    told = reviewer.run(line, code=2)
    assert f"REJECT {count} records" in told
    assert "--yes" in told
    decided = reviewer.json(line, "--yes")
    assert decided["records"] == count
    assert (
        reviewer.json(f"quarantine undo {decided['id']} --reason slip")["undoes"] == decided["id"]
    )


def test_a_held_batch_is_not_admitted(reviewer: User) -> None:
    table = pq.read_table(reviewer.path("monday.parquet")).drop_columns(["text"])
    pq.write_table(table, reviewer.path("broken.parquet"))
    told = reviewer.deliver("broken.parquet", 3, code=1)
    assert told["judgement"]["verdict"] == "HOLD_BATCH"
    assert told["admission"] is None
    assert "text" in " ".join(told["judgement"]["notes"])
    assert reviewer.json(f"batch show {told['batch']['id']}")["admissions"] == []


def test_hostile_records_reach_the_terminal_as_text(reviewer: User) -> None:
    table = pq.read_table(reviewer.path("tuesday.parquet"))
    evil = "\x1b[2J\x1b]8;;http://evil\x07[red]x[/red]\u202e"
    texts = pa.array([f"{evil}{i}" for i in range(table.num_rows)])
    pq.write_table(table.set_column(2, "text", texts), reviewer.path("evil.parquet"))
    told = reviewer.deliver("evil.parquet", 3, code=1)
    shown = reviewer.run(f"quarantine show {told['judgement']['case']} --limit 2")
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\x1b[2J" in shown
    assert "[red]x[/red]" in shown


def test_a_training_set_is_sanitized_with_the_user_s_own_model(reviewer: User) -> None:
    reviewer.path("own_net.py").write_text(
        "import torch\n"
        "def load(weights):\n"
        "    torch.manual_seed(int(open(weights).read()))\n"
        "    layers = torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)\n"
        "    return torch.nn.Sequential(*layers)\n"
    )
    reviewer.path("seed.txt").write_text("0")
    options = "--load-model own_net:load --weights seed.txt --model net@1"
    done = reviewer.sanitized(*options.split())
    assert (done["calibrated"], done["model"]) == (True, "net@1")
    assert done["calibration"].startswith("calibrated by reference digits/")
    assert done["rows"] >= 350


def test_a_team_without_a_model_trains_a_probe(reviewer: User) -> None:
    batch = reviewer.json("batch list")[-1]["id"]
    told = reviewer.json(f"batch probe {batch} --epochs 5 --out probe.safetensors")
    assert told["classes"] == [str(digit) for digit in range(10)]
    assert told["held_out_accuracy"] > 0.5
    assert "CHANNELSxHEIGHTxWIDTH" in reviewer.run(f"batch probe {batch} --image 8x8", code=2)
    reviewer.run(f"batch probe {batch} --epochs 1 --image 1x8x8 --out image.safetensors")
    for weights in ("probe.safetensors", "image.safetensors"):
        done = reviewer.sanitized("--weights", weights)
        assert (done["model"], done["calibrated"]) == ("probe", True)
    reviewer.path("noise.safetensors").write_bytes(b"noise")
    line = "dataset sanitize digits --weights"
    assert "holds no weights of a probe" in reviewer.run(f"{line} noise.safetensors", code=2)


def test_judging_without_trusted_rows_is_asked_for_and_said(reviewer: User) -> None:
    done = reviewer.sanitized("--image", "1x8x8", "--trusted", "none")
    assert (done["model"], done["calibrated"]) == ("probe", False)
    assert done["calibration"].startswith("not calibrated: judged without trusted rows")
    assert "needs rows" in reviewer.run("dataset sanitize digits --trusted none --compare", code=2)
    done = reviewer.sanitized("--weights", "probe.safetensors", "--trusted", "trusted.parquet")
    assert done["calibration"].startswith("calibrated by a table of ")


def test_what_was_held_is_left_out_of_a_second_training_and_both_are_compared(user: User) -> None:
    """By the command of how-to/sanitize-a-training-set.md, with a network of its kind."""
    page = (ROOT / "docs/how-to/sanitize-a-training-set.md").read_text("utf-8")
    (line,) = re.findall(r"^lazaretto (dataset sanitize digits .*\\\n.*)$", page, re.MULTILINE)
    line = line.replace("\\\n", " ")
    assert "--load-model net:load --weights net-1.safetensors --inputs net:vectors" in line
    user.run("reference fit trusted.parquet")
    case = user.deliver("tuesday.parquet", 2, code=1)["judgement"]["case"]
    user.run(f"quarantine release {case} --all --reason looks-fine --yes")
    user.run(f"quarantine publish {case}")
    user.path("net.py").write_text(
        "import pyarrow as pa\n"
        "from pathlib import Path\n"
        "from lazaretto.activations.probe import probe\n"
        "from lazaretto.activations.probe_file import load_probe, probe_bytes\n"
        "def vectors(chunk):\n"
        "    import torch\n"
        "    return torch.tensor(chunk['embedding'].to_pylist())\n"
        "def load(weights):\n"
        "    return load_probe(weights).model\n"
        "def train(snapshot):\n"
        "    rows = snapshot.table()\n"
        "    trained = probe(rows, rows['label'].to_pylist(), inputs='embedding', epochs=20)\n"
        "    path = Path(f'net-{snapshot.version}.safetensors')\n"
        "    path.write_bytes(probe_bytes(trained))\n"
        "    return path\n"
    )
    with user.path("policies/digits.yaml").open("a") as policy:
        policy.write("\nsanitize: {false_quarantine_rate: 0.05}  # 100 trusted rows of a class\n")
    own = "--load-model net:load --weights net-1.safetensors --inputs net:vectors"
    user.run(f"batch probe {user.json('batch list')[0]['id']} --out net-1.safetensors")
    taken = user.json("dataset snapshot digits")
    user.run(f"model register net@1 --snapshot digits@{taken['version']}")
    options = line.removeprefix("dataset sanitize digits ").split()
    done = user.sanitized(*options)
    assert done["model"] == "net@1"
    assert done["held"] > 20
    found = done["comparison"]
    assert (found["model"], found["held"]) == ("net@2", done["held"])
    assert found["contradicted"] > 0.5 * done["held"]
    assert len(found["classes"]) == 10
    assert found["overall"]["agreement"] > 0.8
    assert (user.path("store") / found["file"]["path"]).is_file()
    shown = user.run(f"{line} --version {taken['version']}", code=1)
    assert "calibrated by a table of 1000 rows" in shown
    assert f"{found['contradicted']} of {done['held']}" in shown
    assert "before -> after" in shown
    told = user.run(f"dataset sanitize digits {own}", code=2)
    assert "give `trusted`" in told


def test_a_refused_delivery_says_why_and_is_on_record(user: User) -> None:
    def refused(line: str) -> str:
        return str(user.json(line, code=1)["error"]["code"])

    assert refused("batch ingest monday.parquet --source vendor") == "unsigned"
    user.run("source keygen mallory")
    user.sign("monday.parquet", key="mallory.key")
    assert refused("batch ingest monday.parquet --source vendor") == "unknown_key"
    assert refused("batch receive monday.parquet --source nobody") == "unknown_source"
    user.sign("monday.parquet")
    user.json("batch receive monday.parquet --source vendor")
    again = user.path("again.parquet")
    again.write_bytes(user.path("monday.parquet").read_bytes())
    user.sign("again.parquet")
    assert refused("batch ingest again.parquet --source vendor") == "replay"
    again.write_bytes(b"changed after signing")
    assert refused("batch ingest again.parquet --source vendor") == "digest_mismatch"
    # The source, its key, five refusals and one receipt.
    assert user.json("ledger verify")["entries"] == 8


def test_a_late_delivery_is_exit_code_3_and_on_no_record(user: User) -> None:
    before = user.json("ledger verify")["entries"]
    for command in ("ingest", "receive"):
        told = user.run(f"batch {command} later.parquet --source vendor", code=3)
        assert "later.parquet is not there (yet)" in told
    assert user.json("ledger verify")["entries"] == before
    os.link(user.path("monday.parquet"), user.path("later.parquet"))
    user.sign("later.parquet")
    assert user.json("batch receive later.parquet --source vendor")["rows"] > 0


def test_a_flush_that_another_process_keeps_waiting_says_who_and_until_when(user: User) -> None:
    workspace = open_workspace(catalog_url=str(user.environment["LAZARETTO_CATALOG_URL"]))
    lease = acquire(workspace.catalog, CURSOR)
    assert isinstance(lease, int)
    answer = user.json("lineage flush", code=1)
    assert (answer["entries"], answer["remaining"], answer["problem"]) == (0, 2, None)
    assert f"process {os.getpid()}" in answer["held"]["holder"]
    assert answer["held"]["until"].startswith("20")
    shown = user.run("lineage flush", code=1)
    assert "entries that wait" in shown
    assert f"process {os.getpid()}" in shown
    release(workspace.catalog, CURSOR, lease)
    workspace.catalog.engine.dispose()
    user.environment["OPENLINEAGE_DISABLED"] = "true"
    assert "OPENLINEAGE_DISABLED is set" in user.run("lineage flush", code=1)
    user.environment["OPENLINEAGE_DISABLED"] = None
    assert user.json("lineage flush")["remaining"] == 0
    assert user.json("lineage flush")["entries"] == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("batch show no/such/batch", "lazaretto batch list"),
        ("quarantine show case-0", "lazaretto quarantine list"),
        ("quarantine release case-0 --reason x", "which records?"),
        ("quarantine release case-0 --reason x --all", "no case"),
        ("quarantine undo nothing --reason x", "no decision"),
        ("dataset snapshot nothing", "no dataset"),
        ("dataset recall digits --reason x", "which records?"),
        ("dataset recall digits --batch b --reason x", "--yes"),
        ("dataset sanitize digits --load-model no.such:thing --weights w", "cannot be imported"),
        ("dataset sanitize digits --weights w", "no weights 'w'"),
        ("dataset sanitize digits --load-model net:load", "needs the --weights"),
        ("dataset sanitize digits --retrain net:train", "go with --compare"),
        ("dataset sanitize digits --compare --load-model a:b --weights w", "by --retrain"),
        ("dataset sanitize digits --compare --weights w", "a probe is compared only"),
        ("dataset sanitize digits --trusted nowhere.parquet", "nowhere.parquet"),
        ("model register net --snapshot digits@1", "NAME@VERSION"),
        ("model register net@1 --snapshot digits@1", "snapshot"),
        ("trace source nobody", "no source"),
        ("trace model net@9", "net"),
        ("trace key 0123", "no source has a key"),
        ("trace policy digits@0123", "judged under"),
        ("trace reference digits@99", "screened against"),
        ("trace decision decision-0", "published by the decision"),
        ("trace dataset digits@newest", "numbers"),
        ("trace dataset digits@999", "has no version 999"),
        ("trace source vendor --without vendor/0", "no batch"),
        ("trace source vendor --since soon", "2026-03-01"),
        ("trace source vendor --since 2026-03-02 --until 2026-03-01", "empty"),
        ("reference show nothing", "lazaretto reference fit"),
        ("reference fit missing.parquet", "missing.parquet"),
        ("source revoke vendor 12345678 --reason x", "no key"),
        ("source add v/../x", "cannot name a source"),
        ("source add other --key missing.pub", "cannot read public key"),
        ("source keygen vendor", "exists already"),
        ("manifest verify monday.parquet", "whose keys?"),
        ("policy check missing.yaml", "missing.yaml"),
        ("lineage check missing.jsonl", "missing.jsonl"),
        ("ledger checkpoint --key vendor.pub", "key"),
        ("init . --dataset digits", "exists already"),
        ("init elsewhere --dataset ../x", "cannot name a dataset"),
    ],
)
def test_mistakes_are_exit_code_2_with_what_to_do(reviewer: User, line: str, told: str) -> None:
    assert told in reviewer.run(line, code=2)


def test_a_typo_in_the_policy_names_file_line_and_key(user: User) -> None:
    policy = user.path("policies/digits.yaml")
    policy.write_text(policy.read_text().replace("hold_when_held_fraction", "hold_when_fraction"))
    told = user.run("policy check policies/digits.yaml", code=2)
    assert "policies/digits.yaml:" in told
    assert "hold_when_held_fraction" in told


def test_an_edited_ledger_is_exit_code_1(user: User) -> None:
    with sqlite3.connect(user.path("catalog.db")) as connection:
        connection.execute(
            "UPDATE ledger SET payload = replace(payload, 'REVIEWED', 'TRUSTED') WHERE seq = 1"
        )
    assert user.json("ledger verify", code=1)["problems"][0]["first"] == 1
    found = user.json("catalog check", code=1)
    assert {finding["kind"] for finding in found["findings"]} == {"ledger"}
    assert "does not hold" in user.run("catalog rebuild --yes", code=3)


def test_a_lost_file_is_found(user: User) -> None:
    user.sign("monday.parquet")
    batch = user.json("batch receive monday.parquet --source vendor")["id"]
    path = user.json(f"batch show {batch}")["delivery"]["stored"]["path"]
    stored = user.path("store") / path
    stored.rename(stored.with_name("stray.parquet"))
    health = user.json("catalog check", code=1)
    (finding,) = health["findings"]
    assert (finding["kind"], finding["first"]) == ("missing_files", [path])
    assert [Path(path).name for path in health["leftovers"]["first"]] == ["stray.parquet"]


def test_an_edited_row_is_named_and_made_what_the_ledger_says(user: User) -> None:
    with sqlite3.connect(user.path("catalog.db")) as connection:
        connection.execute("UPDATE source SET trust_tier = 'TRUSTED'")
    found = user.json("catalog check", code=1)
    (difference,) = found["differences"]
    assert difference["columns"] == {"trust_tier": ["'TRUSTED'", "'REVIEWED'"]}
    shown = user.run("catalog check", code=1)
    assert "trust_tier is 'TRUSTED', the ledger says 'REVIEWED'" in " ".join(shown.split())
    assert "add --yes to do it" in user.run("catalog rebuild", code=1)
    done = user.json("catalog rebuild --yes")
    assert done["rows"] == {"source": {"changed": 1}}
    assert "nothing: all rows say what the ledger says" in user.run("catalog rebuild")
    assert user.json("catalog check")["sound"]
    assert user.json("ledger show --kind catalog_rebuilt")["entries"][0]["seq"] == done["seq"]


def test_private_keys_are_readable_by_their_owner_alone(user: User) -> None:
    assert user.path("vendor.key").stat().st_mode & 0o077 == 0
    assert "PRIVATE" not in user.run("source list")


def test_a_second_key_keeps_the_trust_tier(user: User) -> None:
    user.run("source keygen next")
    added = user.json("source add vendor --key next.pub")
    assert added["trust_tier"] == "REVIEWED"
    assert len(added["keys"]) == 2
    key = added["keys"][0]["key_id"]
    assert user.json(f"source revoke vendor {key[:8]} --reason lost")["revoked_at"]


@pytest.mark.postgres
def test_a_catalog_in_postgresql(user: User, postgres_url: str) -> None:
    user.environment["LAZARETTO_CATALOG_URL"] = postgres_url
    assert "lazaretto catalog upgrade" in user.run("catalog check", code=2)
    assert user.json("catalog upgrade")["schema"]
    assert user.json("catalog check")["sound"]
    user.run("source add vendor --key vendor.pub")
    assert user.json("catalog check")["behind"] == {"index": 2, "openlineage": 2}
    assert user.json("ledger verify")["entries"] == 2


def test_a_password_is_never_shown(user: User) -> None:
    user.environment["LAZARETTO_CATALOG_URL"] = "postgresql://someone:s3cret@127.0.0.1:9/none"
    told = user.run("source list", code=3)
    assert "127.0.0.1" in told
    shown = CliRunner().invoke(app, ["source", "list", "--debug"], env=user.environment)
    assert "Traceback" in shown.stderr
    assert "s3cret" not in told + shown.output


def test_the_scaffold_is_valid_for_any_dataset(tmp_path: Path) -> None:
    runner = CliRunner()
    folder = tmp_path / "new" / "project"
    made = runner.invoke(app, ["init", str(folder), "--dataset", "some_data2", "--json"])
    assert made.exit_code == 0, made.output
    checked = runner.invoke(app, ["policy", "check", json.loads(made.stdout)["policy"], "--json"])
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.stdout)["dataset"] == "some_data2"
