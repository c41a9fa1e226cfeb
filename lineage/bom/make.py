"""Makes the CycloneDX 1.6 bill of materials of a model version: the same ledger, the same bytes."""

from __future__ import annotations

import hashlib
import json
import posixpath
import uuid
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from lazaretto.lineage.bom import components as parts
from lazaretto.lineage.bom.origin import ModelKey, model_key, read_origin
from lazaretto.lineage.openlineage.models import name_of
from lazaretto.lineage.openlineage.naming import admitted
from lazaretto.lineage.trace.trace import trace_model
from lazaretto.values import InputKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.lineage.bom.origin import Origin
    from lazaretto.lineage.trace.answer import Trace, TracedDecision
    from lazaretto.storage.workspace import Workspace


def model_bom(
    workspace: Workspace, name: str, version: str, *, registry: str | None = None
) -> dict[str, Any]:
    """The bill of materials of a model version, in CycloneDX 1.6's JSON values.

    It is as of one ledger entry, whose time is its time: while nothing is put on record, it is the
    same. `bom_bytes` writes it.

    Args:
        workspace: catalog and store.
        name: name of the model.
        version: its version.
        registry: where models of this name are in more than one registry.

    Raises:
        NotFoundError: there is no such model version.
        UsageError: it is in more than one registry.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> bill = model_bom(workspace, "net", "1")
        >>> [one["bom-ref"].partition(":")[0] for one in bill["components"]]
        ['batch', 'batch', 'dataset']
        >>> bill["compositions"][0]["aggregate"]
        'complete'
    """
    trace = trace_model(workspace, name, version, registry=registry)
    [place] = {one.registry for one in trace.models if (one.name, one.version) == (name, version)}
    asked = ModelKey(place, name, version)
    origin = read_origin(workspace, trace, asked)
    return _document(origin, trace, _assembled(workspace.store.root, origin, trace))


