"""OpenLineage events as other tools write them, and the graph that follows, by names."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Kind
from lazaretto.storage.tables import (
    lineage_access,
    lineage_gap,
    lineage_link,
    lineage_name,
    lineage_run,
    lineage_version,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection

META = {"_producer": "https://example.org", "_schemaURL": "https://example.org/x.json"}
LAKE = "s3://lake"
REGISTRY = "mlflow://models:5000"
_NOW = datetime.now(UTC)


def moment(seconds: float = 0) -> datetime:
    """A moment that much after the tests began and a day more: all that the ledger told is past."""
    return _NOW + timedelta(days=1, seconds=seconds)


def dataset(
    name: str,
    version: object = None,
    namespace: str = LAKE,
    *,
    change: str | None = None,
    before: str | None = None,
    **facets: Any,
) -> dict[str, Any]:
    """A dataset with the standard facets; others by name.

    Args:
        name: of it.
        version: that the event names.
        namespace: of it.
        change: lifecycle state change.
        before: name that it had, of a RENAME.
        facets: others.
    """
    found = {key: META | value for key, value in facets.items()}
    if version is not None:
        found["version"] = META | {"datasetVersion": str(version)}
    if change is not None:
        found["lifecycleStateChange"] = META | {"lifecycleStateChange": change}
    if before is not None:
        identifier = {"namespace": namespace, "name": before}
        found["lifecycleStateChange"]["previousIdentifier"] = identifier
    return {"namespace": namespace, "name": name, "facets": found}


def model(name: str, version: object, namespace: str = REGISTRY) -> dict[str, Any]:
    """A model version, as a training framework reports it."""
    return dataset(name, version, namespace, datasetType={"datasetType": "MODEL"})


def partitions(of: dict[str, Any], side: str, *names: str) -> dict[str, Any]:
    """The same dataset of which an event names some partitions; `side` is input or output."""
    listed = [{"identifier": name, "dimensions": {"day": name}} for name in names]
    subset = {f"{side}Condition": {"type": "partition", "partitions": listed}}
    return of | {f"{side}Facets": {"subset": META | subset}}


def event(
    inputs: list[Any],
    outputs: list[Any],
    *,
    at: float = 0,
    state: str = "COMPLETE",
    run: str | None = None,
    job: str = "train",
    namespace: str = "spark",
    streaming: bool = False,
    **facets: Any,
) -> dict[str, Any]:
    """A run event, so many seconds after `moment`; `facets` are the run's."""
    kind = {"jobType": META | {"processingType": "STREAMING", "integration": "FLINK"}}
    return {
        "eventType": state,
        "eventTime": moment(at).isoformat(),
        "producer": "https://example.org/tool",
        "run": {
            "runId": run or str(uuid.uuid4()),
            "facets": {name: META | value for name, value in facets.items()},
        },
        "job": {"namespace": namespace, "name": job, "facets": kind if streaming else {}},
        "inputs": inputs,
        "outputs": outputs,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }


def write_lines(path: Path, *events: object) -> Path:
    """Writes events as JSON Lines."""
    path.write_text("".join(f"{json.dumps(each)}\n" for each in events))
    return path


def dump(connection: Connection) -> dict[str, list[str]]:
    """The graph of all claims by names, without ids: the same graph gives the same dump."""
    same: dict[int, list[Any]] = {}
    names = {row.id: row for row in connection.execute(sa.select(lineage_name))}
    for row in names.values():
        same.setdefault(row.same_as, []).append((row.namespace, row.name))
    first = {id_: min(same[row.same_as]) for id_, row in names.items()}

    def named(id_: int, *, group: bool) -> object:
        return first[id_] if group else (names[id_].namespace, names[id_].name)

    versions, ends = [], {0: "nothing"}
    for row in connection.execute(sa.select(lineage_version)):
        made = bool(row.kinds & Kind.MADE)
        known = (named(row.name, group=made), row.version)
        ends[2 * row.id] = str(known)
        versions.append((known, *tuple(row)[3:]))
    runs = list(connection.execute(sa.select(lineage_run)))
    ends |= {2 * row.id + 1: row.run for row in runs}
    uuids = {row.id: row.run for row in runs}
    owners = {id_: str(name) for id_, name in first.items()} | {0: "events"}
    links = [
        (ends[row.src], ends[row.dst], owners[row.owner], row.basis, row.why)
        for row in connection.execute(sa.select(lineage_link))
    ]
    gaps = [
        (ends[row.node], row.kind, owners[row.owner], row.until)
        for row in connection.execute(sa.select(lineage_gap))
    ]
    accesses = [
        (
            named(row.name, group=False),
            uuids[row.run],
            row.writes,
            ends[2 * row.version],
            row.modes,
            row.renamed_from and named(row.renamed_from, group=False),
            row.role,
        )
        for row in connection.execute(sa.select(lineage_access))
    ]
    groups = [sorted(group) for group in same.values()]
    kinds = [((row.namespace, row.name), row.types) for row in names.values()]
    found: dict[str, list[Any]] = {
        "groups": groups,
        "names": kinds,
        "versions": versions,
        "runs": [tuple(row)[1:] for row in runs],
        "accesses": accesses,
        "links": links,
        "gaps": gaps,
    }
    return {what: sorted(map(str, rows)) for what, rows in found.items()}
