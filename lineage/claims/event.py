"""Reads one OpenLineage event of anybody into a bounded, checked claim, and refuses the rest."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lazaretto.errors import UsageError
from lazaretto.lineage.claims.bits import Kind, Mode, State
from lazaretto.lineage.claims.claim import Claim, Used
from lazaretto.lineage.claims.kept import safe_namespace
from lazaretto.times import parse_time

if TYPE_CHECKING:
    from datetime import datetime

MAX_DATASETS = 1_000
MAX_VERSIONS = 10_000
MAX_RUN_VERSIONS = 100_000
MAX_SYMLINKS = 20
OWN = "urn:lazaretto:"
"""What namespaces of our own start with."""
_STATES = {
    "START": State.START,
    "RUNNING": State.RUNNING,
    "COMPLETE": State.COMPLETE,
    "FAIL": State.FAIL,
    "ABORT": State.ABORT,
    "OTHER": State.OTHER,
}
# Plain numbers: operations on flags take as long as all else that is done with an input.
_MODES = {
    "OVERWRITE": int(Mode.REPLACED),
    "TRUNCATE": int(Mode.REPLACED | Mode.EMPTIED),
    "CREATE": int(Mode.CREATED),
    "DROP": int(Mode.DROPPED),
    "RENAME": int(Mode.RENAMED),
}
_TABLE, _BATCH, _MODEL = int(Kind.TABLE), int(Kind.BATCH), int(Kind.MODEL)
_REPLACED, _RENAMED = int(Mode.REPLACED), int(Mode.RENAMED)
_TRAINS = ("PRETRAIN", "TRAIN", "FINETUNE")
_MEASURES = ("TEST", "EVAL", "EVALUATION")
_ROLES = ("TRAIN", "FINETUNE", "PRETRAIN", "CALIBRATION", "VALIDATION", "TEST", "EVAL")


class Unusable(Exception):  # noqa: N818  it is an outcome
    """An event that cannot be used; the message says why."""


def read_event(event: dict[str, Any]) -> Claim:
    """Reads a run event.

    Raises:
        Unusable: it is not one, or a value of it is not of the form or size that is taken.
    """
    run = _object(event.get("run"))
    state = _STATES.get(str(event.get("eventType")))
    if state is None:
        raise Unusable("not a run event with an eventType")
    facets = _object(run.get("facets"))
    training = _object(facets.get("lazaretto_training"))
    job = _object(event.get("job"))
    kind = _object(_object(job.get("facets")).get("jobType")).get("processingType")
    purpose = training.get("purpose")
    claim = Claim(
        run=_uuid(run.get("runId")),
        state=state
        | (State.STREAMING if kind == "STREAMING" else State(0))
        | (State.TRAINS if purpose in _TRAINS else State(0)),
        at=_moment(event.get("eventTime"), "eventTime"),
        namespace=safe_namespace(_text(job.get("namespace"), "job namespace", 512)),
        job=_text(job.get("name"), "job name", 1024),
        producer=_optional_text(event.get("producer"), "producer", 1024) or "",
        purpose=purpose if purpose in (*_TRAINS, "EVAL") else "TRAIN",
        inputs=_datasets(event.get("inputs"), "input", _roles(training), purpose == "EVAL"),
        outputs=_datasets(event.get("outputs"), "output", {}, False),
    )
    if claim.size > MAX_RUN_VERSIONS:
        raise Unusable(f"an event of more than {MAX_RUN_VERSIONS:,} versions of datasets")
    return claim


def _roles(training: dict[str, Any]) -> dict[tuple[str, str, str | None], str]:
    """How each input was used, by its name and, where it is given, version."""
    found: dict[tuple[str, str, str | None], str] = {}
    consumed = training.get("consumed")
    for each in consumed[:MAX_DATASETS] if isinstance(consumed, list) else ():
        used = _object(each)
        role = used.get("role")
        if role in _ROLES:
            version = used.get("version")
            key = (safe_namespace(str(used.get("namespace"))), str(used.get("name")))
            found[*key, version if isinstance(version, str) else None] = role
    return found


def _datasets(
    value: object, side: str, roles: dict[tuple[str, str, str | None], str], measures: bool
) -> tuple[Used, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_DATASETS:
        raise Unusable(f"inputs and outputs are lists of at most {MAX_DATASETS} datasets")
    return tuple(_dataset(_object(item), side, roles, measures) for item in value)


def _dataset(
    value: dict[str, Any],
    side: str,
    roles: dict[tuple[str, str, str | None], str],
    measures: bool,
) -> Used:
    facets = _object(value.get("facets"))
    source = _object(facets.get("lazaretto_source"))
    artifact = _object(facets.get("lazaretto_artifact"))
    namespace = _namespace(value.get("namespace"))
    name = _text(value.get("name"), "name", 1024)
    version = _object(facets.get("version")).get("datasetVersion")
    named = None if version is None else _text(version, "datasetVersion", 255)
    role = "TRAIN"
    if roles:
        role = roles.get((namespace, name, named)) or roles.get((namespace, name, None)) or role
    mode, renamed = 0, None
    if side == "output":
        mode, renamed = _written(facets, artifact)
    rows = artifact.get("recordCount")
    return Used(
        namespace=namespace,
        name=name,
        version=named,
        parts=_parts(value, side) if f"{side}Facets" in value else (),
        kind=_kind(facets, source, artifact),
        mode=mode,
        role=f"~{role}" if measures or role in _MEASURES else role,
        symlinks=_symlinks(_object(facets["symlinks"])) if "symlinks" in facets else (),
        renamed_from=renamed,
        source=_optional_text(source.get("sourceId"), "sourceId", 255),
        t_from=_optional_moment(source.get("collectedFrom"), "collectedFrom"),
        t_to=_optional_moment(source.get("collectedTo"), "collectedTo"),
        received_at=_optional_moment(source.get("receivedAt"), "receivedAt"),
        digest=_optional_text(_object(artifact.get("digest")).get("sha256"), "digest", 128),
        rows=rows if isinstance(rows, int) and 0 <= rows < 2**63 else None,
    )


def _written(
    facets: dict[str, Any], artifact: dict[str, Any]
) -> tuple[int, tuple[str, str] | None]:
    """How an output was written, and the name that it had before."""
    change = _object(facets.get("lifecycleStateChange"))
    mode = _MODES.get(str(change.get("lifecycleStateChange")), 0)
    if _object(artifact.get("members")).get("complete") is True:
        mode |= _REPLACED
    return mode, _identifier(change.get("previousIdentifier")) if mode & _RENAMED else None


def _kind(facets: dict[str, Any], source: dict[str, Any], artifact: dict[str, Any]) -> int:
    """What an event says of a dataset; a claim to be held back or beside the data is not heard."""
    type_, kind = _object(facets.get("datasetType")).get("datasetType"), artifact.get("kind")
    if type_ == "MODEL" or kind == "MODEL":
        return _MODEL
    if source or kind == "BATCH":
        return _BATCH
    return _TABLE if type_ in ("TABLE", "VIEW") or kind == "SNAPSHOT" else 0


def _symlinks(facet: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    listed = facet.get("identifiers")
    found = [
        _identifier(each) for each in (listed[:MAX_SYMLINKS] if isinstance(listed, list) else ())
    ]
    return tuple(each for each in found if each is not None)


def _identifier(value: object) -> tuple[str, str] | None:
    both = _object(value)
    if "namespace" not in both or "name" not in both:
        return None
    return _namespace(both.get("namespace")), _text(both.get("name"), "name", 1024)


def _parts(value: dict[str, Any], side: str) -> tuple[str, ...]:
    place = _object(value.get(f"{side}Facets"))
    subset = _object(_object(place.get("subset")).get(f"{side}Condition"))
    partitions = subset.get("partitions")
    if not isinstance(partitions, list) or subset.get("type") != "partition":
        return ()
    if len(partitions) > MAX_VERSIONS:
        raise Unusable(f"a subset of more than {MAX_VERSIONS} partitions")
    named = [_object(partition).get("identifier") for partition in partitions]
    if not named or any(identifier is None for identifier in named):
        return ()
    return tuple(dict.fromkeys(_text(n, "partition identifier", 255) for n in named))


def _namespace(value: object) -> str:
    """A namespace without credentials: some tools report a database by its whole address."""
    return _clean_namespace(value) if isinstance(value, str) else _text(value, "namespace", 512)


@lru_cache(maxsize=4096)
def _clean_namespace(value: str) -> str:
    namespace = _text(value, "namespace", 512)
    if namespace.lower().startswith(OWN):
        raise Unusable(f"no dataset is in a namespace that starts with {OWN}")
    return safe_namespace(namespace)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object, what: str, limit: int) -> str:
    if not isinstance(value, str) or not value or len(value) > limit:
        raise Unusable(f"{what} is not a text of 1 to {limit} characters")
    if not value.isprintable():
        _require_text(value, what)
    return value


def _require_text(value: str, what: str) -> None:
    if "\x00" in value or "\x1f" in value:
        raise Unusable(f"{what} has control characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair, which no database takes
        raise Unusable(f"{what} is not valid Unicode") from error


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
