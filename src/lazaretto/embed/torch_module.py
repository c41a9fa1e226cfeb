"""A torch module of the user's as encoder: numbers in, vectors out."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.embed.identity import identity_digest, weights_digest
from lazaretto.errors import NotFoundError, ReferenceMismatchError
from lazaretto.policy.folder import importing_from
from lazaretto.redact import error_line

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa
    from torch.nn import Module

    from lazaretto.embed.options import TorchOptions
    from lazaretto.policy import Policy

BATCH_ROWS = 1024


@dataclass(frozen=True, slots=True)
class TorchEncoder:
    """Runs a module in eval mode over a column of number lists.

    Attributes:
        model: import path that named it.
        module: on its device, in eval mode.
        column: the input column.
        shape: of one record's input; None keeps the list's own.
        scale: what the numbers are multiplied by.
        weights: sha256 (hex) of the module's tensors.
        device: torch device name.
    """

    model: str
    module: Module
    column: str
    shape: tuple[int, ...] | None
    scale: float
    weights: str
    device: str
    dimensions: int = 0

    @property
    def name(self) -> str:
        """Encoder name."""
        return f"torch:{self.model}"

    @property
    def digest(self) -> str:
        """sha256 over weights, column, shape and scale."""
        shape = None if self.shape is None else list(self.shape)
        options = {"column": self.column, "shape": shape, "scale": self.scale}
        return identity_digest(self.name, self.weights, options)

    def encode(self, chunk: pa.RecordBatch) -> npt.NDArray[np.float32]:
        """Float32 (n, d); the module's output is flattened per record. Unusable input gives zeros.

        Raises:
            ReferenceMismatchError: the column is missing, or the module cannot take its width.
        """
        import torch

        from lazaretto.batch._columns import vectors

        if self.column not in chunk.schema.names:
            raise ReferenceMismatchError(f"embed.columns: the batch has no column {self.column!r}")
        width = None if self.shape is None else int(np.prod(self.shape))
        read = vectors(chunk.column(self.column), self.column, width)
        rows = torch.from_numpy(read.values) * self.scale
        if self.shape is not None:
            rows = rows.reshape(-1, *self.shape)
        parts = []
        with torch.inference_mode():
            for part in torch.split(rows, BATCH_ROWS):
                try:
                    parts.append(self.module(part.to(self.device)).flatten(1).float().cpu())
                except RuntimeError as error:
                    raise ReferenceMismatchError(
                        f"the encoder {self.model!r} cannot take column {self.column!r}: "
                        f"{error_line(error)}"
                    ) from error
        out = torch.cat(parts).numpy()
        # A module makes an ordinary vector even of zeros: unusable input must stay recognisable.
        out[list(read.problems)] = 0
        return np.asarray(out, dtype=np.float32)


def load_torch(policy: Policy, options: TorchOptions) -> TorchEncoder:
    """The encoder of a policy.

    Args:
        policy: ``embed.model`` is ``package.module:name`` of a module, or of a function that makes
            one; modules are looked for in the policy's folder first.
        options: of ``embed.options``.

    Raises:
        PolicyError: the name cannot be imported or is no module, or the weights do not fit it.
        NotFoundError: no such weights.
    """
    import torch

    model = str(policy.embed.model)
    place, _, attribute = model.partition(":")
    try:
        with importing_from(policy.folder):
            found = getattr(import_module(place), attribute)
            module = found if isinstance(found, torch.nn.Module) else found()
    except Exception as error:  # code of the user's
        raise policy.mistake(
            ("embed", "model"), f"cannot import {model!r}: {error_line(error)}"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise policy.mistake(
            ("embed", "model"), f"{model!r} is not a torch module and does not make one"
        )
    if options.weights is not None:
        _load_weights(module, policy, options.weights)
    device = str(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return TorchEncoder(
        model=model,
        module=module.eval().to(device),
        column=policy.embed.columns[0],
        shape=None if options.shape is None else tuple(options.shape),
        scale=options.scale,
        weights=weights_digest(module.state_dict()),
        device=device,
    )


def _load_weights(module: Module, policy: Policy, name: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    place = ("embed", "options", "weights")
    path = policy.file(name)
    try:
        module.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise NotFoundError(f"{'.'.join(place)}: there is no file {str(path)!r}") from error
    except (RuntimeError, SafetensorError) as error:
        raise policy.mistake(
            place, f"do not fit {policy.embed.model!r}: {error_line(error, limit=1000)}"
        ) from error
