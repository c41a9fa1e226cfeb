"""A probe's weights in a safetensors file, with what is needed to build the network again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from torch import nn

from lazaretto.activations.probe import Probe, make_network
from lazaretto.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

_KEY = "lazaretto_probe"


def probe_bytes(trained: Probe) -> bytes:
    """The file's bytes."""
    from safetensors.torch import save

    network: Any = trained.model
    flat = isinstance(network[0], nn.Unflatten)
    network = network[1] if flat else network
    about = {
        "classes": trained.classes,
        "shape": list(network[0].get_buffer("mean").shape),
        "width": network[-1].in_features,
        "flat": flat,
        "train_accuracy": trained.train_accuracy,
        "held_out_accuracy": trained.held_out_accuracy,
        "epochs": trained.epochs,
    }
    return bytes(save(network.state_dict(), metadata={_KEY: json.dumps(about)}))


def load_probe(path: str | Path) -> Probe:
    """The probe that `probe_bytes` wrote.

    Raises:
        NotFoundError: no such file.
        UsageError: it is no probe.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dict
        shape = tuple(int(side) for side in about["shape"])
        network: nn.Module = make_network(shape, int(about["width"]), len(about["classes"]))
        network.load_state_dict(state)
    except FileNotFoundError as error:
        raise NotFoundError(f"no weights {str(path)!r}") from error
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OSError) as error:
        message = f"{str(path)!r} holds no weights of a probe; `lazaretto batch probe` makes some"
        raise UsageError(message) from error
    if about["flat"]:
        network = nn.Sequential(nn.Unflatten(1, shape), network)
    figures = (about["train_accuracy"], about["held_out_accuracy"], about["epochs"])
    return Probe(network.eval(), [str(name) for name in about["classes"]], *figures)
