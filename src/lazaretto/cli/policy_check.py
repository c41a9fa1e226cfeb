"""What is wrong with a policy beyond its keys: what `reference fit` and `ingest` would refuse."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from lazaretto.errors import PolicyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.policy import Policy


def check_policy(policy: Policy) -> None:
    """Checks encoder and detectors.

    Detectors by their names always; their options as far as what they are made of is installed.

    Raises:
        PolicyError: every mistake, one per line, as ``file:line: key: message``.
    """
    from lazaretto.embed import check_embed

    found = _told(lambda: check_embed(policy))
    for name in policy.screen.detectors:
        found += _told(lambda name=name: _check_detector(policy, name))  # type: ignore[misc]
    if not found:
        found += _told(lambda: _check_together(policy))
    if found:
        raise PolicyError("\n".join(found))


def _told(check: Callable[[], None]) -> list[str]:
    try:
        check()
    except UsageError as error:
        return [str(error)]
    return []


def _check_detector(policy: Policy, name: str) -> None:
    from lazaretto.detect.registry import NEED_LABELS, detector_names, make_detector

    place, config = ("screen", "detectors", name), policy.screen.detectors[name]
    if config.mode == "off" and name in detector_names():
        return
    needs_label = name in NEED_LABELS
    if find_spec("sklearn") is not None or name not in detector_names():
        try:
            needs_label = "label" in make_detector(name, config.options).requires
        except UsageError as error:
            head = f"screen.detectors.{name}: "
            raise policy.mistake(place, str(error).removeprefix(head)) from error
    asked = "detectors" in policy.screen.model_fields_set
    if needs_label and asked and policy.columns.label is None:
        raise policy.mistake(
            place, "it compares labels, and the policy names none: add columns.label, or mode: off"
        )


def _check_together(policy: Policy) -> None:
    """What a reference asks of all detectors together."""
    from lazaretto.reference._fit import usable_detectors

    if find_spec("sklearn") is None:
        return
    try:
        usable_detectors(policy)
    except UsageError as error:
        message = str(error).removeprefix("screen.detectors: ")
        raise policy.mistake(("screen", "detectors"), message) from error
