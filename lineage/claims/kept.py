"""What of an event is kept: all that counts, in one form, and no credentials."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from operator import is_
from typing import Any

from lazaretto.redact import carries_credentials, safe_uri


def digest_of(body: str) -> str:
    """What makes a claim the same as another."""
    return hashlib.sha256(body.encode()).hexdigest()


def reduced(event: dict[str, Any]) -> str:
    """What of an event counts, as canonical JSON: the same for two events that claim the same.

    It is what is kept; `read_event` reads it again.
    """
    run, job = _object(event.get("run")), _object(event.get("job"))
    kept = {
        "eventType": event.get("eventType"),
        "eventTime": event.get("eventTime"),
        "producer": event.get("producer"),
        "run": {"runId": run.get("runId"), "facets": _kept(run, ("lazaretto_training",))},
        "job": {
            "namespace": job.get("namespace"),
            "name": job.get("name"),
            "facets": _kept(job, ("jobType",)),
        },
        "inputs": [_kept_dataset(d, "inputFacets") for d in event.get("inputs") or []],
        "outputs": [_kept_dataset(d, "outputFacets") for d in event.get("outputs") or []],
    }
    return json.dumps(
        _without_credentials(kept), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def _without_credentials(value: Any) -> Any:
    """What is kept, with no credentials in any namespace; the same object where there were none."""
    if isinstance(value, list):
        found = [_without_credentials(item) for item in value]
        return value if all(map(is_, found, value)) else found
    changed: dict[str, Any] = {}
    for key, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, (dict, list)):
            new = _without_credentials(item)
        elif key == "namespace" and isinstance(item, str):
            new = safe_namespace(item)
        else:
            continue
        if new is not item:
            changed[key] = new
    return value | changed if changed else value


@lru_cache(maxsize=4096)
def safe_namespace(namespace: str) -> str:
    """Some tools report a database by its whole address."""
    return safe_uri(namespace) if carries_credentials(namespace) else namespace


_DATASET_FACETS = (
    "version",
    "datasetType",
    "symlinks",
    "lifecycleStateChange",
    "lazaretto_source",
    "lazaretto_artifact",
)


def _kept(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    facets = _object(value.get("facets"))
    return {name: facets[name] for name in names if name in facets}


def _kept_dataset(value: object, place: str) -> dict[str, Any]:
    dataset = _object(value)
    kept: dict[str, Any] = {
        "namespace": dataset.get("namespace"),
        "name": dataset.get("name"),
        "facets": _kept(dataset, _DATASET_FACETS),
    }
    subset = _object(dataset.get(place)).get("subset")
    return kept if subset is None else kept | {place: {"subset": subset}}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
