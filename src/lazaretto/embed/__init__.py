"""Encoders: how records become vectors. The reference freezes an encoder's identity."""

from __future__ import annotations

from lazaretto.embed.base import Encoder
from lazaretto.embed.check import check_embed
from lazaretto.embed.registry import fit_encoder, is_fitted, load_encoder

__all__ = ["Encoder", "check_embed", "fit_encoder", "is_fitted", "load_encoder"]
