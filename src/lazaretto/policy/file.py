"""Reads a policy file: YAML with the line of every key. Long: one form for every mistake.

Errors read ``file:line: key: message``, with the nearest valid key where one was misspelt. Only
plain YAML is read: no tags, no aliases, no repeated keys; ``yes`` and ``no`` are words.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lazaretto.errors import PolicyError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from lazaretto.policy import Policy
    from lazaretto.policy.extends import Document

    Lines = dict[tuple[str | int, ...], tuple[str, int]]

M = TypeVar("M", bound=BaseModel)
P = TypeVar("P", bound="Policy")

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A YAML file that was read, with the line of every key.

    Attributes:
        name: as it was given.
        content: plain values.
        lines: the line of each key, by its path in the file.
        sha256: of the bytes (hex).
    """

    name: str
    content: dict[str, Any]
    lines: dict[tuple[str | int, ...], int]
    sha256: str

    def mistake(self, place: tuple[str | int, ...], message: str) -> PolicyError:
        """The error for a mistake that only the content shows: ``file:line: key: message``."""
        near = next(place[:n] for n in range(len(place), -1, -1) if place[:n] in self.lines)
        where = ".".join(map(str, place))
        return PolicyError(f"{self.name}:{self.lines[near]}: {where}: {message}")

    def validated(self, model: type[M]) -> M:
        """The content as a model has it.

        Raises:
            PolicyError: every mistake, one per line, as ``file:line: key: message``.
        """
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            lines = {place: (self.name, line) for place, line in self.lines.items()}
            raise PolicyError(_described(model, lines, error.errors())) from error


def read_yaml(path: str | Path, what: str = "a policy") -> YamlFile:
    """Reads a YAML file of ours.

    Args:
        path: of the file.
        what: it is, for messages.

    Raises:
        PolicyError: it cannot be read, or is not plain YAML.
    """
    name = str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PolicyError(f"{name}: cannot be read: {error.strerror}") from error
    return parse_yaml(data, name, what)


def parse_yaml(data: bytes, name: str, what: str) -> YamlFile:
    """The same of bytes that were read.

    Args:
        data: they.
        name: what messages call them.
        what: it is, for messages.

    Raises:
        PolicyError: it is too long, or is not plain YAML.
    """
    if len(data) > _MAX_BYTES:
        raise PolicyError(f"{name}: {len(data):,} bytes; {what} has at most {_MAX_BYTES:,}")
    root = _compose(data, name, what)
    lines: dict[tuple[str | int, ...], int] = {}
    content = _construct(root, (), lines, name)
    return YamlFile(name, content, lines, hashlib.sha256(data).hexdigest())


def read_policy_file(model: type[P], path: str | Path) -> P:
    """Reads and validates a policy.

    Args:
        model: `Policy`.
        path: YAML file.

    Returns:
        The policy, which knows its path and the sha256 of the file's bytes.

    Raises:
        PolicyError: every mistake, one per line, as ``file:line: key: message``.
    """
    file = read_yaml(path)
    if "extends" not in file.content:
        return file.validated(model).loaded_from(file.name, file.sha256, file.lines)
    merged = read_merged(model, path)
    try:
        policy = model.model_validate(merged.content)
    except ValidationError as error:
        raise PolicyError(_described(model, merged.lines, error.errors())) from error
    lines = {place: line for place, (_, line) in merged.lines.items()}
    files = {place: name for place, (name, _) in merged.lines.items() if name != file.name}
    return policy.loaded_from(file.name, file.sha256, lines, files)


def read_merged(model: type[BaseModel], path: str | Path) -> Document:
    """What a policy file and its bases say together, with the file and line of every key.

    Args:
        model: `Policy`.
        path: YAML file.

    Raises:
        PolicyError: one cannot be read, or loosens its base.
    """
    from lazaretto.policy.extends import merge

    return merge(_read_part(model, str(path)), lambda base: _read_part(model, base))


def _read_part(model: type[BaseModel], name: str) -> Document:
    """A base, or what extends one: it may leave out what is required of a policy.

    Raises:
        PolicyError: a key or value is wrong.
    """
    from lazaretto.policy.extends import Document

    file = read_yaml(name)
    lines = {place: (name, line) for place, line in file.lines.items()}
    try:
        model.model_validate(file.content)
    except ValidationError as error:
        wrong = [item for item in error.errors() if not _is_of_the_whole(item)]
        if wrong:
            raise PolicyError(_described(model, lines, wrong)) from error
    return Document(name, file.content, lines)


