"""What is told of a broken policy: file, line, key and remedy, word by word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from catalogs import copy_sqlite
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from many import examples, in_full
from yard import blobs, make_policy, make_yard

from lazaretto import stages
from lazaretto.errors import PolicyError, UsageError
from lazaretto.policy import Policy
from lazaretto.stages.check_policy import check_policy, check_reference
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from yard import Yard

FILE = Path(__file__).with_name("broken_policies.yaml")
BROKEN = yaml.safe_load(FILE.read_text("utf-8"))
HEAD = (
    "version: 1\ndataset: blobs\n"
    "columns: {record_id: id, label: label, embedding: vector, payload: [text]}\n"
)
CONTRACTS = {
    "contract.py": "import pandera.polars as pa\nclass Record(pa.DataFrameModel):\n    id: str\n",
    "raises.py": "raise ValueError('no')\n",
    "changes.py": "import pandera.polars as pa\nclass Record(pa.DataFrameModel):\n"
    "    id: str\n    class Config:\n        coerce = True\n",
    "other.json": "{}",
}


@pytest.fixture(scope="module")
def place(
    made_catalog: Path, fitted_reference: str, tmp_path_factory: pytest.TempPathFactory
) -> Yard:
    """A workspace with a reference, and a folder with contracts."""
    folder = tmp_path_factory.mktemp("broken")
    for name, text in CONTRACTS.items():
        (folder / name).write_text(text)
    workspace = open_workspace(
        catalog_url=copy_sqlite(made_catalog, folder / "catalog.db"), store=folder / "store"
    )
    return make_yard(workspace, fitted_reference, folder)


def checked(yard: Yard, path: Path) -> tuple[Policy, str | None]:
    """What `policy check` does."""
    policy = Policy.load(path)
    check_policy(policy)
    return policy, check_reference(yard.workspace, policy)


def told(yard: Yard, text: str) -> str:
    path = yard.folder / "policy.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError) as error:
        checked(yard, path)
    return str(error.value).replace(f"{yard.folder}/", "")


@pytest.mark.parametrize("broken", BROKEN, ids=[one["name"] for one in BROKEN])
def test_a_broken_policy_is_told_with_its_line_key_and_remedy(
    place: Yard, broken: dict[str, str]
) -> None:
    said, wanted = told(place, f"{HEAD}{broken['text']}\n"), broken["told"]
    assert said == wanted or (wanted.endswith("…") and said.startswith(wanted[:-1])), said


def test_what_is_not_broken_passes(place: Yard) -> None:
    check_policy(make_policy())
    assert check_reference(place.workspace, make_policy()) is None
    unfitted = check_reference(place.workspace, make_policy(dataset="other"))
    assert unfitted is not None
    assert "reference fit" in unfitted


policies = st.fixed_dictionaries(
    {
        "label": st.sampled_from(["label", None, "other"]),
        "embedding": st.sampled_from(["vector", "vector", "text", None]),
        "contract": st.sampled_from(
            [
                None,
                "contract.py:Record",
                "raises.py:Record",
                "no.py:R",
                {"rules": {"columns": {"label": {"type": "integer", "max": 2}}}},
                {"rules": {"columns": {"label": {"exists_in": {"file": "no.csv", "column": "a"}}}}},
                {"rules": {"records": ["label >"]}},
                {"rules": {"records": ["label >= 0 and len(text) > 2"]}},
                {"rules": {"records": ["nothing > 1"]}},
                {"rules": {"unique": [["id", "label"]]}},
                {"rules": "no.yaml"},
                {"rules": "other.json"},
                {"odcs": "no.yaml"},
                {"odcs": "other.json"},
                {"gx": "no.json"},
                {"gx": "other.json"},
            ]
        ),
        "cleaning": st.sampled_from(
            [
                None,
                {},
                {"invisible": {"action": "fix"}},
                {"exact_duplicates": {"action": "hold", "columns": ["text"]}},
                {"near_duplicates": {"action": "drop", "columns": ["nothing"]}},
                {"homoglyphs": {"action": "fix"}},
                {"control_characters": {"action": "fix", "columns": ["id"]}},
            ]
        ),
        "sources": st.sampled_from(
            [
                {},
                {"tiers": {"reviewed": {"require_signature": False}}},
                {"tiers": {"nobody": {}}},
                {"places": ["."]},
                {"places": ["s3:/typo"]},
            ]
        ),
        "reference": st.sampled_from([None, "blobs", "blobs/1", "blobs/9", "other"]),
        "calibration": st.sampled_from(["marginal", "hard"]),
        "detectors": st.sampled_from(
            [
                {"mahalanobis": {}, "knn_label": {"k": 5}},
                {"mahalanobis": {"mode": "shadow"}, "knn_label": {"k": 5, "weight": 2.0}},
                {"mahalanobis": {}},
                {"mahalanobis": {}, "knn_label": {"k": 6}},
                {"mahalanobis": {}, "density": {"mode": "off"}},
                {"density": {}},
                {"knn_label": {"k": 0}},
                {"knn_label": {"kk": 5}},
                None,
            ]
        ),
        "encoder": st.sampled_from(["column", "column", "column", "hashing", "torch", "none"]),
    }
)


def written(asked: dict[str, Any]) -> str:
    columns = {"record_id": "id", "label": asked["label"], "embedding": asked["embedding"]}
    screen = {key: asked[key] for key in ("reference", "calibration", "detectors")}
    said = {
        "version": 1,
        "dataset": "blobs",
        "columns": columns,
        "sources": {"require_signature": False} | asked["sources"],
        "contract": asked["contract"],
        "cleaning": asked["cleaning"],
        "screen": {key: value for key, value in screen.items() if value is not None},
        "embed": {"encoder": asked["encoder"]},
    }
    return json.dumps(said)


SOUND = {
    "label": "label",
    "embedding": "vector",
    "contract": "contract.py:Record",
    "reference": "blobs/1",
    "calibration": "marginal",
    "detectors": {"mahalanobis": {}, "knn_label": {"k": 5}},
    "encoder": "column",
    "cleaning": None,
    "sources": {},
}


@given(asked=policies)
@example(asked=SOUND)
@example(asked=SOUND | {"label": None, "detectors": None})
@settings(
    max_examples=examples(60) if in_full() else 10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
def test_what_check_calls_valid_runs_and_what_a_run_refuses_it_refuses(
    place: Yard, asked: dict[str, Any]
) -> None:
    path = place.folder / "generated.yaml"
    path.write_text(written(asked))
    delivery, workspace = place.folder / "small.parquet", place.workspace
    if not delivery.is_file():
        place.deliver("small", blobs(30, 5))
    try:
        _, refused = checked(place, path)
    except PolicyError as error:
        refused = str(error)
    try:
        policy = Policy.load(path)
        batch = stages.receive(workspace, delivery, "vendor-a", policy=policy).id
        for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
            stage(workspace, batch, policy)
        run = None
    except UsageError as error:
        run = str(error)
    # The other way round, a batch may be held for what it lacks before anything would be refused.
    assert refused is not None or run is None, run
    assert refused is None or asked != SOUND
    if refused is not None:
        assert "generated.yaml:1: " in refused
