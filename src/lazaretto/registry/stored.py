"""A stored reference: one frozen version, its files and its digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from lazaretto.values import StoredFile


@dataclass(frozen=True, slots=True)
class StoredReference:
    """One version of a reference, as the ledger tells it.

    Attributes:
        name: of the reference.
        version: of it.
        digest: sha256 (hex) of what was fitted.
        promoted: whether the bare name means this version.
        created_at: when it was saved.
        seq: ledger entry of its saving.
        encoder: name of the encoder that made its vectors.
        encoder_digest: sha256 (hex) over that encoder's weights and preprocessing.
        files: metadata, tensors, and the encoder's state where there is one, in this order.
        profile: what drift is measured by; None for one that was saved without.
        golden: rows that are embedded again to find a changed encoder; None likewise.
        trusted: ids of the trusted rows, and what reviewers are shown of them; None likewise.
    """

    name: str
    version: str
    digest: str
    promoted: bool
    created_at: datetime
    seq: int
    encoder: str
    encoder_digest: str
    files: tuple[StoredFile, ...]
    profile: StoredFile | None = None
    golden: StoredFile | None = None
    trusted: StoredFile | None = None

    @property
    def folder(self) -> str:
        """Where it lies, relative to the store's root."""
        return f"references/{self.name}/{self.version}"
