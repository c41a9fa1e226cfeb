"""A stored reference: one frozen version, its place and its digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredReference:
    """One version of a reference, as the catalog knows it.

    Attributes:
        name: of the reference.
        version: of it.
        digest: sha256 (hex) of what was fitted.
        uri: its folder in the store.
        promoted: whether the bare name means this version.
        created_at: when it was saved.
        profile_uri: what drift is measured by; None for one that was saved without.
        profile_digest: sha256 (hex) of its bytes.
    """

    name: str
    version: str
    digest: str
    uri: str
    promoted: bool
    created_at: datetime
    profile_uri: str | None = None
    profile_digest: str | None = None
