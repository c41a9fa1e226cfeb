"""Profiles in the store: what drift from a reference is measured by, beside the reference."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from lazaretto.drift._file import from_table, golden_digest_of, to_table
from lazaretto.errors import SystemFaultError
from lazaretto.storage.sidecars import write_table

if TYPE_CHECKING:
    from lazaretto.drift import Profile
    from lazaretto.registry.stored import StoredReference
    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace

PROFILE = "profile.parquet"
GOLDEN = "golden.parquet"


def write_profile(store: Store, folder: str, profile: Profile) -> tuple[str, str]:
    """Writes a profile into a reference's folder; returns its URI and its sha256 (hex)."""
    golden = None
    if profile.golden is not None:
        _, golden = write_table(store, f"{folder}/{GOLDEN}", profile.golden.rows)
    return write_table(store, f"{folder}/{PROFILE}", to_table(profile, golden))


def load_profile(workspace: Workspace, reference: StoredReference) -> Profile | None:
    """The profile of a stored reference; None where it was fitted without.

    Raises:
        NotFoundError: it is gone.
        SystemFaultError: what lies in the store is not what was saved.
    """
    if reference.profile_uri is None:
        return None
    table = _read(workspace, reference, reference.profile_uri, str(reference.profile_digest))
    digest = golden_digest_of(table)
    golden = None
    if digest is not None:
        uri = f"{reference.profile_uri.removesuffix(PROFILE)}{GOLDEN}"
        golden = _read(workspace, reference, uri, digest)
    return from_table(table, golden)


def _read(workspace: Workspace, reference: StoredReference, uri: str, digest: str) -> pa.Table:
    data = workspace.store.read(workspace.store.relative(uri))
    if hashlib.sha256(data).hexdigest() != digest:
        raise SystemFaultError(
            f"{uri} of reference {reference.name}/{reference.version} was changed after it was "
            "saved: restore it, or fit a new version"
        )
    return pq.read_table(io.BytesIO(data))
