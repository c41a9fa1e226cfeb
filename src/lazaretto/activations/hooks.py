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

OUTPUT = ""
"""Name of the model itself, as `torch.nn.Module.named_modules` has it: its output."""


def match_layers(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Names of the modules that match the globs, in the model's own order.

    ``*`` stays within one level of the name, so that ``encoder.layer.*`` are the layers and not
    every part of them; ``**`` stands for any number of levels. `PENULTIMATE` is the default layer,
    unless a module has that name; `OUTPUT` is the model.

    Raises:
        UsageError: a pattern matches nothing; the message names close ones.
    """
    names = [name for name, _ in model.named_modules() if name or OUTPUT in patterns]
    for pattern in patterns:
        if pattern != PENULTIMATE and not any(matches(name, pattern) for name in names):
            close = get_close_matches(pattern, names, n=3) or names[-5:]
            message = (
                f"no layer of the model matches {pattern!r}; similar names: {', '.join(close)}"
            )
            raise UsageError(message)
    found = [name for name in names if any(matches(name, pattern) for pattern in patterns)]
    if PENULTIMATE in patterns and PENULTIMATE not in names:
        found.append(PENULTIMATE)
    return found


def matches(name: str, pattern: str) -> bool:
    """Whether a module's name matches the glob; see `match_layers`."""
    return _fits(name.split("."), pattern.split("."))


def called_layers(names: Sequence[str], patterns: Sequence[str], seen: dict[str, Any]) -> list[str]:
    """Those of `names` that a forward pass called.

    A glob may match parts that never run, such as dropout inside fused attention: they are left
    out.

    Raises:
        UsageError: nothing that a pattern matches was called.
    """
    called = [name for name in names if name in seen]
    silent = [p for p in patterns if not any(matches(name, p) for name in called)]
    if silent:
        message = f"layers {silent} are never called in the model's forward pass"
        raise UsageError(message)
    return called


@contextmanager
def collecting(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Collects the outputs of `layers`; of a layer that is called several times, the last.

    Yields:
        a dict that every forward pass fills anew; clear it between passes.

    Raises:
        UsageError: `PENULTIMATE` of a model without a linear layer.
    """
    seen: dict[str, Any] = {}
    handles: list[RemovableHandle] = []

    def keep(name: str, value: Any) -> None:
        seen[name] = value

    modules = dict(model.named_modules())
    named = [name for name in layers if name in modules]
    handles += [
        modules[name].register_forward_hook(lambda _m, _i, out, name=name: keep(name, out))
        for name in named
    ]
    if len(named) < len(layers):
        linear = [m for m in modules.values() if isinstance(m, nn.Linear)]
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


def _fits(parts: list[str], globs: list[str]) -> bool:
    if not globs:
        return not parts
    if globs[0] == "**":
        return _fits(parts, globs[1:]) or (bool(parts) and _fits(parts[1:], globs))
    return bool(parts) and fnmatchcase(parts[0], globs[0]) and _fits(parts[1:], globs[1:])
