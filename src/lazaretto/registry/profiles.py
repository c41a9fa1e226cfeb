"""Profiles in the store: what drift from a reference is measured by, beside the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.drift._file import from_table, to_table
from lazaretto.storage.sidecars import read_table, write_table

if TYPE_CHECKING:
    from lazaretto.drift import Profile
    from lazaretto.registry.stored import StoredReference
    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

PROFILE = "profile.parquet"
GOLDEN = "golden.parquet"


def write_profile(
    store: Store, folder: str, profile: Profile
) -> tuple[StoredFile, StoredFile | None]:
    """Writes a profile, and its golden rows where it has some, into a reference's folder."""
    golden = None
    if profile.golden is not None:
        golden = write_table(store, f"{folder}/{GOLDEN}", profile.golden.rows)
    return write_table(store, f"{folder}/{PROFILE}", to_table(profile)), golden


def load_profile(workspace: Workspace, reference: StoredReference) -> Profile | None:
    """The profile of a stored reference; None where it was fitted without.

    Raises:
        ChangedFileError: it is gone, or what lies in the store is not what was saved.
    """
    if reference.profile is None:
        return None
    table = read_table(workspace.store, reference.profile)
    golden = None
    if reference.golden is not None:
        golden = read_table(workspace.store, reference.golden)
    return from_table(table, golden)
