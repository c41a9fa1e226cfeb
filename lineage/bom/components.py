"""Components of a CycloneDX bill of materials: models, snapshots, tables of others, batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.ledger.events import BatchReceived, ModelEvaluated, ModelRegistered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lazaretto.ledger.chain import Entry
    from lazaretto.lineage.bom.origin import ModelKey, Origin
    from lazaretto.lineage.trace.answer import TracedBatch, TracedDecision
    from lazaretto.stages.taken import Snapshot

    Pairs = Iterable[tuple[str, object]]


def model_ref(model: ModelKey) -> str:
    """How the bill refers to a model version."""
    return f"model:{model.registry}/{model.name}@{model.version}"


def snapshot_ref(dataset: str, version: str) -> str:
    """How it refers to a version of an admitted dataset."""
    return f"dataset:{dataset}@{version}"


def table_ref(namespace: str, name: str, version: str | None) -> str:
    """How it refers to somebody else's table."""
    return f"table:{namespace}/{name}" + ("" if version is None else f"@{version}")


def batch_ref(batch: str) -> str:
    """How it refers to a batch."""
    return f"batch:{batch}"


def model_component(
    model: ModelKey, origin: Origin, datasets: Sequence[str], more: Pairs = ()
) -> dict[str, Any]:
    """A model version, with the hash of its artifact and the data that it learned from.

    Args:
        model: which one.
        origin: what the ledger tells.
        datasets: references of that data.
        more: further properties.
    """
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": model_ref(model),
        "name": model.name,
        "version": model.version,
        "properties": properties([("model:registry", model.registry), *more]),
    }
    for entry in origin.registered.get(model, ()):
        if isinstance(entry.event, ModelRegistered):
            component["properties"] += properties(_of_training(entry.seq, entry.event))
            if entry.event.artifact_digest:
                found = {"alg": "SHA-256", "content": entry.event.artifact_digest}
                component["hashes"] = [found]
    card: dict[str, Any] = {}
    if datasets:
        card["modelParameters"] = {"datasets": [{"ref": ref} for ref in datasets]}
    if model == origin.asked:
        component["properties"] += properties(("alias", name) for name in origin.names)
        card |= _evaluated(component, origin.evaluation)
    if card:
        component["modelCard"] = card
    return component


def _evaluated(component: dict[str, Any], entry: Entry | None) -> dict[str, Any]:
    """The model card's part of the newest evaluation."""
    if entry is None or not isinstance(entry.event, ModelEvaluated):
        return {}
    event = entry.event
    component["properties"] += properties(
        [
            ("evaluation:entry", entry.seq),
            ("evaluation:how", event.how),
            ("evaluation:rows", event.rows),
            ("evaluation:test-set", f"sha256:{event.test_set}"),
            ("evaluation:report", f"sha256:{event.report.sha256}"),
            ("evaluation:signed", "yes" if event.envelope is not None else "no"),
        ]
    )
    figures = [{"type": name, "value": str(event.figures[name])} for name in sorted(event.figures)]
    return {"quantitativeAnalysis": {"performanceMetrics": figures}} if figures else {}


def _of_training(seq: int, event: ModelRegistered) -> Iterator[tuple[str, object]]:
    yield "ledger:entry", seq
    yield "training:purpose", event.purpose
    yield "training:run", event.external_run_id
    yield "training:seed", event.seed
    yield "model:artifact", event.artifact_uri
    yield "training:records", event.rows
    for key in sorted(event.params):
        yield f"training:param:{key}", event.params[key]


def snapshot_component(
    dataset: str, version: str, taken: Snapshot | None, role: str | None
) -> dict[str, Any]:
    """A version of an admitted dataset.

    Args:
        dataset: its name.
        version: of it.
        taken: the snapshot; None: it is not on record.
        role: how it was used; None: only another model learned from it.
    """
    told: list[tuple[str, object]] = [("role", role)]
    if taken is not None:
        told += [
            ("snapshot:digest", f"sha256:{taken.digest}"),
            ("records", taken.rows),
            ("batches", len(taken.members)),
            ("ledger:entry", taken.seq),
        ]
    return _data(snapshot_ref(dataset, version), dataset, version, told)


def table_component(
    namespace: str, name: str, version: str | None, told: Pairs = ()
) -> dict[str, Any]:
    """Somebody else's table.

    Args:
        namespace: OpenLineage namespace.
        name: OpenLineage name.
        version: of it; None: not known.
        told: properties.
    """
    more = [("table:namespace", namespace), *told]
    return _data(table_ref(namespace, name, version), name, version, more)


def batch_component(
    batch: str,
    received: Entry | None,
    traced: TracedBatch | None,
    decisions: Iterable[TracedDecision],
) -> dict[str, Any]:
    """A batch, with the hash of what was delivered, who delivered it, and who let it through.

    Names of people stay out of it: a bill is handed on. The ledger entries have them.

    Args:
        batch: its id.
        received: the entry of its receipt; None: the ledger never received it.
        traced: what the trace says of it.
        decisions: about it.
    """
    source, digest = batch.rpartition("/")[::2]
    told: list[tuple[str, object]] = []
    component: dict[str, Any] = {}
    event = None if received is None else received.event
    if received is not None and isinstance(event, BatchReceived):
        known = event.signature.status.value
        signature = known if traced is None or traced.signature is None else traced.signature
        told = [
            ("batch:digest", f"sha256:{event.digest}"),
            ("signature:status", signature),
            ("signature:key", event.signature.key_id),
            ("source:trust-tier", event.trust_tier.value),
            ("received-at", event.received_at.isoformat()),
            ("records", event.rows),
            ("ledger:entry", received.seq),
        ]
        component["hashes"] = [{"alg": "SHA-256", "content": event.delivered.sha256}]
    elif traced is not None:
        told = [
            ("batch:digest", traced.digest and f"sha256:{traced.digest}"),
            ("signature:status", "CLAIMED_ONLY"),
            ("records", traced.rows),
        ]
    if traced is not None:
        told += [("records:used", traced.used_rows), ("records:recalled", traced.recalled_rows)]
    policies: dict[str, None] = {}
    for one in decisions:
        told.append((f"decision:{one.what}", one.seq))
        if one.policy_sha256 is not None:
            policies[f"{one.policy} sha256:{one.policy_sha256}"] = None
    told += [("policy", policy) for policy in policies]
    made = _data(batch_ref(batch), source or batch, digest or None, told)
    if source:
        made["supplier"] = {"name": source}
    return made | component


def _data(ref: str, name: str, version: str | None, told: Pairs) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "data",
        "bom-ref": ref,
        "name": name,
        "data": [{"type": "dataset", "name": name}],
        "properties": properties(told),
    }
    return component if version is None else component | {"version": version}


def properties(told: Pairs) -> list[dict[str, str]]:
    """CycloneDX properties under our prefix; what is not known is left out.

    Args:
        told: names without the prefix, and values.
    """
    return [
        {"name": f"lazaretto:{name}", "value": str(value)}
        for name, value in told
        if value is not None and value != ""
    ]
