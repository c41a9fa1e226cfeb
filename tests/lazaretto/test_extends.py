"""A base binds: what a team's policy loosens is refused, what it tightens is taken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples
from typer.testing import CliRunner

from lazaretto.cli.app import app
from lazaretto.errors import PolicyError
from lazaretto.policy import Policy
from lazaretto.policy.tighter import RULES

if TYPE_CHECKING:
    from pathlib import Path

BASE = """\
sources: {require_signature: true, places: [/srv/drop, 's3://bucket/drop/']}
limits: {max_rows: 1000}
contract: rules.py:Record
screen:
  false_quarantine_rate: 0.01
  batch: {tests: {mmd: shadow}}
  detectors:
    mahalanobis: {}
    knn_label: {mode: shadow, k: 5}
review: {expire_days: 30}
retention: {delivered_days: 100}
"""
TEAM = "version: 1\ndataset: toy\ncolumns: {record_id: id, label: y, embedding: x}\n"


def load(folder: Path, team: str, base: str = BASE) -> Policy:
    (folder / "org").mkdir(exist_ok=True)
    (folder / "team").mkdir(exist_ok=True)
    (folder / "org/base.yaml").write_text(base)
    (folder / "team/policy.yaml").write_text(f"{TEAM}extends: ../org/base.yaml\n{team}")
    return Policy.load(folder / "team/policy.yaml")


def refused(folder: Path, team: str, base: str = BASE) -> str:
    with pytest.raises(PolicyError) as error:
        load(folder, team, base)
    return str(error.value).replace(f"{folder}/", "")


def test_what_the_base_says_holds_where_the_team_says_nothing(tmp_path: Path) -> None:
    policy = load(tmp_path, "review: {require_two_people: true}\n")
    assert (policy.screen.false_quarantine_rate, policy.review.expire_days) == (0.01, 30)
    assert policy.review.require_two_people
    assert policy.contract == "../org/rules.py:Record"
    assert policy.screen.detectors["knn_label"].options == {"k": 5}
    assert "review.expire_days" not in json.loads(policy.says)
    assert json.loads(policy.says)["limits"]["max_rows"] == 1000
    bare = Policy.model_validate({"version": 1, "dataset": "toy", "columns": {}})
    assert "extends" not in json.loads(bare.says)


def test_files_of_the_base_start_at_its_folder(tmp_path: Path) -> None:
    embed = "embed: {{encoder: contrastive_text, model: reference, options: {{base: {0}}}}}\n"
    (tmp_path / "org/mini").mkdir(parents=True)
    assert load(tmp_path, "", embed.format("mini")).embed.options == {"base": "../org/mini"}
    assert load(tmp_path, "", embed.format("owner/mini")).embed.options == {"base": "owner/mini"}
    assert load(tmp_path, embed.format("mini"), "limits: {}\n").embed.options == {"base": "mini"}


@pytest.mark.parametrize(
    "team",
    [
        "screen: {false_quarantine_rate: 0.02}",
        "sources: {places: [/srv/drop/toy, 's3://bucket/drop/a']}",
        "limits: {max_rows: 10, max_bytes: 7}",
        "screen: {detectors: {knn_label: {mode: enforce}, density: {mode: shadow}}}",
        "screen: {batch: {tests: {mmd: enforce, energy: off}}}",
        "retention: {delivered_days: 99}\nreview: {expire_days: 30}",
        "screen: {hold: rate, drift: {mode: enforce}}",
    ],
)
def test_what_is_tighter_or_the_teams_own_is_taken(tmp_path: Path, team: str) -> None:
    assert load(tmp_path, team).dataset == "toy"


@pytest.mark.parametrize(
    ("team", "told"),
    [
        (
            "screen:\n  false_quarantine_rate: 0.005",
            "team/policy.yaml:6: screen.false_quarantine_rate: 0.005 loosens what the base says "
            "(0.01, team/../org/base.yaml:5): write at least 0.01, or leave the key out",
        ),
        (
            "sources: {require_signature: false}",
            "team/policy.yaml:5: sources.require_signature: false loosens what the base says "
            "(true, team/../org/base.yaml:1): write true, or leave the key out",
        ),
        ("sources: {places: [/srv]}", "name only places of the base"),
        ("sources: {places: [/srv/drop/../other]}", "name only places of the base"),
        ("sources: {places: [/srv/dropped]}", "name only places of the base"),
        ("sources: {places: null}", "name only places of the base"),
        ("limits: {max_rows: 1001}", "write at most 1000"),
        ("contract: mine.py:Record", "leave the key out"),
        ("screen: {detectors: {mahalanobis: {mode: shadow}}}", "write enforce"),
        ("screen: {detectors: {mahalanobis: {weight: 0.001}}}", "weight: 0.001 loosens"),
        ("screen: {detectors: {mahalanobis: {shrink: 0.1}}}", "leave it out"),
        ("screen: {detectors: {knn_label: {k: 50}}}", "knn_label.k: 50 loosens"),
        ("screen: {detectors: {knn_label: {mode: off}}}", "write shadow or enforce"),
        ("screen: {detectors: null}", "screen.detectors"),
        ("screen: {batch: {tests: {mmd: off}}}", "write shadow or enforce"),
        ("retention: {delivered_days: null}", "write at most 100"),
        ("review: {expire_days: 31}", "write at most 30"),
        ("retention: {delivered_days: x}", "retention.delivered_days"),
        ("screen: {detectors: {knn_label: {mode: on}}}", "screen.detectors.knn_label.mode"),
    ],
)
def test_what_is_looser_is_refused_with_both_values_and_lines(
    tmp_path: Path, team: str, told: str
) -> None:
    assert told in refused(tmp_path, team)


def test_a_tier_or_a_source_is_no_way_around_the_base(tmp_path: Path) -> None:
    told = refused(tmp_path, "sources: {by_source: {crawl: {require_signature: false}}}")
    assert "sources.by_source.crawl.require_signature: false loosens" in told
    assert "org/base.yaml:1" in told
    lax = "sources: {tiers: {TRUSTED: {false_quarantine_rate: 0.001}}}"
    assert "write at least 0.01" in refused(tmp_path, lax)
    base = "sources: {tiers: {UNTRUSTED: {max_share: 0.2}}, quota: {max_share: 0.5}}\n"
    mine = "sources: {by_source: {crawl: {max_share: %s}}}"
    assert "write at most 0.2" in refused(tmp_path, mine % 0.3, base)
    assert load(tmp_path, mine % 0.1, base).sources.by_source["crawl"].max_share == 0.1


def test_chains_circles_and_remote_bases(tmp_path: Path) -> None:
    (tmp_path / "org").mkdir()
    (tmp_path / "org/top.yaml").write_text("limits: {max_rows: 50}\n")
    chained = "extends: top.yaml\nlimits: {max_rows: 40}\n"
    assert load(tmp_path, "limits: {max_rows: 30}", chained).limits.max_rows == 30
    assert "write at most 40" in refused(tmp_path, "limits: {max_rows: 45}", chained)
    looser = refused(tmp_path, "", "extends: top.yaml\nlimits: {max_rows: 60}\n")
    assert looser.startswith("team/../org/base.yaml:2: limits.max_rows: 60 loosens")
    assert "cannot extend itself" in refused(tmp_path, "", "extends: ../team/policy.yaml\n")
    assert "team/../org/base.yaml:1: extends" in refused(tmp_path, "", "extends: base.yaml\n")
    assert "file of this machine" in refused(tmp_path, "", "extends: https://a.b/base.yaml\n")
    assert "there is no file" in refused(tmp_path, "", "extends: none.yaml\n")
    assert "base.yaml:1: extends: " in refused(tmp_path, "", "extends: [a.yaml]\n")
    assert "org/base.yaml:2: limits.max_rowz" in refused(tmp_path, "", "limits:\n  max_rowz: 3\n")
    for number in range(10):
        (tmp_path / f"org/b{number}.yaml").write_text(f"extends: b{number + 1}.yaml\n")
    assert "more than 8 bases" in refused(tmp_path, "", "extends: b0.yaml\n")


def test_the_base_is_a_part_of_what_a_policy_means(tmp_path: Path) -> None:
    first = load(tmp_path, "").ref(None).meaning
    commented = load(tmp_path, "", f"# why\n{BASE}")
    assert commented.ref(None).meaning == first
    assert load(tmp_path, "", f"{BASE}sanitize: {{alpha: 0.02}}\n").ref(None).meaning != first
    assert Policy.model_validate_json(commented.says).ref(None).meaning == first
    digest = json.loads(commented.says)["extends"]["sha256"]
    text = TEAM + "extends: {file: ../org/base.yaml, sha256: '%s'}\n"
    path = tmp_path / "team/policy.yaml"
    (tmp_path / "org/base.yaml").write_text(BASE)
    path.write_text(text % digest)
    assert Policy.load(path).ref(None).meaning == first
    path.write_text(text % ("0" * 64))
    with pytest.raises(PolicyError, match=f"its sha256 is {digest}"):
        Policy.load(path)


def test_the_merged_policy_is_shown_with_where_each_key_is_from(tmp_path: Path) -> None:
    load(tmp_path, "limits: {max_rows: 10}")
    command = ["policy", "show", str(tmp_path / "team/policy.yaml"), "--merged"]
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert told["says"]["limits"] == {"max_rows": 10}
    assert told["from"]["limits.max_rows"].endswith("team/policy.yaml:5")
    assert told["from"]["review.expire_days"].endswith("org/base.yaml:10")
    assert "review.expire_days" in CliRunner().invoke(app, command).stdout


values: dict[str, Any] = {
    "limits.max_rows": st.integers(1, 9),
    "review.expire_days": st.integers(1, 9),
    "screen.false_quarantine_rate": st.sampled_from([0.01, 0.02, 0.03]),
    "screen.hold": st.sampled_from(["evidence", "rate"]),
    "sources.require_signature": st.booleans(),
    "screen.drift.mode": st.sampled_from(["off", "shadow", "enforce"]),
    "screen.calibration": st.sampled_from(["marginal", "hard"]),
}


def nested(key: str, value: object) -> str:
    for part in reversed(key.split(".")):
        value = {part: value}
    return json.dumps(value)[1:-1] + "\n"


@given(data=st.data(), key=st.sampled_from(sorted(values)))
@settings(max_examples=examples(30), deadline=None)
def test_of_two_values_one_is_tighter_or_they_are_the_same(
    data: st.DataObject, key: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Tightening is an order: what may go one way may not go back."""
    folder = tmp_path_factory.getbasetemp()
    one, two = data.draw(values[key]), data.draw(values[key])
    taken = [is_taken(folder, nested(key, b), nested(key, a)) for a, b in ((one, two), (two, one))]
    assert all(taken) == (one == two)
    assert any(taken) or key == "screen.calibration"


