"""Digests of what an encoder consists of: its weights and its preprocessing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """sha256 (hex) over names, types, shapes and bytes of tensors, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        digest.update(tensor.flatten().view(dtype=_bytes()).numpy().tobytes())
    return digest.hexdigest()


def identity_digest(name: str, weights: str, preprocessing: Mapping[str, Any]) -> str:
    """sha256 (hex) over name, weights digest and preprocessing options."""
    import rfc8785

    document: dict[str, Any] = {
        "name": name,
        "weights": weights,
        "preprocessing": dict(preprocessing),
    }
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


def _bytes() -> Any:
    import torch

    return torch.uint8
