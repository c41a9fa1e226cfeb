"""The policy: one YAML file on how batches are judged; its model, and how the file is read."""

from lazaretto.policy.cleaning import Cleaning
from lazaretto.policy.evolve import Evolve
from lazaretto.policy.model import (
    Columns,
    DriftWatch,
    Limits,
    Policy,
    Sanitize,
    Sources,
    policy_schema,
)
from lazaretto.policy.read import Read

__all__ = [
    "Cleaning",
    "Columns",
    "DriftWatch",
    "Evolve",
    "Limits",
    "Policy",
    "Read",
    "Sanitize",
    "Sources",
    "policy_schema",
]
