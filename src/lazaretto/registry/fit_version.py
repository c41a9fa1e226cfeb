"""Fits the next version of a reference in a workspace, with what drift is measured by."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from lazaretto.engine import open_engine
from lazaretto.errors import UsageError
from lazaretto.registry.references import list_references, save_reference
from lazaretto.registry.trusted import TrustedRows

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from lazaretto.batch import Batch
    from lazaretto.engine import Engine
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.registry.stored import StoredReference
    from lazaretto.storage.workspace import Workspace


def fit_version(
    workspace: Workspace,
    trusted: pa.Table | Batch | str | Path,
    policy: Policy,
    *,
    name: str | None = None,
    version: str | None = None,
    seed: int = 0,
    promote: bool | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[StoredReference, Reference]:
    """Fits a reference and its profile on trusted rows, and freezes both.

    The first version of a name is promoted. A later one waits: `compare_versions` shows what it
    would change, `promote_reference` puts it in use.

    Args:
        workspace: catalog and store.
        trusted: the sample.
        policy: says columns, encoder and detectors.
        name: default: the policy's reference name.
        version: default: one more than the newest.
        seed: of the splits and fits.
        promote: overrides what is said above.
        progress: called with a step's name, how much of it is done, and how much there is, where a
            step takes long.

    Raises:
        UsageError: the contract cannot be loaded, there are too few rows, a detector cannot be
            fitted on them, or the version exists with another content.
        DeliveryError: the file cannot be read.
        ReferenceMismatchError: a column of the policy is missing or is of the wrong kind.

    Examples:
        >>> stored, reference = fit_version(workspace, "trusted.parquet", policy, seed=1)
        >>> stored.name, stored.version, stored.promoted
        ('reviews', '2', False)
    """
    from lazaretto.batch import format_by_name, open_batch
    from lazaretto.dataset.declared import wanted_columns
    from lazaretto.drift import Profile
    from lazaretto.reference import Reference

    wanted = name or policy.reference_name
    data = trusted
    if isinstance(data, str | Path):
        kind = format_by_name(str(data))
        data = open_batch(data, wanted=wanted_columns(workspace, policy, kind))
    wanted_version = version or next_version(workspace, wanted)
    with _engine(workspace, policy, wanted) as engine:
        reference = Reference.fit(
            data,
            policy,
            name=wanted,
            version=wanted_version,
            seed=seed,
            engine=engine,
            progress=progress,
        )
    profile = Profile.fit(data, reference, policy)
    rows = TrustedRows(data, policy.columns)
    saved = save_reference(workspace, reference, profile=profile, trusted=rows, promote=promote)
    return saved, reference


def _engine(
    workspace: Workspace, policy: Policy, name: str
) -> AbstractContextManager[Engine | None]:
    """Where trusted rows are encoded; None where they bring their vectors."""
    if policy.embed.encoder == "column":
        return nullcontext()
    return open_engine(policy, workspace.store, f"references/{name}/work-{uuid.uuid4().hex}")


def next_version(workspace: Workspace, name: str) -> str:
    """One more than the newest version.

    Raises:
        UsageError: the versions are not numbers.
    """
    versions = [known.version for known in list_references(workspace, name)]
    if not all(version.isdigit() for version in versions):
        raise UsageError(f"versions of {name!r} are not numbers: name the next one with --version")
    return str(max((int(version) for version in versions), default=0) + 1)
