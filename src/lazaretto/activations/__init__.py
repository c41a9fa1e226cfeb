"""Activations of a torch model's layers over a data set, on CPU or GPU."""

from lazaretto.activations.capture import capture
from lazaretto.activations.compare import Comparison, compare
from lazaretto.activations.probe import Probe, probe
from lazaretto.activations.sidecar import capture_to, read_activations

__all__ = [
    "Comparison",
    "Probe",
    "capture",
    "capture_to",
    "compare",
    "probe",
    "read_activations",
]
