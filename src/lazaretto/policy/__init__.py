"""The policy: one YAML file on how batches are judged; its model, and how the file is read."""

from lazaretto.policy.cleaning import Cleaning
from lazaretto.policy.model import (
    Columns,
    DriftWatch,
    Limits,
    Policy,
    Sanitize,
    Sources,
    policy_schema,
)

__all__ = [
    "Cleaning",
    "Columns",
    "DriftWatch",
    "Limits",
    "Policy",
    "Sanitize",
    "Sources",
    "policy_schema",
]
