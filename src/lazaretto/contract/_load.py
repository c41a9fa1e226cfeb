"""Finds the contract that a policy names: a pandera model, rules in YAML, or a suite."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import InspectLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lazaretto.contract._gx_files import read_suite, suite_spec
from lazaretto.errors import PolicyError, UsageError
from lazaretto.policy.folder import importing_from
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazaretto.contract._gx_suite import Suite
    from lazaretto.contract._known import Asks
    from lazaretto.contract._rules import RuleTable
    from lazaretto.policy import Policy
    from lazaretto.policy.contract import ContractForms

_HOW = (
    "write `contract: package.module:Model`, `contract: file.py:Model`, `contract: {rules: ...}`, "
    "`contract: {odcs: file.yaml}` or `contract: {gx: suite.json}`"
)


@dataclass(frozen=True, slots=True)
class Contract:
    """A loaded contract.

    Attributes:
        name: as the policy spells it.
        schema: the model as a `pandera.polars.DataFrameSchema`; None where it is written in rules.
        digest: sha256 (hex) of the model's source file; None where it has none. Of rules, of what
            they say and of every file that they name. What a stage's result depends on beside the
            policy. Modules that the file imports are not in it.
        table: the rules that it is written in; None of a pandera model.
        suite: the suite of Great Expectations that it is; None where it is none. Its digest is of
            its file, and of the modules that the policy names.
    """

    name: str
    schema: Any = None
    digest: str | None = None
    table: RuleTable | None = None
    suite: Suite | None = None

    @property
    def asks(self) -> Asks:
        """What its rules ask for beside the batch."""
        from lazaretto.contract._known import Asks
        from lazaretto.contract._rules import Distinct, Listed, Volume

        tests = [] if self.table is None else [rule.test for rule in self.table.rules]
        listed = [
            (test.dataset, test.there)
            for test in tests
            if isinstance(test, Listed) and test.dataset is not None
        ]
        return Asks(
            listed=tuple(dict.fromkeys(listed)),
            across=any(isinstance(test, Distinct) and test.across for test in tests),
            batches=max([test.batches for test in tests if isinstance(test, Volume)], default=0),
        )


def load_contract(
    spec: str | dict[str, Any] | ContractForms | None, *, base: Path | None = None
) -> Contract | None:
    r"""Loads the contract of a policy.

    Args:
        spec: ``package.module:Model``, ``file.py:Model``, ``{"pandera": either}``,
            ``{"rules": rules or a file}``, ``{"odcs": file}``, ``{"gx": "suite.json"}``, or None.
        base: folder that file paths and modules are looked for in first: the policy's own.

    Returns:
        The contract; None when the policy has none.

    Raises:
        UsageError: it cannot be found or imported, is no pandera model for polars, asks for what
            would change data (coercion, defaults, dropped rows): a contract judges and never
            changes; or a rule in it cannot be evaluated.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("contract.py").write_text(
        ...     "import pandera.polars as pa\n"
        ...     "class Record(pa.DataFrameModel):\n"
        ...     "    label: int = pa.Field(ge=0)\n"
        ... )
        >>> load_contract("contract.py:Record", base=Path()).name
        'contract.py:Record'
        >>> load_contract({"rules": {"records": ["price >= cost"]}}).table.rules[0].name
        'records.price >= cost'
    """
    return None if spec is None else _loaded(_said(spec), base, _mistake)


def contract_of(policy: Policy) -> Contract | None:
    """`load_contract` of what a policy names, from the policy's own folder.

    Raises:
        UsageError: as of `load_contract`; of a rule in the policy, with its line.

    Examples:
        >>> contract_of(policy) is None  # this policy names none
        True
    """
    if policy.contract is None:
        return None

    def mistake(place: tuple[str | int, ...], message: str) -> PolicyError:
        return policy.mistake(("contract", "rules", *place), message)

    return _loaded(_said(policy.contract), policy.folder, mistake)


def contract_digest(policy: Policy) -> str | None:
    """`Contract.digest` of what a policy names; the contract itself is not run, only looked up.

    Raises:
        UsageError: it cannot be found.

    Examples:
        >>> contract_digest(policy) is None  # this policy names no contract
        True
    """
    if policy.contract is None or policy.known_contract is not None:
        return policy.known_contract
    said, base = _said(policy.contract), policy.folder
    if said.rules is not None or said.odcs is not None:
        from lazaretto.contract._yaml import forms_digest

        return forms_digest(said, base)
    suite = suite_spec(said)
    if suite is not None:
        return read_suite(suite, base).digest
    spec, place, _ = _named(said)
    if place.endswith(".py"):
        return hashlib.sha256(_file(place, base, spec).read_bytes()).hexdigest()
    with _importing(place, base, spec):
        found = importlib.util.find_spec(place)
    if found is None:
        raise UsageError(f"contract {spec!r}: there is no module {place}")
    if not found.has_location or found.origin is None:
        return None
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()


def _said(spec: str | dict[str, Any] | ContractForms) -> ContractForms:
    from pydantic import ValidationError

    from lazaretto.policy.contract import ContractForms

    if isinstance(spec, ContractForms):
        return spec
    try:
        return ContractForms.model_validate({"pandera": spec} if isinstance(spec, str) else spec)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            raise UsageError(f"contract: {first['loc'][0]!r} is not supported; {_HOW}") from error
        where = ".".join(str(step) for step in first["loc"] if step not in ("short", "long"))
        raise UsageError(f"contract: {where}: {first['msg']}; {_HOW}") from error


def _mistake(place: tuple[str | int, ...], message: str) -> PolicyError:
    return PolicyError(f"contract: {'.'.join(map(str, place))}: {message}")


def _loaded(
    said: ContractForms,
    base: Path | None,
    mistake: Callable[[tuple[str | int, ...], str], PolicyError],
) -> Contract:
    if said.rules is not None or said.odcs is not None:
        from lazaretto.contract._yaml import load_forms

        name, digest_of, table = load_forms(said, base, mistake)
        return Contract(name, digest=digest_of, table=table)
    suite = suite_spec(said)
    if suite is not None:
        from lazaretto.contract._gx_suite import load_suite

        rules, of_suite = load_suite(suite, base)
        return Contract(suite.name, digest=of_suite, suite=rules)
    spec, place, name = _named(said)
    digest: str | None
    if place.endswith(".py"):
        module, digest = _from_file(place, base, spec)
    else:
        module = _from_module(place, base, spec)
        source = getattr(module, "__file__", None)
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else None
    model = getattr(module, name, None)
    if model is None:
        raise UsageError(f"contract {spec!r}: {place} has no {name!r}")
    return Contract(spec, _schema(model, spec), digest)


def _named(said: ContractForms) -> tuple[str, str, str]:
    """What a policy says, as text; the file or module, and the model in it."""
    assert said.pandera is not None  # noqa: S101  the others are looked at before
    place, colon, name = said.pandera.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UsageError(f"contract {said.pandera!r}: no model named; {_HOW}")
    return said.pandera, place, name


def _file(place: str, base: Path | None, spec: str) -> Path:
    path = Path(place) if base is None else base / place
    if not path.is_file():
        raise UsageError(f"contract {spec!r}: no file {path}")
    return path


def _from_file(place: str, base: Path | None, spec: str) -> tuple[ModuleType, str]:
    """The module that a file's bytes make, and their sha256 (hex): read once, so they are one."""
    path = _file(place, base, spec)
    source = path.read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    name = f"_lazaretto_contract_{digest}"
    if name in sys.modules:
        return sys.modules[name], digest
    module = ModuleType(name)
    module.__file__ = str(path)
    # pandera resolves annotations through sys.modules.
    sys.modules[name] = module
    try:
        # As `importlib` would, but of these bytes, and of no compiled file beside them.
        exec(InspectLoader.source_to_code(source, str(path)), module.__dict__)  # noqa: S102
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"contract {spec!r}: {path} raised {error_line(error)}") from error
    return module, digest


