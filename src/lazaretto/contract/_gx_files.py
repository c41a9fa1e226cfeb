"""Where the suite of Great Expectations is that a policy names; read without importing the library.

A context folder is read as the files that it is. To open it as Great Expectations does would write
into it and connect to its data sources.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lazaretto.errors import UsageError
from lazaretto.policy.folder import importing_from
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.policy.contract import ContractForms

_CONFIG = "great_expectations.yml"
_STORES = {
    "expectations_store_name": "expectations",
    "checkpoint_store_name": "checkpoints",
    "validation_definition_store_name": "validation_definitions",
}
"""Key that names a store, and the folder where it is by default."""


@dataclass(frozen=True, slots=True)
class SuiteSpec:
    """What a policy says.

    Attributes:
        suite: a file, or with a context the name of a suite; None where a checkpoint names it.
        checkpoint: name of a checkpoint of the context.
        context: folder of a context.
        parameters: of the suite, by name.
        modules: import paths of the team's own expectations.
    """

    suite: str | None
    checkpoint: str | None = None
    context: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    modules: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As errors and the ledger call it."""
        said = f"checkpoint {self.checkpoint}" if self.suite is None else self.suite
        return f"gx: {said}" if self.context is None else f"gx: {said} of {self.context}"


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """A suite as it was read.

    Attributes:
        path: of its file.
        content: the JSON object in it.
        digest: sha256 (hex) of its bytes and of the modules that the policy names.
    """

    path: Path
    content: dict[str, Any]
    digest: str


def suite_spec(said: ContractForms) -> SuiteSpec | None:
    """What a policy says under ``gx`` or ``great_expectations``; None where it says neither.

    Examples:
        >>> from lazaretto.policy.contract import ContractForms
        >>> suite_spec(ContractForms(gx="reviews.json")).name
        'gx: reviews.json'
    """
    form = said.great_expectations if said.gx is None else said.gx
    if form is None:
        return None
    if isinstance(form, str):
        return SuiteSpec(form)
    return SuiteSpec(
        form.suite, form.checkpoint, form.context, form.parameters, tuple(form.modules)
    )


def read_suite(spec: SuiteSpec, base: Path | None) -> SuiteFile:
    """Reads the suite that a policy names.

    Args:
        spec: what it says.
        base: folder that relative paths and modules start from: the policy's own.

    Raises:
        UsageError: it is not there, or is no suite of Great Expectations 1.x.
    """
    root = Path(base or "")
    if spec.context is None:
        assert spec.suite is not None  # noqa: S101  the form sees to it
        path = root / spec.suite
    else:
        path = _in_context(root / spec.context, spec)
    if not path.is_file():
        raise UsageError(f"contract {spec.name!r}: no file {path}")
    raw = path.read_bytes()
    content = _json(path, raw, spec)
    expectations = content.get("expectations")
    if not isinstance(expectations, list) or not all(isinstance(e, dict) for e in expectations):
        raise UsageError(
            f"contract {spec.name!r}: {path} is no suite: it has no list `expectations`"
        )
    if any("expectation_type" in entry for entry in expectations):
        raise UsageError(
            f"contract {spec.name!r}: {path} is a suite of Great Expectations 0.x; save it with "
            "1.x, where the key of an expectation is `type`"
        )
    return SuiteFile(path, content, _digest(raw, spec, base))


def _digest(raw: bytes, spec: SuiteSpec, base: Path | None) -> str:
    found = hashlib.sha256(raw)
    for name in spec.modules:
        try:
            with importing_from(base):
                module = importlib.util.find_spec(name)
        except Exception as error:
            raise UsageError(
                f"contract {spec.name!r}: looking for module {name} raised {error_line(error)}"
            ) from error
        if module is None:
            raise UsageError(f"contract {spec.name!r}: there is no module {name}")
        if module.has_location and module.origin is not None:
            found.update(hashlib.sha256(Path(module.origin).read_bytes()).digest())
    return found.hexdigest()


def _in_context(folder: Path, spec: SuiteSpec) -> Path:
    """The file of the suite that a context has under the name."""
    import yaml

    if not (folder / _CONFIG).is_file():
        inner = folder / "gx"
        if not (inner / _CONFIG).is_file():
            raise UsageError(
                f"contract {spec.name!r}: {folder} is no context of Great Expectations: it has no "
                f"{_CONFIG}"
            )
        folder = inner
    try:
        config = yaml.safe_load((folder / _CONFIG).read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(
            f"contract {spec.name!r}: {folder / _CONFIG} is not YAML: {error_line(error)}"
        ) from error
    config = config if isinstance(config, dict) else {}
    name = spec.suite if spec.checkpoint is None else _suite_of(spec, folder, config)
    assert name is not None  # noqa: S101  the form sees to it
    return _file(folder, config, "expectations_store_name", name, spec)


def _suite_of(spec: SuiteSpec, folder: Path, config: dict[str, Any]) -> str:
    """The one suite of a checkpoint's validation definitions."""
    names = set()
    for definition in _names(
        _entry(folder, config, "checkpoint_store_name", spec.checkpoint, spec),
        "validation_definitions",
    ):
        found = _entry(folder, config, "validation_definition_store_name", definition, spec)
        names.update(_names(found, "suite"))
    if len(names) != 1:
        said = ", ".join(sorted(names)) or "none"
        raise UsageError(
            f"contract {spec.name!r}: the checkpoint uses {len(names)} suites ({said}); a contract "
            "is one: name it as `suite`"
        )
    return names.pop()


def _entry(
    folder: Path, config: dict[str, Any], store: str, name: str | None, spec: SuiteSpec
) -> dict[str, Any]:
    path = _file(folder, config, store, str(name), spec)
    if not path.is_file():
        raise UsageError(f"contract {spec.name!r}: no file {path}")
    return _json(path, path.read_bytes(), spec)


def _names(entry: dict[str, Any], key: str) -> list[str]:
    """Names of what an entry points to: one thing, or a list of them."""
    said = entry.get(key)
    found = said if isinstance(said, list) else [said]
    return [str(one["name"]) for one in found if isinstance(one, dict) and "name" in one]


def _file(folder: Path, config: dict[str, Any], store: str, name: str, spec: SuiteSpec) -> Path:
    """Where a context's store has the entry of a name."""
    stores = config.get("stores")
    said = stores.get(config.get(store)) if isinstance(stores, dict) else None
    backend = said.get("store_backend", {}) if isinstance(said, dict) else {}
    kind = backend.get("class_name", "TupleFilesystemStoreBackend")
    if kind != "TupleFilesystemStoreBackend":
        raise UsageError(
            f"contract {spec.name!r}: the context keeps {name!r} in a {kind}, not in files; save "
            "the suite as a JSON file and name that"
        )
    # Great Expectations puts a dotted name of a suite into folders, other names not.
    parts = name.split(".") if store == "expectations_store_name" else [name]
    if any(not part.strip(".") or "/" in part or "\\" in part for part in parts):
        raise UsageError(f"contract {spec.name!r}: {name!r} is no name")
    where = Path(folder, backend.get("base_directory", _STORES[store]), *parts)
    return where.with_name(f"{where.name}.json")


def _json(path: Path, raw: bytes, spec: SuiteSpec) -> dict[str, Any]:
    try:
        content = json.loads(raw)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"contract {spec.name!r}: {path}:{error.lineno}: not JSON: {error.msg}"
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"contract {spec.name!r}: {path} is not JSON") from error
    if not isinstance(content, dict):
        raise UsageError(f"contract {spec.name!r}: {path} is no JSON object")
    return content
