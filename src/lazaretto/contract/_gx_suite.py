"""A suite of Great Expectations, made of its file and checked before anything is judged by it."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lazaretto.contract._gx_files import read_suite
from lazaretto.contract._gx_rules import reads_named, rules_of, type_of
from lazaretto.errors import UsageError
from lazaretto.faults import how_to_install
from lazaretto.policy.folder import importing_from
from lazaretto.redact import error_line
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lazaretto.contract._gx_files import SuiteSpec
    from lazaretto.contract._gx_rules import Rule

_OTHER_TABLES = frozenset({"expect_table_row_count_to_equal_other_table"})
"""What pandas has no second table for; Great Expectations finds out when it runs."""
_OURS = ("result_format", "catch_exceptions", "batch_id")
"""How an expectation is run: that is for us to say."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Expectations that can be judged by.

    Attributes:
        rules: in order.
    """

    rules: tuple[Rule, ...]


def load_suite(spec: SuiteSpec, base: Path | None) -> tuple[Suite, str]:
    """Loads the suite that a policy's contract names.

    Args:
        spec: what the policy says.
        base: folder that relative paths and modules start from.

    Returns:
        Suite and digest.

    Raises:
        UsageError: it is not there; or an expectation is unknown, wrong, or needs what there is
            not, such as a database. All that are wrong are named.
    """
    file = read_suite(spec, base)
    _import(spec, base)
    parameters = file.content.get("suite_parameters") or {}
    suite = make_suite(
        file.content["expectations"],
        parameters={**parameters, **spec.parameters},
        called=f"contract {spec.name!r}: {file.path}",
    )
    return suite, file.digest


def make_suite(entries: list[dict[str, Any]], *, parameters: dict[str, Any], called: str) -> Suite:
    """A suite of what a file says.

    Args:
        entries: ``type``, ``kwargs`` and what else an expectation has.
        parameters: values of its parameters.
        called: what errors begin with.

    Raises:
        UsageError: as `load_suite`.
    """
    if not entries:
        raise UsageError(f"{called}: it has no expectations, so that it checks nothing")
    found, wrong = [], []
    with silence():
        for number, entry in enumerate(entries, start=1):
            try:
                expectation = _expectation(entry, parameters)
                why = unsupported(expectation)
            except UsageError as error:
                why = str(error)
            except Exception as error:
                # What pydantic says of an argument is on the lines after the first.
                why = error_line(error, limit=400)
            if why:
                kind = excerpt(entry.get("type", "without a type"), 100)
                wrong.append(f"{called}: expectation {number} ({kind}): {why}")
            else:
                found.append((expectation, entry.get("kwargs", {})))
        if wrong:
            raise UsageError("\n".join(wrong))
        return Suite(tuple(rules_of(found)))


def unsupported(expectation: Any) -> str | None:
    """Why an expectation cannot be judged here; None where it can.

    Nothing is judged: Great Expectations says what it would compute, and whether it has that for
    pandas.
    """
    import pandas as pd
    from great_expectations.exceptions.exceptions import MetricProviderError
    from great_expectations.execution_engine.pandas_execution_engine import (
        PandasExecutionEngine,
    )
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    if getattr(expectation, "windows", None):
        return "it has windows over earlier results, which only GX Cloud keeps"
    if type_of(expectation) in _OTHER_TABLES:
        return "it needs another table of a database; remove it from the suite"
    engine = PandasExecutionEngine()
    reads = reads_named(expectation) or ()
    engine.load_batch_data("batch", pd.DataFrame({name: [] for name in reads}, dtype=object))
    try:
        needed = expectation.get_validation_dependencies(execution_engine=engine)
        MetricsCalculator(execution_engine=engine).build_metric_dependency_graph(
            metric_configurations=needed.get_metric_configurations(), runtime_configuration={}
        )
    except MetricProviderError as error:
        return (
            "it needs a database: Great Expectations cannot run it on a table in memory "
            f"({error_line(error)}); remove it from the suite"
        )
    return None


@contextmanager
def silence() -> Iterator[None]:
    """Without what Great Expectations would log, and without warnings of what it calls."""
    import logging
    import warnings

    logger = logging.getLogger("great_expectations")
    before = logger.disabled, logger.propagate, logger.level
    handlers = list(logger.handlers)
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.handlers = handlers
        logger.disabled, logger.propagate, logger.level = before


def _import(spec: SuiteSpec, base: Path | None) -> None:
    """Great Expectations with its own expectations, and the team's."""
    if "great_expectations" not in sys.modules:
        # Versions before 1.24 would send usage statistics.
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
    try:
        with silence():
            importlib.import_module("great_expectations.expectations")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"contract {spec.name!r}: Great Expectations is not installed: {how_to_install(error)}"
        ) from error
    for name in spec.modules:
        try:
            with importing_from(base):
                importlib.import_module(name)
        except Exception as error:
            raise UsageError(
                f"contract {spec.name!r}: importing {name} raised {error_line(error)}"
            ) from error


def _expectation(entry: dict[str, Any], parameters: dict[str, Any]) -> Any:
    """The expectation that an entry says, with values for its parameters.

    Raises:
        Exception: it is none.
    """
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    kind, kwargs = entry.get("type"), entry.get("kwargs", {})
    if kind not in list_registered_expectation_implementations():
        raise UsageError(
            "there is no such expectation; name the module of your own ones as `modules` of "
            "the contract"
        )
    if not isinstance(kwargs, dict):
        raise UsageError("its kwargs are no mapping")
    kept = {
        key: entry[key] for key in ("meta", "notes", "description", "severity") if entry.get(key)
    }
    said = ExpectationConfiguration(
        type=kind,
        kwargs={key: value for key, value in kwargs.items() if key not in _OURS},
        **kept,
    )
    said.process_suite_parameters(parameters)
    return said.to_domain_obj()