def _is_of_the_whole(item: ErrorDetails) -> bool:
    """Whether a mistake is one only if nothing else is said: the merged policy is asked again."""
    detectors = item["loc"] == ("screen", "detectors") and item["type"] == "value_error"
    return item["type"] == "missing" or detectors


def _described(model: type[BaseModel], lines: Lines, errors: list[ErrorDetails]) -> str:
    """Every mistake, one per line."""
    found = sorted({_describe(model, item, lines) for item in errors})
    return "\n".join(f"{file}:{line}: {text}" for (file, line), text in found)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's booleans and floats: ``no`` is a word, 1e-3 a number."""


# A copy per resolver: the lists are shared with SafeLoader.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:bool"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _compose(data: bytes, name: str, what: str) -> yaml.Node:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{name}: byte {error.start} is not UTF-8") from error
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            opens = isinstance(event, yaml.CollectionStartEvent)
            depth += 1 if opens else -1 if isinstance(event, yaml.CollectionEndEvent) else 0
            mark = event.start_mark
            line = 1 if mark is None else mark.line + 1
            if depth > _MAX_DEPTH:
                raise PolicyError(f"{name}:{line}: nested deeper than {_MAX_DEPTH} levels")
            if isinstance(event, yaml.AliasEvent):
                raise PolicyError(f"{name}:{line}: aliases (*{event.anchor}) are not read")
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise PolicyError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise PolicyError(f"{name}: not valid YAML: {error_line(error)}") from error
    if not isinstance(root, yaml.MappingNode):
        example = "version: 1" if what == "a policy" else "columns: {}"
        raise PolicyError(f"{name}:1: {what} is a mapping of keys, such as `{example}`")
    return root


def _construct(
    node: yaml.Node, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int], name: str
) -> Any:
    """Plain values of a node; notes the line of each path."""
    lines.setdefault(path, node.start_mark.line + 1)
    if node.tag.startswith("!") or (
        isinstance(node, yaml.CollectionNode) and node.tag.rpartition(":")[2] not in ("map", "seq")
    ):
        line, where = node.start_mark.line + 1, ".".join(map(str, path))
        raise PolicyError(f"{name}:{line}: {where}: tags ({node.tag[:80]}) are not read")
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise PolicyError(f"{name}:{line}: a key is a word, not a list or mapping")
            if key in result:
                first = lines[*path, key]
                where = ".".join(map(str, (*path, key)))
                raise PolicyError(
                    f"{name}:{line}: {where}: repeated; it is on line {first} already"
                )
            lines[*path, key] = line
            result[key] = _construct(value_node, (*path, key), lines, name)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*path, i), lines, name) for i, item in enumerate(node.value)]
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        line, where = node.start_mark.line + 1, ".".join(map(str, path))
        raise PolicyError(f"{name}:{line}: {where}: {node.value[:80]!r} cannot be read") from error


def _describe(
    model: type[BaseModel], item: ErrorDetails, lines: Lines
) -> tuple[tuple[str, int], str]:
    """File and line, and text, of one of pydantic's errors."""
    place: tuple[str | int, ...] = ()
    for number, step in enumerate(item["loc"], 1):
        # pydantic adds the branch of a union to the path; the file has no such key.
        is_missing = item["type"] == "missing" and number == len(item["loc"])
        if (*place, step) in lines or is_missing:
            place = (*place, step)
    line = lines.get(place) or lines.get(place[:-1]) or lines[()]
    where = ".".join(map(str, place)) or "policy"
    message = item["msg"]
    if item["type"] == "extra_forbidden":
        valid = _keys(model, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), valid, n=1, cutoff=0.6)
        message = "unknown key" + (
            f" (did you mean {near[0]!r}?)" if near else f"; there are {', '.join(valid)}"
        )
    elif item["type"] == "missing":
        message = "is required"
    elif item["type"] == "value_error":
        message = str(item["ctx"]["error"])
    elif isinstance(item["input"], str | int | float | bool):
        message = f"{message}, not {str(item['input'])[:80]!r}{_remedy(item)}"
    elif item["type"] == "too_short":
        message += ": name one, or leave the key out"
    return line, f"{where}: {message}"


def _remedy(item: ErrorDetails) -> str:
    """What to write instead, where a value is only written in another way."""
    if item["type"] == "bool_type":
        return ": write true or false"
    if item["type"] in ("int_type", "float_type") and isinstance(item["input"], str):
        return ": write a number, without quotes"
    return ": write it in quotes" if item["type"] == "string_type" else ""


def _keys(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Valid keys of the section at a path."""
    for step in path:
        # A step that is no field is a name that somebody chose, or a place in a list.
        if step in model.model_fields:
            model = next(_models(model.model_fields[str(step)].annotation), model)
    return sorted(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)