def bom_bytes(bom: dict[str, Any]) -> bytes:
    """A bill of materials as it is written to a file.

    Args:
        bom: from `model_bom`.

    Examples:
        >>> bom_bytes(model_bom(workspace, "net", "1"))[:1]
        b'{'
    """
    return (json.dumps(bom, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


@dataclass(slots=True)
class _Assembled:
    """Components and their relations, in the making."""

    components: dict[str, dict[str, Any]] = field(default_factory=dict)
    depends: dict[str, list[str]] = field(default_factory=dict)
    used: dict[str, list[str]] = field(default_factory=dict)
    aggregates: dict[str, str] = field(default_factory=dict)

    def relate(self, ref: str, to: str) -> None:
        """One is made of another."""
        found = self.depends.setdefault(ref, [])
        if to not in found:
            found.append(to)


def _assembled(store_root: str, origin: Origin, trace: Trace) -> _Assembled:
    made = _Assembled()
    for model in origin.inputs:
        _add_inputs(made, store_root, origin, model)
    _add_claimed(made, store_root, origin, trace)
    for (dataset, number), taken in origin.snapshots.items():
        ref = parts.snapshot_ref(dataset, number)
        made.aggregates[ref] = "complete"
        for member in taken.members:
            made.relate(ref, parts.batch_ref(member.batch))
    traced = {batch.id: batch for batch in trace.batches}
    decisions: dict[str, list[TracedDecision]] = {}
    for one in trace.decisions:
        decisions.setdefault(one.batch, []).append(one)
    for batch in sorted({*origin.received, *traced}):
        made.components[parts.batch_ref(batch)] = parts.batch_component(
            batch, origin.received.get(batch), traced.get(batch), decisions.get(batch, [])
        )
    for model in origin.inputs:
        ref = parts.model_ref(model)
        made.aggregates[ref] = _aggregate(made, ref, trace)
        datasets = list(made.used.get(ref, []))
        if model == origin.asked:
            datasets += [ref for ref in made.components if ref.startswith("batch:")]
        made.components[ref] = parts.model_component(
            model, origin, datasets, _of_model(model, trace)
        )
    return made


def _add_inputs(made: _Assembled, store_root: str, origin: Origin, model: ModelKey) -> None:
    """What the ledger says that a model version learned from."""
    here = parts.model_ref(model)
    for one in origin.inputs[model]:
        match one.kind:
            case InputKind.MODEL:
                made.relate(here, parts.model_ref(model_key(one, store_root)))
                continue
            case InputKind.SNAPSHOT:
                number = one.version or ""
                ref = parts.snapshot_ref(one.name, number)
                taken = origin.snapshots.get((one.name, number))
                role = one.role.value if model == origin.asked else None
                found = parts.snapshot_component(one.name, number, taken, role)
                made.aggregates[ref] = "incomplete"  # until its batches are found
            case InputKind.TABLE:
                namespace, name = name_of(one, store_root)
                ref = parts.table_ref(namespace, name, one.version)
                told = [("role", one.role.value), ("records", one.rows)]
                found = parts.table_component(namespace, name, one.version, told)
                made.aggregates[ref] = "unknown"
        made.components.setdefault(ref, found)
        made.relate(here, ref)
        used = made.used.setdefault(here, [])
        if ref not in used:
            used.append(ref)


def _add_claimed(made: _Assembled, store_root: str, origin: Origin, trace: Trace) -> None:
    """What only events of other tools say, beside the ledger: all of it leads to the model."""
    asked = parts.model_ref(origin.asked)
    claimed = [("claimed", "by events of other tools")]
    for snapshot in trace.snapshots:
        ours = admitted(store_root, posixpath.basename(snapshot.name))
        ref = parts.table_ref(snapshot.namespace, snapshot.name, snapshot.version)
        if (snapshot.namespace, snapshot.name) != ours and ref not in made.components:
            made.components[ref] = parts.table_component(
                snapshot.namespace, snapshot.name, snapshot.version, claimed
            )
            made.aggregates[ref] = "unknown"
            made.used.setdefault(asked, []).append(ref)
            made.relate(asked, ref)
    for one in trace.models:
        model = ModelKey(one.registry, one.name, one.version)
        if model not in origin.inputs:
            ref = parts.model_ref(model)
            made.components[ref] = parts.model_component(model, origin, [], claimed)
            made.aggregates[ref] = "unknown"
            made.relate(asked, ref)
    members = {one.batch for taken in origin.snapshots.values() for one in taken.members}
    for batch in trace.batches:
        if batch.id not in members:
            made.relate(asked, parts.batch_ref(batch.id))


def _aggregate(made: _Assembled, ref: str, trace: Trace) -> str:
    """Whether all that a model version was made of is in the bill."""
    if trace.complete:
        return "complete"
    within = {made.aggregates.get(one) for one in made.depends.get(ref, [])}
    return "incomplete" if "incomplete" in within else "unknown"


def _of_model(model: ModelKey, trace: Trace) -> Iterator[tuple[str, object]]:
    for recall in trace.recalls:
        if f"{model.name}@{model.version}" in recall.models:
            yield "recall-of-what-it-learned", recall.id


def _document(origin: Origin, trace: Trace, made: _Assembled) -> dict[str, Any]:
    asked = parts.model_ref(origin.asked)
    order = sorted(made.aggregates, key=lambda ref: (ref != asked, ref))
    aggregates: dict[str, list[str]] = {}
    for ref in order:
        aggregates.setdefault(made.aggregates[ref], []).append(ref)
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": origin.head.at.isoformat(),
            "tools": {"components": [_tool()]},
            "component": made.components[asked],
            "properties": parts.properties(_of_ledger(origin, trace)),
        },
        "components": [made.components[ref] for ref in sorted(made.components) if ref != asked],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(made.depends.get(ref, []))}
            for ref in sorted({*made.components, *made.depends})
            if ref in made.components
        ],
        "compositions": [
            {"aggregate": aggregate, "dependencies": refs} for aggregate, refs in aggregates.items()
        ],
    }
    content = hashlib.sha256(bom_bytes(bill)).hexdigest()
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{origin.ledger}/{content}")
    return bill | {"serialNumber": f"urn:uuid:{serial}"}


def _of_ledger(origin: Origin, trace: Trace) -> Iterator[tuple[str, object]]:
    yield "ledger", origin.ledger
    yield "ledger:entry", origin.head.seq
    yield "ledger:hash", f"sha256:{origin.head.hash}"
    yield "complete", "yes" if trace.complete else "no"
    for caveat in trace.completeness.caveats():
        yield "caveat", caveat


def _tool() -> dict[str, str]:
    tool = {"type": "application", "name": "lazaretto"}
    try:
        return tool | {"version": version("lazaretto")}
    except PackageNotFoundError:  # run from a source tree
        return tool
