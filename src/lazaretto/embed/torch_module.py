"""A torch module of the user's as encoder: numbers in, vectors out."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from lazaretto.embed.identity import identity_digest, weights_digest
from lazaretto.errors import NotFoundError, PolicyError, ReferenceMismatchError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import pyarrow as pa
    from torch.nn import Module

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


def load_torch(model: str | None, columns: list[str], options: Mapping[str, Any]) -> TorchEncoder:
    """The encoder of a policy.

    Args:
        model: ``package.module:name`` of a module, or of a function that makes one.
        columns: exactly one.
        options: ``weights`` (a safetensors file), ``shape`` (list), ``scale``, ``device``.

    Raises:
        PolicyError: a key is missing or wrong, or the name is not a module.
        NotFoundError: no such weights.
    """
    import torch

    if model is None or ":" not in model or len(columns) != 1:
        raise PolicyError("embed: encoder 'torch' needs model 'package.module:name' and one column")
    unknown = set(options) - {"weights", "shape", "scale", "device"}
    if unknown:
        raise PolicyError(f"embed.options: unknown key {sorted(unknown)[0]!r}")
    place, _, attribute = model.partition(":")
    try:
        found = getattr(import_module(place), attribute)
    except (ImportError, AttributeError) as error:
        raise PolicyError(f"embed.model: cannot import {model!r}: {error_line(error)}") from error
    module = found if isinstance(found, torch.nn.Module) else found()
    if not isinstance(module, torch.nn.Module):
        raise PolicyError(f"embed.model: {model!r} is not a torch module and does not make one")
    if options.get("weights"):
        from safetensors.torch import load_file

        try:
            module.load_state_dict(load_file(options["weights"]))
        except FileNotFoundError as error:
            raise NotFoundError(f"embed.options.weights: no file {options['weights']!r}") from error
        except RuntimeError as error:
            raise PolicyError(
                f"embed.options.weights: do not fit {model!r}: {error_line(error, limit=1000)}"
            ) from error
    device = str(options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))
    shape = options.get("shape")
    return TorchEncoder(
        model=model,
        module=module.eval().to(device),
        column=columns[0],
        shape=None if shape is None else tuple(int(side) for side in shape),
        scale=float(options.get("scale", 1.0)),
        weights=weights_digest(module.state_dict()),
        device=device,
    )
