"""Validity of OpenLineage events: the core schema, and the schema of every facet in them.

The core schema alone lets a broken facet body pass. So each facet is checked against its own
schema, an official one (OpenLineage 2-0-2, in ``schemas/openlineage`` with its commit) or ours.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from lazaretto.errors import UsageError
from lazaretto.lineage.openlineage.lines import read_lines
from lazaretto.text import cut, excerpt
from lazaretto.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema import Draft202012Validator

_SCHEMAS = Path(__file__).parents[1] / "schemas"
_CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
_BASES = ("InputDatasetFacet", "OutputDatasetFacet", "DatasetFacet", "JobFacet", "RunFacet")
_MAX_PROBLEMS_PER_EVENT = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one event.

    Attributes:
        line: line of the file, from 1.
        where: JSON pointer into the event; empty for the event as a whole.
        text: what is wrong.
    """

    line: int
    where: str
    text: str


def check(file: str | Path, *, strict: bool = False) -> list[Problem]:
    r"""Checks every event of a JSON Lines file.

    Args:
        file: one OpenLineage event per line.
        strict: report facets whose schema is not known here, as the specification's own validator
            does; otherwise these are checked against the base facet only.

    Returns:
        What is wrong, in the order of the file; empty when all events are valid.

    Raises:
        UsageError: the package `jsonschema` is not installed.
        NotFoundError: there is no such file.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("events.jsonl").write_text('{"eventTime": "yesterday"}\n')
        >>> len(check("events.jsonl")) > 0
        True
    """
    problems: list[Problem] = []
    for line in read_lines(file):
        if line.event is None:
            problems.append(Problem(line.number, "", line.problem or "unreadable"))
        else:
            problems += [Problem(line.number, *found) for found in _of_event(line.event, strict)]
    return problems


def check_event(event: dict[str, Any], *, strict: bool = False) -> list[Problem]:
    """Checks one event, given as its JSON object; see `check`.

    Examples:
        >>> len(check_event({"eventTime": "yesterday"})) > 0
        True
    """
    return [Problem(1, *found) for found in _of_event(event, strict)]


def facet_schemas() -> dict[str, dict[str, Any]]:
    """The JSON schemas of Lazaretto's own facets, by the facets' keys.

    Events name them by URN. None is ever changed: another meaning gets another version.

    Examples:
        >>> facet_schemas()["lazaretto_source"]["$id"]
        'urn:lazaretto:facet:1-0-0:LazarettoSourceDatasetFacet'
    """
    ours = [one for one in _schemas().values() if one["$id"].startswith("urn:")]
    return {key: one for one in ours for key in one["properties"]}


def _of_event(event: dict[str, Any], strict: bool) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for problem in _walk(event, strict):
        found.append(problem)
        if len(found) >= _MAX_PROBLEMS_PER_EVENT:
            return [*found, ("", f"more than {_MAX_PROBLEMS_PER_EVENT} problems; not all are told")]
    return found


def _walk(event: dict[str, Any], strict: bool) -> Iterator[tuple[str, str]]:
    kind = "RunEvent" if "run" in event else "DatasetEvent" if "dataset" in event else "JobEvent"
    yield from _errors(f"{_CORE}#/$defs/{kind}", event, "")
    for base, where, facets in _facets_of(event):
        for key, body in facets.items():
            if base in ("DatasetFacet", "JobFacet") and _object(body).get("_deleted") is True:
                continue  # takes a facet back; it has no body
            reference = _by_key().get((base, key)) or _by_url(base, body)
            if reference is not None:
                yield from _errors(reference, body, f"{where}/{key}")
            elif strict:
                yield f"{where}/{key}", f"unknown facet: no schema of {_url(body)!r} is known here"
    for where, dataset in _datasets_of(event):
        facets = _object(dataset.get("facets"))
        artifact = _object(facets.get("lazaretto_artifact")).get("artifactId")
        version = _object(facets.get("version")).get("datasetVersion")
        if artifact is not None and artifact != version:
            yield f"{where}/facets/lazaretto_artifact", "artifactId is not the dataset's version"


