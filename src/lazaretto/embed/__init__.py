"""Encoders: how records become vectors. The reference freezes an encoder's identity."""

from __future__ import annotations

from lazaretto.embed.base import Encoder
from lazaretto.embed.registry import load_encoder

__all__ = ["Encoder", "load_encoder"]
