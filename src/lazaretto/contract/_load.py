"""Finds the contract that a policy names: a pandera model, or a suite of Great Expectations."""

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
from typing import TYPE_CHECKING, Any, Literal

from lazaretto.contract._gx_files import is_gx, read_suite, suite_spec
from lazaretto.errors import UsageError
from lazaretto.policy.folder import importing_from
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.policy import Policy

_HOW = "write `contract: package.module:Model` or `contract: file.py:Model`"


@dataclass(frozen=True, slots=True)
class Contract:
    """A loaded contract.

    Attributes:
        name: as the policy spells it.
        schema: the model as a `pandera.polars.DataFrameSchema`, or the suite as the Great
            Expectations adapter has it.
        digest: sha256 (hex) of the model's source file; None where it has none. What a stage's
            result depends on beside the policy. Modules that the file imports are not in it. Of a
            suite: of its file, and of the modules that the policy names.
        kind: ``pandera`` or ``gx``.
    """

    name: str
    schema: Any
    digest: str | None = None
    kind: Literal["pandera", "gx"] = "pandera"


def load_contract(
    spec: str | dict[str, Any] | None, *, base: Path | None = None
) -> Contract | None:
    r"""Loads the contract of a policy.

    Args:
        spec: ``package.module:Model``, ``file.py:Model``, ``{"pandera": either}``,
            ``{"gx": "suite.json"}``, or None.
        base: folder that file paths and modules are looked for in first: the policy's own.

    Returns:
        The contract; None when the policy has none.

    Raises:
        UsageError: it cannot be found or imported, is no pandera model for polars, or asks for what
            would change data (coercion, defaults, dropped rows): a contract judges and never
            changes.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("contract.py").write_text(
        ...     "import pandera.polars as pa\n"
        ...     "class Record(pa.DataFrameModel):\n"
        ...     "    label: int = pa.Field(ge=0)\n"
        ... )
        >>> load_contract("contract.py:Record", base=Path()).name
        'contract.py:Record'
    """
    if spec is None:
        return None
    if isinstance(spec, dict) and is_gx(spec):
        from lazaretto.contract._gx_suite import load_suite

        return Contract(*load_suite(spec, base), kind="gx")
    spec, place, name = _named(spec)
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


def contract_of(policy: Policy) -> Contract | None:
    """`load_contract` of what a policy names, from the policy's own folder.

    Examples:
        >>> contract_of(policy) is None  # this policy names none
        True
    """
    return load_contract(policy.contract, base=policy.folder)


def contract_digest(policy: Policy) -> str | None:
    """`Contract.digest` of what a policy names; the contract itself is not run, only looked up.

    Raises:
        UsageError: it cannot be found.

    Examples:
        >>> contract_digest(policy) is None  # this policy names no contract
        True
    """
    if policy.contract is None:
        return None
    base = policy.folder
    if isinstance(policy.contract, dict) and is_gx(policy.contract):
        return read_suite(suite_spec(policy.contract), base).digest
    spec, place, _ = _named(policy.contract)
    if place.endswith(".py"):
        return hashlib.sha256(_file(place, base, spec).read_bytes()).hexdigest()
    with _importing(place, base, spec):
        found = importlib.util.find_spec(place)
    if found is None:
        raise UsageError(f"contract {spec!r}: there is no module {place}")
    if not found.has_location or found.origin is None:
        return None
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()


def _named(spec: str | dict[str, Any]) -> tuple[str, str, str]:
    """What a policy says, as text; the file or module, and the model in it."""
    if isinstance(spec, dict):
        if set(spec) != {"pandera"} or not isinstance(spec["pandera"], str):
            raise UsageError(f"contract: {sorted(spec)} is not supported; {_HOW}")
        spec = spec["pandera"]
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UsageError(f"contract {spec!r}: no model named; {_HOW}")
    return spec, place, name


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
