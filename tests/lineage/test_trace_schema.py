"""The JSON of every kind of answer is what the schema says, and the schema says all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
from ledger_history import JANE, POLICY, START, History, one_of_each

from lazaretto import lineage
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, BatchScreened, ModelAliased
from lazaretto.lineage.trace.report import to_json
from lazaretto.values import Release

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

SHIPPED = Path(__file__).parents[2] / "docs/reference/trace.schema.json"


def _undescribed(schema: dict[str, Any], value: Any, root: dict[str, Any], at: str) -> list[str]:
    """Fields of a document that the schema has no words for."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in schema and value is not None:
        schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
        return _undescribed(schema, value, root, at)
    if isinstance(value, list):
        return [e for each in value for e in _undescribed(schema["items"], each, root, at)]
    if not isinstance(value, dict) or "additionalProperties" in schema or value is None:
        return []
    found = []
    for name, part in value.items():
        field = schema["properties"].get(name)
        if field is None:
            found.append(f"{at}.{name}")
        else:
            found += [] if "description" in field else [f"{at}.{name}: no words"]
            found += _undescribed(field, part, root, f"{at}.{name}")
    return found


def _foreign(folder: Path) -> Path:
    """A model of a table whose writer named no input: it may hold anything."""

    def dataset(name: str, version: str, **facets: Any) -> dict[str, Any]:
        facets["version"] = {"datasetVersion": version}
        return {"namespace": "s3://lake", "name": name, "facets": facets}

    table, model = dataset("t", "1"), dataset("m", "1", datasetType={"datasetType": "MODEL"})
    runs = [([], [table]), ([table], [model])]
    events = [
        {
            "eventType": "COMPLETE",
            "eventTime": f"2026-06-0{day}T00:00:00Z",
            "run": {"runId": f"0196d3a0-0000-7000-8000-00000000000{day}"},
            "job": {"namespace": "spark", "name": "job"},
            "inputs": inputs,
            "outputs": outputs,
            "producer": "https://example.org",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        }
        for day, (inputs, outputs) in enumerate(runs, start=1)
    ]
    file = folder / "events.jsonl"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return file


def _answers(workspace: Workspace, folder: Path) -> dict[str, lineage.Trace]:
    history = History(workspace)
    one_of_each(history)
    history.version += 100  # behind all that one of each wrote
    batch = history.receive("vendor-a", 3)
    history.admit(batch)
    with workspace.catalog.read() as connection:
        told = [entry.event for entry in entries(connection)]
    admitted = next(event for event in reversed(told) if isinstance(event, BatchAdmitted))
    history.version += 1
    release = {"releases": [Release("d-9", 3, JANE.id)], "approved_by": [JANE.id]}
    part = {"case": "case-1", "part": "released-1", "rows": 3, "version": history.version}
    history.write(replace(admitted, **part, **release))
    history.snapshot({batch: 93})
    history.register("net", "9")
    history.register("judge", "9", purpose="eval")
    history.write(ModelAliased("net", "production", "9", "mlflow://models:5000", "it passed"))
    history.recall({batch: 5}, ("net@9",))
    assert lineage.ingest(workspace, _foreign(folder)).new == 2
    screened = next(event for event in told if isinstance(event, BatchScreened))
    reference = (screened.reference, screened.reference_version)
    return {
        "source": lineage.trace_source(workspace, "vendor-a"),
        "window": lineage.trace_source(
            workspace, "vendor-a", START, START.replace(year=2027), without=[batch]
        ),
        "batch": lineage.trace_batch(workspace, batch),
        "record": lineage.trace_record(workspace, f"{batch}#r1"),
        "model": lineage.trace_model(workspace, "net", "9"),
        "key": lineage.trace_key(workspace, "k1", START),
        "policy": lineage.trace_policy(workspace, "digits", POLICY.sha256[:12]),
        "reference": lineage.trace_reference(workspace, *reference),
        "decision": lineage.trace_decision(workspace, "d-9"),
        "dataset": lineage.trace_dataset(workspace, "digits", history.version),
    }


def test_every_kind_of_answer_is_what_the_schema_says(workspace: Workspace, tmp_path: Path) -> None:
    schema = lineage.trace_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    seen: set[str] = set()
    for kind, trace in _answers(workspace, tmp_path).items():
        document = json.loads(to_json(trace))
        assert [error.message for error in check.iter_errors(document)] == [], kind
        assert _undescribed(schema, document, schema, kind) == []
        assert document["schema"] == "lazaretto.trace/1"
        seen |= {name for name, value in document.items() if value}
    # What is empty in all of them would be checked in none.
    assert seen >= set(schema["properties"]) - {"report"}


def test_a_document_of_another_form_is_refused(sqlite_workspace: Workspace) -> None:
    History(sqlite_workspace).receive()
    document = lineage.trace_source(sqlite_workspace, "vendor-a").to_json()
    check = jsonschema.Draft202012Validator(lineage.trace_schema())
    assert check.is_valid(document)
    for change in ({"schema": "lazaretto.trace/2"}, {"unknown": None}, {"models": [{"id": "m@1"}]}):
        assert not check.is_valid(document | change)
    for name in document:
        assert not check.is_valid({key: document[key] for key in document if key != name}), name


def test_the_schema_of_the_docs_is_that_of_the_values() -> None:
    assert json.loads(SHIPPED.read_text("utf-8")) == lineage.trace_schema()