def is_taken(folder: Path, team: str, base: str) -> bool:
    try:
        load(folder, team, base)
    except PolicyError as error:
        if "loosens what the base says" not in str(error):
            raise
        return False
    return True


OF_SOURCES = """\
sources:
  require_signature: true
  quota: {max_share: 0.5}
  tiers: {UNTRUSTED: {review_share: 0.1}}
screen: {hold: rate, false_quarantine_rate: 0.02}
cleaning: {homoglyphs: {action: hold}, mojibake: {action: fix}}
contract: {rules: {columns: {user: {exists_in: {file: users.csv, column: id}}}}}
"""


@pytest.mark.parametrize(
    ("team", "told"),
    [
        (
            "sources: {by_source: {vendor: {require_signature: false}}}",
            "sources.by_source.vendor.require_signature: false loosens what the base says "
            "(true, team/../org/base.yaml:2): write true, or leave the key out",
        ),
        (
            "sources: {tiers: {TRUSTED: {hold: evidence}}}",
            "(rate, team/../org/base.yaml:5): write rate, or leave the key out",
        ),
        ("sources: {tiers: {TRUSTED: {false_quarantine_rate: 0.01}}}", "write at least 0.02"),
        ("sources: {tiers: {TRUSTED: {max_share: 0.9}}}", "write at most 0.5"),
        ("sources: {by_source: {vendor: {review_share: 0.05}}}", "write at least 0.1"),
        ("sources: {by_source: {vendor: {hold: null}}}", "write rate"),
        ("cleaning: {homoglyphs: {action: flag}}", "write hold or drop"),
        ("cleaning: {mojibake: {action: off}}", "write fix or hold or drop"),
    ],
)
def test_a_rule_for_one_source_is_no_way_around_the_base(
    tmp_path: Path, team: str, told: str
) -> None:
    assert told in refused(tmp_path, team, OF_SOURCES)


def test_sources_and_cleaning_are_tightened(tmp_path: Path) -> None:
    team = (
        "sources: {by_source: {vendor: {max_share: 0.2, review_share: 0.3, hold: rate}}}\n"
        "cleaning: {homoglyphs: {action: drop}, lengths: {action: hold}}\n"
    )
    policy = load(tmp_path, team, OF_SOURCES)
    assert policy.sources.by_source["vendor"].max_share == 0.2
    assert policy.sources.tiers["UNTRUSTED"].review_share == 0.1
    rules = policy.contract.rules.columns["user"]  # type: ignore[union-attr]
    assert rules.exists_in.file == "../org/users.csv"


def test_every_rule_is_of_a_key_that_there_is() -> None:
    said = Policy.model_validate(
        {
            "version": 1,
            "dataset": "d",
            "columns": {},
            "cleaning": {},
            "model": {"evidence": {}},
            "screen": {"batch": {"tests": {"mmd": "off"}}},
        }
    ).model_dump()
    for pattern, _, words in RULES:
        section: Any = said
        for part in pattern.split(".")[:-1]:
            section = next(iter(section.values())) if part == "*" else section[part]
        assert section, pattern
        assert words
