"""What a model learned from, as people write it: read, checked, and brought to one spelling."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lazaretto.dataset.views import snapshot_id
from lazaretto.errors import UsageError
from lazaretto.names import check_dataset_name, registry_name
from lazaretto.redact import safe_uri
from lazaretto.text import excerpt, visible
from lazaretto.values import InputKind, InputRole, ModelInput, SnapshotRead, role_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from lazaretto.dataset.models import ModelKey

MOST_INPUTS = 10_000
_LONGEST = 255
_LONGEST_NAME = 2_000


def as_read(told: str | Mapping[str, Any]) -> SnapshotRead:
    """What a training read of a snapshot, as a person or another task says it.

    Args:
        told: ``DATASET@VERSION:COLUMN,COLUMN``, or a mapping with ``dataset``, ``snapshot`` and
            ``columns``, as `lazaretto.values.SnapshotRead` has them.

    Raises:
        UsageError: it names no snapshot or no columns.

    Examples:
        >>> as_read("reviews@2:embedding,label").columns
        ('embedding', 'label')
    """
    if isinstance(told, str):
        named, _, listed = told.partition(":")
        dataset, _, version = named.rpartition("@")
        columns = listed.split(",")
    else:
        dataset, version = str(told.get("dataset", "")), str(told.get("snapshot", ""))
        given = told.get("columns", ())
        columns = [given] if isinstance(given, str) else [str(one) for one in given]
    columns = [one.strip() for one in columns if one.strip()]
    if not columns or not version[:1].isdecimal():
        raise UsageError(
            f"{excerpt(told, 200)!r} does not say what was read: give DATASET@VERSION:COLUMN,COLUMN"
        )
    check_dataset_name(dataset)
    return SnapshotRead(dataset, version, tuple(columns))


def read_inputs(
    *,
    registry: str = "local",
    snapshots: Sequence[str] = (),
    tables: Sequence[str] = (),
    base: Sequence[str] = (),
    predictions_of: Sequence[str] = (),
    role: str | InputRole | None = None,
) -> list[ModelInput]:
    """Reads what a model learned from.

    Args:
        registry: of other models, where they name none.
        snapshots: each as ``DATASET@VERSION``, or the id of a view for the version.
        tables: of others, each as ``NAMESPACE NAME`` or ``NAMESPACE NAME@VERSION``.
        base: models whose weights it began with, each as ``NAME@VERSION`` or ``REGISTRY
            NAME@VERSION``.
        predictions_of: models whose predictions it learned from, in the same way.
        role: how snapshots, tables and predictions were used; default: it learned from them.

    Raises:
        UsageError: one of them names nothing.

    Examples:
        >>> [one.name for one in read_inputs(snapshots=["reviews@2"], base=["bert@1"])]
        ['reviews', 'bert']
    """
    used = _read_role(role)
    told = InputRole.TRAIN if used is InputRole.FINETUNE else used
    return [
        *(_snapshot(text, used) for text in snapshots),
        *(_table(text, used) for text in tables),
        *(_model(text, registry, InputRole.FINETUNE) for text in base),
        *(_model(text, registry, told) for text in predictions_of),
    ]


def _read_role(role: str | InputRole | None) -> InputRole:
    """The role of a name such as ``eval``; what a model learned from by default.

    Raises:
        UsageError: there is no such role.
    """
    if role is None:
        return InputRole.TRAIN
    try:
        return InputRole(role.upper())
    except ValueError:
        names = ", ".join(one.value for one in InputRole)
        raise UsageError(f"no role {excerpt(role, 40)!r}; there are: {names}") from None


def check_inputs(key: ModelKey, inputs: Sequence[ModelInput]) -> list[ModelInput]:
    """Inputs of a model version with their names as they are compared.

    Args:
        key: of the model.
        inputs: what it learned from.

    Raises:
        UsageError: too many, the model itself, or a name that cannot be one.
    """
    if len(inputs) > MOST_INPUTS:
        raise UsageError(f"{len(inputs):,} inputs of one model: {MOST_INPUTS:,} are possible")
    found = []
    for one in inputs:
        match one.kind:
            case InputKind.SNAPSHOT:
                check_dataset_name(one.name)
                found.append(replace(one, namespace="", version=snapshot_id(str(one.version))))
            case InputKind.MODEL:
                named = check_registry(one.namespace), check_name(one.name), str(one.version)
                check_version(named[2])
                if named == tuple(key):
                    raise UsageError(f"{key.name} cannot have learned from itself")
                found.append(replace(one, namespace=named[0]))
            case InputKind.TABLE:
                namespace = registry_name(_printable(one.namespace, "a namespace", _LONGEST_NAME))
                name = safe_uri(_printable(one.name, "a table's name", _LONGEST_NAME))
                if one.version is not None:
                    _printable(one.version, "a table's version", _LONGEST)
                found.append(replace(one, namespace=namespace, name=name))
    return found


def check_registry(registry: str) -> str:
    """Namespace of a registry, as it is compared.

    Raises:
        UsageError: it is empty or too long.
    """
    return _printable(registry_name(registry), "a registry", _LONGEST)


def check_name(name: str) -> str:
    """A model's name, where it can be one.

    Raises:
        UsageError: it is empty or too long, or holds what cannot be printed.
    """
    return _printable(name, "a model's name", _LONGEST)


def check_version(version: str) -> str:
    """The version of a model, where it can be one; ``NAME@VERSION`` is taken apart at its last @.

    Raises:
        UsageError: it is empty or too long, or holds an ``@`` or what cannot be printed.
    """
    if "@" in version:
        raise UsageError(f"the version {excerpt(version, 80)!r} holds an @: choose another one")
    return _printable(version, "a model's version", _LONGEST)


def check_alias(alias: str) -> str:
    """A name that can stand for a version of a model.

    Raises:
        UsageError: it is empty or too long, or holds an ``@`` or what cannot be printed.
    """
    if "@" in alias:
        raise UsageError(f"{excerpt(alias, 80)!r} cannot be an alias: it holds an @")
    return _printable(alias, "an alias", _LONGEST)


def _split_named(text: str) -> tuple[str, str]:
    """Name and version of ``NAME@VERSION``.

    Raises:
        UsageError: one of them is missing.
    """
    name, _, version = text.rpartition("@")
    if not (name and version):
        raise UsageError(f"{excerpt(text, 200)!r} names no version: write NAME@VERSION")
    return name, version


def _snapshot(text: str, role: InputRole) -> ModelInput:
    name, _, version = text.rpartition("@")
    if not name or not version:
        raise UsageError(
            f"{excerpt(text, 200)!r} names no snapshot: write DATASET@VERSION, such as reviews@12"
        )
    return ModelInput(InputKind.SNAPSHOT, "", name, version, role)


def _table(text: str, role: InputRole) -> ModelInput:
    namespace, _, rest = text.strip().partition(" ")
    name, at, version = rest.strip().rpartition("@")
    if not at:
        name, version = version, ""
    if not (namespace and name):
        raise UsageError(
            f"{excerpt(text, 200)!r} names no table: write NAMESPACE NAME or NAMESPACE "
            "NAME@VERSION as OpenLineage has them, such as 's3://lake vendor/prices@7'"
        )
    return ModelInput(InputKind.TABLE, namespace, name, version or None, role)


def _model(text: str, registry: str, role: InputRole) -> ModelInput:
    first, space, rest = text.strip().partition(" ")
    namespace, named = (first, rest.strip()) if space else (registry, first)
    name, version = _split_named(named)
    return ModelInput(InputKind.MODEL, namespace, name, version, role)


def _printable(text: str, what: str, longest: int) -> str:
    if not 0 < len(text) <= longest or text != text.strip() or visible(text) != text:
        raise UsageError(
            f"{excerpt(text, 80)!r} cannot be {what}: 1 to {longest} characters that can be "
            "printed, without spaces around them"
        )
    return text


def all_inputs(
    dataset: str | None,
    snapshot: int | None,
    inputs: Sequence[ModelInput],
    reads: Sequence[SnapshotRead],
    purpose: str,
) -> list[ModelInput]:
    """What a training learned from: what is named, and what it read that is named in no role.

    Args:
        dataset: admitted dataset of the first snapshot.
        snapshot: its Delta version.
        inputs: what else is named.
        reads: what was read of snapshots.
        purpose: of the training; it says in which role.
    """
    role = role_of(purpose)
    named = list(inputs)
    if dataset is not None and snapshot is not None:
        named.insert(0, ModelInput(InputKind.SNAPSHOT, "", dataset, str(snapshot), role))
    there = {(one.name, one.version) for one in named if one.kind is InputKind.SNAPSHOT}
    read = [one for one in reads if (one.dataset, one.snapshot) not in there]
    return [*named, *(replace(one.as_input, role=role) for one in read)]
