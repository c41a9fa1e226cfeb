"""Activations of a torch model's layers over a data set, on CPU or GPU."""

from lazaretto.activations.capture import capture
from lazaretto.activations.probe import Probe, probe
from lazaretto.activations.sidecar import capture_to, read_activations

__all__ = ["Probe", "capture", "capture_to", "probe", "read_activations"]
