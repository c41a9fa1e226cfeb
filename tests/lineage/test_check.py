from __future__ import annotations

import copy
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from catalogs import copy_sqlite
from ledger_history import History, one_of_each
from typer.testing import CliRunner

from lazaretto import lineage
from lazaretto.cli.app import app
from lazaretto.errors import NotFoundError
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def written(made_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An event of each kind, as a line."""
    folder = tmp_path_factory.mktemp("events")
    url = copy_sqlite(made_catalog, folder / "catalog.db")
    workspace = open_workspace(catalog_url=url, store=folder / "store")
    one_of_each(History(workspace))
    lineage.flush(workspace)
    workspace.catalog.engine.dispose()
    return Path(workspace.store.uri("lineage/events.jsonl")).read_text().splitlines()


@pytest.fixture
def events(written: list[str]) -> list[dict[str, Any]]:
    """The same, for one test to change."""
    return [json.loads(line) for line in written]


def _completed(events: list[dict[str, Any]], job: str) -> dict[str, Any]:
    return next(
        copy.deepcopy(e)
        for e in events
        if e["eventType"] != "START" and e["job"]["name"].startswith(f"lazaretto.{job}")
    )


def _delete(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(event: dict[str, Any]) -> None:
        place: Any = event
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


def _set(value: object, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(event: dict[str, Any]) -> None:
        place: Any = event
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


_SOURCE = ("inputs", 0, "facets", "lazaretto_source")
_TEST = ("run", "facets", "test", "tests", 0)
_SUBSET = ("inputs", 0, "inputFacets", "subset", "inputCondition")


@pytest.mark.parametrize(
    ("job", "change", "where"),
    [
        ("receive", _delete("run", "runId"), "/run"),
        ("receive", _set("not-a-uuid", "run", "runId"), "/run/runId"),
        ("receive", _set("yesterday", "eventTime"), "/eventTime"),
        ("receive", _set("DONE", "eventType"), "/eventType"),
        ("receive", _delete("job", "namespace"), "/job"),
        ("receive", _delete(*_SOURCE, "sourceId"), "/inputs/0/facets/lazaretto_source"),
        (
            "receive",
            _set("FINE", *_SOURCE, "signature", "status"),
            "/inputs/0/facets/lazaretto_source/signature/status",
        ),
        (
            "receive",
            _delete("run", "facets", "errorMessage", "message"),
            "/run/facets/errorMessage",
        ),
        ("receive", _delete(*_SOURCE, "_producer"), "/inputs/0/facets/lazaretto_source"),
        ("screen", _delete(*_TEST, "status"), "/run/facets/test/tests/0"),
        ("screen", _set(5, *_TEST, "actual"), "/run/facets/test/tests/0/actual"),
        (
            "screen",
            _set("x", *_SUBSET, "partitions"),
            "/inputs/0/inputFacets/subset/inputCondition",
        ),
        (
            "screen",
            _set(-1, "run", "facets", "lazaretto_integrity", "seq"),
            "/run/facets/lazaretto_integrity/seq",
        ),
        (
            "screen",
            _set("SHRUGGED", "run", "facets", "lazaretto_decision", "decision"),
            "/run/facets/lazaretto_decision/decision",
        ),
        (
            "train",
            _set("LEARN", "run", "facets", "lazaretto_training", "purpose"),
            "/run/facets/lazaretto_training/purpose",
        ),
        (
            "snapshot",
            _set("other", "outputs", 0, "facets", "lazaretto_artifact", "artifactId"),
            "/outputs/0/facets/lazaretto_artifact",
        ),
        ("train", _set("5 rows", "inputs", 0, "inputFacets", "inputStatistics", "rowCount"), None),
        ("receive", _set(7, "job", "facets", "jobType", "processingType"), None),
    ],
)
def test_a_broken_event_is_found_where_it_is_broken(
    events: list[dict[str, Any]],
    job: str,
    change: Callable[[dict[str, Any]], None],
    where: str | None,
) -> None:
    event = _completed(events, job)
    assert lineage.check_event(event) == []
    change(event)
    problems = lineage.check_event(event)
    assert problems
    if where is not None:
        assert where in {problem.where for problem in problems}


def test_a_facet_cannot_hide_behind_another_schema(events: list[dict[str, Any]]) -> None:
    """Which schema applies is decided by the key, not by what the event claims."""
    event = _completed(events, "receive")
    facet = event["inputs"][0]["facets"]["lazaretto_source"]
    facet["_schemaURL"] = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/DatasetFacet"
    del facet["sourceId"]
    assert lineage.check_event(event)


def test_unknown_facets_are_told_in_strict_mode_only(events: list[dict[str, Any]]) -> None:
    event = _completed(events, "receive")
    event["run"]["facets"]["airflow"] = {
        "_producer": "https://example.org",
        "_schemaURL": "https://example.org/AirflowRunFacet.json#/$defs/AirflowRunFacet",
    }
    assert lineage.check_event(event) == []
    [problem] = lineage.check_event(event, strict=True)
    assert problem.where == "/run/facets/airflow"


def test_a_facet_that_is_taken_back_needs_no_body(events: list[dict[str, Any]]) -> None:
    event = _completed(events, "receive")
    facet = event["inputs"][0]["facets"]["lazaretto_source"]
    event["inputs"][0]["facets"]["lazaretto_source"] = {
        key: value for key, value in facet.items() if key.startswith("_")
    } | {"_deleted": True}
    assert lineage.check_event(event) == []


def test_unreadable_lines_are_told_and_the_others_checked(
    events: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lazaretto.lineage.openlineage.lines.MAX_LINE_BYTES", 60_000)
    file = tmp_path / "events.jsonl"
    good = json.dumps(events[0]).encode()
    lines = [
        good,
        b"{",
        b"[1]",
        b"\xff\xfe",
        b'{"a": NaN}',
        b"x" * 100_000,
        b"[" * 50_000,
        b"",
        b"{}",
        good,
    ]
    file.write_bytes(b"\n".join(lines))
    problems = lineage.check(file)
    assert sorted({problem.line for problem in problems}) == [2, 3, 4, 5, 6, 7, 9]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        lineage.check(tmp_path / "nothing.jsonl")


def test_one_event_cannot_flood_the_answer(events: list[dict[str, Any]]) -> None:
    event = _completed(events, "receive")
    event["inputs"] = [{"namespace": 1, "name": 2}] * 1000
    assert len(lineage.check_event(event)) <= 51


def test_the_schemas_are_the_official_ones() -> None:
    folder = Path(lineage.__file__).parent / "schemas/openlineage"
    assert "8f02abfb7a252783b95df79f443edb13959bf52c" in (folder / "COMMIT").read_text()
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert len(list((folder / "facets").glob("*.json"))) == 38


def test_what_we_name_ourselves_is_a_urn_whose_schema_we_keep(events: list[dict[str, Any]]) -> None:
    """A domain that nobody owns could be bought by somebody who serves another schema there."""
    kept = {
        json.loads(path.read_text())["$id"]
        for path in Path(lineage.__file__).parent.glob("schemas/lazaretto/*.json")
    }
    urn = re.compile(r"urn:[a-z0-9][a-z0-9-]{0,30}[a-z0-9]:[\w()+,.:=@;$!*'%/?-]+(#[\w.$/]*)?")
    named = {event["producer"] for event in events} | kept
    for event in events:
        sides = [*event["inputs"], *event["outputs"]]
        for facets in (event["run"]["facets"], *(side["facets"] for side in sides)):
            ours = [
                body["_schemaURL"] for key, body in facets.items() if key.startswith("lazaretto_")
            ]
            assert {url.partition("#")[0] for url in ours} <= kept
            named.update(ours)
    assert len(named) > len(kept) + 1
    assert [name for name in named if not urn.fullmatch(name)] == []
    assert {name.split(":")[1] for name in named} == {"lazaretto"}


# Whoever reads an event later must find the schema that it was written by: one that is changed gets
# another version, in another file.
PINNED = {
    "1-0-0:LazarettoArtifactDatasetFacet": (
        "ebec7722fb014d56c5d00e2743118c355be79908ed94c30aeb14ad7ff32d6c25"
    ),
    "1-0-0:LazarettoDecisionRunFacet": (
        "4549f9c83735f46a6045ac4f8bf4319ea8b26833a8258b6f83d17e54e139a554"
    ),
    "1-0-0:LazarettoIntegrityRunFacet": (
        "d829814ea510ef0289a7708e52debe6d0be667cd00256092775f0dc1fddb8886"
    ),
    "1-0-0:LazarettoSourceDatasetFacet": (
        "036ebcb9ac950b3ccd6edda08adfa5a8c376ed1ec44b137f3388ea62a9183762"
    ),
    "1-0-0:LazarettoTrainingRunFacet": (
        "d67df6181d5b30b2c7b59d3ab86d50a611205ff9499bcf85300deee5363bf199"
    ),
}


def test_a_schema_of_ours_is_never_changed_under_its_name() -> None:
    found = {}
    for schema in lineage.facet_schemas().values():
        text = json.dumps(schema, sort_keys=True).encode()
        name = schema["$id"].removeprefix("urn:lazaretto:facet:")
        found[name] = hashlib.sha256(text).hexdigest()
    assert found == PINNED


def test_the_schema_that_an_event_names_is_found_without_a_network(
    events: list[dict[str, Any]],
) -> None:
    known = {schema["$id"]: schema for schema in lineage.facet_schemas().values()}
    named = set()
    for event in events:
        places = [event["run"]["facets"]]
        places += [one["facets"] for one in (*event["inputs"], *event["outputs"])]
        for facets in places:
            for key, body in facets.items():
                if key.startswith("lazaretto_"):
                    identity, _, pointer = body["_schemaURL"].partition("#/$defs/")
                    assert pointer in known[identity]["$defs"]
                    assert key in known[identity]["properties"]
                    named.add(identity)
    assert named == set(known)


def test_the_command_line_prints_the_schemas() -> None:
    run = CliRunner().invoke(app, ["lineage", "schema", "--json"])
    assert json.loads(run.stdout) == {
        key: schema["$id"] for key, schema in lineage.facet_schemas().items()
    }
    for key, schema in lineage.facet_schemas().items():
        assert json.loads(CliRunner().invoke(app, ["lineage", "schema", key]).stdout) == schema
    assert CliRunner().invoke(app, ["lineage", "schema", "spark"]).exit_code == 2
