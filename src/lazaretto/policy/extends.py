"""``extends:`` an organisation's base, which a team's policy may tighten, and not loosen.

What the base says binds; what it leaves out is the team's. `lazaretto.policy.tighter`
says for each key what is tighter. A key that is not named there has to stay what the base says.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785

from lazaretto.errors import PolicyError
from lazaretto.policy.tighter import check_of, said_elsewhere, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lazaretto.policy.tighter import Place

MOST_BASES = 8
"""A base may extend another one, so often."""
_DETECTOR = {"mode": "enforce", "weight": 1.0}
"""What a base says of a detector that it names, where it says nothing else."""


@dataclass(frozen=True, slots=True)
class Document:
    """A policy file as it was read, or what it and its bases say together.

    Attributes:
        name: of the file.
        content: its keys.
        lines: of each key, by its path: the file and the line.
        bases: files that it extends, the nearest first.
    """

    name: str
    content: dict[str, Any]
    lines: dict[Place, tuple[str, int]]
    bases: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """sha256 (hex) of what it says: comments, order and layout do not count."""
        return hashlib.sha256(rfc8785.dumps(self.content)).hexdigest()


def merge(
    document: Document, read: Callable[[str], Document], seen: tuple[Path, ...] = ()
) -> Document:
    """A policy with all that its bases say.

    Args:
        document: the policy.
        read: reads a file, and refuses what is wrong in it.
        seen: files that extend one another down to this one.

    Raises:
        PolicyError: the base is no file of this machine, extends itself, is another one than the
            policy says, or says something that the policy loosens; every mistake, with both lines.
    """
    asked = document.content.get("extends")
    if asked is None:
        return document
    way = (*seen, Path(document.name).resolve())
    name, pinned = _asked(document, asked)
    path = Path(document.name).parent / name
    if path.resolve() in way:
        raise _mistake(document, "a base cannot extend itself: leave one `extends` out")
    if len(way) > MOST_BASES:
        raise _mistake(document, f"more than {MOST_BASES} bases extend one another: merge some")
    if not path.is_file():
        raise _mistake(document, f"there is no file {str(path)!r}: write its path from here")
    base = merge(read(str(path)), read, way)
    if pinned is not None and pinned != base.digest:
        raise _mistake(
            document,
            f"{name} says something else than what was pinned: its sha256 is {base.digest}. Look "
            "at what changed, then write that",
        )
    said = _from_here(base, Path(document.name).parent)
    own = {key: value for key, value in document.content.items() if key != "extends"}
    found = list(_loosened(own, said, (), document, base))
    if found:
        raise PolicyError("\n".join(found))
    content = _together(said, own) | {"extends": {"file": name, "sha256": base.digest}}
    return Document(document.name, content, base.lines | document.lines, [str(path), *base.bases])


def _asked(document: Document, asked: Any) -> tuple[str, str | None]:
    """The base's file, and its digest where the policy pins it."""
    name, pinned = asked, None
    if isinstance(asked, dict) and set(asked) <= {"file", "sha256"}:
        name, pinned = asked.get("file"), asked.get("sha256")
    if not isinstance(name, str) or not name or (pinned is not None and type(pinned) is not str):
        raise _mistake(document, "write the base's file, such as `extends: ../base.yaml`")
    if "://" in name:
        raise _mistake(
            document,
            "a base is a file of this machine: what decides admission is not fetched from "
            "elsewhere. Keep a copy beside the policy",
        )
    return name, pinned


def _mistake(document: Document, text: str) -> PolicyError:
    file, line = document.lines[("extends",)]
    return PolicyError(f"{file}:{line}: extends: {text}")


