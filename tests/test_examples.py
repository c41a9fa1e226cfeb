"""Every public function has an example in its docstring, and every example works.

The examples are on the pages operators.md and python.md, too.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import example_setup
import pytest
from yard import make_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
ROOMS = ("src/lazaretto", "operators", "lineage", "plugins")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# Public functions without an example, and why.
WITHOUT = {
    "lazaretto.lineage:import_mlflow": "needs a server; tests/lineage/test_from_mlflow.py has one",
    "lazaretto.cli:main": "the command line; docs/reference/cli.md has it, and the pages run it",
    "lazaretto.demo:run_demo": "takes a minute; tests/e2e runs it, and so does `make demo`",
}
# Classes that people make, so that they need an example as functions do. Others are returned by
# functions, whose examples show them.
MADE = {"Policy", "Reference"}


def module_name(path: Path) -> str:
    """As it is imported."""
    for room in ROOMS:
        if path.is_relative_to(ROOT / room):
            parts = ["lazaretto", *path.relative_to(ROOT / room).with_suffix("").parts]
            parts[1:1] = [] if room == "src/lazaretto" else [room]
            return ".".join(parts).removesuffix(".__init__")
    raise LookupError(path)


def examples() -> Iterator[Any]:
    """Each module that has examples."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if ">>>" in path.read_text("utf-8"):
                marks = [pytest.mark.airflow] if room in ("operators", "plugins") else []
                yield pytest.param(module_name(path), marks=marks)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("examples")
    return folder, example_setup.prepare(folder)


@pytest.mark.parametrize("module", list(examples()))
def test_the_examples_work(
    module: str,
    prepared: tuple[Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if module.startswith(("lazaretto.operators", "lazaretto.plugins")):
        import airflow_environment

        airflow_environment.use()
    loaded = importlib.import_module(module)
    tests = [t for t in doctest.DocTestFinder().find(loaded, module) if t.examples]
    assert tests, "examples that no test finds: of something that is not a function or class?"
    failed = []
    for number, test in enumerate(tests):
        folder = tmp_path / str(number)
        shutil.copytree(prepared[0], folder)
        monkeypatch.chdir(folder)
        workspace = example_setup.reopen(folder)
        test.globs |= {
            **prepared[1],
            "workspace": workspace,
            "policy": make_policy(dataset="reviews"),
        }
        printed: list[str] = []
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        if runner.run(test, out=printed.append).failed:
            failed.append("".join(printed))
        workspace.catalog.engine.dispose()
    assert not failed, "\n".join(failed)


def public() -> Iterator[tuple[str, Any]]:
    """What each package exports and what docs/reference/python.md lists, once each."""
    seen: set[int] = set()
    names: list[tuple[str, str]] = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("__init__.py")):
            module = module_name(path)
            names += [
                (module, name) for name in getattr(importlib.import_module(module), "__all__", ())
            ]
    sys.path.insert(0, str(ROOT / "docs/generate"))
    try:
        import api_page
    finally:
        sys.path.remove(str(ROOT / "docs/generate"))
    names += list(api_page.public_names())
    for module, name in names:
        found = getattr(importlib.import_module(module), name)
        if id(found) not in seen:
            seen.add(id(found))
            yield f"{module}:{name}", found


@pytest.mark.airflow
def test_every_public_function_has_an_example() -> None:
    import airflow_environment

    airflow_environment.use()
    bare = set()
    for name, found in public():
        is_made = inspect.isclass(found) and (
            found.__name__ in MADE or found.__module__.startswith("lazaretto.operators.")
        )
        if not (inspect.isfunction(found) or is_made):
            continue
        shown = [found, *vars(found).values()] if is_made else [found]
        if not any(">>>" in (getattr(one, "__doc__", None) or "") for one in shown):
            bare.add(name)
    assert bare - set(WITHOUT) == set()
    assert set(WITHOUT) <= bare, "it has one now"
