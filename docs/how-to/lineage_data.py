"""Writes what another tool might report: a model that was fine-tuned from a public one."""

import json
import uuid
from pathlib import Path

META = {"_producer": "https://example.org/trainer", "_schemaURL": "https://example.org/facet.json"}


def dataset(namespace: str, name: str, version: str, kind: str) -> dict[str, object]:
    """A dataset of an OpenLineage event."""
    facets = {
        "version": META | {"datasetVersion": version},
        "datasetType": META | {"datasetType": kind},
    }
    return {"namespace": namespace, "name": name, "facets": facets}


event = {
    "eventType": "COMPLETE",
    "eventTime": "2026-11-02T03:00:00Z",
    "producer": META["_producer"],
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    "run": {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, "fine-tuning")), "facets": {}},
    "job": {"namespace": "gpu-cluster", "name": "fine-tune", "facets": {}},
    "inputs": [dataset("hf://hub", "bert-base", "main", "MODEL")],
    "outputs": [dataset("mlflow://models:5000", "sentiment", "1", "MODEL")],
}
Path("trainer.jsonl").write_text(json.dumps(event) + "\n", encoding="utf-8")