def _facets_of(event: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    yield "RunFacet", "/run/facets", _object(_object(event.get("run")).get("facets"))
    yield "JobFacet", "/job/facets", _object(_object(event.get("job")).get("facets"))
    for where, dataset in _datasets_of(event):
        yield "DatasetFacet", f"{where}/facets", _object(dataset.get("facets"))
        for key, base in (
            ("inputFacets", "InputDatasetFacet"),
            ("outputFacets", "OutputDatasetFacet"),
        ):
            yield base, f"{where}/{key}", _object(dataset.get(key))


def _datasets_of(event: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for side in ("inputs", "outputs"):
        datasets = event.get(side)
        for index, dataset in enumerate(datasets if isinstance(datasets, list) else []):
            yield f"/{side}/{index}", _object(dataset)
    yield "/dataset", _object(event.get("dataset"))


def _object(value: object) -> dict[str, Any]:
    """The value where it is an object; that it must be one is the core schema's business."""
    return value if isinstance(value, dict) else {}


def _url(body: object) -> str:
    return cut(str(_object(body).get("_schemaURL")), 200)


def _errors(reference: str, value: object, where: str) -> Iterator[tuple[str, str]]:
    try:
        for error in _validator(reference).iter_errors(value):
            path = "".join(f"/{part}" for part in error.absolute_path)
            yield where + path, excerpt(error.message, 300)
    except RecursionError:
        yield where, "nested too deeply"


def _by_url(base: str, body: object) -> str | None:
    """A facet under another key, known by its schema's class; any version of it."""
    name = urlsplit(_url(body)).fragment.rpartition("/")[2]
    return next(
        (ref for (b, _), ref in _by_key().items() if b == base and _class(ref) == name), None
    )


def _class(reference: str) -> str:
    return reference.rpartition("/")[2]


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    files = [*_SCHEMAS.rglob("*.json")]
    loaded = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(files)]
    return {schema["$id"]: schema for schema in loaded}


@cache
def _by_key() -> dict[tuple[str, str], str]:
    """Schema of each facet by its base (run, job, dataset, input, output) and its key."""
    found: dict[tuple[str, str], str] = {}
    for identity, schema in _schemas().items():
        if identity == _CORE:
            continue
        [key] = schema["properties"]
        for name, definition in schema["$defs"].items():
            bases = [
                part["$ref"].rpartition("/")[2]
                for part in definition.get("allOf", [])
                if part.get("$ref", "").startswith(_CORE)
            ]
            if bases and bases[0] in _BASES:
                found[bases[0], key] = f"{identity}#/$defs/{name}"
    return found


@cache
def _validator(reference: str) -> Draft202012Validator:
    try:
        from jsonschema import Draft202012Validator, FormatChecker
        from referencing import Registry, Resource
    except ImportError as error:
        raise UsageError(
            "checking events needs the package jsonschema: pip install 'jsonschema>=4.23'"
        ) from error
    resources = [
        (identity, Resource.from_contents(schema)) for identity, schema in _schemas().items()
    ]
    formats = FormatChecker(formats=())
    formats.checks("date-time", raises=UsageError)(_is_date_time)
    formats.checks("uuid", raises=ValueError)(lambda text: _is(text, UUID))
    formats.checks("uri")(lambda text: not isinstance(text, str) or bool(_is_uri(text)))
    registry = Registry().with_resources(resources)
    return Draft202012Validator({"$ref": reference}, registry=registry, format_checker=formats)


def _is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    parse_time(value)
    return "T" in value.upper()


def _is(value: object, parse: type[UUID]) -> bool:
    if isinstance(value, str):
        parse(value)
    return True


def _is_uri(value: str) -> bool:
    try:
        return bool(urlsplit(value).scheme)
    except ValueError:
        return False
