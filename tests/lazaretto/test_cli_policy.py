"""`lazaretto policy`, and what the other commands say of a policy that is not in force."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy

from lazaretto.cli.app import app
from lazaretto.storage.workspace import os_user

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.policy import Policy


class Shell:
    """The command line on a yard's catalog and store."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.environment = {
            "LAZARETTO_CATALOG_URL": yard.workspace.catalog.display_url,
            "LAZARETTO_STORE": yard.workspace.store.root,
            "LAZARETTO_POLICY": str(self.write("policy", yard.policy)),
            "COLUMNS": "300",
        }

    def write(self, name: str, policy: Policy, comment: str = "") -> Path:
        path = self.yard.folder / f"{name}.yaml"
        path.write_text(f"# {comment}\n{json.dumps(policy.model_dump(mode='json'))}\n")
        return path

    def run(self, *words: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words], env=self.environment)
        assert result.exit_code == code, f"{words}: {result.exit_code}\n{result.output}"
        assert "Traceback" not in result.output
        return result.stdout if code == 0 else result.output

    def json(self, *words: object, code: int = 0) -> Any:
        result = CliRunner().invoke(
            app, [*(str(word) for word in words), "--json"], env=self.environment
        )
        assert result.exit_code == code, f"{words}: {result.exit_code}\n{result.output}"
        return json.loads(result.stdout)


@pytest.fixture
def shell(sqlite_yard: Yard) -> Shell:
    return Shell(sqlite_yard)


def test_a_policy_is_registered_shown_and_told_from_others(shell: Shell) -> None:
    first, other = shell.write("first", make_policy()), make_policy(review={"expire_days": 5})
    assert shell.json("policy", "check", first)["in_force"] is False
    assert "the first use" in shell.run("policy", "check", first)
    assert "policy register" in shell.run("policy", "show", "blobs", code=2)
    made = shell.json("policy", "register", first, "--reason", "we begin")
    assert (made["changed"], made["by"], made["previous"]) == (True, os_user().id, None)
    again = shell.write("again", make_policy(), comment="the same rules")
    told = shell.json("policy", "register", again, "--reason", "once more")
    assert (told["changed"], told["seq"]) == (False, made["seq"])
    assert shell.json("policy", "check", again)["in_force"] is True
    assert "yes, since" in shell.run("policy", "check", again)

    file = shell.write("other", other)
    checked = shell.json("policy", "check", file, code=1)
    assert checked["in_force"] is False
    assert checked["changes"] == ["review.expire_days: 90 in force, 5 here"]
    assert "judges in shadow" in shell.run("policy", "check", file, code=1)
    changed = shell.json("policy", "register", file, "--reason", "faster")
    assert changed["previous"] == made["meaning"]
    shown = shell.json("policy", "show", "blobs")
    assert shown["says"]["review"]["expire_days"] == 5
    assert [one["reason"] for one in shown["history"]] == ["we begin", "faster"]
    words = shell.run("policy", "show", "blobs")
    assert "faster" in words
    assert os_user().id in words
    assert "missing" in shell.run("policy", "register", file, code=2).lower()


