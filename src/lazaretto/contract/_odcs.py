"""Contracts of the Open Data Contract Standard 3 as our rules. Long: all of the standard's.

What says something of records and has no place in our rules is a mistake with its line: nothing
that a contract asks for is passed over. So is what it says of the fields of a record or the values
of a list, because a nested column is judged as a whole. What describes the data, its service or its
price is read by people and says nothing of records.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lazaretto.errors import PolicyError, UsageError
from lazaretto.policy.contract import Rules
from lazaretto.policy.file import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

    from lazaretto.policy.file import YamlFile

Place = tuple[str | int, ...]
_TYPES = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "datetime",
    "object": "struct",
    "array": "list",
}
_BOUNDS = {
    "minimum": "min",
    "maximum": "max",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}
_LENGTHS = {"minLength": "min", "maxLength": "max", "minItems": "min", "maxItems": "max"}
_FORMATS = {f"{sign}{bits}": (sign, bits) for sign in "iu" for bits in (8, 16, 32)}
_NO_CHECK = frozenset({"i64", "u64", "f32", "f64"})
_MUST = (
    "mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan",
    "mustBeLessOrEqualTo", "mustBeBetween", "mustNotBeBetween",
)  # fmt: skip
_METRICS = {
    "nullCheck": "nullValues",
    "uniqueCheck": "duplicateValues",
    "duplicateCount": "duplicateValues",
    "validValues": "invalidValues",
}
"""Names of the same in version 3.0."""
_TIME_LETTERS = frozenset("Hhms")


@dataclass(frozen=True, slots=True)
class Odcs:
    """A contract that was read.

    Attributes:
        file: where it stands.
        form: its rules.
        places: where each column stands in the file.
    """

    file: YamlFile
    form: Rules
    places: dict[str, Place]

    def mistake(self, place: Place, message: str) -> PolicyError:
        """The error for a key of the form, at what it was made of."""
        named = len(place) > 1 and place[0] == "columns"
        return self.file.mistake(self.places[str(place[1])] if named else ("schema",), message)


def rules_of(path: Path) -> Odcs:
    """Reads a contract.

    Args:
        path: of the file; ``file.yaml#name`` takes one of several objects.

    Raises:
        PolicyError: every mistake, and all that cannot be expressed, with file, line and key.
        UsageError: the library is not installed.
    """
    name, _, wanted = path.name.partition("#")
    file = read_yaml(path.with_name(name), "a contract")
    version = str(file.content.get("apiVersion", ""))
    if file.content.get("kind") != "DataContract" or not version.lstrip("v").startswith("3."):
        raise file.mistake(
            ("apiVersion",), "a contract says `apiVersion: v3.0.2` or later, `kind: DataContract`"
        )
    _validate(file)
    return _Reader(file).read(wanted)


def _validate(file: YamlFile) -> None:
    if find_spec("open_data_contract_standard") is None:
        raise UsageError(
            "contract: odcs needs a library: pip install 'lazaretto[odcs]', or write the rules "
            "under `contract: {rules: ...}`"
        )
    from open_data_contract_standard.model import OpenDataContractStandard

    file.validated(OpenDataContractStandard)


class _Reader:
    """Collects rules and mistakes."""

    def __init__(self, file: YamlFile) -> None:
        from open_data_contract_standard import model

        self._file, self._model = file, model
        self._mistakes: list[PolicyError] = []
        self._columns: dict[str, dict[str, Any]] = {}
        self._places: dict[str, Place] = {}
        self._rules: dict[str, Any] = {"columns": self._columns, "unique": []}

    def read(self, wanted: str) -> Odcs:
        objects = self._file.content.get("schema") or []
        chosen = [n for n, one in enumerate(objects) if not wanted or one.get("name") == wanted]
        if len(chosen) != 1:
            names = ", ".join(str(one.get("name")) for one in objects) or "none"
            raise self._file.mistake(
                ("schema",),
                f"a dataset has one object, and there are {names}: write file.yaml#NAME",
            )
        place: Place = ("schema", chosen[0])
        self._object(objects[chosen[0]], place)
        if self._mistakes:
            raise PolicyError("\n".join(str(one) for one in self._mistakes))
        return Odcs(self._file, self._form(place), self._places)

    def _form(self, place: Place) -> Rules:
        try:
            return Rules.model_validate(self._rules)
        except ValidationError as error:
            first = error.errors()[0]
            column = str(first["loc"][1]) if first["loc"][0] == "columns" else ""
            where = self._places.get(column, place)
            raise self._file.mistake(where, str(first["msg"])) from error

    def _no(self, place: Place, message: str) -> None:
        self._mistakes.append(self._file.mistake(place, message))

    def _known(self, said: dict[str, Any], model: type[BaseModel], place: Place) -> None:
        """Keys that the standard does not have are no rules, and may have been meant as some."""
        names = {field.alias or name for name, field in model.model_fields.items()}
        for key in said:
            if key not in names:
                self._no((*place, key), "the standard has no such key")

    def _object(self, said: dict[str, Any], place: Place) -> None:
        self._known(said, self._model.SchemaObject, place)
        if said.get("relationships"):
            self._no((*place, "relationships"), _cannot("exists_in of a column"))
        keys = []
        for number, one in enumerate(said.get("properties") or []):
            here = (*place, "properties", number)
            name = one.get("physicalName") or one.get("name")
            if not name:
                self._no(here, "a property has a name")
                continue
            self._places[name] = here
            self._columns[name] = self._property(one, here)
            if one.get("primaryKey"):
                keys.append((one.get("primaryKeyPosition") or 0, name))
                self._columns[name]["nullable"] = False
                self._columns[name].get("severity", {}).pop("nullable", None)
        if len(keys) == 1:
            self._columns[keys[0][1]]["unique"] = True
            self._columns[keys[0][1]].get("severity", {}).pop("unique", None)
        elif keys:
            self._rules["unique"].append([name for _, name in sorted(keys)])
        for number, one in enumerate(said.get("quality") or []):
            self._quality(one, (*place, "quality", number), None)

    def _property(self, said: dict[str, Any], place: Place) -> dict[str, Any]:
        self._known(said, self._model.SchemaProperty, place)
        column: dict[str, Any] = {"nullable": not said.get("required", False)}
        if said.get("unique"):
            column["unique"] = True
        kind = said.get("logicalType")
        if kind is not None and kind not in _TYPES:
            self._no((*place, "logicalType"), f"{kind!r}: there are {', '.join(_TYPES)}")
        elif kind is not None:
            column["type"] = _TYPES[kind]
        for key, what in (("properties", "fields"), ("items", "values"), ("map", "entries")):
            if said.get(key):
                name = said.get("physicalName") or said.get("name")
                inner = _first_name(said[key])
                self._no(
                    (*place, key),
                    f"column {name!r} is judged as a whole, and what is said of its {what}{inner} "
                    "would be evaluated by nobody: take it out, deliver them as columns of their "
                    "own, or judge them by a check in a pandera model",
                )
        if said.get("relationships"):
            self._no((*place, "relationships"), _cannot("exists_in"))
        if said.get("enum"):
            column["one_of"] = [
                one.get("value") if isinstance(one, dict) else one for one in said["enum"]
            ]
        self._options(said.get("logicalTypeOptions") or {}, (*place, "logicalTypeOptions"), column)
        for number, one in enumerate(said.get("quality") or []):
            self._quality(one, (*place, "quality", number), column)
        return column

    def _options(self, said: dict[str, Any], place: Place, column: dict[str, Any]) -> None:
        length: dict[str, Any] = {}
        # The width of a number counts where no bound is said.
        for key, value in sorted(said.items(), key=lambda item: item[0] == "format"):
            if key in _BOUNDS and not isinstance(value, bool):
                column[_BOUNDS[key]] = value
            elif key in _LENGTHS:
                length[_LENGTHS[key]] = value
            elif key == "pattern":
                column["regex"] = value
            elif key == "format" and value in _FORMATS and column.get("type") == "integer":
                sign, bits = _FORMATS[value]
                column.setdefault("min", -(2 ** (bits - 1)) if sign == "i" else 0)
                column.setdefault("max", 2 ** (bits - (sign == "i")) - 1)
            elif key == "format" and value in _NO_CHECK:
                continue
            elif key == "format" and column.get("type") in ("date", "datetime"):
                if column["type"] == "date" and set(str(value)) & _TIME_LETTERS:
                    column["type"] = "datetime"
            elif key == "uniqueItems" and not value:
                continue
            else:
                self._no((*place, key), _cannot("pattern, or a rule of ours"))
        if length:
            column["length"] = length

    def _quality(self, said: dict[str, Any], place: Place, column: dict[str, Any] | None) -> None:
        self._known(said, self._model.DataQuality, place)
        kind = said.get("type") or ("library" if said.get("metric") or said.get("rule") else "text")
        if kind == "text":
            return  # for people: it asks for nothing that could be evaluated
        metric = str(said.get("metric") or said.get("rule") or "")
        metric = _METRICS.get(metric, metric)
        if kind != "library":
            self._no((*place, "type"), f"{kind!r}: {_cannot('a library metric')}")
            return
        severity = said.get("severity") or "error"
        if severity not in ("error", "warning"):
            self._no((*place, "severity"), f"{severity!r}: write error or warning")
            return
        must = {key: said[key] for key in _MUST if said.get(key) is not None}
        if metric == "rowCount" and column is None:
            self._row_count(must, severity, place)
            return
        if must != {"mustBe": 0} or said.get("unit") not in (None, "rows", "percent"):
            self._no(place, f"{metric or 'a metric'} {must}: only `mustBe: 0` can be expressed")
            return
        arguments = said.get("arguments") or {}
        if not self._metric(metric, arguments, severity, column):
            self._no(
                place,
                f"{metric!r} with {sorted(arguments)}: "
                + _cannot("nullValues, missingValues, duplicateValues, invalidValues or rowCount"),
            )

    def _metric(
        self, metric: str, arguments: dict[str, Any], severity: str, column: dict[str, Any] | None
    ) -> bool:
        """Takes a metric that must be 0; whether it can be expressed."""
        if column is None:
            names = arguments.get("properties")
            if metric != "duplicateValues" or not names or set(arguments) != {"properties"}:
                return False
            self._rules["unique"].append({"columns": names, "severity": severity})
            return True
        found: dict[str, Any]
        match metric, sorted(arguments):
            case "nullValues", []:
                found = {"nullable": False}
            case "duplicateValues", []:
                found = {"unique": True}
            case "missingValues", ["missingValues"]:
                values = arguments["missingValues"]
                found = {"none_of": [value for value in values if value is not None]}
                if None in values:
                    found["nullable"] = False
            case "invalidValues", [*keys] if keys and set(keys) <= {"validValues", "pattern"}:
                names = {"validValues": "one_of", "pattern": "regex"}
                found = {names[key]: value for key, value in arguments.items()}
            case _:
                return False
        # What is asked for already is asked for as an error, whatever is said here.
        found = {key: value for key, value in found.items() if value != []}
        fresh = {key: value for key, value in found.items() if column.get(key) != value}
        if any(key in column and column[key] not in (True, False) for key in fresh):
            return False
        column.update(fresh)
        if severity == "warning" and fresh:
            column.setdefault("severity", {}).update(dict.fromkeys(fresh, severity))
        return True

    def _row_count(self, must: dict[str, Any], severity: str, place: Place) -> None:
        count: dict[str, Any] = {"min": 0, "severity": severity}
        for key, value in must.items():
            match key, value:
                case "mustBe", int():
                    count |= {"min": value, "max": value}
                case "mustBeGreaterThan", int():
                    count["min"] = value + 1
                case "mustBeGreaterOrEqualTo", int():
                    count["min"] = value
                case "mustBeLessThan", int():
                    count["max"] = value - 1
                case "mustBeLessOrEqualTo", int():
                    count["max"] = value
                case "mustBeBetween", [int(), int()]:
                    count |= {"min": value[0], "max": value[1]}
                case _:
                    self._no((*place, key), _cannot("mustBeBetween and whole numbers"))
        self._rules["count"] = count


def _first_name(said: Any) -> str:
    """The first field that is named, for messages."""
    names = [one.get("name") for one in said if isinstance(one, dict)] if type(said) is list else []
    return f", such as {names[0]!r}," if names and names[0] else ""


def _cannot(remedy: str) -> str:
    return (
        f"cannot be expressed as a rule; take it out, or use {remedy} under `contract: {{rules}}`"
    )
