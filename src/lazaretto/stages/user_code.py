"""Functions that whoever runs a pipeline names; data and deliveries never name one."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from lazaretto.errors import UsageError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable


def resolve(path: str, what: str) -> Callable[..., Any]:
    """The function at ``module:function``.

    Args:
        path: import path; from the policy, the command line or the DAG.
        what: the option that names it.

    Raises:
        UsageError: it cannot be imported, or is no function.
    """
    try:
        found = resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{what} {path!r} cannot be imported: {error_line(error)}") from error
    if not callable(found):
        raise UsageError(f"{what} {path!r} is not a function")
    return found  # type: ignore[no-any-return]


def model_inputs(inputs: Any) -> Any:
    """What a model reads: ``module:function`` becomes that function, a column's name stays."""
    if isinstance(inputs, str) and ":" in inputs:
        return resolve(inputs, "inputs")
    return inputs