def _together(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of both; where both have a section, its keys."""
    merged = dict(base)
    for key, value in own.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = _together(before, value) if both else value  # type: ignore[arg-type]
    return merged


def _from_here(base: Document, folder: Path) -> dict[str, Any]:
    """What a base says, its relative files and places as seen from the policy's folder."""
    own = Path(base.name).parent

    def moved(text: str) -> str:
        return text if Path(text).is_absolute() else os.path.relpath(own / text, folder)

    def there(named: object) -> bool:
        return isinstance(named, str) and (own / named).exists()

    said = _together({}, base.content)
    said.pop("extends", None)
    if said.get("contract") is not None:
        said["contract"] = _moved_contract(said["contract"], moved, own)
    embed: dict[str, Any] = dict(said.get("embed") or {})
    options = embed.get("options")
    if there(embed.get("model")):
        said["embed"] = embed = embed | {"model": moved(embed["model"])}
    if isinstance(options, dict) and there(options.get("base")):
        said["embed"] = embed | {"options": options | {"base": moved(options["base"])}}
    sources: dict[str, Any] = dict(said.get("sources") or {})
    if isinstance(sources.get("places"), list):
        places = [text if "://" in text else moved(text) for text in sources["places"]]
        said["sources"] = sources | {"places": places}
    return said


def _moved_contract(contract: Any, moved: Callable[[str], str], own: Path) -> Any:
    """A contract, its files as seen from elsewhere."""
    if isinstance(contract, str):
        file, _, model = contract.rpartition(":")
        return f"{moved(file)}:{model}" if file.endswith(".py") else contract
    if not isinstance(contract, dict):
        return contract
    said = dict(contract)
    if isinstance(said.get("pandera"), str):
        said["pandera"] = _moved_contract(said["pandera"], moved, own)
    for form in ("rules", "odcs", "gx", "great_expectations"):
        value = said.get(form)
        if isinstance(value, str):
            said[form] = moved(value)
        elif isinstance(value, dict) and form != "rules":
            found = {
                key: moved(value[key])
                for key in ("context", "suite")
                if isinstance(value.get(key), str) and (own / value[key]).exists()
            }
            said[form] = value | found
    columns = said["rules"].get("columns") if isinstance(said.get("rules"), dict) else None
    if isinstance(columns, dict):
        said["rules"] = said["rules"] | {
            "columns": {name: _moved_lookup(rules, moved) for name, rules in columns.items()}
        }
    return said


def _moved_lookup(rules: Any, moved: Callable[[str], str]) -> Any:
    elsewhere = rules.get("exists_in") if isinstance(rules, dict) else None
    if not isinstance(elsewhere, dict) or not isinstance(elsewhere.get("file"), str):
        return rules
    return rules | {"exists_in": elsewhere | {"file": moved(elsewhere["file"])}}


def _loosened(
    own: Mapping[str, Any], said: Mapping[str, Any], at: Place, policy: Document, base: Document
) -> Iterator[str]:
    """What a policy loosens, each as a line of an error."""
    for key, value in own.items():
        place = (*at, key)
        detector = at == ("screen", "detectors")
        if not isinstance(value, dict):
            yield from _around(place, value, policy, base)
        if isinstance(value, dict) and at[:1] == ("sources",) and key not in said:
            yield from _loosened(value, {}, place, policy, base)
            continue
        if key not in said:
            if at[:2] == ("screen", "detectors") and len(at) == 3:  # an option of a base's detector
                yield _line(policy, base, place, value, None, "leave it out")
            continue
        before = said[key]
        if detector and isinstance(before, dict) and isinstance(value, dict):
            before = _DETECTOR | before
        if isinstance(before, dict) and isinstance(value, dict):
            yield from _loosened(value, before, place, policy, base)
            continue
        remedy = check_of(place)(value, before)
        if remedy is not None:
            yield _line(policy, base, place, value, before, remedy)


def _around(place: Place, value: Any, policy: Document, base: Document) -> Iterator[str]:
    """What a rule for a tier or a source loosens of what the base says for more of them."""
    for other, before in said_elsewhere(place, base.content):
        remedy = check_of(place)(value, before)
        if remedy is not None:
            yield _line(policy, base, place, value, before, remedy, other)


def _line(
    policy: Document,
    base: Document,
    place: Place,
    value: Any,
    before: Any,
    remedy: str,
    other: Place | None = None,
) -> str:
    file, line = policy.lines[place]
    at = place if other is None else other
    there = next(base.lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in base.lines)
    was = "not set" if before is None else shown(before)
    return (
        f"{file}:{line}: {'.'.join(map(str, place))}: {shown(value)} loosens what the base says "
        f"({was}, {there[0]}:{there[1]}): {remedy}"
    )
