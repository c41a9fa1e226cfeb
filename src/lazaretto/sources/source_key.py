"""A source's public key, as it is on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class SourceKey:
    """A public key pinned for a source.

    Attributes:
        source: whose it is.
        key_id: hash of the key, as `manifest.key_identity` gives it.
        scheme: such as ``ed25519``.
        public_key: PEM.
        valid_from: from when it is accepted, UTC.
        valid_to: from when it is no longer accepted; None: no end.
        revoked_at: from when it is refused whatever it signed; None: not revoked.
        aliases: later names of the source.
    """

    source: str
    key_id: str
    scheme: str
    public_key: str
    valid_from: datetime
    valid_to: datetime | None = None
    revoked_at: datetime | None = None
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of the source: a manifest may be signed under any of them."""
        return (self.source, *self.aliases)
