"""What is wrong with a policy beyond its keys: what `reference fit` and `ingest` would refuse.

What a run would load is loaded: contract, encoder, model, and the reference that is stored.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lazaretto.errors import NotFoundError, PolicyError, UsageError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace

_KEY = re.compile(r"((?:columns|contract|embed|screen|sources)(?:\.\w+)+)[:,]? ")


def check_policy(policy: Policy, *, files: bool = True) -> None:
    """Checks encoder, detectors, engine, contract and places.

    Detectors by their names always; their options as far as what they are made of is installed.

    Args:
        policy: as it was read.
        files: whether contract, encoder and places are looked at, which may be files of this
            machine and code.

    Raises:
        PolicyError: every mistake, one per line, as ``file:line: key: message``.
    """
    from lazaretto.embed import check_embed
    from lazaretto.engine import check_engine

    found = list[str]()
    if files and policy.screen.runs:
        found += _told(lambda: check_embed(policy))
    if policy.screen.runs:
        found += _detectors(policy, alone=bool(found))
    if files:
        found += _told(lambda: check_engine(policy))
        found += _told(lambda: _check_contract(policy))
        found += _told(lambda: _check_places(policy))
    if files and not found and policy.screen.runs:
        found += _told(lambda: _check_encoder(policy))
    if found:
        raise PolicyError("\n".join(found))


def _detectors(policy: Policy, *, alone: bool) -> list[str]:
    """Mistakes about detectors; each by itself, and without a mistake also all together."""
    found = list[str]()
    for name in policy.screen.detectors:
        found += _told(lambda name=name: _check_detector(policy, name))  # type: ignore[misc]
    return found or ([] if alone else _told(lambda: _check_together(policy)))


def check_reference(workspace: Workspace, policy: Policy) -> str | None:
    """Loads the reference that a policy names, and compares, as a run would.

    Args:
        workspace: catalog and store.
        policy: that `check_policy` has passed.

    Returns:
        Why no run can be made yet, in words, where nothing is wrong with the policy; None: one can.

    Raises:
        PolicyError: a run would refuse the policy.
        SystemFaultError: catalog or store cannot be used.
    """
    from lazaretto.registry.references import find_reference, load_stored

    if not policy.screen.runs:
        return None
    named = policy.screen.reference or policy.dataset
    try:
        stored = find_reference(workspace, named)
    except NotFoundError as error:
        if named != policy.dataset:  # which is what `reference fit` makes, named or not
            raise policy.mistake(("screen", "reference"), str(error)) from error
        return f"not yet: {error}"
    if find_spec("torch") is None:
        return "cannot say: screening is not installed: pip install 'lazaretto[detect]'"
    from lazaretto.screen.fits import require_fit

    try:
        reference = load_stored(workspace, stored)
    except UsageError as error:
        raise policy.mistake(("screen", "reference"), str(error)) from error
    try:
        require_fit(reference, policy)
    except UsageError as error:
        raise _placed(policy, ("embed", "encoder"), error) from error
    return None


def _told(check: Callable[[], None]) -> list[str]:
    try:
        check()
    except UsageError as error:
        return [str(error)]
    return []


def _placed(policy: Policy, default: tuple[str, ...], error: Exception) -> PolicyError:
    """An error that names a key in its words, or none, with the line of that key."""
    text = str(error)
    found = _KEY.match(text)
    if isinstance(error, PolicyError) and not found:
        return error
    place = default if found is None else tuple(found.group(1).split("."))
    said_by_key = found is not None and text[found.end(1)] == ":"
    return policy.mistake(place, text[found.end() :] if found and said_by_key else text)


def _check_contract(policy: Policy) -> None:
    from lazaretto.contract import contract_of

    try:
        contract_of(policy)
    except PolicyError:  # it names its line
        raise
    except UsageError as error:
        text = str(error).removeprefix(f"contract {policy.contract!r}").lstrip(": ")
        if text.startswith("no file"):
            text += ": a relative path starts at the policy's folder"
        raise policy.mistake(("contract",), text) from error


def _check_places(policy: Policy) -> None:
    from lazaretto.batch._places import places_for

    try:
        places_for(policy, "source", required=False)
    except UsageError as error:
        text = str(error).removeprefix("sources.places: ")
        raise policy.mistake(("sources", "places"), text) from error


def _check_encoder(policy: Policy) -> None:
    """Loads the encoder; one that the reference fits is loaded with it."""
    from lazaretto.embed import is_fitted, load_encoder

    if is_fitted(policy):
        return
    try:
        load_encoder(policy)
    except UsageError as error:
        raise _placed(policy, ("embed", "model"), error) from error
    except Exception as error:  # whatever somebody's own module raises
        text = f"cannot be loaded: {error_line(error)}"
        raise policy.mistake(("embed", "model"), text) from error


def _check_detector(policy: Policy, name: str) -> None:
    from lazaretto.detect.registry import NEED_LABELS, detector_names, make_detector

    place: tuple[str, ...] = ("screen", "detectors", name)
    config = policy.screen.detectors[name]
    if config.mode == "off" and name in detector_names():
        return
    needs_label = name in NEED_LABELS
    if find_spec("sklearn") is not None or name not in detector_names():
        try:
            needs_label = "label" in make_detector(name, config.options).requires
        except UsageError as error:
            text = str(error)
            # It names the detector, or one of its options, or only the section.
            for head in (f"screen.detectors.{name}: ", "screen.detectors: "):
                text = text.removeprefix(head)
            if text.startswith(option := f"screen.detectors.{name}."):
                key, _, text = text.removeprefix(option).partition(": ")
                place = (*place, key)
            raise policy.mistake(place, text) from error
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
