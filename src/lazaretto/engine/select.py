"""Which engine a policy asks for, and whether it can be used here."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lazaretto.engine.local import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.engine.base import Engine
    from lazaretto.policy import Policy
    from lazaretto.storage.store import Store


def check_engine(policy: Policy) -> None:
    """Checks that the policy's engine is installed; no cluster is asked.

    Raises:
        PolicyError: it is not; with file and line.

    Examples:
        >>> check_engine(policy)
    """
    if policy.engine_options.name == "ray" and find_spec("ray") is None:
        raise policy.mistake(
            ("engine",),
            "ray is not installed here: pip install 'lazaretto[ray]', or write `engine: local`",
        )


@contextmanager
def open_engine(policy: Policy, store: Store, prefix: str) -> Iterator[Engine]:
    """Opens the engine that the policy names; a cluster is joined when there is work for it.

    Args:
        policy: names it.
        store: where workers find what they read, and leave what comes of it.
        prefix: of the paths in the store where workers leave something; all of it is deleted when
            the engine is closed. No other run has the same.

    Raises:
        PolicyError: it is not installed.

    Examples:
        >>> with open_engine(policy, workspace.store, "batches/vendor/1/work-1") as engine:
        ...     type(engine).__name__
        'LocalEngine'
    """
    check_engine(policy)
    if policy.engine_options.name == "local":
        yield LocalEngine()
        return
    from lazaretto.engine.on_ray import joined

    with joined(policy.engine_options, store, prefix) as engine:
        yield engine
