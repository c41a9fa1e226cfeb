"""Activations of a torch model's layers over a data set, on CPU or GPU."""

from lazaretto.activations.capture import capture

__all__ = ["capture"]
