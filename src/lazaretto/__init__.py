"""Lazaretto keeps poisoned data out of machine-learning models.

Everything public is here and loads when it is first used: `import lazaretto` costs nothing, and
works on the base install without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.lazy import load_lazily

if TYPE_CHECKING:
    from lazaretto.activations.capture import capture as capture
    from lazaretto.batch import Batch as Batch
    from lazaretto.batch import open_batch as open_batch
    from lazaretto.errors import DeliveryError as DeliveryError
    from lazaretto.errors import LazarettoError as LazarettoError
    from lazaretto.errors import LedgerError as LedgerError
    from lazaretto.errors import NotFoundError as NotFoundError
    from lazaretto.errors import PolicyError as PolicyError
    from lazaretto.errors import ReferenceMismatchError as ReferenceMismatchError
    from lazaretto.errors import SystemFaultError as SystemFaultError
    from lazaretto.errors import UsageError as UsageError
    from lazaretto.policy import Policy as Policy
    from lazaretto.reference import Reference as Reference
    from lazaretto.sanitize import Sanitization as Sanitization
    from lazaretto.sanitize import sanitize as sanitize
    from lazaretto.screen import Screening as Screening
    from lazaretto.screen import screen as screen
    from lazaretto.stages.registering import register_model as register_model
    from lazaretto.values import Verdict as Verdict

_HOMES = {
    "Batch": "lazaretto.batch",
    "DeliveryError": "lazaretto.errors",
    "LazarettoError": "lazaretto.errors",
    "LedgerError": "lazaretto.errors",
    "NotFoundError": "lazaretto.errors",
    "Policy": "lazaretto.policy",
    "PolicyError": "lazaretto.errors",
    "Reference": "lazaretto.reference",
    "ReferenceMismatchError": "lazaretto.errors",
    "Sanitization": "lazaretto.sanitize",
    "Screening": "lazaretto.screen",
    "SystemFaultError": "lazaretto.errors",
    "UsageError": "lazaretto.errors",
    "Verdict": "lazaretto.values",
    "capture": "lazaretto.activations.capture",
    "open_batch": "lazaretto.batch",
    "register_model": "lazaretto.stages.registering",
    "sanitize": "lazaretto.sanitize",
    "screen": "lazaretto.screen",
}

__all__ = [  # noqa: PLE0604
    *_HOMES,
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name != "__version__":
        raise AttributeError(f"module 'lazaretto' has no attribute {name!r}")
    from importlib.metadata import version

    return version("lazaretto")


load_lazily(__name__, _HOMES)
