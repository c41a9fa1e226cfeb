"""The JSON Schema of an answer, made from the values that it consists of."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from lazaretto.lineage.trace import answer

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMED = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)
_MARKS = re.compile(r"`{1,2}")


def trace_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the answers of ``lazaretto trace`` as JSON.

    A document names its version in ``schema``. Fields may be added under the same version. One that
    is taken away, or means something else, gets another version.

    Examples:
        >>> trace_schema()["properties"]["schema"]["const"]
        'lazaretto.trace/1'
    """
    from pydantic import TypeAdapter

    made = TypeAdapter(answer.Trace).json_schema(mode="serialization")
    for name, part in (("Trace", made), *made["$defs"].items()):
        _describe(part, getattr(answer, name))
    version = {"const": answer.SCHEMA, "description": "Version of this schema."}
    text = {"type": "string"}
    made["properties"] = {
        "schema": version,
        **made["properties"],
        "report": {
            "type": "object",
            "description": "Where the report is kept, if it is.",
            "properties": {"json": text, "html": text, "seq": {"type": "integer"}},
            "required": ["json", "html", "seq"],
        },
    }
    made["required"] = [name for name in made["properties"] if name != "report"]
    caveats = made["$defs"]["Completeness"]
    caveats["properties"]["caveats"] = {
        "type": "array",
        "items": text,
        "description": "What a reader must know, in sentences.",
    }
    caveats["required"].append("caveats")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:lazaretto:schema:trace:1",
    } | made


def _describe(part: dict[str, Any], of: type) -> None:
    """Gives an object and its fields the words of the class; every field is always there."""
    text = inspect.getdoc(of) or ""
    part["description"] = _plain(text.split("\n\n")[0])
    for name, meaning in _attributes(text):
        if name in part["properties"]:
            part["properties"][name]["description"] = meaning
    for value in part["properties"].values():
        value.pop("default", None)
        value.pop("title", None)
    part["required"] = list(part["properties"])


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    for found in _NAMED.finditer(text.partition("Attributes:\n")[2]):
        yield found.group(1), _plain(found.group(2))


def _plain(text: str) -> str:
    """One line without the marks of documentation."""
    return _MARKS.sub("", " ".join(text.split()))
