"""Find layers by name or glob and collect what flows through them during a forward pass."""

from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from torch import nn

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch.utils.hooks import RemovableHandle

PENULTIMATE = "penultimate"
"""Name of the default layer: what goes into the linear layer that is called last."""


def match_layers(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Names of the modules that match the globs, in the model's own order.

    Raises:
        UsageError: a pattern matches nothing; the message names close ones.
    """
    names = [name for name, _ in model.named_modules() if name]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            close = get_close_matches(pattern, names, n=3) or names[-5:]
            message = f"no layer of the model matches {pattern!r}; near are {', '.join(close)}"
            raise UsageError(message)
    return [n for n in names if any(fnmatchcase(n, pattern) for pattern in patterns)]


@contextmanager
def collecting(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Collects the outputs of `layers`; of a layer that is called several times, the last.

    With no layers, collects what goes into the linear layer that is called last, as `PENULTIMATE`.

    Yields:
        a dict that every forward pass fills anew; clear it between passes.
    """
    seen: dict[str, Any] = {}
    handles: list[RemovableHandle] = []

    def keep(name: str, value: Any) -> None:
        seen[name] = value

    if layers:
        modules = dict(model.named_modules())
        handles += [
            modules[name].register_forward_hook(lambda _m, _i, out, name=name: keep(name, out))
            for name in layers
        ]
    else:
        linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
        if not linear:
            message = "the model has no linear layer to take the input of; name layers to capture"
            raise UsageError(message)
        handles += [
            m.register_forward_pre_hook(lambda _m, inputs: keep(PENULTIMATE, inputs[0]))
            for m in linear
        ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
