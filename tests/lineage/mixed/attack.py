"""What an attacker sends beside honest events, to hide where data went.

Whoever may send events can claim anything. Not tried is what no rule protects from: an event that
says that an honest table was overwritten, dropped or renamed.
"""

from __future__ import annotations

import copy
import uuid
from random import Random
from typing import TYPE_CHECKING, Any

from mixed.names import DATASET, REGISTRIES, ROOT
from mixed.wire import META, Event

if TYPE_CHECKING:
    from collections.abc import Callable

_ABSURD = ("1970-01-01T00:00:00+00:00", "2999-12-31T23:59:59+00:00", "2026-05-01T00:00:01+00:00")


def forged(events: list[Event], attack: tuple[float, ...], seed: int) -> list[Event]:
    """Events that an attacker sends, one for each number of `attack`."""
    if not events:
        return []
    found: list[Event] = []
    for number, pick in enumerate(attack):
        random = Random(f"attack {seed} {number} {pick}")  # noqa: S311
        found.append(random.choice(_FORGERIES)(random, events))
    return found


def _run(random: Random, outputs: list[Event], *, at: str | None = None) -> Event:
    return {
        "eventType": random.choice(("COMPLETE", "START", "FAIL")),
        "eventTime": at or random.choice(_ABSURD),
        "producer": "https://example.org/attacker",
        "run": {"runId": str(uuid.UUID(int=random.getrandbits(128))), "facets": {}},
        "job": {"namespace": "attacker", "name": "job", "facets": {}},
        "inputs": [_plain("s3://clean", "clean")],
        "outputs": outputs,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }


def _plain(namespace: str, name: str, version: str | None = None) -> Event:
    facets: dict[str, Any] = {}
    if version is not None:
        facets["version"] = META | {"datasetVersion": version}
    return {"namespace": namespace, "name": name, "facets": facets}


def _datasets(events: list[Event]) -> list[Event]:
    return [d for event in events for d in (*event["inputs"], *event["outputs"])]


def _honest(random: Random, events: list[Event]) -> Event:
    """A dataset that an honest event names, without what it says of its life."""
    found = copy.deepcopy(random.choice(_datasets(events) or [_plain("s3://lake", "tables/a")]))
    found["facets"].pop("lifecycleStateChange", None)
    return found


def _typed(random: Random, events: list[Event]) -> Event:
    """An honest dataset is a quarantine or a side-car, which nobody learns from."""
    found = _honest(random, events)
    kind = random.choice(("QUARANTINE", "SIDECAR"))
    version = found["facets"].get("version", {}).get("datasetVersion", "1")
    found["facets"]["lazaretto_artifact"] = META | {
        "kind": kind,
        "artifactId": version,
        "digest": {"sha256": "00" * 32},
    }
    event = _run(random, [found])
    if random.random() < 0.5:
        event["inputs"] = [found]
    return event


def _typed_in_a_run(random: Random, events: list[Event]) -> Event:
    """The same, as a further event of the honest run."""
    honest = random.choice(events)
    event = copy.deepcopy(honest)
    for found in (*event["inputs"], *event["outputs"]):
        found["facets"]["lazaretto_artifact"] = META | {"kind": "QUARANTINE"}
        found["facets"].pop("lifecycleStateChange", None)
    event["eventType"] = "OTHER"
    return event


def _batch(random: Random, events: list[Event]) -> Event:
    """One of our batches was made of something clean, long ago, or by somebody else."""
    source = random.choice(("x", "y"))
    found = _plain("file", f"{ROOT}/batches/{source}", f"{source}/{1:016x}")
    found["facets"]["lazaretto_source"] = META | {
        "sourceId": random.choice((source, "innocent")),
        "signature": {"status": "VERIFIED"},
        "receivedAt": random.choice(_ABSURD),
    }
    return _run(random, [found])


def _admitted(random: Random, events: list[Event]) -> Event:
    """A version of our admitted dataset was made of something clean."""
    version = str(random.choice((1, 2, 3, 99)))
    return _run(random, [_plain("file", f"{ROOT}/datasets/{DATASET}", version)])


def _registered(random: Random, events: list[Event]) -> Event:
    """A model version was made of something clean."""
    found = _plain(random.choice(list(REGISTRIES.values())), "net", "1")
    found["facets"]["datasetType"] = META | {"datasetType": "MODEL"}
    return _run(random, [found])


def _stretched(random: Random, events: list[Event]) -> Event:
    """An honest run has an event at an absurd time."""
    event = copy.deepcopy(random.choice(events))
    event |= {"eventType": "OTHER", "eventTime": random.choice(_ABSURD)}
    event["inputs"], event["outputs"] = [], []
    return event


def _again(random: Random, events: list[Event]) -> Event:
    """An honest version was written or read at an absurd time."""
    event = _run(random, [_honest(random, events)])
    if random.random() < 0.5:
        event["inputs"], event["outputs"] = event["outputs"], []
    return event


def _same_clock(random: Random, events: list[Event]) -> Event:
    """An honest dataset was written by a run that says to be an honest tool's."""
    honest = random.choice(events)
    event = _run(random, [_honest(random, events)], at=honest["eventTime"])
    event["job"], event["producer"] = copy.deepcopy(honest["job"]), honest["producer"]
    return event


_FORGERIES: tuple[Callable[[Random, list[Event]], Event], ...] = (
    _typed,
    _typed_in_a_run,
    _batch,
    _admitted,
    _registered,
    _stretched,
    _again,
    _same_clock,
)
