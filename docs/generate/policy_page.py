"""The page of all policy keys, from the pydantic models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_POLICY_HEAD = (Path(__file__).parent / "heads" / "policy.md").read_text("utf-8")


_BY_NAME = {"detectors": ".<detector>", "tiers": ".<TIER>", "by_source": ".<source>"}


def page() -> str:
    """Renders the page."""
    from lazaretto.policy import Policy

    schema = Policy.model_json_schema()
    definitions = schema["$defs"]
    said = {"version": 1, "dataset": "x", "columns": {}, "cleaning": {}}
    values = Policy.model_validate(said).model_dump(mode="json")
    absent = values | {"cleaning": None}
    parts = [_POLICY_HEAD, _section("The file", schema, definitions, absent)]
    for name, optional in schema["properties"].items():
        field = optional["anyOf"][0] if name == "cleaning" else optional
        section = _definition_of(field, definitions)
        if section is not None:
            parts.append(_section(f"`{name}`", section, definitions, values[name]))
            for inner, inner_field in section["properties"].items():
                nested = _definition_of(inner_field, definitions)
                if nested is not None:
                    by_name = "additionalProperties" in inner_field
                    title = f"`{name}.{inner}{_BY_NAME.get(inner, '') if by_name else ''}`"
                    inner_values = values[name][inner]
                    none = dict.fromkeys(nested["properties"])
                    defaults = next(iter(inner_values.values()), none) if by_name else inner_values
                    parts.append(_section(title, nested, definitions, defaults))
    return "".join(parts)


def _paragraphs(text: str | None) -> str:
    return " ".join((text or "").split())


def _definition_of(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    inner = field.get("additionalProperties")
    target = (inner if isinstance(inner, dict) else field).get("$ref")
    found: dict[str, Any] | None = definitions.get(str(target).rsplit("/", 1)[-1])
    return found if found is not None and "properties" in found else None


def _section(
    title: str, schema: dict[str, Any], definitions: dict[str, Any], defaults: dict[str, Any]
) -> str:
    lines = [f"\n## {title}\n"]
    if schema.get("description") and title != "The file":
        lines.append(_paragraphs(schema["description"]).replace("``", "`") + "\n")
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        section = _definition_of(field, definitions)
        is_section = section is not None
        kind = "section" if is_section else _type(field)
        # Pydantic leaves out a field's description that is the section's own.
        text = _paragraphs(field.get("description") or (section or {}).get("description"))
        default = f"`{json.dumps(defaults[name])}`"
        if name in schema.get("required", []):
            default = "**required**"
        elif is_section:
            default = "see below"
        lines.append(f"| `{name}` | {kind} | {default} | {text.replace('``', '`')} |")
    return "\n".join(lines) + "\n"


def _type(field: dict[str, Any]) -> str:
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field or "oneOf" in field:
        return " or ".join(_type(option) for option in field.get("anyOf") or field["oneOf"])
    kind = "section" if "$ref" in field else str(field.get("type", "any"))
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}"
    bounds = [
        f"{sign} {field[key]}"
        for key, sign in (
            ("exclusiveMinimum", ">"),
            ("minimum", "≥"),
            ("exclusiveMaximum", "<"),
            ("maximum", "≤"),
        )
        if key in field
    ]
    return f"{kind} ({', '.join(bounds)})" if bounds else kind
