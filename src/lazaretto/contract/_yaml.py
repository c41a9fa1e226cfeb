"""Contracts in YAML: rules in a policy or in a file, and the Open Data Contract Standard."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lazaretto.contract._form import FormError, rule_table
from lazaretto.errors import LazarettoError, UsageError
from lazaretto.policy.contract import Elsewhere, Rules
from lazaretto.policy.file import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from lazaretto.contract._rules import RuleTable
    from lazaretto.errors import PolicyError
    from lazaretto.policy.contract import ContractForms

_MOST_LISTED = 10_000_000
"""So many different values a file may list: they are in memory while a batch is judged."""


def load_forms(
    said: ContractForms,
    base: Path | None,
    mistake: Callable[[tuple[str | int, ...], str], PolicyError],
) -> tuple[str, str, RuleTable]:
    """Name, digest and rules of a contract that is written in YAML.

    Args:
        said: with `rules` or `odcs`.
        base: folder that file paths start from.
        mistake: makes the error for a key below `rules`, of rules that stand in the policy.

    Raises:
        UsageError: a file cannot be used; of a mistake in it, with file, line and key.
    """
    name, form, mistake = _form_of(said, base, mistake)

    def read(place: Elsewhere) -> pa.Array | None:
        return None if place.file is None else _listed(_path(place.file, base), place.column)

    before = _digest(form, base)
    try:
        table = rule_table(form, read)
    except FormError as error:
        raise mistake(error.place, str(error)) from error
    if _digest(form, base) != before:
        raise UsageError(
            "a file that the contract names was changed while it was read: start again"
        )
    return name, before, table


def forms_digest(said: ContractForms, base: Path | None) -> str:
    """The digest alone: no file that lists values is decoded.

    Raises:
        UsageError: a file cannot be used.
    """
    return _digest(_form_of(said, base, lambda _, text: _plain(text))[1], base)


def _form_of(
    said: ContractForms,
    base: Path | None,
    mistake: Callable[[tuple[str | int, ...], str], PolicyError],
) -> tuple[str, Rules, Callable[[tuple[str | int, ...], str], PolicyError]]:
    if isinstance(said.rules, Rules):
        return "rules of the policy", said.rules, mistake
    if isinstance(said.rules, str):
        file = read_yaml(_path(said.rules, base), "a file of rules")
        return said.rules, file.validated(Rules), file.mistake
    from lazaretto.contract._odcs import rules_of

    assert said.odcs is not None  # noqa: S101  the form says exactly one
    odcs = rules_of(_path(said.odcs, base))
    return said.odcs, odcs.form, odcs.mistake


def _plain(text: str) -> PolicyError:
    from lazaretto.errors import PolicyError

    return PolicyError(text)


def _digest(form: Rules, base: Path | None) -> str:
    """sha256 (hex) of what rules say, and of the files that they name."""
    files = {}
    for column in form.columns.values():
        place = column.exists_in
        if place is not None and place.file is not None:
            files[place.file] = _sha256(_path(place.file, base))
    said = json.dumps(
        {"rules": form.model_dump(mode="json"), "files": files}, sort_keys=True, ensure_ascii=True
    )
    return hashlib.sha256(said.encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"contract: {path} cannot be read: {error.strerror}") from error


def _path(name: str, base: Path | None) -> Path:
    return Path(name) if base is None else base / name


def _listed(path: Path, column: str) -> pa.Array:
    """The values of a file's column, each once.

    Raises:
        ValueError: it has no such column, or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from lazaretto.batch import open_batch

    try:
        batch = open_batch(path)
        if column not in batch.schema.names:
            raise ValueError(f"{path} has no column {column!r}; it has {batch.schema.names[:20]}")
        parts = []
        for chunk in batch.chunks(columns=[column]):
            parts.append(pc.unique(chunk.column(column)).drop_null())
            if sum(map(len, parts)) > _MOST_LISTED:
                parts = [pc.unique(pa.concat_arrays(parts))]
                if len(parts[0]) > _MOST_LISTED:
                    raise ValueError(f"{path} lists more than {_MOST_LISTED:,} values")
    except LazarettoError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return pc.unique(pa.concat_arrays(parts))
