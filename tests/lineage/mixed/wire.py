"""Events of other tools as they go over the wire, in OpenLineage's form."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from mixed import names
from mixed.facts import moment

if TYPE_CHECKING:
    from mixed.facts import Made, Run, Seen, World
    from mixed.names import Name
    from mixed.parts import Part

Event = dict[str, Any]
META = {"_producer": "https://example.org/tool", "_schemaURL": "https://example.org/facet.json"}
_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


def event_of(world: World, run: Run, part: Part) -> Event:
    """One event of a run."""
    tool = world.story.tools[run.job.tool]
    aliased = frozenset(world.aliased)
    inputs = {}
    for seen in part.seen:
        found = _input(world, seen, aliased)
        inputs[repr(found)] = found
    outputs = {}
    for made in part.made:
        written = _output(world, run, made, part, aliased)
        outputs[repr(written)] = written
    at = moment(run.job.at + part.after + tool.skew)
    facets: dict[str, Any] = {}
    if any(names.is_model(write.thing) for write in run.job.writes):
        facets["lazaretto_training"] = META | {
            "purpose": run.job.purpose or "TRAIN",
            "consumed": [
                _consumed(seen, aliased) for seen in part.seen if seen.read.role is not None
            ],
        }
    job: dict[str, Any] = {}
    if run.job.ticks:
        job["jobType"] = META | {"processingType": "STREAMING", "integration": "FLINK"}
    return {
        "eventType": part.state,
        "eventTime": at.isoformat(),
        "producer": tool.producer,
        "run": {"runId": run_id(world.story.seed, run.job.key), "facets": facets},
        "job": {"namespace": tool.namespace, "name": f"job-{run.job.key}", "facets": job},
        "inputs": list(inputs.values()),
        "outputs": list(outputs.values()),
        "schemaURL": _SCHEMA,
    }


def run_id(seed: int, key: int) -> str:
    """The run id of a job."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:mixed:{seed}:{key}"))


def placed(thing: str, spelled: int, aliased: frozenset[str]) -> Name:
    """A name of a thing; one that only a person could know where a person said so."""
    found = names.spellings(thing)
    name = found[spelled % len(found)]
    return found[0] if name.told and thing not in aliased else name


def dataset(name: Name, version: str | None, plain: Name, **facets: Any) -> Event:
    """A dataset of an event."""
    found = {key: META | value for key, value in facets.items()}
    if version is not None:
        found["version"] = META | {"datasetVersion": version}
    if name.symlink:
        same = {"namespace": plain.namespace, "name": plain.name, "type": "LOCATION"}
        found["symlinks"] = META | {"identifiers": [same]}
    return {"namespace": name.namespace, "name": name.name, "facets": found}


def _consumed(seen: Seen, aliased: frozenset[str]) -> Event:
    where = placed(seen.read.thing, seen.read.spelled, aliased)
    said = {"namespace": where.namespace, "name": where.name, "role": seen.read.role}
    return said if seen.version is None else said | {"version": seen.version}


def _input(world: World, seen: Seen, aliased: frozenset[str]) -> Event:
    read = seen.read
    facets: dict[str, Any] = {}
    if names.is_model(read.thing):
        facets["datasetType"] = {"datasetType": "MODEL"}
    if read.thing == "partner":
        facets["lazaretto_source"] = _source("partner")
    name = placed(read.thing, read.spelled, aliased)
    found = dataset(name, seen.version, names.spellings(read.thing)[0], **facets)
    if read.part is not None:
        found["inputFacets"] = {"subset": _subset("inputCondition", read.part)}
    return found


def _output(world: World, run: Run, made: Made, part: Part, aliased: frozenset[str]) -> Event:
    write = made.write
    facets: dict[str, Any] = {}
    version = made.version if part.versions else None
    if names.is_model(write.thing):
        facets["datasetType"] = {"datasetType": "MODEL"}
    if write.change == "MEMBERS" and version is not None:
        ids = sorted({state for seen in run.seen for state in seen.states})
        facets["lazaretto_artifact"] = {
            "kind": "SNAPSHOT",
            "artifactId": version,
            "digest": {"sha256": "ab" * 32},
            "members": {"count": len(ids), "complete": True, "ids": ids},
        }
    elif write.change not in (None, "MEMBERS") and part.versions:
        change: dict[str, Any] = {"lifecycleStateChange": write.change}
        if write.before is not None:
            old = names.spellings(write.before)[0]
            change["previousIdentifier"] = {"namespace": old.namespace, "name": old.name}
        facets["lifecycleStateChange"] = change
    name = placed(write.thing, write.spelled, aliased)
    found = dataset(name, version, names.spellings(write.thing)[0], **facets)
    if write.part is not None:
        found["outputFacets"] = {"subset": _subset("outputCondition", write.part)}
    return found


def _subset(condition: str, part: str) -> Event:
    partitions = [{"identifier": part, "dimensions": {"day": part}}]
    return META | {condition: {"type": "partition", "partitions": partitions}}


def _source(source: str) -> dict[str, Any]:
    return {
        "sourceId": source,
        "signature": {"status": "VERIFIED"},
        "receivedAt": moment(0).isoformat(),
        "collectedFrom": moment(-600).isoformat(),
        "collectedTo": moment(-300).isoformat(),
    }
