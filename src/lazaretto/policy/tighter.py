"""What is tighter, key by key: by that a team's policy is compared with its organisation's base."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Place = tuple[str | int, ...]
    Check = Callable[[Any, Any], str | None]

_MODES = ("off", "shadow", "enforce")


def check_of(place: Place) -> Check:
    """How a key's value is compared with the base's: what is to be written instead; None: it fits.

    Examples:
        >>> check_of(("review", "expire_days"))(60, 30)
        'write at most 30, or leave the key out'
    """
    key = ".".join(map(str, place))
    found = (check for pattern, check, _ in RULES if fnmatchcase(key, pattern))
    return next(found, _same)


def said_elsewhere(place: Place, said: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    """Keys of the base that a source's or a tier's own rule would go around.

    Args:
        place: of a key, such as ``("sources", "by_source", "vendor", "hold")``.
        said: what the base says.

    Returns:
        Place and value of the same for all sources, and of what the base says of the tiers: a
        source may be of any.

    Examples:
        >>> place = ("sources", "tiers", "TRUSTED", "hold")
        >>> list(said_elsewhere(place, {"screen": {"hold": "rate"}}))
        [(('screen', 'hold'), 'rate')]
    """
    if len(place) != 4 or place[0] != "sources" or place[1] not in ("tiers", "by_source"):
        return
    key = str(place[3])
    others: list[Place] = [(*_FOR_ALL[key], key)] if key in _FOR_ALL else []
    if place[1] == "by_source":
        others += [("sources", "tiers", tier, key) for tier in _tiers(said)]
    for other in others:
        value: Any = said
        for step in other:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            yield other, value


def shown(value: Any) -> str:
    """A value as YAML writes it, cut to 80 characters.

    Examples:
        >>> shown(True)
        'true'
    """
    text = {True: "true", False: "false", None: "null"}.get(value) if _is_plain(value) else None
    return (text or str(value))[:80]


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


_FOR_ALL: dict[str, Place] = {
    "require_signature": ("sources",),
    "false_quarantine_rate": ("screen",),
    "hold": ("screen",),
    "max_share": ("sources", "quota"),
    "max_class_share": ("sources", "quota"),
}
"""Where a policy says for all sources what `tiers` and `by_source` may say otherwise."""


def _tiers(said: Mapping[str, Any]) -> list[str]:
    sources = said.get("sources")
    tiers = sources.get("tiers") if isinstance(sources, dict) else None
    return list(tiers) if isinstance(tiers, dict) else []


def _same(value: Any, base: Any) -> str | None:
    return None if value == base else "leave the key out"


def _any(_value: Any, _base: Any) -> str | None:
    return None


def _at_most(value: Any, base: Any) -> str | None:
    if base is None or (value is not None and value <= base):
        return None
    return f"write at most {shown(base)}, or leave the key out"


def _at_least(value: Any, base: Any) -> str | None:
    if value is not None and value >= base:
        return None
    return f"write at least {shown(base)}, or leave the key out"


def _at_least_if_said(value: Any, base: Any) -> str | None:
    return None if base is None else _at_least(value, base)


def _stays_false(value: Any, base: Any) -> str | None:
    return None if base or not value else "write false, or leave the key out"


def _stays_true(value: Any, base: Any) -> str | None:
    return None if value or not base else "write true, or leave the key out"


def _in_order(*order: str) -> Check:
    def check(value: Any, base: Any) -> str | None:
        if value in order and order.index(value) >= order.index(base):
            return None
        return f"write {' or '.join(order[order.index(base) :])}, or leave the key out"

    return check


def _action(value: Any, base: Any) -> str | None:
    """Held or dropped, a record does not enter by itself: either is as tight as the other."""
    rank = {"off": 0, "flag": 1, "fix": 2, "hold": 3, "drop": 3}
    if rank.get(value, 3) >= rank.get(base, 3):
        return None
    fitting = [action for action in rank if rank[action] >= rank.get(base, 3)]
    return f"write {' or '.join(fitting)}, or leave the key out"


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


def _fewer_people(value: Any, base: Any) -> str | None:
    if base is None or (value is not None and set(value) <= set(base)):
        return None
    return "name only some of those that the base names, or leave the key out"


def _more(value: Any, base: Any) -> str | None:
    return None if set(base) <= set(value) else "name all that the base names, and more"


RULES: tuple[tuple[str, Check, str], ...] = (
    ("sources.require_signature", _stays_true, "`true` is tighter"),
    ("sources.clock_skew_seconds", _at_most, "lower is tighter"),
    ("sources.places", _fewer, "fewer places, and folders in them, are tighter"),
    ("sources.*.require_signature", _stays_true, "`true` is tighter"),
    ("sources.*.false_quarantine_rate", _at_least, "higher is tighter: more is held"),
    ("sources.*.hold", _in_order("evidence", "rate"), "`rate` is tighter"),
    ("sources.*.review_share", _at_least, "higher is tighter: people see more"),
    ("sources.*.max_share", _at_most, "lower is tighter"),
    ("sources.*.max_class_share", _at_most, "lower is tighter"),
    ("sources.quota.free_records", _at_most, "lower is tighter"),
    (
        "cleaning.*.action",
        _action,
        "`off`, `flag`, `fix`, `hold` or `drop`: later is tighter",
    ),
    ("cleaning.*.across", _stays_true, "`true` is tighter"),
    ("cleaning.*.within", _in_order("off", "keep_first", "all"), "later is tighter"),
    ("cleaning.*.level", _at_least, "higher is tighter: more is found"),
    ("cleaning.*.similarity", _at_most, "lower is tighter: more is found"),
    (
        "cleaning.*.restriction",
        _in_order("moderately", "highly", "single_script"),
        "`moderately`, `highly`, `single_script`: later is tighter",
    ),
    ("cleaning.index_records", _at_least, "higher is tighter: older copies are found"),
    (
        "evolve.extra_columns",
        _in_order("keep", "drop", "hold"),
        "`keep`, `drop`, `hold`: later is tighter",
    ),
    ("evolve.add_columns", _stays_false, "`false` is tighter"),
    ("evolve.widen_types", _stays_false, "`false` is tighter"),
    ("evolve.missing_columns", _in_order("fill", "hold"), "`hold` is tighter"),
    ("admit.window.*", _at_most, "lower is tighter: fewer enter by the admission of another"),
    ("limits.*", _at_most, "lower is tighter"),
    ("columns.payload", _more, "more columns are tighter: reviewers see more"),
    ("columns.groups", _more, "more columns are tighter: each group is looked at"),
    ("screen.false_quarantine_rate", _at_least, "higher is tighter: more is held"),
    ("screen.min_poison_share", _at_most, "lower is tighter: a batch must show smaller shares"),
    ("screen.mode", _in_order("off", "enforce"), "`enforce` is tighter"),
    ("screen.hold", _in_order("evidence", "rate"), "`rate` is tighter: it holds in every batch"),
    ("screen.detectors.*.mode", _in_order(*_MODES), "`off`, `shadow`, `enforce`: later is tighter"),
    ("screen.batch.alpha", _at_least, "higher is tighter: more batches are held"),
    ("screen.batch.hold_when_held_fraction", _at_most, "lower is tighter: held whole earlier"),
    ("screen.batch.max_remaining_share", _at_most, "lower is tighter: held whole earlier"),
    ("screen.batch.tests.*", _in_order(*_MODES), "`off`, `shadow`, `enforce`: later is tighter"),
    ("screen.copies.mode", _in_order(*_MODES), "`off`, `shadow`, `enforce`: later is tighter"),
    ("screen.copies.batches", _at_least, "higher is tighter: more batches are looked at"),
    ("screen.copies.size", _at_most, "lower is tighter: smaller groups are named"),
    ("screen.drift.mode", _in_order(*_MODES), "`off`, `shadow`, `enforce`: later is tighter"),
    ("screen.drift.faults", _in_order(*_MODES), "`off`, `shadow`, `enforce`: later is tighter"),
    ("screen.drift.alpha", _at_least, "higher is tighter: the alarm comes earlier"),
    ("screen.drift.level", _at_least, "higher is tighter: more columns count as drifted"),
    ("screen.small_batches.mode", _in_order("pool", "alone"), "`alone` is tighter: it holds"),
    ("sanitize.false_quarantine_rate", _at_least, "higher is tighter: more is held"),
    ("sanitize.alpha", _at_least, "higher is tighter: more classes fire"),
    ("sanitize.suspect_level", _at_least, "higher is tighter: more classes are searched"),
    ("sanitize.uncalibrated_limit", _at_least, "higher is tighter: more may be held"),
    ("sanitize.methods", _more, "more methods are tighter"),
    ("training.trim_share", _at_least, "higher is tighter: more is left out of a training"),
    ("review.require_two_people", _stays_true, "`true` is tighter"),
    ("review.expire_days", _at_most, "lower is tighter: expiry rejects"),
    ("review.max_weight", _at_most, "lower is tighter"),
    ("columns.slices", _more, "more columns are tighter: each slice is measured"),
    ("model.aliases", _more, "more names are tighter: a promotion alone moves them"),
    ("model.promoters", _fewer_people, "fewer people are tighter; `null` is anybody"),
    ("model.sanitized", _stays_true, "`true` is tighter"),
    ("model.unknown_origin", _in_order("allow", "refuse"), "`refuse` is tighter"),
    ("model.evidence.calibration_error", _at_most, "lower is tighter"),
    ("model.evidence.trigger_success", _at_most, "lower is tighter"),
    ("model.evidence.max_age_days", _at_most, "lower is tighter, and `null`, never, is looser"),
    ("model.evidence.test_sets", _more, "more test files are tighter"),
    ("model.evidence.predictions", _stays_false, "`false` is tighter"),
    (
        "model.evidence.*",
        _at_least_if_said,
        "higher is tighter, and `null`, nothing, is looser than any",
    ),
    ("engine*", _any, "each is as tight: it changes no result"),
    ("retention.*_days", _at_most, "lower is tighter, and `null`, never, is looser than any"),
)
"""Keys by pattern; what is tighter, as a check and in words. Every other key stays as it is."""