def test_without_a_catalog_checking_cannot_say_and_makes_none(shell: Shell, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.db"
    shell.environment["LAZARETTO_CATALOG_URL"] = f"sqlite:///{missing}"
    file = shell.write("policy", make_policy())
    assert shell.json("policy", "check", file)["in_force"] is None
    assert "cannot say" in shell.run("policy", "check", file)
    assert not missing.exists()


def test_a_policy_that_is_not_in_force_is_told_at_every_stage(shell: Shell) -> None:
    shell.run("policy", "register", shell.write("first", make_policy()), "--reason", "we begin")
    mine = shell.write("mine", make_policy(review={"expire_days": 5}))
    path = shell.yard.deliver("monday", blobs(60, seed=5))
    ingest = ("batch", "ingest", path, "--source", "vendor-a")
    told = shell.json(*ingest, "--policy", mine, code=1)
    assert told["admission"] is None
    assert f"lazaretto policy register {mine}" in told["judgement"]["shadow"]
    assert "in shadow" in shell.run(*ingest, "--policy", mine, code=1)
    batch = told["batch"]["id"]
    assert shell.json("batch", "gate", batch, "--policy", mine, code=1)["shadow"]
    error = shell.json("batch", "admit", batch, "--policy", mine, code=1)["error"]
    assert (error["type"], error["code"]) == ("AdmissionRefusedError", "other_policy")
    assert "policy register" in error["message"]
    error = shell.json("batch", "admit", batch, code=1)["error"]
    assert error["code"] == "shadow"
    shown = shell.json("batch", "show", batch)
    assert (shown["verdict"], shown["dataset"]) == (None, None)
    assert shown["stages"]["shadow"]["summary"]["verdict"] == "PASS"
    assert shell.json(*ingest)["admission"]["rows"] == 60
    assert "PASS for dataset blobs" in shell.run("batch", "show", batch)


def test_whoever_publishes_is_shown_and_logged(shell: Shell) -> None:
    path = shell.yard.deliver("mixed", blobs(90, seed=5, flips=6))
    told = shell.json("batch", "ingest", path, "--source", "vendor-a", code=1)
    case, me = told["judgement"]["case"], os_user().id
    shell.run("quarantine", "release", case, "--all", "--yes", "--reason", "fine")
    done = shell.json("quarantine", "publish", case)
    (published,) = shell.json("quarantine", "show", case)["publications"]
    assert (published["part"], published["by"]["id"]) == (done["part"], me)
    assert me in shell.run("quarantine", "show", case, "--limit", "0")
    log = shell.json("dataset", "log", "blobs")
    assert [(event["what"], event["by"]) for event in log] == [("ADMIT", me), ("PUBLISH", me)]
    trace = shell.json("trace", "batch", told["batch"]["id"])
    who = {d["what"]: d["actor"] for d in trace["decisions"]}
    assert (who["PUBLISH"], who["ADMIT"]) == (me, "policy:blobs")
    (release,) = trace["releases"]
    assert (release["decided_by"], release["published_by"]) == ([me], me)
    record = shell.run("trace", "record", f"{told['batch']['id']}#r0")
    assert record.count(me) >= 2


def test_a_weight_above_the_policys_limit_is_the_users_mistake(shell: Shell) -> None:
    path = shell.yard.deliver("mixed", blobs(90, seed=5, flips=6))
    told = shell.json("batch", "ingest", path, "--source", "vendor-a", code=1)
    case = told["judgement"]["case"]
    words = ("quarantine", "reweight", case, "--id", "r0", "--reason", "twice as good")
    assert "at most 1, not 2" in shell.run(*words, "--weight", "2", code=2)
    assert shell.json(*words, "--weight", "0.5")["weight"] == 0.5
    assert shell.json("quarantine", "show", case)["weight_limit"] == 1


def test_two_people_cannot_be_shown_on_the_command_line(shell: Shell) -> None:
    strict = shell.write("strict", make_policy(review={"require_two_people": True}))
    path = shell.yard.deliver("mixed", blobs(90, seed=5, flips=6))
    ingest = ("batch", "ingest", path, "--source", "vendor-a", "--policy", strict)
    case = shell.json(*ingest, code=1)["judgement"]["case"]
    shell.run("quarantine", "release", case, "--all", "--yes", "--reason", "fine")
    error = shell.json("quarantine", "publish", case, code=1)["error"]
    assert error["code"] == "two_people"
    assert "cannot be met" in error["message"]
    for words in (("release", "--all", "--yes", "--reason", "x"), ("publish",)):
        name, *more = words
        assert "--actor" in shell.run("quarantine", name, case, *more, "--actor", "boss", code=2)


def test_other_rates_are_tried_on_the_last_batches(shell: Shell) -> None:
    assert "no policy is in force" in shell.run("policy", "explore", "blobs", code=2)
    assert "cannot name a dataset" in shell.run("policy", "explore", "../blobs", code=2)
    shell.run("policy", "register", shell.write("first", make_policy()), "--reason", "we begin")
    assert shell.json("policy", "explore", "blobs", code=4)["batches"] == []
    judged = shell.yard.judge("monday", blobs(150, seed=5, flips=12))
    told = shell.json("policy", "explore", "blobs", "--batches", 3)
    assert (told["batches"], told["asked"], told["differs"]) == ([judged.batch], 3, [])
    (now,) = [rate for rate in told["rates"] if rate["in_force"]]
    assert now["held"] == now["reviewed"]["UNDECIDED"] == judged.held
    shown = shell.run("policy", "explore", "blobs")
    assert "0.02 now" in shown
    assert "never reviewed" in shown
