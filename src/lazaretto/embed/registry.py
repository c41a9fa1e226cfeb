"""The encoders by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import PolicyError

if TYPE_CHECKING:
    from lazaretto.embed.base import Encoder
    from lazaretto.policy import Policy


def load_encoder(policy: Policy) -> Encoder:
    """The encoder that the policy names, ready to encode.

    Raises:
        PolicyError: unknown encoder, or a key that it needs is missing.
    """
    name = policy.embed.encoder
    if name == "column":
        from lazaretto.embed.column import ColumnEncoder

        if policy.columns.embedding is None:
            raise PolicyError(
                "columns.embedding: name the column that holds the vectors, or choose an encoder "
                "in embed.encoder"
            )
        return ColumnEncoder(policy.columns.embedding)
    raise PolicyError(f"embed.encoder: unknown encoder {name!r} (known: column)")
