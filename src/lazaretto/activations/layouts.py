"""Bring a layer's output to one order of axes: records, then tokens or space, features last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    import torch

_CHANNELS_FIRST = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.InstanceNorm1d,
    nn.GroupNorm,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)
_FEATURES_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention, nn.RNNBase)


def features_last(values: torch.Tensor, model: nn.Module, layer: str) -> torch.Tensor:
    """A layer's output with its features on the last axis.

    Three axes are (records, tokens, features), but (records, channels, time) behind a
    one-dimensional convolution, and (tokens, records, features) of a recurrent or attention layer
    that does not have its batch first. Four axes are (records, channels, height, width), but
    (records, height, width, channels) where the model declares ``output_fmt = "NHWC"``, as timm's
    do, or where the first two sides are equal and the last is not, as of torchvision's Swin.

    Args:
        values: (records, ...), two axes or more.
        model: that the layer is of.
        layer: name of the module, or `PENULTIMATE`.
    """
    module = dict(model.named_modules()).get(layer)
    if values.ndim < 3 or module is None:  # what goes into a linear layer has features last
        return values
    if values.ndim == 3:
        if getattr(module, "batch_first", True) is False:
            return values.transpose(0, 1)
        return values.transpose(1, 2) if _behind_convolution(model, layer) else values
    if values.ndim == 4 and _channels_last(values, model):
        return values
    return values.movedim(1, -1)


def _channels_last(values: torch.Tensor, model: nn.Module) -> bool:
    _, first, second, third = values.shape
    if second == third:
        return False
    return first == second or getattr(model, "output_fmt", None) == "NHWC"


def _behind_convolution(model: nn.Module, layer: str) -> bool:
    """Whether the last module that settles the axes, in the layer or before it, is channels-first.

    Modules are taken in the order in which the model has them; an activation settles nothing.
    """
    inside = False
    first = False
    for name, module in model.named_modules():
        within = name == layer or name.startswith(layer + ".")
        if inside and not within:
            break
        inside = inside or within
        if isinstance(module, _CHANNELS_FIRST):
            first = True
        elif isinstance(module, _FEATURES_LAST):
            first = False
    return first and inside
