"""Reads one foreign OpenLineage event into bounded, checked values, and refuses the rest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lazaretto.errors import UsageError
from lazaretto.lineage.openlineage.outcomes import PURPOSES
from lazaretto.redact import carries_credentials, safe_uri
from lazaretto.times import parse_time

if TYPE_CHECKING:
    from datetime import datetime

MAX_DATASETS = 1_000
MAX_VERSIONS = 10_000
MAX_RUN_VERSIONS = 20_000
RUNS = "urn:lazaretto:run"
"""Namespace of runs that are nodes of the index."""
_STATES = ("START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER")
_OVERWRITES = ("CREATE", "OVERWRITE", "TRUNCATE")


class Unusable(Exception):  # noqa: N818  it is an outcome
    """An event that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """An input or output of a foreign run.

    Attributes:
        namespace: OpenLineage namespace.
        name: OpenLineage name.
        versions: versions that the event names; empty when it names none.
        kind: BATCH, SNAPSHOT, MODEL, or a kind that is no part of the index.
        source: source of a batch.
        collected_from: start of the interval in which it was collected.
        collected_to: its end.
        received_at: when it arrived.
        signature: status of its signature, as the event says.
        digest: sha256 (hex) of its content.
        rows: number of records.
        overwritten: what was written replaced all that was there.
    """

    namespace: str
    name: str
    versions: tuple[str, ...]
    kind: str
    source: str | None = None
    collected_from: datetime | None = None
    collected_to: datetime | None = None
    received_at: datetime | None = None
    signature: str | None = None
    digest: str | None = None
    rows: int | None = None
    overwritten: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of a foreign run so far."""

    run: str
    state: str
    at: datetime
    purpose: str
    inputs: tuple[Dataset, ...] = field(default=())
    outputs: tuple[Dataset, ...] = field(default=())

    @property
    def size(self) -> int:
        """How many versions of datasets it read and wrote."""
        return sum(max(1, len(d.versions)) for d in (*self.inputs, *self.outputs))

    def joined(self, later: Run) -> Run:
        """This run after a further event of it.

        Raises:
            Unusable: it has more versions than the index takes of one run.
        """
        return _bounded(
            replace(
                later,
                inputs=_union(self.inputs, later.inputs),
                outputs=_union(self.outputs, later.outputs),
            )
        )


def read_event(event: dict[str, Any]) -> Run:
    """Reads a run event.

    Raises:
        Unusable: it is not one, or a value of it is not of the form or size that the index takes.
    """
    run = _object(event.get("run"))
    state = event.get("eventType")
    if state not in _STATES:
        raise Unusable("not a run event with an eventType")
    facets = _object(run.get("facets"))
    purpose = _object(facets.get("lazaretto_training")).get("purpose")
    return _bounded(
        Run(
            run=_uuid(run.get("runId")),
            state=str(state),
            at=_moment(event.get("eventTime"), "eventTime"),
            purpose=str(purpose) if purpose in PURPOSES else "TRAIN",
            inputs=_datasets(event.get("inputs"), "inputFacets", "inputCondition"),
            outputs=_datasets(event.get("outputs"), "outputFacets", "outputCondition"),
        )
    )


def _bounded(run: Run) -> Run:
    if run.size > MAX_RUN_VERSIONS:
        raise Unusable(f"a run of more than {MAX_RUN_VERSIONS:,} versions of datasets")
    return run


def _union(first: tuple[Dataset, ...], second: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
    """Datasets of both; the later event knows better about those that are in both."""
    found = {(d.namespace, d.name): d for d in first}
    for dataset in second:
        key = (dataset.namespace, dataset.name)
        versions = found[key].versions if key in found else ()
        merged = tuple(dict.fromkeys((*versions, *dataset.versions)))
        found[key] = replace(dataset, versions=merged[:MAX_VERSIONS])
    return tuple(found.values())[:MAX_DATASETS]


def _datasets(value: object, place: str, condition: str) -> tuple[Dataset, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_DATASETS:
        raise Unusable(f"inputs and outputs are lists of at most {MAX_DATASETS} datasets")
    return tuple(_dataset(_object(item), place, condition) for item in value)


def _dataset(value: dict[str, Any], place: str, condition: str) -> Dataset:
    facets = _object(value.get("facets"))
    source = _object(facets.get("lazaretto_source"))
    artifact = _object(facets.get("lazaretto_artifact"))
    kind = artifact.get("kind")
    if kind not in ("BATCH", "SNAPSHOT", "MODEL", "SIDECAR", "QUARANTINE"):
        model = _object(facets.get("datasetType")).get("datasetType") == "MODEL"
        kind = "MODEL" if model else "BATCH" if source else "SNAPSHOT"
    rows = artifact.get("recordCount")
    change = _object(facets.get("lifecycleStateChange")).get("lifecycleStateChange")
    namespace = _namespace(_text(value.get("namespace"), "namespace", 512))
    if namespace == RUNS:
        raise Unusable(f"no dataset is in the namespace {RUNS}")
    return Dataset(
        namespace=namespace,
        name=_text(value.get("name"), "name", 1024),
        versions=_versions(facets, _object(value.get(place)), condition),
        kind=str(kind),
        source=_optional_text(source.get("sourceId"), "sourceId", 255),
        collected_from=_optional_moment(source.get("collectedFrom"), "collectedFrom"),
        collected_to=_optional_moment(source.get("collectedTo"), "collectedTo"),
        received_at=_optional_moment(source.get("receivedAt"), "receivedAt"),
        signature=_optional_text(_object(source.get("signature")).get("status"), "status", 16),
        digest=_optional_text(_object(artifact.get("digest")).get("sha256"), "digest", 128),
        rows=rows if isinstance(rows, int) and 0 <= rows < 2**63 else None,
        overwritten=change in _OVERWRITES,
    )


def _namespace(text: str) -> str:
    """A namespace without credentials: some tools report a database by its whole address."""
    return safe_uri(text) if carries_credentials(text) else text


def _versions(facets: dict[str, Any], place: dict[str, Any], condition: str) -> tuple[str, ...]:
    subset = _object(_object(place.get("subset")).get(condition))
    partitions = subset.get("partitions")
    if isinstance(partitions, list) and subset.get("type") == "partition":
        if len(partitions) > MAX_VERSIONS:
            raise Unusable(f"a subset of more than {MAX_VERSIONS} partitions")
        named = [_object(partition).get("identifier") for partition in partitions]
        if named and all(identifier is not None for identifier in named):
            return tuple(dict.fromkeys(_text(n, "partition identifier", 255) for n in named))
    version = _object(facets.get("version")).get("datasetVersion")
    return () if version is None else (_text(version, "datasetVersion", 255),)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object, what: str, limit: int) -> str:
    if not isinstance(value, str) or not value or len(value) > limit or "\x00" in value:
        raise Unusable(f"{what} is not a text of 1 to {limit} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair, which no database takes
        raise Unusable(f"{what} is not valid Unicode") from error
    return value


def _optional_text(value: object, what: str, limit: int) -> str | None:
    return None if value is None else _text(value, what, limit)


def _uuid(value: object) -> str:
    try:
        return str(UUID(_text(value, "runId", 64)))
    except ValueError as error:
        raise Unusable("runId is not a UUID") from error


def _moment(value: object, what: str) -> datetime:
    try:
        return parse_time(_text(value, what, 64))
    except UsageError as error:
        raise Unusable(f"{what} is not a moment with a time zone") from error


def _optional_moment(value: object, what: str) -> datetime | None:
    return None if value is None else _moment(value, what)
