"""``extends:`` an organisation's base, which a team's policy may tighten, and not loosen.

What the base says binds; what it leaves out is the team's. `RULES` says for each key what is
tighter. A key that is not named there has to stay what the base says.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785

from lazaretto.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Place = tuple[str | int, ...]
    Check = Callable[[Any, Any], str | None]

MOST_BASES = 8
"""A base may extend another one, so often."""
_MODES = ("off", "shadow", "enforce")
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

    said = _together({}, base.content)
    said.pop("extends", None)
    contract = said.get("contract")
    if isinstance(contract, str) and ".py:" in contract:
        file, _, model = contract.rpartition(":")
        said["contract"] = f"{moved(file)}:{model}"
    embed: dict[str, Any] = dict(said.get("embed") or {})
    weights = embed.get("model")
    if isinstance(weights, str) and (own / weights).exists():
        said["embed"] = embed | {"model": moved(weights)}
    sources: dict[str, Any] = dict(said.get("sources") or {})
    if isinstance(sources.get("places"), list):
        places = [text if "://" in text else moved(text) for text in sources["places"]]
        said["sources"] = sources | {"places": places}
    return said


def _loosened(
    own: Mapping[str, Any], said: Mapping[str, Any], at: Place, policy: Document, base: Document
) -> Iterator[str]:
    """What a policy loosens, each as a line of an error."""
    for key, value in own.items():
        place = (*at, key)
        detector = at == ("screen", "detectors")
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
        remedy = _check_of(place)(value, before)
        if remedy is not None:
            yield _line(policy, base, place, value, before, remedy)


def _line(
    policy: Document, base: Document, place: Place, value: Any, before: Any, remedy: str
) -> str:
    file, line = policy.lines[place]
    there = next(
        base.lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in base.lines
    )
    was = "not set" if before is None else _shown(before)
    return (
        f"{file}:{line}: {'.'.join(map(str, place))}: {_shown(value)} loosens what the base says "
        f"({was}, {there[0]}:{there[1]}): {remedy}"
    )


def _shown(value: Any) -> str:
    text = {True: "true", False: "false", None: "null"}.get(value) if _is_plain(value) else None
    return (text or str(value))[:80]


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _same(value: Any, base: Any) -> str | None:
    return None if value == base else "leave the key out"


def _at_most(value: Any, base: Any) -> str | None:
    if base is None or (value is not None and value <= base):
        return None
    return f"write at most {_shown(base)}, or leave the key out"


def _at_least(value: Any, base: Any) -> str | None:
    return None if value >= base else f"write at least {_shown(base)}, or leave the key out"


def _stays_true(value: Any, base: Any) -> str | None:
    return None if value or not base else "write true, or leave the key out"


def _in_order(*order: str) -> Check:
    def check(value: Any, base: Any) -> str | None:
        if order.index(str(value)) >= order.index(str(base)):
            return None
        return f"write {' or '.join(order[order.index(str(base)) :])}, or leave the key out"

    return check


def _fewer(value: Any, base: Any) -> str | None:
    """Each place is one of the base's, or lies below one."""
    if base is None:
        return None
    below = [text.rstrip("/") for text in base]
    inside = all(
        any(text == one or text.startswith(f"{one}/") for one in below) and ".." not in rest
        for text in value or ["/"]
        for rest in [text.split("/")[_ups(text) :]]
    )
    return None if inside else "name only places of the base, or folders in them"


def _ups(text: str) -> int:
    """How many parts lead up, at the beginning of a relative path."""
    parts = text.split("/")
    return next((n for n, part in enumerate(parts) if part != ".."), len(parts))


def _more(value: Any, base: Any) -> str | None:
    return None if set(base) <= set(value) else "name all that the base names, and more"


RULES: tuple[tuple[str, Check, str], ...] = (
    ("sources.require_signature", _stays_true, "`true` is tighter"),
    ("sources.clock_skew_seconds", _at_most, "lower is tighter"),
    ("sources.places", _fewer, "fewer places, and folders in them, are tighter"),
    ("limits.*", _at_most, "lower is tighter"),
    ("columns.payload", _more, "more columns are tighter: reviewers see more"),
    ("screen.false_quarantine_rate", _at_least, "higher is tighter: more is held"),
    ("screen.min_poison_share", _at_most, "lower is tighter: a batch must show smaller shares"),
    ("screen.hold", _in_order("evidence", "rate"), "`rate` is tighter: it holds in every batch"),
    ("screen.detectors.*.mode", _in_order(*_MODES), "`off`, `shadow`, `enforce`: later is tighter"),
    ("screen.batch.alpha", _at_least, "higher is tighter: more batches are held"),
    ("screen.batch.hold_when_held_fraction", _at_most, "lower is tighter: held whole earlier"),
    ("screen.batch.tests.*", _in_order(*_MODES), "`off`, `shadow`, `enforce`: later is tighter"),
    ("screen.drift.mode", _in_order(*_MODES), "`off`, `shadow`, `enforce`: later is tighter"),
    ("screen.drift.alpha", _at_least, "higher is tighter: the alarm comes earlier"),
    ("screen.drift.level", _at_least, "higher is tighter: more columns count as drifted"),
    ("screen.small_batches.mode", _in_order("pool", "alone"), "`alone` is tighter: it holds"),
    ("sanitize.false_quarantine_rate", _at_least, "higher is tighter: more is held"),
    ("sanitize.alpha", _at_least, "higher is tighter: more classes fire"),
    ("sanitize.suspect_level", _at_least, "higher is tighter: more classes are searched"),
    ("sanitize.uncalibrated_limit", _at_least, "higher is tighter: more may be held"),
    ("sanitize.methods", _more, "more methods are tighter"),
    ("review.require_two_people", _stays_true, "`true` is tighter"),
    ("review.expire_days", _at_most, "lower is tighter: expiry rejects"),
    ("review.max_weight", _at_most, "lower is tighter"),
    ("retention.*_days", _at_most, "lower is tighter, and `null`, never, is looser than any"),
)
"""Keys by pattern; what is tighter, as a check and in words. Every other key stays as it is."""


def _check_of(place: Place) -> Check:
    key = ".".join(map(str, place))
    found = (check for pattern, check, _ in RULES if fnmatchcase(key, pattern))
    return next(found, _same)
