"""The demo does what it promises, with a seed that nobody looked at while it was built."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pages
import pytest

pytestmark = pytest.mark.long
SEED = 11
DAY = r"\d{4}-\d\d-\d\d"


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Runs the demo as a user would, once for this file."""
    out = tmp_path_factory.mktemp("demo") / "out"
    quiet = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "LAZARETTO"))}
    done = subprocess.run(
        [Path(sys.executable).with_name("lazaretto"), "demo", "--seed", str(SEED), "--out", out],
        capture_output=True,
        text=True,
        env=quiet,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return result


@pytest.fixture
def deliveries(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in summary["deliveries"]}


def test_the_attack_works_on_an_unguarded_model(summary: dict[str, Any]) -> None:
    unguarded = next(m for m in summary["models"] if m["trained_on"] == "delivered")
    assert unguarded["attack_success_rate"] >= 0.85


def test_models_trained_on_what_was_admitted_are_clean_and_as_good(summary: dict[str, Any]) -> None:
    last = [m for m in summary["models"] if m["trained_on"] == "admitted"][-1]
    assert last["attack_success_rate"] <= 0.05
    assert last["clean_accuracy"] >= summary["baseline"]["clean_accuracy"] - 0.02


def test_poison_is_kept_out_and_clean_records_are_not_held(summary: dict[str, Any]) -> None:
    assert summary["poisoned_records_kept_out"] >= 0.9
    assert summary["clean_records_held"] <= 0.03


@pytest.mark.parametrize(
    ("delivery", "verdicts", "words"),
    [
        ("vendor-a-forged", {"REFUSED"}, "key"),
        ("vendor-b-replay", {"REFUSED"}, "a replay"),
        ("vendor-b-broken", {"HOLD_BATCH"}, "label"),
    ],
)
def test_what_must_not_get_in_is_stopped_with_a_reason(
    deliveries: dict[str, dict[str, Any]], delivery: str, verdicts: set[str], words: str
) -> None:
    row = deliveries[delivery]
    assert row["verdict"] in verdicts
    assert words in row["reason"].lower()


def test_the_trace_finds_exactly_the_models_that_were_fed(summary: dict[str, Any]) -> None:
    trace = summary["trace"]
    assert trace["models"] == trace["expected_models"]
    assert "digits@1" not in trace["models"]
    assert trace["models"]


def test_the_incident_is_answered_as_the_trace_and_nothing_new_learned_from_it(
    summary: dict[str, Any],
) -> None:
    incident = summary["incident"]
    assert sorted(incident["affected"]) == summary["trace"]["expected_models"]
    assert incident["retrained"] not in summary["trace"]["models"]
    assert incident["affected_since"] == []
    assert incident["recalled"] > 0
    assert incident["state"] == "CLOSED"


def test_the_poisoned_version_is_refused_by_its_vendor_s_name_and_a_clean_one_is_in_use(
    summary: dict[str, Any],
) -> None:
    promotion = summary["incident"]["promotion"]
    refused = [why for name, why in promotion["refused"].items() if name in _affected(summary)]
    assert refused
    assert all("vendor-c" in why[0] for why in refused)
    assert promotion["promoted"] == summary["incident"]["retrained"]
    assert promotion["promoted"] not in _affected(summary)
    assert promotion["accuracy"] >= 0.9


def test_the_demo_ends_with_a_drill_of_which_nothing_is_left(summary: dict[str, Any]) -> None:
    drill = summary["drill"]
    assert set(drill["recall"]) == {"label_flip", "badnets_patch", "blended"}
    assert all(len(shares) == len(drill["doses"]) for shares in drill["recall"].values())
    # What was trained after it learned from the deliveries alone.
    assert summary["trace"]["models"] == summary["trace"]["expected_models"]


def _affected(summary: dict[str, Any]) -> list[str]:
    return list(summary["incident"]["affected"])


def test_every_event_validates(summary: dict[str, Any]) -> None:
    from lazaretto.lineage import check

    assert summary["events"]["count"] > 100
    assert check(summary["events"]["file"]) == []


def test_the_readme_s_questions_are_answered_of_the_demo(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    """The block is run as it stands in README.md, with the days of this demo."""
    readme = pages.blocks(pages.ROOT / "README.md")
    (block,) = [b.text for b in readme if "trace source" in b.text]
    trace = summary["trace"]
    block = re.sub(f"--since {DAY}", f"--since {trace['since'][:10]}", block)
    block = re.sub(f"--until {DAY}", f"--until {trace['until'][:10]}", block)
    (tmp_path / "build").mkdir()
    (tmp_path / "build/demo").symlink_to(Path(summary["events"]["file"]).parent)
    _, source, model, ledger = pages.run_lines(block, tmp_path, installed=True)
    assert source[1] == 1, source
    assert all(name in source[2] for name in trace["expected_models"])
    assert model[1] in (0, 1), model
    assert "vendor-c" in model[2]
    assert ledger[1] == 0, ledger
    assert "holds" in ledger[2]