def _from_module(place: str, base: Path | None, spec: str) -> ModuleType:
    with _importing(place, base, spec):
        return importlib.import_module(place)


@contextmanager
def _importing(place: str, base: Path | None, spec: str) -> Iterator[None]:
    """Looks for modules in the policy's folder first; what goes wrong is the user's mistake."""
    try:
        with importing_from(base):
            yield
    except Exception as error:
        where = "" if base is None else f" (also looked in {base.resolve()})"
        raise UsageError(
            f"contract {spec!r}: importing {place} raised {error_line(error)}{where}"
        ) from error


def _schema(model: Any, spec: str) -> Any:
    import pandera.polars as pandera

    if isinstance(model, type) and issubclass(model, pandera.DataFrameModel):
        try:
            model = model.to_schema()
        except Exception as error:
            raise UsageError(
                f"contract {spec!r}: pandera cannot build it: {error_line(error)}"
            ) from error
    if not isinstance(model, pandera.DataFrameSchema):
        raise UsageError(
            f"contract {spec!r} is not a pandera.polars DataFrameModel (import pandera.polars, "
            "not pandera)"
        )
    from lazaretto.contract._pandera import require_severities

    try:
        require_severities(model)
    except ValueError as error:
        raise UsageError(f"contract {spec!r}: {error}") from error
    for what in _changes(model):
        raise UsageError(
            f"contract {spec!r} uses {what}, which changes data; a contract only judges, so "
            "remove it"
        )
    return model


def _changes(schema: Any) -> list[str]:
    """What in a schema would change data instead of judging it."""
    found = [
        option
        for option in ("coerce", "drop_invalid_rows", "add_missing_columns", "parsers")
        if getattr(schema, option)
    ]
    if schema.strict == "filter":
        found.append("strict='filter'")
    for name, column in schema.columns.items():
        found += [
            f"{option} on column {name!r}"
            for option in ("coerce", "drop_invalid_rows", "parsers")
            if getattr(column, option, False)
        ]
        if column.default is not None:
            found.append(f"default on column {name!r}")
    return found
