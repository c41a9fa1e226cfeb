"""What keeps loading cheap: names that load when they are used, and fewer garbage collections."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_FIRST_LOOK = 1_000_000
"""New objects, more than are gone again, after which Python looks for garbage."""


class _Package(ModuleType):
    """Its names come from the modules that define them, and stay what they are there.

    To import the file of a function of the same name would put the module in the function's place.
    """

    _homes: Mapping[str, str]

    def __getattr__(self, name: str) -> object:
        if name not in self._homes:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(import_module(self._homes[name]), name)
        super().__setattr__(name, found)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in self._homes and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._homes})


def load_lazily(package: str, homes: Mapping[str, str]) -> None:
    """Makes a package give its names from the modules that define them, when they are asked for.

    Args:
        package: ``__name__`` of the package, in its ``__init__``.
        homes: the module of each name.
    """
    module = sys.modules[package]
    module.__dict__["_homes"] = homes
    module.__class__ = _Package


@contextmanager
def few_collections() -> Iterator[None]:
    """Lets Python look for garbage less often meanwhile.

    Who handles one small delivery mostly loads modules, whose objects stay. By default Python looks
    through them hundreds of times, which is a tenth of all that a delivery takes. Half a million
    objects come into being meanwhile, most of them constants of modules: the first look is later.
    """
    before = gc.get_threshold()
    gc.set_threshold(_FIRST_LOOK, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
